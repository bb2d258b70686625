"""
TLS settings: of a Gateway's server towards clients, and of a traffic policy towards a service.

The models are Istio's ServerTLSSettings and ClientTLSSettings. The rules between their fields are those of its
validation.go (validateTLSOptions) and agent/validation.go (ValidateTLS); rules between TLS settings and the protocol
of a server are in :mod:`~meshgate.resources.kinds.gateway`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from pydantic import Field
from pydantic.alias_generators import to_camel

from meshgate.resources.fault import Fault, FieldPath, chain_rules, sound_items
from meshgate.resources.model import Items, Model, by_number
from meshgate.resources.problem import Severity
from meshgate.resources.wording import path_text, quoted, spelling_hint


class TLSMode(enum.StrEnum):
    """The ways in which a server treats TLS, in the order of protobuf's numbers."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


PASSTHROUGH_MODES: Final = frozenset([TLSMode.PASSTHROUGH, TLSMode.AUTO_PASSTHROUGH])
"""The modes in which a server passes TLS through to the endpoint."""


class TLSProtocol(enum.StrEnum):
    """A version of TLS; ``TLS_AUTO`` leaves it to the gateway."""

    TLS_AUTO = "TLS_AUTO"
    TLSV1_0 = "TLSV1_0"
    TLSV1_1 = "TLSV1_1"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class TLSCertificate(Model):
    """One certificate with its key."""

    server_certificate: str = Field(default="", description="file with the certificate chain")
    private_key: str = Field(default="", description="file with the private key")
    ca_certificates: str = Field(default="", description="file with the authorities that issue client certificates")


class ServerTLSSettings(Model):
    """
    How a server treats TLS. Without any field it passes TLS through by server name, and that alone is served: fields
    for the termination of TLS have no effect yet.
    """

    https_redirect: bool = Field(default=False, description="answer plain HTTP by a redirection to https; not served")
    mode: Annotated[TLSMode, Field(strict=False), by_number(TLSMode)] = Field(
        default=TLSMode.PASSTHROUGH,
        description="pass TLS through, or terminate it here; PASSTHROUGH is served, the others are not yet",
    )
    server_certificate: str = Field(default="", description="file with the certificate chain")
    private_key: str = Field(default="", description="file with the private key")
    ca_certificates: str = Field(default="", description="file with the authorities that issue client certificates")
    ca_crl: str = Field(default="", description="file with the revoked client certificates")
    credential_name: str = Field(default="", description="secret that holds the certificate and key")
    credential_names: Items[str] = Field(default=(), description="secrets, at most one for RSA and one for ECDSA")
    ca_cert_credential_name: str = Field(default="", description="secret that holds the authorities")
    tls_certificates: Items[TLSCertificate] = Field(
        default=(), description="files, at most one entry for RSA and one for ECDSA"
    )
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
    insecure_skip_verify: bool | None = Field(default=None, description="accept any client certificate")


# The cipher suites of Envoy's TLS library, by OpenSSL's names (Istio, pkg/config/security/security.go).
_CIPHER_SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
)
_OLD_VERSIONS: Final = (TLSProtocol.TLSV1_0, TLSProtocol.TLSV1_1)
_CHECKING_CLIENTS: Final = (TLSMode.MUTUAL, TLSMode.OPTIONAL_MUTUAL)
_MOST_CERTIFICATES: Final = 2

_CREDENTIALS: Final = ("credential_name", "credential_names")
_FILES: Final = ("server_certificate", "private_key")
_CERTIFICATES: Final = (*_FILES, "ca_certificates", "tls_certificates", *_CREDENTIALS)


def server_tls_faults(tls: ServerTLSSettings, path: FieldPath) -> Iterator[Fault]:
    """
    The rules between the TLS settings of a server (Istio, validation.go, validateTLSOptions).

    :param path: the path of the settings.
    """
    yield from chain_rules(_version_faults(tls, path), _cipher_faults(tls.cipher_suites, (*path, "cipherSuites")))
    yield from chain_rules(_mode_faults(tls, path))


def _version_faults(tls: ServerTLSSettings, path: FieldPath) -> Iterator[Fault]:
    if tls.min_protocol_version in _OLD_VERSIONS and not tls.cipher_suites:
        yield Fault(
            (*path, "minProtocolVersion"),
            "MG1031",
            f"{tls.min_protocol_version} cannot be used with the default cipher suites",
            "name older ones in cipherSuites, as ECDHE-RSA-AES128-SHA, or write TLSV1_2",
            Severity.WARNING,
        )


def _cipher_faults(suites: Sequence[str], path: FieldPath) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for index, suite in sound_items(suites):
        entry = (*path, index)
        if not _is_cipher_suite(suite):
            message = f"{quoted(suite)} is not a known cipher suite, and is ignored"
            near = spelling_hint(suite, _CIPHER_SUITES)
            hint = near if near.endswith("?") else "use OpenSSL's name of one that Istio has"
            yield Fault(entry, "MG1032", message, hint, Severity.WARNING)
        elif suite in first:
            message = f"the cipher suite {quoted(suite)} is in {path_text((*path, first[suite]))} already"
            yield Fault(entry, "MG1032", message, "remove one of the two", Severity.WARNING)
        first.setdefault(suite, index)


