"""Gateway: the ports that a gateway opens, and for which hosts (Istio, networking/v1alpha3/gateway.proto)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from meshgate.resources.fault import Fault, FieldPath, chain_rules, duplicate_faults, sound_items, trailing_dot_faults
from meshgate.resources.kinds.shared_fields import HTTP_PROTOCOLS, TLS_PROTOCOLS, PortProtocol
from meshgate.resources.kinds.tls import PASSTHROUGH_MODES, ServerTLSSettings, server_tls_faults
from meshgate.resources.model import (
    UNIX_PREFIX,
    Items,
    Labels,
    Model,
    NonEmpty,
    OptionalPortNumber,
    UInt32,
    one_of_equals,
    refuse,
)
from meshgate.resources.names import (
    checked_by,
    dns_label,
    ip_address,
    is_ip_address,
    name_hint,
    unix_path,
    wildcard_domain,
)
from meshgate.resources.problem import Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.resources.wording import quoted

_BIND_HINT = "leave it out to listen on every address"


def _server_host(text: str) -> str:
    """A host with an optional namespace before it (Istio, agent, ValidateNamespaceSlashWildcardHostname)."""
    message, hint = _host_fault(text)
    if not message:
        return text
    return refuse("MG1024", message, name_hint(text, lambda meant: _host_fault(meant)[0]) or hint)


def _host_fault(text: str) -> tuple[str, str]:
    """Say what is wrong with a server's host; and give a hint if this fault has one of its own."""
    namespace, slash, name = text.partition("/")
    if not slash:
        namespace, name = "*", text
    if not (namespace and name):
        return f"{quoted(text)} lacks a namespace before the slash or a name behind it", "write namespace/name, or name"
    if namespace not in ("*", ".") and dns_label(namespace):
        return f"the namespace before the slash is wrong: {dns_label(namespace)}", 'write its name, "." or "*"'
    if name != "*" and "." not in name:
        hint = 'write the whole name, as a.example.com, or "*" for any'
        return f"{quoted(name)} is a short name, which a server's host cannot be", hint
    if "*" in name and name != "*" and not name.startswith("*."):
        hint = f'did you mean "*.{name.lstrip("*.")}"?' if "*" not in name.lstrip("*") else ""
        return f'{quoted(name)} is not a wildcard that a server may have: "*" must be the whole first label', hint
    return ("" if is_ip_address(name) else wildcard_domain(name)), ""


def _bind_fault(text: str) -> str:
    if text.startswith(UNIX_PREFIX):
        return unix_path(text.removeprefix(UNIX_PREFIX))
    return ip_address(text) and f"{quoted(text)} is neither an IP address nor a unix:// path"


class Port(Model):
    """A port to listen on."""

    number: OptionalPortNumber = Field(default=0, description="1 to 65535; 0 where bind is a Unix socket")
    protocol: PortProtocol = Field(
        description="protocol of its connections, in upper or lower case: TCP, TLS, HTTPS, HTTP …; those of HTTP "
        "are not served, but HTTPS that is passed through is"
    )
    name: NonEmpty = Field(description="name, unique in the Gateway")
    target_port: UInt32 = Field(default=0, description="no longer allowed")


class Server(Model):
    """One listening port with its hosts."""

    port: Annotated[Port, AfterValidator(one_of_equals)] = Field(description="port to listen on")
    bind: Annotated[str, checked_by(lambda text: text and _bind_fault(text), "MG1025", _BIND_HINT)] = Field(
        default="", description="IP address or unix:// path to listen on; empty for every address"
    )
    hosts: Annotated[Items[Annotated[str, AfterValidator(_server_host)]], Field(min_length=1)] = Field(
        description="names to serve, each with an optional namespace/ before it; * for any"
    )
    tls: Annotated[ServerTLSSettings | None, AfterValidator(one_of_equals)] = Field(
        default=None, description="required for the protocols HTTPS and TLS"
    )
    default_endpoint: str = Field(default="", description="has no effect, as in Istio")
    name: str = Field(default="", description="prefix of the server's statistics")


class GatewaySpec(Model):
    """The spec of a Gateway."""

    servers: Annotated[Items[Server], Field(min_length=1)] = Field(description="ports to open, each with its hosts")
    selector: Labels = Field(default=Labels(), description="labels that a gateway must have; empty for all gateways")


