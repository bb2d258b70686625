"""
The rules between the fields of a Gateway (Istio, pkg/config/validation/validation.go, ValidateGateway).

What is wrong with a field by itself, its type finds. Knows one Gateway at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshgate.resources.broken import sound
from meshgate.resources.fault import Fault, Path, dot_faults, judged, repeated
from meshgate.resources.kinds.gateway import PASSTHROUGH_MODES, GatewaySpec, Server, ServerTLSSettings
from meshgate.resources.kinds.protocols import HTTP_PROTOCOLS, TLS_PROTOCOLS
from meshgate.resources.kinds.server_tls_rules import settings_faults
from meshgate.resources.model import UNIX_PREFIX
from meshgate.resources.nameforms import likely
from meshgate.resources.names import dns_label
from meshgate.resources.problem import Severity
from meshgate.resources.resource import ResourceKey

_SERVERS: Final = ("spec", "servers")


def faults(spec: GatewaySpec, key: ResourceKey) -> Iterator[Fault]:
    """What is wrong with a Gateway whose fields are right one by one, or would be."""
    yield from judged(_name_faults(key.name), _server_faults(spec), _port_name_faults(spec))


def _name_faults(name: str) -> Iterator[Fault]:
    # A name with dots could not be told from the old form of references, name.namespace.
    message = dns_label(name) if name else ""
    if message:
        hint = likely(name.replace(".", "-"), dns_label) or "use up to 63 letters, digits and -"
        yield Fault(("metadata", "name"), "MG1020", message, hint)


def _server_faults(spec: GatewaySpec) -> Iterator[Fault]:
    for index, server in sound(spec.servers):
        path = (*_SERVERS, index)
        yield from judged(_port_faults(server, path), _target_port_faults(server, path))
        yield from judged(_protocol_faults(server, path), _redirect_faults(server, path), _host_faults(server, path))
        if server.tls is not None:
            yield from settings_faults(server.tls, (*path, "tls"))


def _host_faults(server: Server, path: Path) -> Iterator[Fault]:
    if server.port.protocol in TLS_PROTOCOLS:
        yield from dot_faults(server.hosts, (*path, "hosts"))


def _port_name_faults(spec: GatewaySpec) -> Iterator[Fault]:
    yield from repeated((server.port.name for server in spec.servers), _SERVERS, ("port", "name"), "port")


def _port_faults(server: Server, path: Path) -> Iterator[Fault]:
    number = (*path, "port", "number")
    if server.bind.startswith(UNIX_PREFIX):
        if server.port.number:
            yield Fault(number, "MG1026", "a Unix socket has no port number", "write 0, or bind to an IP address")
    elif not server.port.number:
        yield Fault(number, "MG1026", "the server has no port number", "write a number from 1 to 65535")


def _target_port_faults(server: Server, path: Path) -> Iterator[Fault]:
    if server.port.target_port:
        hint = "leave it out; the port of the service is the destination's, in the VirtualService"
        yield Fault((*path, "port", "targetPort"), "MG1027", "a Gateway's port has no targetPort", hint, at_key=True)


def _protocol_faults(server: Server, path: Path) -> Iterator[Fault]:
    protocol, tls = server.port.protocol, server.tls
    if protocol in TLS_PROTOCOLS:
        if tls is None:
            hint = 'write "tls: {mode: PASSTHROUGH}" to route by server name'
            yield Fault((*path, "tls"), "MG1028", f"a server with the protocol {protocol} needs tls settings", hint)
    elif tls is not None:
        if protocol not in HTTP_PROTOCOLS:
            message = f"a server with the protocol {protocol} takes no tls settings"
            yield Fault((*path, "tls"), "MG1029", message, "write the protocol TLS, or leave tls out", at_key=True)
        elif tls.mode not in PASSTHROUGH_MODES or _has_files(tls):
            message = f"a server with the protocol {protocol} takes no tls settings but httpsRedirect"
            yield Fault((*path, "tls"), "MG1029", message, "write the protocol HTTPS, or leave tls out", at_key=True)


def _has_files(tls: ServerTLSSettings) -> bool:
    return bool(tls.server_certificate or tls.private_key or tls.ca_certificates)


def _redirect_faults(server: Server, path: Path) -> Iterator[Fault]:
    if server.tls is not None and server.tls.https_redirect and server.port.protocol not in HTTP_PROTOCOLS:
        message = f"no plain HTTP to redirect arrives at a server with the protocol {server.port.protocol}"
        hint = "write it in the server for HTTP"
        yield Fault((*path, "tls", "httpsRedirect"), "MG1030", message, hint, Severity.WARNING, at_key=True)
