"""
Checks of the certificates that Gateways name: does each exist, can it be used, and does another Gateway name it, too?

Private keys never come here: a Secret's spec has only what was read of them (:mod:`meshgate.resources.kinds.secret`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.kinds.secret import Certificate, PrivateKey, SecretSpec, Unreadable
from meshgate.resources.kinds.tls import ServerTLSSettings, TLSMode
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.routing.analysis.analysis_input import AnalysisInput, listed

IN_CLUSTER: Final = "kubernetes://"
"""The scheme that a credentialName may have; any other one is not the name of a Secret."""

_TERMINATING: Final = frozenset({TLSMode.SIMPLE, TLSMode.MUTUAL, TLSMode.OPTIONAL_MUTUAL})


def credentials(given: AnalysisInput) -> Iterator[Problem]:
    """Report credentials whose Secret does not exist in the namespace of a selected workload, or cannot be used."""
    for gateway in given.gateways:
        namespaces = given.namespaces_of(gateway.spec.selector)
        for index, server in enumerate(gateway.spec.servers):
            for path, name in _credential_names(server.tls, f"spec.servers[{index}].tls"):
                for namespace in namespaces:
                    yield from _credential(given, gateway, path, namespace, name)


def _secret_key(namespace: str, name: str) -> tuple[str, str]:
    owner, _, bare = name.removeprefix(IN_CLUSTER).rpartition("/")
    return owner or namespace, bare


def _credential(given: AnalysisInput, gateway: Gateway, path: str, namespace: str, name: str) -> Iterator[Problem]:
    key = _secret_key(namespace, name)
    secret = given.secrets.get(key)
    if secret is not None:
        fault = _fault(given, secret.spec)
        if fault is not None:
            code, why, hint = fault
            what = f"the Secret {secret.qualified_name} ({secret.location()}) cannot be used: {why}"
            yield gateway.problem(Severity.ERROR, code, what, path=path, hint=hint)
        return
    severity = Severity.ERROR if given.secrets else Severity.INFO
    elsewhere = sorted(where for where, other in given.secrets if other == key[1])
    hint = f"there is one in {', '.join(elsewhere)}" if elsewhere else "a gateway takes Secrets of its own namespace"
    yield gateway.problem(
        severity,
        "MG2054",
        f"the Secret {'/'.join(key)} " + ("does not exist" if given.secrets else "was not read"),
        path=path,
        hint=hint,
    )


def _fault(given: AnalysisInput, secret: SecretSpec) -> tuple[str, str, str] | None:
    """The reason why a server cannot use a Secret, as code, text and hint; None if it can."""
    if secret.pair is None:
        have = ", ".join(sorted(secret.keys)) or "nothing"
        return "MG2055", f"it has {have} and no key pair", "it needs tls.crt and tls.key"
    certificate, key = (secret.facts[name] for name in secret.pair)
    for name, found in zip(secret.pair, (certificate, key), strict=True):
        if isinstance(found, Unreadable):
            return "MG2055", f"its {name} {found.reason}", "kubectl create secret tls makes one from two PEM files"
    if not (isinstance(certificate, Certificate) and isinstance(key, PrivateKey)):
        return None
    if given.now is not None and certificate.not_after < given.now:
        return "MG2055", f"its certificate expired on {certificate.not_after:%Y-%m-%d}", "renew it"
    if given.now is not None and certificate.not_before > given.now:
        return "MG2055", f"its certificate is not valid before {certificate.not_before:%Y-%m-%d}", "check the clock"
    if certificate.public_key != key.public_key:
        return "MG2073", "its key is that of another certificate", "store a certificate and its own key"
    return None


def shared_certificates(given: AnalysisInput) -> Iterator[Problem]:
    """
    Report Gateways that give the same workloads the same certificate (gateway/certificate.go).

    An HTTP/2 client uses one connection for all names of a certificate, so its requests may reach the wrong Gateway.
    """
    owners: dict[tuple[str, str], dict[ResourceKey, tuple[Gateway, str, str]]] = defaultdict(dict)
    for gateway in given.gateways:
        for index, server in enumerate(gateway.spec.servers):
            for identity, path, name in _certificates(given, gateway, server.tls, f"spec.servers[{index}].tls"):
                owners[identity].setdefault(gateway.key, (gateway, path, name))
    for by_gateway in owners.values():
        users = by_gateway.values()
        for gateway, path, name in users if len(users) > 1 else ():
            selector = gateway.spec.selector.items()
            others = [
                (each, its_path)
                for each, its_path, _ in users
                if each is not gateway and selector <= each.spec.selector.items()
            ]
            if others:
                yield gateway.problem(
                    Severity.WARNING,
                    "MG2056",
                    f"the certificate {name} is also that of Gateway {listed(others)}: an HTTP/2 client uses "
                    "one connection for all names of a certificate",
                    path=path,
                    hint="write one server for all hosts of a certificate",
                )


def terminates_tls(gateway: Gateway) -> bool:
    """True if a server of a Gateway terminates TLS."""
    return any(_terminates(server.tls) for server in gateway.spec.servers)


def next_validity_change(given: AnalysisInput, now: datetime) -> datetime:
    """The next moment at which a Secret's certificate begins or ceases to be valid; the end of time if none does."""
    found = (secret.spec.certificate for secret in given.secrets.values())
    moments = (moment for each in found if each is not None for moment in (each.not_before, each.not_after))
    return min((moment for moment in moments if moment >= now), default=datetime.max.replace(tzinfo=UTC))


def _terminates(tls: ServerTLSSettings | None) -> bool:
    return tls is not None and tls.mode in _TERMINATING


def _credential_names(tls: ServerTLSSettings | None, path: str) -> Iterator[tuple[str, str]]:
    """
    The paths and names of a server's credentials, each name once; those with a scheme of another source (``sds://``,
    ``configmap://``) are left out.
    """
    if tls is None or not _terminates(tls):
        return
    names = {tls.credential_name: f"{path}.credentialName"}
    for index, name in enumerate(tls.credential_names):
        names.setdefault(name, f"{path}.credentialNames[{index}]")
    for name, path_of_name in names.items():
        if name and "://" not in name.removeprefix(IN_CLUSTER):
            yield path_of_name, name


def _certificates(
    given: AnalysisInput, gateway: Gateway, tls: ServerTLSSettings | None, path: str
) -> Iterator[tuple[tuple[str, str], str, str]]:
    """The identity, path and name of each certificate of a server; equal identities mean the same certificate."""
    if tls is None or not _terminates(tls):
        return
    for path_of_name, name in _credential_names(tls, path):
        yield (_fingerprint(given, gateway, name) or name, ""), path_of_name, name
    if tls.server_certificate and tls.private_key:
        yield (tls.server_certificate, tls.private_key), f"{path}.serverCertificate", tls.server_certificate


def _fingerprint(given: AnalysisInput, gateway: Gateway, name: str) -> str:
    """The fingerprint of a Secret's certificate; empty if there is none to read."""
    for namespace in given.namespaces_of(gateway.spec.selector):
        secret = given.secrets.get(_secret_key(namespace, name))
        if secret is not None and secret.spec.certificate is not None:
            return secret.spec.certificate.fingerprint
    return ""