def _is_cipher_suite(suite: str) -> bool:
    # A text that begins with a sign, as "!aNULL" or "-ALL", is an expression, which Istio passes on unchecked.
    return suite in ("", "ALL") or not suite[0].isalnum() or suite in _CIPHER_SUITES


def _mode_faults(tls: ServerTLSSettings, path: FieldPath) -> Iterator[Fault]:
    if tls.mode == TLSMode.ISTIO_MUTUAL:
        yield from _mesh_faults(tls, path)
        return
    if tls.mode in PASSTHROUGH_MODES:
        yield from chain_rules(_unused_faults(tls, path), _source_faults(tls, path), _revocation_faults(tls, path))
        return
    yield from _source_faults(tls, path)
    if _given(tls, _CREDENTIALS) or tls.credential_name or tls.credential_names:
        yield from _surplus_faults(tls, "credential_names", path)
    else:
        yield from chain_rules(_missing_faults(tls, path), _revocation_faults(tls, path))


def _mesh_faults(tls: ServerTLSSettings, path: FieldPath) -> Iterator[Fault]:
    for field in _given(tls, _CERTIFICATES):
        message = f"ISTIO_MUTUAL uses the certificates of the mesh, so {field} cannot be set"
        yield Fault(
            (*path, field), "MG1033", message, "leave it out, or write the mode SIMPLE or MUTUAL", points_at_key=True
        )


def _unused_faults(tls: ServerTLSSettings, path: FieldPath) -> Iterator[Fault]:
    fields = _given(tls, (*_CERTIFICATES, "ca_crl"))
    if fields:
        default = "" if "mode" in tls.model_fields_set else ", the default,"
        message = f"the mode {tls.mode}{default} passes TLS through, which needs no {_listed(fields, 'or')}"
        hint = "leave out what has no effect, or write the mode SIMPLE to terminate TLS here"
        yield Fault((*path, fields[0]), "MG1034", message, hint, Severity.WARNING, points_at_key=True)


def _source_faults(tls: ServerTLSSettings, path: FieldPath) -> Iterator[Fault]:
    """Allow one source at most: a pair of files, a secret, several secrets, or several pairs of files."""
    sources = _given(tls, (*_CREDENTIALS, "tls_certificates"))
    if len(_given(tls, _FILES)) == len(_FILES):
        sources.insert(0, "serverCertificate")
    if len(sources) > 1:
        message = f"the server's certificate is given in {_listed(sources)}"
        yield Fault((*path, sources[1]), "MG1035", message, "keep one of them", points_at_key=True)


def _missing_faults(tls: ServerTLSSettings, path: FieldPath) -> Iterator[Fault]:
    yield from chain_rules(
        _missing_authority_faults(tls, path),
        _missing_pair_faults(tls, path),
        _surplus_faults(tls, "tls_certificates", path),
    )


def _missing_authority_faults(tls: ServerTLSSettings, path: FieldPath) -> Iterator[Fault]:
    if tls.mode in _CHECKING_CLIENTS and not tls.ca_certificates:
        message = f"the mode {tls.mode} needs caCertificates, by which clients' certificates are checked"
        yield Fault((*path, "caCertificates"), "MG1036", message, "name a file, or a secret with credentialName")


def _missing_pair_faults(tls: ServerTLSSettings, path: FieldPath) -> Iterator[Fault]:
    if not tls.tls_certificates:
        yield from _pair_faults(tls, tls.mode, path)
    for index, certificate in sound_items(tls.tls_certificates):
        yield from chain_rules(_pair_faults(certificate, tls.mode, (*path, "tlsCertificates", index)))


def _pair_faults(pair: ServerTLSSettings | TLSCertificate, mode: TLSMode, path: FieldPath) -> Iterator[Fault]:
    values = [getattr(pair, field) for field in _FILES]
    missing = [to_camel(_FILES[index]) for index, value in sound_items(values) if not value]
    if missing:
        hint = "name the files" if len(missing) == len(_FILES) else "name the file"
        verb = "is" if len(missing) == 1 else "are"
        message = f"the mode {mode} needs a certificate with its key: {_listed(missing)} {verb} missing"
        yield Fault((*path, missing[0]), "MG1036", message, f"{hint}, or a secret with credentialName")


def _surplus_faults(tls: ServerTLSSettings, field: str, path: FieldPath) -> Iterator[Fault]:
    if len(getattr(tls, field)) > _MOST_CERTIFICATES:
        message = "two certificates are used at most, one each for RSA and ECDSA"
        yield Fault(
            (*path, to_camel(field), _MOST_CERTIFICATES), "MG1037", message, "keep two of them", Severity.WARNING
        )


