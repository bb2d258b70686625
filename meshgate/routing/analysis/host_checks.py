"""
Checks of hosts: of the protocols and addresses of Services and ServiceEntries, which sidecars need more than gateways,
and of DestinationRules, whose hosts, endpoints and authorities have to exist.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from meshgate.resources.kinds.destinationrule import DestinationRule
from meshgate.resources.kinds.service import ServicePort, ServiceSpec, ServiceType, TransportProtocol
from meshgate.resources.kinds.serviceentry import Resolution, ServiceEntrySpec
from meshgate.resources.kinds.shared_fields import EVERYBODY, HTTP_PROTOCOLS
from meshgate.resources.kinds.tls import ClientTLSSettings
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource
from meshgate.routing.analysis.analysis_input import AnalysisInput, destinations_of, listed
from meshgate.routing.compile.route_binding import in_mesh
from meshgate.routing.compile.selection import may_be_selected, may_select, scopes
from meshgate.routing.compile.traffic_policies import ORIGINATING
from meshgate.routing.hosts import covers, full_name, is_wildcard

KNOWN_PREFIXES: Final = frozenset(
    {"double-hbone", "hbone", "mongo", "mysql", "redis", "tcp", "tls", "udp", "https"}
) | {protocol.lower() for protocol in HTTP_PROTOCOLS}
"""The beginnings of port names that say a protocol (pkg/config/kube/conversion.go)."""

WELL_KNOWN_TCP: Final = frozenset({25, 53, 3306, 27017})
"""Ports that are TCP even if their names say nothing, since their servers speak first."""

# A ServiceEntry with the path of the protocol of one of its ports.
_EntryPort = tuple[Resource[ServiceEntrySpec], str]

SYSTEM_NAMESPACES: Final = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
"""Namespaces of the platform, whose Services are not the user's to change."""


def unnamed_protocols(given: AnalysisInput) -> Iterator[Problem]:
    """Report ports of Services whose name says no protocol (service/portname.go)."""
    for service in given.services:
        if _is_of_the_platform(service):
            continue
        external = service.spec.type is ServiceType.EXTERNAL_NAME
        for index, port in enumerate(service.spec.ports):
            if not port.port:
                continue  # the number of an invalid port that cannot be read
            if _has_protocol(port):
                if external and port.name == "tcp":
                    yield _tcp_of_every_host(service, index, port)
                continue
            what = f"the name {port.name!r} of port {port.port}" if port.name else f"port {port.port}, without a name,"
            yield service.problem(
                Severity.WARNING if external else Severity.INFO,
                "MG2049" if external else "MG2048",
                f"{what} does not say which protocol the port has"
                + ("; sidecars may not forward its TCP connections" if external else "; sidecars guess the protocol"),
                path=f"spec.ports[{index}].name",
                hint="begin the name with the protocol, as in tcp-echo or tls-echo, or write appProtocol",
            )


def _tcp_of_every_host(service: Resource[ServiceSpec], index: int, port: ServicePort) -> Problem:
    """The problem of a TCP port of an external Service: it has no address, so sidecars cannot tell it from others."""
    return service.problem(
        Severity.WARNING,
        "MG2049",
        f"sidecars may take every TCP connection to port {port.port}, to whatever address, for one to this Service, "
        "since a Service of type ExternalName has no address",
        path=f"spec.ports[{index}].name",
        hint="write tls or https if clients speak TLS, or a ServiceEntry with addresses in place of the Service",
    )


def _is_of_the_platform(service: Resource[ServiceSpec]) -> bool:
    labels = service.labels
    return service.namespace in SYSTEM_NAMESPACES or "istio" in labels or labels.get("release") == "istio"


def _has_protocol(port: ServicePort) -> bool:
    if port.app_protocol or port.protocol is TransportProtocol.UDP:
        return True
    if not port.name:
        return port.port in WELL_KNOWN_TCP
    name = port.name.lower()
    return name.partition("-")[0] in KNOWN_PREFIXES or any(name.startswith(f"{prefix}-") for prefix in KNOWN_PREFIXES)


def missing_addresses(given: AnalysisInput) -> Iterator[Problem]:
    """
    Report ServiceEntries with a TCP port and no address (serviceentry/protocoladdresses.go).

    Validation reports those without resolution.
    """
    for entry in given.entries:
        if entry.spec.addresses or entry.spec.resolution is Resolution.NONE:
            continue
        for index, port in enumerate(entry.spec.ports):
            if port.number and port.protocol in ("", "TCP"):
                yield entry.problem(
                    Severity.INFO,
                    "MG2061",
                    f"the TCP port {port.number} has no address: unless one is allocated, sidecars take every "
                    "connection to that port for one to this ServiceEntry",
                    path=f"spec.ports[{index}]",
                    hint="a gateway needs no addresses; write them for sidecars",
                )


def conflicting_protocols(given: AnalysisInput) -> Iterator[Problem]:
    """Report ServiceEntries that give a port of a host different protocols (serviceentry/conflictingprotocol.go)."""
    by_port: dict[tuple[str, int], dict[str, list[_EntryPort]]] = defaultdict(lambda: defaultdict(list))
    for entry in given.entries:
        for host in entry.spec.hosts:
            for index, port in enumerate(entry.spec.ports):
                if not port.number:
                    continue
                by_port[host, port.number][port.protocol].append((entry, f"spec.ports[{index}].protocol"))
    for (host, number), by_protocol in by_port.items():
        for protocol, entries in by_protocol.items() if len(by_protocol) > 1 else ():
            here = f"the protocol {protocol} here, and not" if protocol else "no protocol here, and one"
            rivals = [each for other, those in by_protocol.items() if other != protocol for each in those]
            for entry, path in entries:
                others = [each for each in rivals if _share_namespace(entry, each[0])]
                if others:
                    yield entry.problem(
                        Severity.WARNING,
                        "MG2062",
                        f"port {number} of {host} has {here} in ServiceEntry {listed(others)}",
                        path=path,
                        hint="write the same protocol, or export them to different namespaces",
                    )


