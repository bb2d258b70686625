"""
The models of the settings file: its keys, their meanings, and their defaults.

They are frozen, and everybody reads the settings from them. They are also the only source of the reference, which
:func:`settings_reference` makes from them, and of the comments in the shipped file, which a test compares with them: a
description has meaning and unit, and a default is written as a user would write it. Providers validate their own
options.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from meshgate.resources.model import Items, Labels, Model, ValueForm
from meshgate.routing.connection_policy import Keepalive
from meshgate.settings.values import (
    AUTO,
    Address,
    DnsName,
    Duration,
    LimitDuration,
    Locality,
    Name,
    NameServer,
    PathText,
    Port,
    ProbeInterval,
    ProbeSeconds,
    Size,
    SourceAddress,
    Text,
    Workers,
    one_of,
)

EXTENDED = "extended"
"""The semantics that honour the fields which Istio ignores on a gateway."""

STANDARD_OUTPUT = "-"
"""The path of the access log that means standard output."""


def _key(description: str, default: Any = ..., **rules: Any) -> Any:
    """
    A key of the file.

    :param description: its meaning and unit, as a sentence.
    :param default: its default, as a user would write it; none for a required key.
    :param rules: further arguments of :func:`pydantic.Field`.
    """
    return Field(default, description=description, validate_default=True, **rules)


class Section(Model):
    """A mapping of the file. A key without a value counts as absent."""

    model_config = ConfigDict(alias_generator=None)


class GatewaySettings(Section):
    """The gateway as Istio sees it: the pod that Gateways select."""

    labels: Annotated[Labels, ValueForm("Mapping")] = _key(
        "The labels of the gateway: it serves every Gateway whose selector asks for nothing but these.",
        {"app": "istio-ingressgateway", "istio": "ingressgateway"},
    )
    namespace: Name = _key("The namespace that the gateway would run in.", "istio-system")
    locality: Locality = _key(
        "Where the gateway is, as region/zone/subzone, to prefer near endpoints; empty if that is unknown.", ""
    )
    node: Text = _key("The name of the gateway's node, for Services that prefer the endpoints on it.", "")


class ProviderEntry(Section):
    """One source of routes. The other keys of an entry are the options of its type."""

    model_config = ConfigDict(extra="allow")

    name: Name = _key("What the log and the status call the provider; no two have the same name.")
    type: Text = _key("What the provider is: directory reads files and folders; plug-ins bring further types.")


class DnsSettings(Section):
    """The resolving of endpoint names."""

    servers: Annotated[Items[NameServer], ValueForm("List of addresses")] = _key(
        "The name servers to ask, as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353; the port is 53 unless given. "
        "An empty list means those of /etc/resolv.conf.",
        (),
    )


class TimeoutSettings(Section):
    """Time limits; in seconds once loaded."""

    hello: LimitDuration = _key("How long a client may take to send its whole ClientHello.", "15s")
    connect: LimitDuration = _key("How long one attempt to connect to an endpoint may take.", "10s")
    idle: Duration = _key(
        "How long a connection may carry no byte either way before it is closed; 0 means forever.", "1h"
    )
    half_close: LimitDuration = _key(
        "How long one side may stay silent after the other has finished, before both are closed.", "10m"
    )


class ProbeSettings(Section):
    """Probes on connections of one side, which is given up when it is silent for idle and count times interval."""

    idle: ProbeSeconds = _key("How long nothing comes from it before the first probe; 0 means no probes.", "60s")
    interval: ProbeInterval = _key("How long after a probe the next one follows, while there is no answer.", "15s")
    count: Annotated[int, ValueForm("Number")] = _key(
        "How many probes without an answer end the connection, from 1 to 127.", 4, ge=1, le=127
    )

    def keepalive(self) -> Keepalive | None:
        """The probes of connections; None if these settings switch them off."""
        return Keepalive(self.count, self.idle, self.interval) if self.idle else None


class KeepaliveSettings(Section):
    """Keepalive: how to notice that the other side is gone without a word."""

    client: ProbeSettings = _key(
        "For clients: silent ones are probed by the kernel. A client that acknowledges nothing that it is sent is "
        "given up after the same time. It ends the connection as client_timed_out.",
        {},
    )
    upstream: ProbeSettings = _key(
        "The same for endpoints, as upstream_timed_out. The tcpKeepalive of a DestinationRule counts instead for its "
        "endpoints.",
        {},
    )


class LimitSettings(Section):
    """Limits of one connection, and of their number."""

    hello_bytes: Size = _key(
        "The largest ClientHello, in bytes or with the unit KiB: from 512 bytes to 64KiB.",
        "16KiB",
        alias="hello",
        ge=512,
        le=65536,
    )
    dial_attempts: Annotated[int, ValueForm("Number")] = _key(
        "How many endpoints of a destination may fail to answer before a connection is given up, from 1 to 16. One "
        "that refuses does not count while another one is left. With 1, as in Istio, the first failure is the end, and "
        "what failed before does not matter to the choice.",
        3,
        ge=1,
        le=16,
    )
    connections: Annotated[int, ValueForm("Number")] = _key(
        "How many connections there may be at once, over all workers. One more is closed at once, and logged with the "
        "ending over_limit. 0 means as many as there are file descriptors; when those run out, new connections wait.",
        0,
        ge=0,
    )
    connections_per_listener: Annotated[int, ValueForm("Number")] = _key(
        "The same for each listener; 0 means no limit.", 0, ge=0
    )
    connections_per_client: Annotated[int, ValueForm("Number")] = _key(
        "The same for each client, which is an IPv4 address or an IPv6 network of 64 bits; 0 means no limit.", 0, ge=0
    )


class ListeningSettings(Section):
    """The accepting of connections."""

    backlog: Annotated[int, ValueForm("Number")] = _key(
        "How many connections may wait to be accepted, for each port and worker, from 1 to 65535; the system may allow "
        "fewer (net.core.somaxconn). Holds for the ports opened from then on.",
        1024,
        ge=1,
        le=65535,
    )
    defer_accept: Annotated[bool, ValueForm("true or false")] = _key(
        "Where the first bytes decide the route, accept a connection only when they are there, or after a second "
        "(TCP_DEFER_ACCEPT). It costs less; but a client that connects and says nothing is seen a second later, and "
        "one that resets before it says anything leaves no line in the access log.",
        True,
    )
    wait_for_addresses: Annotated[bool, ValueForm("true or false")] = _key(
        "At the start, take an address that this machine does not have for one that it will get, such as a virtual IP "
        "address that moves between machines: the gateway starts, and tries each second until the port can be bound. "
        "Otherwise that ends the start, as anything else does for which a port cannot be bound.",
        False,
    )


class AccessLogSettings(Section):
    """The access log."""

    path: PathText = _key(
        "The file to append to, relative to the folder of this file; - is standard output.", STANDARD_OUTPUT
    )
    format: Annotated[Literal["text", "json"], BeforeValidator(one_of("text", "json")), ValueForm("Choice")] = _key(
        "text for people, or json for programs: one object a line.", "text"
    )


class LogSettings(Section):
    """The program's own log in a file."""

    rotate: Size = _key(
        "The size at which the gateway itself renames its log to FILE.1 and begins a new one, in bytes or with the "
        "unit KiB or MiB; 0 means never: logrotate does that, and sends SIGUSR1.",
        0,
        ge=0,
    )
    keep: Annotated[int, ValueForm("Number")] = _key(
        "How many files that the gateway has renamed itself are kept, from 1 to 1000.", 5, ge=1, le=1000
    )


