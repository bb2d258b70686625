"""
The model of the settings file; its sections are in :mod:`~meshgate.settings.traffic_sections`,
:mod:`~meshgate.settings.log_sections` and :mod:`~meshgate.settings.service_sections`.

Models are frozen, and everybody reads the settings from them. They are also the only source of the reference
(:func:`settings_reference`) and of the comments in the shipped file, which a test compares with them: a description has
meaning and unit, and a default is written as a user would write it. Providers validate their own options.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from meshgate.resources.model import Items, ValueForm
from meshgate.settings.access_sections import AccessSettings
from meshgate.settings.log_sections import AccessLogSettings, LogSettings
from meshgate.settings.section import AUTO, DnsName, Name, PathText, Section, SourceAddress, Workers, key, keys, one_of
from meshgate.settings.service_sections import ApiSettings, LabSettings, MetricsSettings
from meshgate.settings.traffic_sections import (
    DnsSettings,
    DrainSettings,
    GatewaySettings,
    HealthSettings,
    KeepaliveSettings,
    LimitSettings,
    ListeningSettings,
    ProviderEntry,
    TimeoutSettings,
)

EXTENDED = "extended"
"""The semantics that honour the fields which Istio ignores on a gateway."""


class SettingsFile(Section):
    """The whole file."""

    gateway: GatewaySettings = key("What this gateway is to Istio.", {})
    default_namespace: Name = key("The namespace of the documents that name none.", "default")
    domain_suffix: DnsName = key(
        "The domain of the cluster: the Service a in namespace b is a.b.svc.cluster.local.", "cluster.local"
    )
    semantics: Annotated[
        Literal["istio", "extended"], BeforeValidator(one_of("istio", "extended")), ValueForm("Choice")
    ] = key(
        "Whose rules decide where a connection goes: istio for Istio's own; extended for those and what Istio ignores "
        "on a gateway, that is destinationSubnets, sourceSubnet and the hosts of a server.",
        "istio",
    )
    providers: Items[ProviderEntry] = key("Where routes come from, in any number. Without any, nothing is served.", ())
    workers: Workers = key(
        "How many worker processes carry connections, from 1 to 64; auto for one on each processor that may be used, "
        "where the limits of a container count. Taken at the start only.",
        AUTO,
    )
    state_dir: PathText = key(
        "The folder for what the gateway writes, such as status.json and the certificates of the lab, relative to the "
        "folder of this file.",
        "state",
    )
    dns: DnsSettings = key("How the names of endpoints are resolved.", {})
    timeouts: TimeoutSettings = key("How long things may take: a number with a unit, as 500ms, 15s, 10m or 1h30m.", {})
    keepalive: KeepaliveSettings = key(
        "How it is noticed that the other side of a connection is gone without a word. Holds for the connections from "
        "then on.",
        {},
    )
    limits: LimitSettings = key("How much a connection may use of something, and how many there may be at once.", {})
    access: AccessSettings = key(
        "Which clients may connect at all; each Gateway may have further lists, as annotations. New lists also hold "
        "for the connections that are there: those that they refuse are reset.",
        {},
    )
    health: HealthSettings = key("How it is found out which endpoints serve, and what follows from it.", {})
    listening: ListeningSettings = key("How connections are taken in.", {})
    drain: DrainSettings = key("How connections end when the gateway stops.", {})
    transport: Annotated[
        Literal["auto", "lean", "twisted"], BeforeValidator(one_of("auto", "lean", "twisted")), ValueForm("Choice")
    ] = key(
        "What carries the bytes: lean for meshgate's own transport on epoll, twisted for the reactor's, which costs "
        "twice as much; auto for lean where there is epoll. Taken at the start only.",
        "auto",
    )
    upstream_source: Annotated[Items[SourceAddress], ValueForm("List of IP addresses")] = key(
        "The addresses of this machine from which endpoints are dialed, IPv4 and IPv6, in turn; each has local ports "
        "of its own, of which some 28,000 are there for one endpoint. For a family without any, the kernel chooses.",
        (),
    )
    unknown_sni: Annotated[
        Literal["close", "alert"], BeforeValidator(one_of("close", "alert")), ValueForm("Choice")
    ] = key(
        "What a client gets that asks for a server name without a route: close just closes the connection, alert "
        "sends the fatal TLS alert unrecognized_name first.",
        "close",
    )
    access_log: AccessLogSettings = key("One line per connection, written at its end.", {})
    log: LogSettings = key(
        "The program's own log: standard error in the foreground, twistd.log in the background, or what twistd's "
        "--logfile names. With twistd's --logger or --syslog, only level and levels count, and only for workers.",
        {},
    )
    api: ApiSettings | None = key(
        "An API for kubectl, with a store of its own in state_dir/api. Without this key, there is none.", None
    )
    metrics: MetricsSettings | None = key(
        "Metrics for Prometheus, and the health of the gateway. Without this key, there are none, and nothing is "
        "counted. Taken at the start only.",
        None,
    )
    lab: LabSettings | None = key("Demonstration services run beside the gateway. Without this key, none are.", None)


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
    return f'"{value}"' if value in ("", "-") or (isinstance(value, str) and value.isdecimal()) else str(value)


def _entries(section: type[Section], prefix: str) -> Iterator[str]:
    for found in keys(section):
        path = prefix + found.name
        yield f".. confval:: {path}"
        if found.section is None:
            default = default_text(found.field)
            yield from (
                f"   :type: {_form(found.field)}",
                f"   :default: {f'``{default}``' if default else 'required'}",
            )
        yield from ("", f"   {found.field.description}", "")
        if found.section is not None:
            is_list = found.field.default == ()
            yield from _entries(found.section, f"{path}[]." if is_list else f"{path}.")


def _form(field: FieldInfo) -> str:
    """The form of the value, in words."""
    choices = [f"``{word}``" for word in get_args(field.annotation) if isinstance(word, str)]
    if choices:
        return " or ".join(choices)
    return next(one.text for one in field.metadata if isinstance(one, ValueForm))
