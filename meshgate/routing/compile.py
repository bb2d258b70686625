"""
The compiler: resources in, a routing table and everything worth saying about them out. Pure.

The result does not depend on the order in which the resources are given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshgate.resources.destinationrule import DestinationRuleSpec
from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.pod import PodSpec
from meshgate.resources.problem import Problem
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.service import ServiceSpec
from meshgate.resources.steps import batches, run_through
from meshgate.resources.virtualservice import VirtualServiceSpec
from meshgate.routing.analysis import Analysis
from meshgate.routing.analysis_input import AnalysisInput, destinations_of
from meshgate.routing.binding import Bindings, VirtualService, binding_of
from meshgate.routing.catalog import Catalog
from meshgate.routing.chains import ChainBuilder, Part, Rules
from meshgate.routing.destinationrules import DestinationRules
from meshgate.routing.destinations import Destinations
from meshgate.routing.extended import ExtendedChainBuilder, ExtendedRules
from meshgate.routing.memo import LookupMemo, Memo
from meshgate.routing.servers import BoundServer, Front, Proxy, bound_servers, servers_of
from meshgate.routing.statuses import ResourceStatus, statuses
from meshgate.routing.table import Destination, RoutingTable


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


def compile_table(resources: Collection[Resource[Any]], proxy: Proxy, generation: int = 1) -> Compilation:
    """
    Compile valid resources into the table of one generation.

    :param resources: each kind, namespace and name at most once.
    :param proxy: what this gateway is to Istio.
    """
    return run_through(Compiler(proxy).in_steps(resources, generation))


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """
    What is made of everything that is neither a Gateway nor a VirtualService.

    :ivar resources: what it is made of.
    :ivar given: for analyzers; without Gateways and VirtualServices.
    """

    resources: list[Resource[Any]]
    catalog: Catalog
    rules: DestinationRules
    front: Front
    given: AnalysisInput


class Compiler:
    """
    Compiles one set of resources after the other, and makes anew only what a change touches: what is made of objects
    that are still the same is taken from the time before. The result is the same as that of a new compiler.

    :param proxy: what this gateway is to Istio.
    """

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self._surroundings: _Surroundings | None = None
        self._reading = Rules()
        self._bindings = Memo(lambda virtual_service: binding_of(virtual_service, proxy.namespace))
        self._servers = Memo(lambda gateway, front: servers_of(gateway, front, proxy))
        self._parts: LookupMemo[Part] = LookupMemo(self._part)
        self._lacks: LookupMemo[tuple[Problem, ...]] = LookupMemo(self._lack)
        self._analysis = Analysis()

    def in_steps(
        self, resources: Collection[Resource[Any]], generation: int
    ) -> Generator[RoutingTable | None, None, Compilation]:
        """
        The same as :func:`compile_table`, for whoever has other things to do in between: a generator that rests
        every some 0.1 ms, and returns the compilation. It gives the table as soon as that is complete, before all
        that there is to say of it is known; at any other rest, None. Another one may be begun before it has ended.

        :param resources: those which are the same as before have to be the same objects, or cost as much as new ones.
        """
        gateways, virtual_services, others = yield from _by_kind(resources)
        around = yield from self._look_around(others)
        bound = yield from bound_servers(gateways, lambda gateway: self._servers(gateway, around.front))
        bindings = Bindings(self._bindings, self.proxy)
        yield from bindings.take(virtual_services)
        chains = (ExtendedChainBuilder if self.proxy.extended else ChainBuilder)(bindings, self._parts)
        for servers in batches(bound.servers, 16):
            for server in servers:
                yield from chains.add(server)
            yield None
        table = yield from _table(chains, generation)
        yield table
        self._servers.forget_unasked()
        yield None
        self._parts.forget_unasked()
        yield None
        problems = [
            *bound.problems,
            *bindings.problems,
            *bindings.unbound(gateways),
            *chains.problems,
            *around.rules.problems,
        ]
        for batch in batches(virtual_services):
            for virtual_service in batch:
                problems += self._lacks(virtual_service)
            yield None
        self._lacks.forget_unasked()
        yield None
        problems += yield from self._analysis.problems(
            around.given, gateways, virtual_services, self._bindings, bound.dropped
        )
        self._bindings.forget_unasked()
        in_order = yield from _in_order(problems)
        found = yield from statuses(resources, table, chains.used, in_order)
        return Compilation(table, in_order, found)

    def _look_around(self, others: list[Resource[Any]]) -> Generator[None, None, _Surroundings]:
        before = self._surroundings
        if before is not None and before.resources == others:
            return before
        catalog = yield from Catalog.in_steps(
            others, self.proxy.domain_suffix, before.catalog if before is not None else None
        )
        rules = yield from DestinationRules.in_steps(_of(others, DestinationRuleSpec), self.proxy)
        front = Front.of(_of(others, ServiceSpec), _of(others, PodSpec), self.proxy)
        if before is not None and before.front == front:
            front = before.front
        given = AnalysisInput(others, self.proxy, catalog)
        yield from given.prepare()
        self._reading = (ExtendedRules if self.proxy.extended else Rules)()
        self._surroundings = _Surroundings(others, catalog, rules, front, given)
        self._parts.sources = self._lacks.sources = (catalog, rules)
        return self._surroundings

    def _part(self, catalog: Catalog, rules: DestinationRules, server: BoundServer, service: VirtualService) -> Part:
        return self._reading.part(server, service, lambda: Destinations(catalog, rules, self.proxy))

    def _lack(self, catalog: Catalog, rules: DestinationRules, service: VirtualService) -> tuple[Problem, ...]:
        """What the destinations of a VirtualService lack, whatever the server."""
        destinations = Destinations(catalog, rules, self.proxy)
        for path, written in destinations_of(service):
            destinations.check(service, path, written)
        return tuple(destinations.problems)


def _by_kind(
    resources: Iterable[Resource[Any]],
) -> Generator[None, None, tuple[list[Resource[Any]], list[Resource[Any]], list[Resource[Any]]]]:
    """Gateways and VirtualServices in their order, and all the rest."""
    found: dict[type[Any], list[Resource[Any]]] = defaultdict(list)
    for batch in batches(resources, 1024):
        for resource in batch:
            kind = type(resource.spec)
            found[kind if kind is GatewaySpec or kind is VirtualServiceSpec else object].append(resource)
        yield
    found[GatewaySpec].sort(key=Resource.order)
    yield
    found[VirtualServiceSpec].sort(key=Resource.order)
    yield
    return found[GatewaySpec], found[VirtualServiceSpec], found[object]


def _of(resources: Iterable[Resource[Any]], spec: type[Any]) -> list[Resource[Any]]:
    return [resource for resource in resources if isinstance(resource.spec, spec)]


def _table(chains: ChainBuilder, generation: int) -> Generator[None, None, RoutingTable]:
    """The table of all chains."""
    listeners = yield from chains.listeners()
    destinations: dict[int, Destination] = {}
    for listener in listeners.values():
        for batch in batches(listener.in_no_order(), 256):
            for chain in batch:
                for destination in chain.destinations:
                    destinations[id(destination)] = destination
            yield
    return RoutingTable(generation, listeners, tuple(destinations.values()))


def _in_order(problems: Iterable[Problem]) -> Generator[None, None, tuple[Problem, ...]]:
    """By place, so that the list reads like the files; the same one is said once."""
    unique: dict[Problem, None] = {}
    for batch in batches(problems):
        unique.update(dict.fromkeys(batch))
        yield
    rows: list[tuple[Any, ...]] = []
    for batch in batches(unique):
        rows += ((each.file, each.line, each.path, each.code, len(rows) + n, each) for n, each in enumerate(batch))
        yield
    rows.sort()
    yield
    return tuple(row[-1] for row in rows)
