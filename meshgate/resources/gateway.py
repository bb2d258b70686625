"""Gateway: the ports that a gateway opens, and for which hosts (Istio, networking/v1alpha3/gateway.proto)."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from meshgate.resources.fault import Fault, Path, repeated
from meshgate.resources.model import UNIX_PREFIX, Items, Labels, Model, NonEmpty, OptionalPortNumber, UInt32
from meshgate.resources.protocols import HTTP_PROTOCOLS, TLS_PROTOCOLS, Protocol
from meshgate.resources.wording import quoted


class TLSMode(enum.StrEnum):
    """What a server does with TLS."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


class TLSProtocol(enum.StrEnum):
    """A version of TLS; ``TLS_AUTO`` leaves it to the gateway."""

    TLS_AUTO = "TLS_AUTO"
    TLSV1_0 = "TLSV1_0"
    TLSV1_1 = "TLSV1_1"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class Port(Model):
    """A port to listen on."""

    number: OptionalPortNumber = Field(default=0, description="1 to 65535; 0 where bind is a Unix socket")
    protocol: Protocol = Field(description="what arrives there, in any case: TCP, TLS, HTTPS, HTTP …")
    name: NonEmpty = Field(description="a name of its own in the Gateway")
    target_port: UInt32 = Field(default=0, description="no longer allowed")


class TLSCertificate(Model):
    """One certificate with its key."""

    server_certificate: str = Field(default="", description="file with the certificate chain")
    private_key: str = Field(default="", description="file with the private key")
    ca_certificates: str = Field(default="", description="file with the authorities that client certificates come from")


class ServerTLSSettings(Model):
    """How a server treats TLS. Without any field it passes TLS through by server name."""

    https_redirect: bool = Field(default=False, description="answer plain HTTP by a redirection to https")
    mode: Annotated[TLSMode, Field(strict=False)] = Field(
        default=TLSMode.PASSTHROUGH, description="pass TLS through, or end it here"
    )
    server_certificate: str = Field(default="", description="file with the certificate chain")
    private_key: str = Field(default="", description="file with the private key")
    ca_certificates: str = Field(default="", description="file with the authorities that client certificates come from")
    ca_crl: str = Field(default="", description="file with the revoked client certificates")
    credential_name: str = Field(default="", description="secret that holds the certificate and key")
    credential_names: Items[str] = Field(default=(), description="secrets, one each for RSA and ECDSA")
    ca_cert_credential_name: str = Field(default="", description="secret that holds the authorities")
    tls_certificates: Items[TLSCertificate] = Field(default=(), description="files, one entry each for RSA and ECDSA")
    subject_alt_names: Items[str] = Field(default=(), description="names of which a client certificate must have one")
    verify_certificate_spki: Items[str] = Field(default=(), description="SHA-256 of allowed client keys, in base64")
    verify_certificate_hash: Items[str] = Field(
        default=(), description="SHA-256 of allowed client certificates, in hex"
    )
    min_protocol_version: Annotated[TLSProtocol, Field(strict=False)] = Field(
        default=TLSProtocol.TLS_AUTO, description="lowest version of TLS; TLS_AUTO is 1.2"
    )
    max_protocol_version: Annotated[TLSProtocol, Field(strict=False)] = Field(
        default=TLSProtocol.TLS_AUTO, description="highest version of TLS"
    )
    cipher_suites: Items[str] = Field(default=(), description="cipher suites to offer, in OpenSSL's names")
    insecure_skip_verify: bool | None = Field(default=None, description="take any client certificate")


class Server(Model):
    """One listening port with its hosts."""

    port: Port = Field(description="where to listen")
    bind: str = Field(default="", description="IP address or unix:// path to listen on; empty for every address")
    hosts: Annotated[Items[str], Field(min_length=1)] = Field(
        description="names to serve, each with an optional namespace/ before it; * for any"
    )
    tls: ServerTLSSettings | None = Field(default=None, description="required for the protocols HTTPS and TLS")
    default_endpoint: str = Field(default="", description="not implemented by Istio either")
    name: str = Field(default="", description="prefix of statistics")


class GatewaySpec(Model):
    """The spec of a Gateway."""

    servers: Annotated[Items[Server], Field(min_length=1)] = Field(description="what to listen for")
    selector: Labels = Field(default=Labels(), description="labels that a gateway must have; empty for all gateways")


def faults(spec: GatewaySpec) -> Iterator[Fault]:
    """The rules between the fields of a Gateway (Istio, pkg/config/validation/validation.go, ValidateGateway)."""
    for index, server in enumerate(spec.servers):
        path = ("spec", "servers", index)
        yield from _port_faults(server, path)
        yield from _tls_faults(server, path)
    yield from repeated((server.port.name for server in spec.servers), ("spec", "servers"), ("port", "name"), "port")


def _port_faults(server: Server, path: Path) -> Iterator[Fault]:
    unix = server.bind.startswith(UNIX_PREFIX)
    number = (*path, "port", "number")
    if unix and server.port.number:
        yield Fault(number, "MG1008", "a Unix socket has no port number", "write 0, or bind to an IP address")
    if not unix and not server.port.number:
        yield Fault(number, "MG1005", "the port number must be from 1 to 65535")
    if server.port.target_port:
        yield Fault(
            (*path, "port", "targetPort"),
            "MG1008",
            "a Gateway's port takes no targetPort",
            "the target port is the destination's, in the VirtualService",
        )
    if server.bind and not (unix or _is_address(server.bind)):
        yield Fault(
            (*path, "bind"),
            "MG1006",
            f"{quoted(server.bind)} is neither an IP address nor a unix:// path",
            "leave it out to listen on every address",
        )


def _tls_faults(server: Server, path: Path) -> Iterator[Fault]:
    protocol = server.port.protocol
    if protocol in TLS_PROTOCOLS and server.tls is None:
        yield Fault(
            (*path, "tls"),
            "MG1002",
            f"a server with the protocol {protocol} needs tls settings",
            'write "tls: {mode: PASSTHROUGH}" to route by server name',
        )
    if protocol not in TLS_PROTOCOLS | HTTP_PROTOCOLS and server.tls is not None:
        yield Fault(
            (*path, "tls"),
            "MG1008",
            f"a server with the protocol {protocol} takes no tls settings",
            "write the protocol TLS, or leave tls out",
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
