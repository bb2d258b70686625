"""
The compiler: resources in, a routing table and everything worth saying about them out. Pure.

The result does not depend on the order in which the resources are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.problem import Problem
from meshgate.resources.record import Resource
from meshgate.resources.service import ServiceSpec
from meshgate.resources.virtualservice import VirtualServiceSpec
from meshgate.routing.binding import Bindings
from meshgate.routing.catalog import Catalog
from meshgate.routing.chains import ChainBuilder
from meshgate.routing.destinations import Destinations
from meshgate.routing.servers import Proxy, bound_servers
from meshgate.routing.table import RoutingTable


@dataclass(frozen=True, slots=True)
class Compilation:
    """
    What the compiler gives.

    :ivar problems: what was dropped, ignored or not found; each says who won.
    """

    table: RoutingTable
    problems: tuple[Problem, ...]


def compile_table(resources: Sequence[Resource[Any]], proxy: Proxy, generation: int = 1) -> Compilation:
    """
    Compile valid resources into the table of one generation.

    :param resources: each kind, namespace and name at most once.
    :param proxy: what this gateway is to Istio.
    """
    gateways = _of(resources, GatewaySpec)
    virtual_services = _of(resources, VirtualServiceSpec)
    destinations = Destinations(Catalog(resources, proxy.domain_suffix), proxy.domain_suffix)
    servers, dropped = bound_servers(gateways, _of(resources, ServiceSpec), proxy)
    bindings = Bindings(virtual_services, proxy)
    chains = ChainBuilder(bindings, destinations)
    for server in servers:
        chains.add(server)
    problems = [
        *dropped,
        *bindings.problems,
        *bindings.unbound(gateways),
        *chains.problems,
        *destinations.problems,
    ]
    return Compilation(RoutingTable(generation, chains.listeners()), _in_order(problems))


def _of(resources: Iterable[Resource[Any]], spec: type[Any]) -> list[Resource[Any]]:
    return [resource for resource in resources if isinstance(resource.spec, spec)]


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By place, so that the list reads like the files; the same one is said once."""
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda problem: (problem.file, problem.line, problem.path, problem.code)))
