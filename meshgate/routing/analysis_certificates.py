"""The certificates that Gateways name: whether they are there, and who else names them. Their values are never read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from meshgate.resources.gateway import GatewaySpec, ServerTLSSettings, TLSMode
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.secret import SecretSpec
from meshgate.routing.analysis_input import AnalysisInput, listed

KEY_PAIRS: Final = (frozenset({"tls.crt", "tls.key"}), frozenset({"cert", "key"}))
"""What a Secret for a server holds, in its two forms (pilot/pkg/credentials/kube)."""

IN_CLUSTER: Final = "kubernetes://"
_ENDS_TLS: Final = frozenset({TLSMode.SIMPLE, TLSMode.MUTUAL, TLSMode.OPTIONAL_MUTUAL})

Gateway = Resource[GatewaySpec]


def credentials(given: AnalysisInput) -> Iterator[Problem]:
    """Secrets that are not there, in the namespace of a gateway that needs them, or that hold no key pair."""
    for gateway in given.gateways:
        namespaces = sorted({workload.namespace for workload in given.workloads_of(gateway.spec.selector)})
        for index, server in enumerate(gateway.spec.servers):
            for name in _credential_names(server.tls):
                for namespace in namespaces:
                    yield from _credential(given, gateway, f"spec.servers[{index}].tls", namespace, name)


def _credential(given: AnalysisInput, gateway: Gateway, path: str, namespace: str, name: str) -> Iterator[Problem]:
    owner, _, bare = name.removeprefix(IN_CLUSTER).rpartition("/")
    key = (owner or namespace, bare)
    secret = given.secrets.get(key)
    if secret is not None:
        if not any(pair <= secret.spec.keys for pair in KEY_PAIRS):
            yield _unusable(gateway, path, secret)
        return
    severity = Severity.ERROR if given.secrets else Severity.INFO
    elsewhere = sorted(where for where, other in given.secrets if other == bare)
    hint = f"there is one in {', '.join(elsewhere)}" if elsewhere else "a gateway takes Secrets of its own namespace"
    yield gateway.problem(
        severity,
        "MG2054",
        f"the Secret {'/'.join(key)} " + ("does not exist" if given.secrets else "is not among what was read"),
        path=path,
        hint=hint,
    )


def _unusable(gateway: Gateway, path: str, secret: Resource[SecretSpec]) -> Problem:
    have = ", ".join(sorted(secret.spec.keys)) or "nothing"
    return gateway.problem(
        Severity.ERROR,
        "MG2055",
        f"the Secret {secret.qualified_name} ({secret.origin}) holds no key pair: it has {have}",
        path=path,
        hint="it needs tls.crt and tls.key",
    )


def shared_certificates(given: AnalysisInput) -> Iterator[Problem]:
    """
    Gateways for the same workloads with the same certificate: HTTP/2 clients use one connection for all names of a
    certificate, and so may come to the wrong one (gateway/certificate.go).
    """
    owners: dict[tuple[str, str], dict[ResourceKey, Gateway]] = defaultdict(dict)
    for gateway in given.gateways:
        for certificate in certificates_of(gateway):
            owners[certificate][gateway.key] = gateway
    for certificate, owner in owners.items():
        gateways = owner.values()
        for gateway in gateways if len(gateways) > 1 else ():
            selector = gateway.spec.selector.items()
            others = [each for each in gateways if each is not gateway and selector <= each.spec.selector.items()]
            if others:
                yield gateway.problem(
                    Severity.WARNING,
                    "MG2056",
                    f"the certificate {certificate[0]} is also that of Gateway {listed(others)}: an HTTP/2 client uses "
                    "one connection for all names of a certificate",
                    path="spec.servers",
                    hint="write one server for all hosts of a certificate",
                )


def certificates_of(gateway: Gateway) -> Iterator[tuple[str, str]]:
    """The certificates of a Gateway's servers, by the names they are given."""
    for server in gateway.spec.servers:
        yield from _certificates(server.tls)


def _ends_tls(tls: ServerTLSSettings | None) -> bool:
    return tls is not None and tls.mode in _ENDS_TLS


def _credential_names(tls: ServerTLSSettings | None) -> Iterator[str]:
    """The Secrets of a server, each once; what comes from elsewhere (``sds://``, ``configmap://``) is left out."""
    if tls is None or not _ends_tls(tls):
        return
    for name in dict.fromkeys((tls.credential_name, *tls.credential_names)):
        if name and "://" not in name.removeprefix(IN_CLUSTER):
            yield name


def _certificates(tls: ServerTLSSettings | None) -> Iterator[tuple[str, str]]:
    if tls is None or not _ends_tls(tls):
        return
    yield from ((name, "") for name in _credential_names(tls))
    if tls.server_certificate and tls.private_key:
        yield tls.server_certificate, tls.private_key