class EchoSettings(Section):
    """A TCP echo service. Except for its port and address, the keys are texts of its greeting."""

    port: Port = _key("The TCP port that the service listens on.")
    bind: Address = _key("The IP address that the service listens on.", "127.0.0.1")
    node: Text = _key("The node named in the greeting.", "minikube")
    pod: Text = _key("The pod named in the greeting.", "tcp-echo-5b8d7c9f64-x7k2m")
    namespace: Text = _key("The namespace named in the greeting.", "default")
    address: Text = _key("The IP address named in the greeting.", "127.0.0.1")
    service: Text = _key("The service account named in the greeting.", "default")


class HttpsSettings(Section):
    """An HTTPS service with a certificate of its own, which answers with JSON."""

    name: Name = _key("The name that the service gives itself in its answers, and its certificate's files have.")
    hosts: Annotated[Items[DnsName], ValueForm("List of DNS names")] = _key(
        "The host names that its certificate is made for.", min_length=1
    )
    port: Port = _key("The TCP port that the service listens on.")
    bind: Address = _key("The IP address that the service listens on.", "127.0.0.1")
    message: Text = _key(
        "The body of its answers; an empty one is Hello from NAME!!!, with the name of the service.", ""
    )


class LabSettings(Section):
    """The demonstration services."""

    certificates: PathText = _key(
        "The folder of the certificates that the lab makes for itself, relative to state_dir.", "certificates"
    )
    echo: Items[EchoSettings] = _key("TCP echo services, each of which greets its clients.", ())
    https: Items[HttpsSettings] = _key("HTTPS services, each of which answers in JSON.", ())