def _revocation_faults(tls: ServerTLSSettings, path: FieldPath) -> Iterator[Fault]:
    if not tls.ca_crl:
        return
    if tls.credential_name:
        message, hint = "caCrl does not go with credentialName", "put the list of revoked certificates in the secret"
        yield Fault((*path, "caCrl"), "MG1038", message, hint, points_at_key=True)
    if tls.mode == TLSMode.SIMPLE:
        message = "caCrl has no meaning with the mode SIMPLE, which checks no client certificates"
        yield Fault((*path, "caCrl"), "MG1038", message, "leave it out, or write the mode MUTUAL", points_at_key=True)


def _given(tls: Model, fields: Sequence[str]) -> list[str]:
    """The fields that are set, by their names in YAML, without those that have a fault."""
    values = [getattr(tls, field) for field in fields]
    return [to_camel(fields[index]) for index, value in sound_items(values) if value]


def _listed(names: Sequence[str], link: str = "and") -> str:
    return f"{', '.join(names[:-1])} {link} {names[-1]}" if len(names) > 1 else names[0]


class ClientTLSMode(enum.StrEnum):
    """The ways in which the gateway speaks TLS to a service, in the order of protobuf's numbers."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTLSSettings(Model):
    """TLS that the gateway originates towards a service."""

    mode: Annotated[ClientTLSMode, Field(strict=False), by_number(ClientTLSMode)] = Field(
        default=ClientTLSMode.DISABLE,
        description="no TLS, TLS, TLS with a client certificate, or the mesh's mutual TLS; DISABLE is served, the "
        "others are not yet",
    )
    client_certificate: str = Field(default="", description="file with the client's certificate, for MUTUAL")
    private_key: str = Field(default="", description="file with its key, for MUTUAL")
    ca_certificates: str = Field(
        default="",
        description="file with the authorities that issue the service's certificate; unset for those of the system",
    )
    ca_crl: str = Field(default="", description="file with revoked certificates")
    credential_name: str = Field(default="", description="secret that holds all of these, instead of files")
    subject_alt_names: Items[str] = Field(default=(), description="names of which the service must have one")
    sni: str = Field(default="", description="server name to ask for")
    insecure_skip_verify: bool = Field(default=False, description="accept any certificate")


CONFIG_MAP: Final = "configmap://"


def client_tls_faults(tls: ClientTLSSettings, path: FieldPath, namespace: str) -> Iterator[Fault]:
    """
    The rules between the TLS settings of a traffic policy (Istio, agent/validation.go, ValidateTLS).

    Only the modes SIMPLE and MUTUAL use files and names, so nothing else is checked.

    :param path: the path of the settings.
    :param namespace: the namespace of the DestinationRule.
    """
    if tls.mode in (ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL):
        yield from chain_rules(
            _client_unverified_faults(tls, path),
            _client_source_faults(tls, path),
            _client_config_map_faults(tls, path, namespace),
            _client_pair_faults(tls, path),
        )


def _client_pair_faults(tls: ClientTLSSettings, path: FieldPath) -> Iterator[Fault]:
    if tls.mode != ClientTLSMode.MUTUAL or tls.credential_name:
        return
    for index, value in sound_items((tls.client_certificate, tls.private_key)):
        if not value:
            field = ("clientCertificate", "privateKey")[index]
            yield Fault(
                (*path, field),
                "MG1076",
                f"the mode MUTUAL needs a {field}",
                "name the file, or a secret by credentialName",
            )


def _client_unverified_faults(tls: ClientTLSSettings, path: FieldPath) -> Iterator[Fault]:
    if not tls.insecure_skip_verify:
        return
    unused = ["ca_certificates", "subject_alt_names"]
    if tls.mode == ClientTLSMode.SIMPLE:
        unused.append("credential_name")
    for field in _given(tls, unused):
        yield Fault(
            (*path, field),
            "MG1074",
            f"{field} has no use with insecureSkipVerify, which accepts any certificate",
            "leave one of them out",
            points_at_key=True,
        )


def _client_source_faults(tls: ClientTLSSettings, path: FieldPath) -> Iterator[Fault]:
    if not tls.credential_name:
        return
    for field in _given(tls, ("client_certificate", "private_key", "ca_certificates", "ca_crl")):
        yield Fault(
            (*path, field),
            "MG1075",
            f"{field} and credentialName exclude each other",
            "leave one of them out",
            points_at_key=True,
        )


def _client_config_map_faults(tls: ClientTLSSettings, path: FieldPath, namespace: str) -> Iterator[Fault]:
    other, slash, _ = tls.credential_name.removeprefix(CONFIG_MAP).partition("/")
    if tls.credential_name.startswith(CONFIG_MAP) and slash and other != namespace:
        yield Fault(
            (*path, "credentialName"),
            "MG1077",
            f"the ConfigMap is in the namespace {quoted(other)}, and only one in {quoted(namespace)} can be used",
            "copy it, or move the DestinationRule",
        )
