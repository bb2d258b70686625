"""The rules between the fields of TLS towards a service (Istio, agent/validation.go, ValidateTLS)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshgate.resources.fault import Fault, Path, judged
from meshgate.resources.kinds.trafficpolicy import ClientTLSMode, ClientTLSSettings
from meshgate.resources.wording import quoted

CONFIG_MAP: Final = "configmap://"


def tls_faults(tls: ClientTLSSettings, path: Path, namespace: str) -> Iterator[Fault]:
    """
    What is wrong with the TLS settings. In other modes than SIMPLE and MUTUAL their files and names are not used.

    :param path: of the settings.
    :param namespace: of the DestinationRule.
    """
    if tls.mode in (ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL):
        yield from judged(
            _unverified_faults(tls, path),
            _exclusion_faults(tls, path),
            _config_map_faults(tls, path, namespace),
            _missing_faults(tls, path),
        )


def _missing_faults(tls: ClientTLSSettings, path: Path) -> Iterator[Fault]:
    if tls.mode != ClientTLSMode.MUTUAL or tls.credential_name:
        return
    for field, value in (("clientCertificate", tls.client_certificate), ("privateKey", tls.private_key)):
        if not value:
            yield Fault(
                (*path, field),
                "MG1076",
                f"the mode MUTUAL needs a {field}",
                "name the file, or a secret by credentialName",
            )


def _unverified_faults(tls: ClientTLSSettings, path: Path) -> Iterator[Fault]:
    if not tls.insecure_skip_verify:
        return
    useless = [("caCertificates", tls.ca_certificates), ("subjectAltNames", tls.subject_alt_names)]
    if tls.mode == ClientTLSMode.SIMPLE:
        useless.append(("credentialName", tls.credential_name))
    for field, value in useless:
        if value:
            yield Fault(
                (*path, field),
                "MG1074",
                f"{field} has no use with insecureSkipVerify, which takes any certificate",
                "leave one of them out",
                at_key=True,
            )


def _exclusion_faults(tls: ClientTLSSettings, path: Path) -> Iterator[Fault]:
    if not tls.credential_name:
        return
    files = (
        ("clientCertificate", tls.client_certificate),
        ("privateKey", tls.private_key),
        ("caCertificates", tls.ca_certificates),
        ("caCrl", tls.ca_crl),
    )
    for field, value in files:
        if value:
            yield Fault(
                (*path, field),
                "MG1075",
                f"{field} and credentialName exclude each other",
                "leave one of them out",
                at_key=True,
            )


def _config_map_faults(tls: ClientTLSSettings, path: Path, namespace: str) -> Iterator[Fault]:
    place, slash, _ = tls.credential_name.removeprefix(CONFIG_MAP).partition("/")
    if tls.credential_name.startswith(CONFIG_MAP) and slash and place != namespace:
        yield Fault(
            (*path, "credentialName"),
            "MG1077",
            f"the ConfigMap is in the namespace {quoted(place)}, and only one in {quoted(namespace)} can be used",
            "copy it, or move the DestinationRule",
        )