class ServicePortSettings(Section):
    """A port of the Service of the gateway, as the API shows it."""

    name: Name = _key("The name of the port.")
    port: Port = _key("The number of the port, on which the gateway itself listens, too.")
    node_port: Annotated[int, ValueForm("Number")] = _key(
        "The port of each node that a cluster would have for it; 0 means none.", 0, ge=0, le=65535
    )


class ApiSettings(Section):
    """The configuration API, which kubectl and other clients of Kubernetes' API speak."""

    bind: Address = _key("The IP address that the API listens on.", "127.0.0.1")
    port: Port = _key("The TCP port that the API listens on, with TLS unless http says otherwise.", 18443)
    names: Annotated[Items[Text], ValueForm("List of names and addresses")] = _key(
        "Further names and IP addresses by which clients reach the API, for its certificate and the check of Host "
        "headers; bind, localhost and the loopback addresses are always among them.",
        (),
    )
    http: Annotated[bool, ValueForm("true or false")] = _key(
        "Speak plain HTTP without credentials instead of HTTPS: every user of this machine may read everything but "
        "Secrets and the history. Only with a loopback address as bind.",
        False,
    )
    http_writes: Annotated[bool, ValueForm("true or false")] = _key(
        "With http: every user of this machine may also change everything, and read Secrets.", False
    )
    pods: Annotated[bool, ValueForm("true or false")] = _key(
        "Run the pods of Deployments whose image the lab has, as services of this process on loopback addresses.", False
    )
    namespaces: Annotated[Items[Name], ValueForm("List of names")] = _key(
        "Namespaces that exist from the start, besides default_namespace and the gateway's own.", ()
    )
    service_ports: Items[ServicePortSettings] = _key(
        "Ports of the Service istio-ingressgateway, as kubectl shows it, besides the stock ones: status-port 15021, "
        "http2 80, https 443, tcp 31400 and tls 15443.",
        (),
    )


class MetricsSettings(Section):
    """Metrics for Prometheus, and the paths by which a load balancer or Kubernetes asks if the gateway is ready."""

    bind: Address = _key(
        "The IP address of /metrics, /livez and /readyz, in plain HTTP without credentials.", "127.0.0.1"
    )
    port: Port = _key("Their TCP port.", 15090)


