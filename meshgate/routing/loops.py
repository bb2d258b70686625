"""
Loops: endpoints that are listeners of the table itself. A connection there would come back, so none is made.

Only loops that the configuration shows are reported here: an endpoint with the address of a listener, or with a
loopback address where the listener is bound to every address. Other addresses of the machine, and those of DNS names,
are checked when they are dialed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.routing.analysis.analysis_input import destinations_of
from meshgate.routing.hosts import full_name
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, RoutingTable

VirtualServices = Iterable[VirtualService]

_HINT: Final = "let the destination name the endpoint itself; one listener cannot be reached through another"


def loops(table: RoutingTable, virtual_services: VirtualServices, domain_suffix: str) -> Iterator[Problem]:
    """
    The problems of routes with an endpoint that is a listener of the table.

    :param virtual_services: all VirtualServices.
    """
    on_port: dict[int, list[Listener]] = {}
    for listener in table.listeners.values():
        on_port.setdefault(listener.key.port, []).append(listener)
    found: dict[Destination, tuple[Endpoint, Listener]] = {}
    for destination in table.destinations():
        for endpoint in destination.endpoints:
            if endpoint.port in on_port and not endpoint.dns:
                own = next((one for one in on_port[endpoint.port] if _accepts(one, endpoint.address)), None)
                if own is not None:
                    found.setdefault(destination, (endpoint, own))
    if not found:
        return
    by_name = {each.qualified_name: each for each in virtual_services}
    for listener in table.listeners.values():
        for chain in listener.chains():
            virtual_service = by_name.get(chain.virtual_service)
            for destination in chain.destinations:
                if destination in found and virtual_service is not None:
                    path = _path(virtual_service, chain, destination, domain_suffix)
                    yield _problem(virtual_service, path, destination, *found[destination])


def _problem(
    virtual_service: VirtualService,
    path: str,
    destination: Destination,
    endpoint: Endpoint,
    listener: Listener,
) -> Problem:
    alone = len(destination.endpoints) == 1
    effect = "its connections end as loop" if alone else "it is passed over for the other endpoints"
    return virtual_service.problem(
        Severity.ERROR,
        "MG2075",
        f"{destination} has the endpoint {endpoint}, which is this gateway's own listener {listener.address}; {effect}",
        path=path,
        hint=_HINT,
    )


def _accepts(listener: Listener, address: str) -> bool:
    """True if a listener is certain to accept connections to an address."""
    try:
        wanted, bind = _without_mapping(address), _without_mapping(listener.key.bind)
    except ValueError:
        return False
    if wanted == bind:
        return True
    families = {4, 6} if listener.dual_stack else {bind.version}
    return bind.is_unspecified and wanted.version in families and (wanted.is_loopback or wanted.is_unspecified)


def _without_mapping(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _path(virtual_service: VirtualService, chain: Chain, destination: Destination, domain_suffix: str) -> str:
    """The path of a destination in the rule of a chain."""
    rule = chain.rule.partition(".match")[0]
    for path, host in _hosts(virtual_service, rule):
        if full_name(host, virtual_service.namespace, domain_suffix) == destination.host:
            return f"{path}.host"
    return chain.rule


def _hosts(virtual_service: VirtualService, rule: str) -> Iterable[tuple[str, str]]:
    for each in destinations_of(virtual_service):
        if each.path.startswith(f"{rule}."):
            yield each.path, each.destination.host
