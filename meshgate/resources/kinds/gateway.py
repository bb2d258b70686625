"""
Gateway: the ports that a gateway opens, and for which hosts (Istio, networking/v1alpha3/gateway.proto).

The rules between its fields are in :mod:`~meshgate.resources.kinds.gateway_rules`.
"""

from __future__ import annotations

import enum
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from meshgate.resources.fieldtypes import by_number
from meshgate.resources.kinds.protocols import Protocol
from meshgate.resources.model import UNIX_PREFIX, Items, Labels, Model, NonEmpty, OptionalPortNumber, UInt32, refuse
from meshgate.resources.nameforms import checked, likely
from meshgate.resources.names import dns_label, ip_address, is_ip_address, unix_path, wildcard_domain
from meshgate.resources.resource import Resource
from meshgate.resources.wording import quoted

_BIND_HINT = "leave it out to listen on every address"


def _server_host(text: str) -> str:
    """A host with an optional namespace before it (Istio, agent, ValidateNamespaceSlashWildcardHostname)."""
    message, hint = _host_fault(text)
    if not message:
        return text
    return refuse("MG1024", message, likely(text, lambda meant: _host_fault(meant)[0]) or hint)


def _host_fault(text: str) -> tuple[str, str]:
    """What is wrong with a server's host, and a hint where there is one for this fault alone."""
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
        return f'{quoted(name)} is not a wildcard that a server takes: "*" must be the whole first label', hint
    return ("" if is_ip_address(name) else wildcard_domain(name)), ""


def _bind(text: str) -> str:
    if text.startswith(UNIX_PREFIX):
        return unix_path(text.removeprefix(UNIX_PREFIX))
    return ip_address(text) and f"{quoted(text)} is neither an IP address nor a unix:// path"


class TLSMode(enum.StrEnum):
    """What a server does with TLS."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


PASSTHROUGH_MODES: Final = frozenset([TLSMode.PASSTHROUGH, TLSMode.AUTO_PASSTHROUGH])
"""Modes in which TLS goes through to the endpoint."""


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
    mode: Annotated[TLSMode, Field(strict=False), by_number(TLSMode)] = Field(
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
    min_protocol_version: Annotated[TLSProtocol, Field(strict=False), by_number(TLSProtocol)] = Field(
        default=TLSProtocol.TLS_AUTO, description="lowest version of TLS; TLS_AUTO is 1.2"
    )
    max_protocol_version: Annotated[TLSProtocol, Field(strict=False), by_number(TLSProtocol)] = Field(
        default=TLSProtocol.TLS_AUTO, description="highest version of TLS"
    )
    cipher_suites: Items[str] = Field(default=(), description="cipher suites to offer, in OpenSSL's names")
    insecure_skip_verify: bool | None = Field(default=None, description="take any client certificate")


class Server(Model):
    """One listening port with its hosts."""

    port: Port = Field(description="where to listen")
    bind: Annotated[str, checked(lambda text: text and _bind(text), "MG1025", _BIND_HINT)] = Field(
        default="", description="IP address or unix:// path to listen on; empty for every address"
    )
    hosts: Annotated[Items[Annotated[str, AfterValidator(_server_host)]], Field(min_length=1)] = Field(
        description="names to serve, each with an optional namespace/ before it; * for any"
    )
    tls: ServerTLSSettings | None = Field(default=None, description="required for the protocols HTTPS and TLS")
    default_endpoint: str = Field(default="", description="not implemented by Istio either")
    name: str = Field(default="", description="prefix of statistics")


class GatewaySpec(Model):
    """The spec of a Gateway."""

    servers: Annotated[Items[Server], Field(min_length=1)] = Field(description="what to listen for")
    selector: Labels = Field(default=Labels(), description="labels that a gateway must have; empty for all gateways")


Gateway = Resource[GatewaySpec]