class SettingsFile(Section):
    """The whole file."""

    gateway: GatewaySettings = _key("What this gateway is to Istio.", {})
    default_namespace: Name = _key("The namespace of the documents that name none.", "default")
    domain_suffix: DnsName = _key(
        "The domain of the cluster: the Service a in namespace b is a.b.svc.cluster.local.", "cluster.local"
    )
    semantics: Annotated[
        Literal["istio", "extended"], BeforeValidator(one_of("istio", "extended")), ValueForm("Choice")
    ] = _key(
        "Whose rules decide where a connection goes: istio for Istio's own; extended for those and what Istio ignores "
        "on a gateway, that is destinationSubnets, sourceSubnet and the hosts of a server.",
        "istio",
    )
    providers: Items[ProviderEntry] = _key("Where routes come from, in any number. Without any, nothing is served.", ())
    workers: Workers = _key(
        "How many worker processes carry connections, from 1 to 64; auto for one on each processor that may be used, "
        "where the limits of a container count. Taken at the start only.",
        AUTO,
    )
    state_dir: PathText = _key(
        "The folder for what the gateway writes, such as status.json and the certificates of the lab, relative to the "
        "folder of this file.",
        "state",
    )
    dns: DnsSettings = _key("How the names of endpoints are resolved.", {})
    timeouts: TimeoutSettings = _key("How long things may take: a number with a unit, as 500ms, 15s, 10m or 1h30m.", {})
    keepalive: KeepaliveSettings = _key(
        "How it is noticed that the other side of a connection is gone without a word. Holds for the connections from "
        "then on.",
        {},
    )
    limits: LimitSettings = _key("How much a connection may use of something, and how many there may be at once.", {})
    listening: ListeningSettings = _key("How connections are taken in.", {})
    transport: Annotated[
        Literal["auto", "lean", "twisted"], BeforeValidator(one_of("auto", "lean", "twisted")), ValueForm("Choice")
    ] = _key(
        "What carries the bytes: lean for meshgate's own transport on epoll, twisted for the reactor's, which costs "
        "twice as much; auto for lean where there is epoll. Taken at the start only.",
        "auto",
    )
    upstream_source: Annotated[Items[SourceAddress], ValueForm("List of IP addresses")] = _key(
        "The addresses of this machine from which endpoints are dialed, IPv4 and IPv6, in turn; each has local ports "
        "of its own, of which some 28,000 are there for one endpoint. For a family without any, the kernel chooses.",
        (),
    )
    unknown_sni: Annotated[
        Literal["close", "alert"], BeforeValidator(one_of("close", "alert")), ValueForm("Choice")
    ] = _key(
        "What a client gets that asks for a server name without a route: close just closes the connection, alert "
        "sends the fatal TLS alert unrecognized_name first.",
        "close",
    )
    access_log: AccessLogSettings = _key("One line per connection, written at its end.", {})
    log: LogSettings = _key(
        "The program's own log in a file, which is twistd.log in the background, or what twistd's --logfile names.", {}
    )
    api: ApiSettings | None = _key(
        "An API for kubectl, with a store of its own in state_dir/api. Without this key, there is none.", None
    )
    metrics: MetricsSettings | None = _key(
        "Metrics for Prometheus, and the health of the gateway. Without this key, there are none, and nothing is "
        "counted. Taken at the start only.",
        None,
    )
    lab: LabSettings | None = _key("Demonstration services run beside the gateway. Without this key, none are.", None)


class Key(NamedTuple):
    """
    A key of a section.

    :ivar name: the name of the key in the file.
    :ivar section: the section under the key, or of which there is a list; None if the key has another value.
    """

    name: str
    field: FieldInfo
    section: type[Section] | None


def keys(section: type[Section]) -> Iterator[Key]:
    """The keys of a section, in the order of the reference."""
    for name, field in section.model_fields.items():
        yield Key(field.alias or name, field, _section_in(field.annotation))


def _section_in(annotation: Any) -> type[Section] | None:
    """The section within an annotation, inside any unions and lists."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def settings_reference() -> str:
    """
    The reference in reStructuredText, for Sphinx: all keys by their full names, as ``lab.echo[].port``, each with an
    anchor of its own.
    """
    return "\n".join(_entries(SettingsFile, ""))


def default_text(field: FieldInfo) -> str:
    """The default of a key as people write it in the file; empty for a required key."""
    return "" if field.is_required() else _flow(field.default)


def _flow(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(content)}" for key, content in value.items()) + "}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_flow, value))}]"
    return f'"{value}"' if value in ("", "-") else str(value)


def _entries(section: type[Section], prefix: str) -> Iterator[str]:
    for key in keys(section):
        path = prefix + key.name
        yield f".. confval:: {path}"
        if key.section is None:
            default = default_text(key.field)
            yield from (f"   :type: {_form(key.field)}", f"   :default: {f'``{default}``' if default else 'required'}")
        yield from ("", f"   {key.field.description}", "")
        if key.section is not None:
            is_list = key.field.default == ()
            yield from _entries(key.section, f"{path}[]." if is_list else f"{path}.")


def _form(field: FieldInfo) -> str:
    """The form of the value, in words."""
    choices = [f"``{word}``" for word in get_args(field.annotation) if isinstance(word, str)]
    if choices:
        return " or ".join(choices)
    return next(one.text for one in field.metadata if isinstance(one, ValueForm))
