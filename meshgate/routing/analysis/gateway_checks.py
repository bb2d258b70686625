"""
Checks of Gateways against each other, against the Service in front of them, and of the certificates that they name.

Of a certificate: does it exist, can it be used, and does another Gateway name it, too? Private keys never come here: a
Secret's spec has only what was read of them (:mod:`meshgate.resources.kinds.secret`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.kinds.secret import Certificate, PrivateKey, SecretSpec, Unreadable
from meshgate.resources.kinds.service import ServiceSpec, TransportProtocol
from meshgate.resources.kinds.tls import ServerTLSSettings, TLSMode
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.analysis.analysis_input import AnalysisInput, Workload, listed
from meshgate.routing.compile.gateway_proxy import ISTIO_LABELS
from meshgate.routing.compile.selection import selected
from meshgate.routing.hosts import server_hosts

Binding = tuple[int, str, str]
"""A port, the address to bind to, and one host of a server."""
_Selector = frozenset[tuple[str, str]]

ISTIO_PORTS: Final = (80, 443, 15443, 31400)
"""Ports of the Service that ``istioctl analyze`` assumes in front of Istio's gateway (pkg/config/analysis/local)."""

_TCP: Final = TransportProtocol.TCP
_ISTIO_SERVICE: Final = f"Istio's own Service for istio=ingressgateway, which has {', '.join(map(str, ISTIO_PORTS))}"


def conflicting_gateways(given: AnalysisInput) -> Iterator[Problem]:
    """
    Report servers of several Gateways that select the same workloads and have a binding in common
    (gateway/conflictinggateway.go). The compiler itself reports a server that it drops for that reason.
    """
    owners: dict[Binding, dict[_Selector, list[tuple[Gateway, int]]]] = defaultdict(lambda: defaultdict(list))
    for gateway in given.gateways:
        for binding, index in _first_servers(gateway).items():
            owners[binding][frozenset(gateway.spec.selector.items())].append((gateway, index))
    for gateway in given.gateways:
        for index, server in enumerate(gateway.spec.servers):
            if (gateway.key, index) in given.dropped:
                continue
            others: dict[ResourceKey, tuple[Gateway, str]] = {}
            hosts: dict[str, None] = {}
            for binding in _server_bindings(gateway, index):
                for other, number in _rivals(gateway, owners[binding], given):
                    others.setdefault(other.key, (other, f"spec.servers[{number}]"))
                    _, _, host = binding
                    hosts[host] = None
            if others:
                yield gateway.problem(
                    Severity.WARNING,
                    "MG2041",
                    f"port {server.port.number} with the {'host' if len(hosts) == 1 else 'hosts'} {', '.join(hosts)} "
                    f"is asked for by Gateway {listed(others.values())}, too, on the same gateways",
                    path=f"spec.servers[{index}]",
                    hint="write one Gateway for a port and host, or give them different selectors",
                )


def bindings_of(gateway: Gateway) -> Iterator[Binding]:
    """The bindings of a Gateway; a binding that several of its servers have comes several times."""
    for index in range(len(gateway.spec.servers)):
        yield from _server_bindings(gateway, index)


def _first_servers(gateway: Gateway) -> Mapping[Binding, int]:
    """The bindings of a Gateway, each with the index of the first server that has it."""
    servers: dict[Binding, int] = {}
    for index in range(len(gateway.spec.servers)):
        for binding in _server_bindings(gateway, index):
            servers.setdefault(binding, index)
    return servers


def _server_bindings(gateway: Gateway, index: int) -> Iterator[Binding]:
    server = gateway.spec.servers[index]
    if not (server.port.number or server.bind):
        return  # the port of an invalid server that cannot be read
    for host in server_hosts(server.hosts, gateway.namespace):
        yield server.port.number, server.bind, host


def _rivals(
    gateway: Gateway, by_selector: Mapping[_Selector, list[tuple[Gateway, int]]], given: AnalysisInput
) -> Iterator[tuple[Gateway, int]]:
    """Other Gateways, each with the index of its server, that may select the same workloads; ten of each selector."""
    own = frozenset(gateway.spec.selector.items())
    for selector, others in by_selector.items():
        if selector <= own or own <= selector or _share_workload(own, selector, given):
            yield from (each for each in others[:10] if each[0] is not gateway)


def _share_workload(one: _Selector, other: _Selector, given: AnalysisInput) -> bool:
    both = dict(one | other)
    return len(both) == len(one | other) and any(given.workloads_of(both))


def ports_not_on_service(given: AnalysisInput) -> Iterator[Problem]:
    """
    Report servers on a port that no Service in front of the gateway has, neither as a port nor as a target port
    (gateway/gateway.go). If no Service selects the workloads of Istio's own gateway, in a cluster the one that Istio
    installs is assumed.
    """
    services_by_selector = given.services_by_selector
    for gateway in given.gateways:
        selector = frozenset(gateway.spec.selector.items())
        if selector not in services_by_selector:
            services_by_selector[selector] = _services_of(given.workloads_of(gateway.spec.selector), given)
        services = services_by_selector[selector].values()
        if services:
            ports = [port for service in services for port in service.spec.ports if port.protocol is _TCP]
            have = {number for port in ports for number in (port.port, port.target_port)}
            numbers = ", ".join(map(str, sorted({port.port for port in ports}))) or "none"
            what = f"{listed((each, 'spec.ports') for each in services)}, which has {numbers}"
            yield from _missing_ports(gateway, have, f"the Service in front of the gateway, {what}", Severity.WARNING)
        elif given.proxy.in_cluster and selector and selector <= ISTIO_LABELS.items():
            yield from _missing_ports(gateway, ISTIO_PORTS, _ISTIO_SERVICE, Severity.INFO)


def _missing_ports(
    gateway: Gateway, have: Collection[int | str | None], service: str, severity: Severity
) -> Iterator[Problem]:
    for index, server in enumerate(gateway.spec.servers):
        if server.port.number and server.port.number not in have:
            yield gateway.problem(
                severity,
                "MG2042",
                f"port {server.port.number} is not on {service}",
                path=f"spec.servers[{index}].port.number",
                hint="in a cluster, clients come through that Service; add the port to it",
            )


def _services_of(workloads: Iterable[Workload], given: AnalysisInput) -> dict[ResourceKey, Resource[ServiceSpec]]:
    """The Services that select any of the workloads."""
    return {
        service.key: service
        for workload in workloads
        for service in given.services
        if service.namespace == workload.namespace
        and service.spec.selector
        and selected(service.spec.selector, workload.labels)
    }


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
