"""Checks of Gateways against each other, and against the Service in front of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.kinds.service import ServiceSpec, TransportProtocol
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
