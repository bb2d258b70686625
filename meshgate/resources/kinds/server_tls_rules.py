"""
The rules between the TLS settings of a Gateway's server (Istio, validation.go, validateTLSOptions).

Knows the settings alone; whether they go with the server's protocol is a rule of the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pydantic.alias_generators import to_camel

from meshgate.resources.broken import sound
from meshgate.resources.fault import Fault, Path, judged
from meshgate.resources.kinds.gateway import PASSTHROUGH_MODES, ServerTLSSettings, TLSCertificate, TLSMode, TLSProtocol
from meshgate.resources.problem import Severity
from meshgate.resources.wording import nearest, quoted, written

# Cipher suites that Envoy's TLS library has, by OpenSSL's names (Istio, pkg/config/security/security.go).
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


def settings_faults(tls: ServerTLSSettings, path: Path) -> Iterator[Fault]:
    """
    What is wrong with a server's TLS settings.

    :param path: of the settings.
    """
    yield from judged(_version_faults(tls, path), _cipher_faults(tls.cipher_suites, (*path, "cipherSuites")))
    yield from judged(_mode_faults(tls, path))


def _version_faults(tls: ServerTLSSettings, path: Path) -> Iterator[Fault]:
    if tls.min_protocol_version in _OLD_VERSIONS and not tls.cipher_suites:
        yield Fault(
            (*path, "minProtocolVersion"),
            "MG1031",
            f"{tls.min_protocol_version} cannot be spoken with the default cipher suites",
            "name older ones in cipherSuites, as ECDHE-RSA-AES128-SHA, or write TLSV1_2",
            Severity.WARNING,
        )


def _cipher_faults(suites: Sequence[str], path: Path) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for index, suite in sound(suites):
        place = (*path, index)
        if not _is_cipher_suite(suite):
            message = f"{quoted(suite)} is not a cipher suite that is known, and is ignored"
            near = nearest(suite, _CIPHER_SUITES)
            hint = near if near.endswith("?") else "use OpenSSL's name of one that Istio has"
            yield Fault(place, "MG1032", message, hint, Severity.WARNING)
        elif suite in first:
            message = f"the cipher suite {quoted(suite)} is in {written((*path, first[suite]))} already"
            yield Fault(place, "MG1032", message, "remove one of the two", Severity.WARNING)
        first.setdefault(suite, index)


def _is_cipher_suite(suite: str) -> bool:
    # What begins with a sign, as "!aNULL" or "-ALL", is an expression, which Istio hands on unread.
    return suite in ("", "ALL") or not suite[0].isalnum() or suite in _CIPHER_SUITES


def _mode_faults(tls: ServerTLSSettings, path: Path) -> Iterator[Fault]:
    if tls.mode == TLSMode.ISTIO_MUTUAL:
        yield from _mesh_faults(tls, path)
        return
    if tls.mode in PASSTHROUGH_MODES:
        yield from _unused_faults(tls, path)
    yield from _source_faults(tls, path)
    if tls.mode in PASSTHROUGH_MODES:
        yield from _revocation_faults(tls, path)
    elif tls.credential_name or tls.credential_names:
        yield from _surplus_faults(tls, "credential_names", path)
    else:
        yield from judged(_missing_faults(tls, path), _revocation_faults(tls, path))


def _mesh_faults(tls: ServerTLSSettings, path: Path) -> Iterator[Fault]:
    for field in _given(tls, _CERTIFICATES):
        message = f"ISTIO_MUTUAL uses the certificates of the mesh, so there is no place for {field}"
        yield Fault((*path, field), "MG1033", message, "leave it out, or write the mode SIMPLE or MUTUAL", at_key=True)


def _unused_faults(tls: ServerTLSSettings, path: Path) -> Iterator[Fault]:
    fields = _given(tls, (*_CERTIFICATES, "ca_crl"))
    if fields:
        message = f"the mode {tls.mode} passes TLS through, which needs no {_listed(fields, 'or')}"
        hint = "leave out what has no effect, or write the mode SIMPLE to end TLS here"
        yield Fault((*path, fields[0]), "MG1034", message, hint, Severity.WARNING, at_key=True)


def _source_faults(tls: ServerTLSSettings, path: Path) -> Iterator[Fault]:
    """No more than one of a pair of files, a secret, several secrets, and several pairs of files."""
    sources = _given(tls, (*_CREDENTIALS, "tls_certificates"))
    if tls.server_certificate and tls.private_key:
        sources.insert(0, "serverCertificate")
    if len(sources) > 1:
        message = f"the server's certificate is given in {_listed(sources)}"
        yield Fault((*path, sources[1]), "MG1035", message, "keep one of them", at_key=True)


def _missing_faults(tls: ServerTLSSettings, path: Path) -> Iterator[Fault]:
    if tls.mode in _CHECKING_CLIENTS and not tls.ca_certificates:
        message = f"the mode {tls.mode} needs caCertificates, by which clients' certificates are checked"
        yield Fault((*path, "caCertificates"), "MG1036", message, "name a file, or a secret with credentialName")
    if not tls.tls_certificates:
        yield from _pair_faults(tls, tls.mode, path)
    for index, certificate in sound(tls.tls_certificates):
        yield from judged(_pair_faults(certificate, tls.mode, (*path, "tlsCertificates", index)))
    yield from _surplus_faults(tls, "tls_certificates", path)


def _pair_faults(pair: ServerTLSSettings | TLSCertificate, mode: TLSMode, path: Path) -> Iterator[Fault]:
    missing = [to_camel(field) for field in _FILES if not getattr(pair, field)]
    if missing:
        hint = "name the files" if len(missing) == len(_FILES) else "name the file"
        where = (*path, missing[0])
        verb = "is" if len(missing) == 1 else "are"
        message = f"the mode {mode} needs a certificate with its key: {_listed(missing)} {verb} missing"
        yield Fault(where, "MG1036", message, f"{hint}, or a secret with credentialName")


def _surplus_faults(tls: ServerTLSSettings, field: str, path: Path) -> Iterator[Fault]:
    if len(getattr(tls, field)) > _MOST_CERTIFICATES:
        message = "two certificates are used at most, one each for RSA and ECDSA"
        yield Fault(
            (*path, to_camel(field), _MOST_CERTIFICATES), "MG1037", message, "keep two of them", Severity.WARNING
        )


def _revocation_faults(tls: ServerTLSSettings, path: Path) -> Iterator[Fault]:
    if not tls.ca_crl:
        return
    if tls.credential_name:
        message, hint = "caCrl does not go with credentialName", "put the list of revoked certificates in the secret"
        yield Fault((*path, "caCrl"), "MG1038", message, hint, at_key=True)
    if tls.mode == TLSMode.SIMPLE:
        message = "caCrl has no meaning with the mode SIMPLE, which checks no client certificates"
        yield Fault((*path, "caCrl"), "MG1038", message, "leave it out, or write the mode MUTUAL", at_key=True)


def _given(tls: ServerTLSSettings, fields: Sequence[str]) -> list[str]:
    """Those of the fields that say something, by the names they are written with."""
    return [to_camel(field) for field in fields if getattr(tls, field)]


def _listed(names: Sequence[str], link: str = "and") -> str:
    return f"{', '.join(names[:-1])} {link} {names[-1]}" if len(names) > 1 else names[0]