Gateway = Resource[GatewaySpec]

_SERVERS: Final = ("spec", "servers")


def faults(spec: GatewaySpec, key: ResourceKey) -> Iterator[Fault]:
    """The rules between the fields of a Gateway (Istio, pkg/config/validation/validation.go, ValidateGateway)."""
    yield from chain_rules(
        _name_faults(key.name),
        _server_faults(spec),
        duplicate_faults(spec.servers, lambda server: server.port.name, _SERVERS, ("port", "name"), "port"),
    )


def _name_faults(name: str) -> Iterator[Fault]:
    # Istio could not distinguish a name with dots from the old form of a reference, name.namespace.
    message = dns_label(name) if name else ""
    if message:
        hint = name_hint(name.replace(".", "-"), dns_label) or "use up to 63 letters, digits and -"
        yield Fault(("metadata", "name"), "MG1020", message, hint)


def _server_faults(spec: GatewaySpec) -> Iterator[Fault]:
    for index, server in sound_items(spec.servers):
        path = (*_SERVERS, index)
        yield from chain_rules(_port_faults(server, path), _target_port_faults(server, path))
        yield from chain_rules(
            _protocol_faults(server, path), _redirect_faults(server, path), _host_faults(server, path)
        )
        if server.tls is not None:
            yield from server_tls_faults(server.tls, (*path, "tls"))


def _host_faults(server: Server, path: FieldPath) -> Iterator[Fault]:
    if server.port.protocol in TLS_PROTOCOLS:
        yield from trailing_dot_faults(server.hosts, (*path, "hosts"))


def _port_faults(server: Server, path: FieldPath) -> Iterator[Fault]:
    number = (*path, "port", "number")
    if server.bind.startswith(UNIX_PREFIX):
        if server.port.number:
            yield Fault(number, "MG1026", "a Unix socket has no port number", "write 0, or bind to an IP address")
    elif not server.port.number:
        yield Fault(number, "MG1026", "the server has no port number", "write a number from 1 to 65535")


def _target_port_faults(server: Server, path: FieldPath) -> Iterator[Fault]:
    if server.port.target_port:
        hint = "leave it out; the port of the service is the destination's, in the VirtualService"
        yield Fault(
            (*path, "port", "targetPort"), "MG1027", "a Gateway's port has no targetPort", hint, points_at_key=True
        )


def _protocol_faults(server: Server, path: FieldPath) -> Iterator[Fault]:
    protocol, tls = server.port.protocol, server.tls
    if protocol == "UDP":
        message = f"no UDP is served: as in Istio, port {server.port.number} takes TCP connections"
        hint = "reach the service by a load balancer of its own, or write TCP"
        yield Fault((*path, "port", "protocol"), "MG1010", message, hint, Severity.WARNING)
    if protocol in TLS_PROTOCOLS:
        if tls is None:
            hint = 'write "tls: {mode: PASSTHROUGH}" to route by server name'
            yield Fault((*path, "tls"), "MG1028", f"a server with the protocol {protocol} needs tls settings", hint)
    elif tls is not None:
        if protocol not in HTTP_PROTOCOLS:
            message = f"a server with the protocol {protocol} may have no tls settings"
            yield Fault(
                (*path, "tls"), "MG1029", message, "write the protocol TLS, or leave tls out", points_at_key=True
            )
        elif tls.mode not in PASSTHROUGH_MODES or _has_files(tls):
            message = f"a server with the protocol {protocol} may have no tls settings but httpsRedirect"
            yield Fault(
                (*path, "tls"), "MG1029", message, "write the protocol HTTPS, or leave tls out", points_at_key=True
            )


def _has_files(tls: ServerTLSSettings) -> bool:
    return bool(tls.server_certificate or tls.private_key or tls.ca_certificates)


def _redirect_faults(server: Server, path: FieldPath) -> Iterator[Fault]:
    if server.tls is not None and server.tls.https_redirect and server.port.protocol not in HTTP_PROTOCOLS:
        message = f"a server with the protocol {server.port.protocol} receives no plain HTTP to redirect"
        hint = "write it in the server for HTTP"
        yield Fault((*path, "tls", "httpsRedirect"), "MG1030", message, hint, Severity.WARNING, points_at_key=True)
