"""
The compiler: resources in, a routing table and everything worth saying about them out. Pure.

The result does not depend on the order in which the resources are given.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from meshgate.resources.destinationrule import DestinationRuleSpec
from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.pod import PodSpec
from meshgate.resources.problem import Problem
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.service import ServiceSpec
from meshgate.resources.steps import run_through
from meshgate.resources.virtualservice import VirtualServiceSpec
from meshgate.routing.analysis import ANALYZERS
from meshgate.routing.analysis_input import AnalysisInput, destinations_of
from meshgate.routing.binding import Bindings
from meshgate.routing.catalog import Catalog
from meshgate.routing.chains import ChainBuilder
from meshgate.routing.destinationrules import DestinationRules
from meshgate.routing.destinations import Destinations
from meshgate.routing.extended import ExtendedChainBuilder
from meshgate.routing.servers import Proxy, bound_servers, unselected
from meshgate.routing.statuses import ResourceStatus, statuses
from meshgate.routing.table import RoutingTable


@dataclass(frozen=True, slots=True)
class Compilation:
    """
    What the compiler gives.

    :ivar problems: what was dropped, ignored or not found; each says who won.
    :ivar statuses: what became of each resource.
    """

    table: RoutingTable
    problems: tuple[Problem, ...]
    statuses: Mapping[ResourceKey, ResourceStatus] = field(default_factory=dict)


def compile_table(
    resources: Sequence[Resource[Any]],
    proxy: Proxy,
    generation: int = 1,
    refused: Sequence[Resource[Any]] = (),
    now: datetime | None = None,
) -> Compilation:
    """
    Compile valid resources into the table of one generation.

    :param resources: each kind, namespace and name at most once.
    :param proxy: what this gateway is to Istio.
    :param refused: what can be read of resources that are not valid. They have no part in the table; what refers to
        them is told so, and what is wrong with them beside their faults is said.
    :param now: for certificates that expire; None to leave that aside.
    """
    return run_through(compile_in_steps(resources, proxy, generation, refused, now))


def compile_in_steps(
    resources: Sequence[Resource[Any]],
    proxy: Proxy,
    generation: int,
    refused: Sequence[Resource[Any]] = (),
    now: datetime | None = None,
) -> Generator[RoutingTable | None, None, Compilation]:
    """
    The same as :func:`compile_table`, for whoever has other things to do in between: a generator that rests after
    each server and each VirtualService, and returns the compilation. It gives the table as soon as that is complete,
    before all that there is to say of it is known; at any other rest, None.
    """
    gateways = _of(resources, GatewaySpec)
    virtual_services = _of(resources, VirtualServiceSpec)
    rules = DestinationRules(_of(resources, DestinationRuleSpec), proxy)
    catalog = Catalog(resources, proxy.domain_suffix)
    refused = _without_a_valid_one(refused, resources)
    everything = [*resources, *refused]
    known = Catalog(everything, proxy.domain_suffix) if refused else catalog
    destinations = Destinations(catalog, rules, proxy, known)
    yield None
    bound = bound_servers(gateways, _of(resources, ServiceSpec), proxy, _of(resources, PodSpec))
    yield None
    bindings = Bindings(virtual_services, proxy)
    yield None
    chains = (ExtendedChainBuilder if proxy.extended else ChainBuilder)(bindings, destinations)
    for server in bound.servers:
        chains.add(server)
        yield None
    table = RoutingTable(generation, chains.listeners())
    yield table
    for virtual_service in _of(everything, VirtualServiceSpec):
        for path, written in destinations_of(virtual_service):
            destinations.check(virtual_service, path, written)
        yield None
    given = AnalysisInput(everything, proxy, known, bound.dropped, now)
    analyzed: list[Problem] = []
    for analyzer in ANALYZERS:
        analyzed += analyzer(given)
        yield None
    problems = [
        *bound.problems,
        *unselected(_of(refused, GatewaySpec), proxy, _of(resources, PodSpec)),
        *bindings.problems,
        *bindings.unbound(gateways, refused),
        *chains.problems,
        *rules.problems,
        *destinations.problems,
        *analyzed,
    ]
    in_order = _in_order(problems)
    yield None
    return Compilation(table, in_order, statuses(resources, table, destinations.used, in_order))


def _without_a_valid_one(
    refused: Iterable[Resource[Any]], resources: Iterable[Resource[Any]]
) -> Sequence[Resource[Any]]:
    """Those of which no valid version is there, each once."""
    found = {each.key: each for each in refused}
    if found:
        for resource in resources:
            found.pop(resource.key, None)
    return list(found.values())


def _of(resources: Iterable[Resource[Any]], spec: type[Any]) -> list[Resource[Any]]:
    return [resource for resource in resources if isinstance(resource.spec, spec)]


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By place, so that the list reads like the files; the same one is said once."""
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda each: (each.file, each.line, each.column, each.path, each.code)))
