"""What Gateways have against each other, and against the Service in front of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.service import ServiceSpec
from meshgate.routing.analysis_input import AnalysisInput, Workload, listed
from meshgate.routing.catalog import selected
from meshgate.routing.hosts import server_hosts

Gateway = Resource[GatewaySpec]
# Port, address to bind to, host.
_Place = tuple[int, str, str]
_Selector = frozenset[tuple[str, str]]


def conflicting_gateways(given: AnalysisInput) -> Iterator[Problem]:
    """
    Servers of several Gateways for the same workloads with the same port, address and host. Of a server that the
    compiler dropped for that reason it is said there (gateway/conflictinggateway.go).
    """
    places: dict[_Place, dict[_Selector, list[Gateway]]] = defaultdict(lambda: defaultdict(list))
    for gateway in given.gateways:
        for place in places_of(gateway):
            places[place][frozenset(gateway.spec.selector.items())].append(gateway)
    for gateway in given.gateways:
        for index, server in enumerate(gateway.spec.servers):
            if (gateway.key, index) in given.dropped:
                continue
            others: dict[ResourceKey, Gateway] = {}
            hosts: dict[str, None] = {}
            for place in _at(gateway, index):
                for other in _rivals(gateway, places[place], given):
                    others[other.key] = other
                    hosts[place[2]] = None
            if others:
                yield gateway.problem(
                    Severity.WARNING,
                    "MG2041",
                    f"port {server.port.number} with {', '.join(hosts)} is also that of "
                    f"Gateway {listed(others.values())}, for the same gateways",
                    path=f"spec.servers[{index}]",
                    hint="write one Gateway for a port and host, or give them different selectors",
                )


def places_of(gateway: Gateway) -> Iterable[_Place]:
    """The ports, addresses and hosts of a Gateway, each once."""
    return dict.fromkeys(place for index in range(len(gateway.spec.servers)) for place in _at(gateway, index))


def _at(gateway: Gateway, index: int) -> Iterator[_Place]:
    server = gateway.spec.servers[index]
    for host in server_hosts(server.hosts, gateway.namespace):
        yield server.port.number, server.bind, host


def _rivals(
    gateway: Gateway, by_selector: Mapping[_Selector, list[Gateway]], given: AnalysisInput
) -> Iterator[Gateway]:
    own = frozenset(gateway.spec.selector.items())
    for selector, others in by_selector.items():
        if selector <= own or own <= selector or _share_workload(own, selector, given):
            yield from (other for other in others[:10] if other is not gateway)


def _share_workload(one: _Selector, other: _Selector, given: AnalysisInput) -> bool:
    both = dict(one | other)
    return len(both) == len(one | other) and any(given.workloads_of(both))


def ports_not_on_service(given: AnalysisInput) -> Iterator[Problem]:
    """
    Servers on a port that no Service in front of the gateway has, neither as its own nor as a target
    (gateway/gateway.go). Without any such Service there is nothing to hold them against.
    """
    in_front = given.in_front
    for gateway in given.gateways:
        selector = frozenset(gateway.spec.selector.items())
        if selector not in in_front:
            in_front[selector] = _services_of(given.workloads_of(gateway.spec.selector), given)
        services = in_front[selector]
        have = {
            number
            for service in services.values()
            for port in service.spec.ports
            for number in (port.port, port.target_port)
        }
        for index, server in enumerate(gateway.spec.servers):
            if services and server.port.number and server.port.number not in have:
                yield gateway.problem(
                    Severity.WARNING,
                    "MG2042",
                    f"port {server.port.number} is not on the Service in front of the gateway: "
                    f"{listed(services.values())}",
                    path=f"spec.servers[{index}].port.number",
                    hint="in a cluster, clients come through that Service; add the port to it",
                )


def _services_of(workloads: Iterable[Workload], given: AnalysisInput) -> dict[ResourceKey, Resource[ServiceSpec]]:
    """The Services that lead to any of the workloads."""
    return {
        service.key: service
        for workload in workloads
        for service in given.services
        if service.namespace == workload.namespace
        and service.spec.selector
        and selected(service.spec.selector, workload.labels)
    }