def _share_namespace(one: Resource[ServiceEntrySpec], other: Resource[ServiceEntrySpec]) -> bool:
    first, second = scopes(one), scopes(other)
    return EVERYBODY in first or EVERYBODY in second or not first.isdisjoint(second)


def rules_of_unknown_hosts(given: AnalysisInput) -> Iterator[DestinationRule]:
    """The DestinationRules whose host is neither a Service's nor a ServiceEntry's."""
    for rule in given.rules:
        host = full_name(rule.spec.host, rule.namespace, given.proxy.domain_suffix)
        if is_wildcard(host):
            exists = any(covers(host, each.host) for each in given.catalog)
        else:
            exists = given.catalog.find(host) is not None
        if not (exists or given.catalog.is_of_istio(host)):
            yield rule


def unknown_hosts(given: AnalysisInput) -> Iterator[Problem]:
    """
    Report DestinationRules whose host is unknown (destinationrule/subset.go).

    Many are for a host of a VirtualService, in place of the service to which that VirtualService routes.
    """
    routing = _routing(given) if given.rules else {}
    for rule in given.rules:
        host = full_name(rule.spec.host, rule.namespace, given.proxy.domain_suffix)
        virtual_service = routing.get(host)
        yield rule.problem(
            Severity.WARNING,
            "MG2058",
            f"the host {host} is unknown, so the DestinationRule applies to nothing",
            path="spec.host",
            hint=given.catalog.unknown_host_hint(host, rule.namespace)
            if virtual_service is None
            else _routed_host_hint(virtual_service, given),
        )


def _routing(given: AnalysisInput) -> dict[str, VirtualService]:
    """The oldest VirtualService for each host that VirtualServices of gateways are for."""
    routing: dict[str, VirtualService] = {}
    for virtual_service in given.virtual_services:
        for host in () if in_mesh(virtual_service) else virtual_service.spec.hosts:
            routing.setdefault(full_name(host, virtual_service.namespace, given.proxy.domain_suffix), virtual_service)
    return routing


def _routed_host_hint(virtual_service: VirtualService, given: AnalysisInput) -> str:
    names = (each.destination.host for each in destinations_of(virtual_service))
    services = [full_name(name, virtual_service.namespace, given.proxy.domain_suffix) for name in names]
    found = ", ".join(list(dict.fromkeys(services))[:3])
    where = f"VirtualService {virtual_service.qualified_name} ({virtual_service.location('spec.hosts')})"
    return f"it is a host of {where}; write the service to which that routes" + (f": {found}" if found else "")


def idle_subsets(given: AnalysisInput) -> Iterator[Problem]:
    """
    Report subsets that select no endpoint of their host (destinationrule/subset.go).

    It is an error only where endpoints or Pods are given: another template of Pods may stand elsewhere.
    """
    for rule in given.rules:
        host = given.catalog.find(full_name(rule.spec.host, rule.namespace, given.proxy.domain_suffix))
        if host is None or not rule.spec.subsets:
            continue
        ports = host.ports.values()
        pods = [pod for port in ports for pod in port.pods]
        if isinstance(host.source.spec, ServiceSpec):
            pods += given.catalog.pods_of(host.source)
        labels = [each for port in ports for each in port.labels]
        certain = bool(labels) or any(each.kind == "Pod" for each in pods)
        for index, subset in enumerate(rule.spec.subsets):
            of_endpoint = any(each is None or may_be_selected(subset.labels, each) for each in labels)
            if subset.labels and not of_endpoint and not any(may_select(subset.labels, each) for each in pods):
                wanted = ",".join(f"{key}={value}" for key, value in sorted(subset.labels.items()))
                yield rule.problem(
                    Severity.ERROR if certain else Severity.WARNING,
                    "MG2057",
                    f"the subset {subset.name} selects nothing: no endpoint of {host.host} is labeled {wanted}",
                    path=f"spec.subsets[{index}].labels",
                    hint="connections for it are closed" if labels or pods else f"{host.host} has no endpoint at all",
                )


def unverified_servers(given: AnalysisInput) -> Iterator[Problem]:
    """Report TLS to servers whose certificates are not verified (destinationrule/ca-certificates.go)."""
    for rule in given.rules:
        policy = rule.spec.traffic_policy
        if policy is None:
            continue
        if _unverified(rule, policy.tls):
            yield _no_authorities(rule, "MG2059", "spec.trafficPolicy.tls", "")
        for index, port in enumerate(policy.port_level_settings):
            if _unverified(rule, port.tls):
                path = f"spec.trafficPolicy.portLevelSettings[{index}].tls"
                number = port.port.number
                yield _no_authorities(rule, "MG2060", path, f" at port {number}" if number else "")


def _unverified(rule: DestinationRule, tls: ClientTLSSettings | None) -> bool:
    if tls is None or tls.mode not in ORIGINATING or tls.ca_certificates:
        return False
    # A Secret may hold the authorities; Istio reads it only for the proxies that a workloadSelector selects.
    return not (tls.credential_name and rule.spec.workload_selector is not None)


def _no_authorities(rule: DestinationRule, code: str, path: str, where: str) -> Problem:
    return rule.problem(
        Severity.WARNING,
        code,
        f"no caCertificates are given to verify the certificate of {rule.spec.host}{where}",
        path=path,
        hint="name the file with the certificates of its authorities",
    )
