"""
The compiler: resources in, a routing table and everything worth saying about them out. Pure.

The result does not depend on the order in which the resources are given.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain as chained
from typing import Any

from meshgate.resources.destinationrule import DestinationRuleSpec
from meshgate.resources.duplicates import Change
from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.pod import PodSpec
from meshgate.resources.problem import Problem
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.service import ServiceSpec
from meshgate.resources.steps import BATCH, batches, discard, run_through
from meshgate.resources.virtualservice import VirtualServiceSpec
from meshgate.routing.analysis import Analysis
from meshgate.routing.analysis_input import AnalysisInput, destinations_of
from meshgate.routing.bind_families import BindFamilies
from meshgate.routing.binding import Bindings, VirtualService
from meshgate.routing.catalog import Catalog
from meshgate.routing.cells import Cells
from meshgate.routing.chains import ChainBuilder
from meshgate.routing.claims import Part, Rules
from meshgate.routing.destinationrules import DestinationRules
from meshgate.routing.destinations import Destinations
from meshgate.routing.extended import ExtendedChainBuilder, ExtendedRules
from meshgate.routing.memo import Answered, answered
from meshgate.routing.servers import BoundServer, Front, Proxy, servers_of, unselected
from meshgate.routing.statuses import ResourceStatus, Statuses
from meshgate.routing.table import Destination, Listener, ListenerKey, RoutingTable


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
    resources: Collection[Resource[Any]],
    proxy: Proxy,
    generation: int = 1,
    refused: Collection[Resource[Any]] = (),
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
    return run_through(Compiler(proxy).in_steps(Change(come=list(resources)), generation, refused, now))


class Compiler:
    """
    Compiles one set of resources after the other, and makes anew only what a change touches. The result is the same as
    that of a new compiler which is given all resources at once.

    :param proxy: what this gateway is to Istio.
    """

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self._resources: dict[ResourceKey, Resource[Any]] = {}
        # What can be read of resources of which no valid version is there. They are analyzed, and not served.
        self._refused: dict[ResourceKey, Resource[Any]] = {}
        self._gateways: dict[str, Resource[GatewaySpec]] = {}
        self._virtual_services: dict[ResourceKey, VirtualService] = {}
        # What is neither a Gateway nor a VirtualService, and what is made of all that together.
        self._others: dict[ResourceKey, Resource[Any]] = {}
        self._others_are_stale = True
        self._catalog = Catalog((), proxy.domain_suffix)
        self._rules = DestinationRules((), proxy)
        self._front = Front()
        self._sources: tuple[Catalog, DestinationRules, Catalog] = (self._catalog, self._rules, self._catalog)
        self._reading = Rules()
        self._bindings = Bindings(proxy)
        self._families = BindFamilies()
        self._cells = Cells(
            lambda gateway: servers_of(gateway, self._front, proxy),
            lambda server: self._reading.prepare(server),
            self._part,
            ExtendedChainBuilder if proxy.extended else ChainBuilder,
        )
        self._lacks: dict[ResourceKey, Answered[tuple[Problem, ...]]] = {}
        self._unjudged: dict[ResourceKey, None] = {}
        self._analysis = Analysis(self._gateways)
        self._statuses = Statuses()

    def in_steps(
        self,
        change: Change,
        generation: int,
        refused: Collection[Resource[Any]] = (),
        now: datetime | None = None,
    ) -> Generator[RoutingTable | None, None, Compilation]:
        """
        Compile the resources after a change, for whoever has other things to do in between: a generator that rests
        after each little piece of work, and returns the compilation. It gives the table as soon as that is complete,
        before all that there is to say of it is known; at any other rest, None. Once it has given the table, it may be
        left for the next one.

        :param change: to the resources of the time before; of which each kind, namespace and name is there once.
        :param refused: as of :func:`compile_table`; all of them.
        :param now: as of :func:`compile_table`.
        """
        yield from self._take(change)
        yield from self._take_refused({each.key: each for each in refused if each.key not in self._resources})
        yield None
        yield from self._look_around()
        yield from self._cells.renew(self._bindings)
        table = yield from _table(self._families.narrowed(self._cells.listeners), generation)
        yield table
        problems, used, dropped = yield from self._said_by_cells()
        unjudged = list(self._unjudged)
        for keys in batches(unjudged, 16):
            for key in keys:
                yield from self._find_lacks(key)
                del self._unjudged[key]
            yield None
        for lacks in batches(self._lacks.values(), 1024):
            problems += [problem for each in lacks for problem in each.result]
            yield None
        problems += yield from self._analysis.problems(self._virtual_services, dropped, now)
        in_order = yield from _in_order(problems)
        found = yield from self._statuses.renew(self._resources, table, used, in_order)
        return Compilation(table, in_order, found)

    def _take(self, change: Change) -> Generator[None, None, None]:
        """Take in what is new, and forget what is gone."""
        for batch in batches(change.gone):
            for resource in batch:
                del self._resources[resource.key]
                self._statuses.touch(resource.key)
                if isinstance(resource.spec, GatewaySpec):
                    yield from self._drop_gateway(resource)
                elif isinstance(resource.spec, VirtualServiceSpec):
                    yield from self._drop_virtual_service(resource)
                else:
                    del self._others[resource.key]
                    self._others_are_stale = True
            yield
        for batch in batches(change.come):
            for resource in batch:
                if resource.key in self._refused:
                    yield from self._drop_refused(resource.key)
                self._resources[resource.key] = resource
                self._statuses.touch(resource.key)
                if isinstance(resource.spec, GatewaySpec):
                    yield from self._add_gateway(resource)
                elif isinstance(resource.spec, VirtualServiceSpec):
                    yield from self._add_virtual_service(resource)
                else:
                    self._others[resource.key] = resource
                    self._others_are_stale = True
            yield

    def _take_refused(self, refused: Mapping[ResourceKey, Resource[Any]]) -> Iterator[None]:
        """Have these for the analysis, in place of those of the time before; they are few."""
        for key in [key for key, each in self._refused.items() if refused.get(key) is not each]:
            yield from self._drop_refused(key)
        for resource in (each for key, each in refused.items() if key not in self._refused):
            self._refused[resource.key] = resource
            if isinstance(resource.spec, GatewaySpec):
                yield from self._analyze_gateway(resource)
            elif isinstance(resource.spec, VirtualServiceSpec):
                yield from self._analyze_virtual_service(resource)
            else:
                self._others_are_stale = True

    def _drop_refused(self, key: ResourceKey) -> Iterator[None]:
        resource = self._refused.pop(key)
        if isinstance(resource.spec, GatewaySpec):
            yield from self._forget_gateway(resource)
        elif isinstance(resource.spec, VirtualServiceSpec):
            yield from self._forget_virtual_service(resource)
        else:
            self._others_are_stale = True

    def _add_gateway(self, gateway: Resource[GatewaySpec]) -> Iterator[None]:
        self._cells.gateways[gateway.qualified_name] = gateway
        self._families.add(gateway)
        self._cells.touch([gateway.qualified_name])
        yield from self._analyze_gateway(gateway)

    def _drop_gateway(self, gateway: Resource[GatewaySpec]) -> Iterator[None]:
        del self._cells.gateways[gateway.qualified_name]
        self._families.drop(gateway)
        self._cells.touch([gateway.qualified_name])
        yield from self._forget_gateway(gateway)

    def _analyze_gateway(self, gateway: Resource[GatewaySpec]) -> Iterator[None]:
        self._gateways[gateway.qualified_name] = gateway
        yield from self._analysis.add_gateway(gateway)
        yield from self._touch_naming(gateway.qualified_name)

    def _forget_gateway(self, gateway: Resource[GatewaySpec]) -> Iterator[None]:
        del self._gateways[gateway.qualified_name]
        yield from self._analysis.drop_gateway(gateway)
        yield from self._touch_naming(gateway.qualified_name)

    def _touch_naming(self, gateway: str) -> Iterator[None]:
        refused = _of(self._refused.values(), VirtualServiceSpec)
        for batch in batches((*self._bindings.naming(gateway), *refused), 1024):
            self._analysis.touch(each.key for each in batch)
            if len(batch) == 1024:
                yield

    def _add_virtual_service(self, virtual_service: VirtualService) -> Iterator[None]:
        self._cells.touch(self._bindings.add(virtual_service).gateways)
        yield from self._analyze_virtual_service(virtual_service)

    def _drop_virtual_service(self, virtual_service: VirtualService) -> Iterator[None]:
        self._cells.touch(self._bindings.remove(virtual_service).gateways)
        yield from self._forget_virtual_service(virtual_service)

    def _analyze_virtual_service(self, virtual_service: VirtualService) -> Iterator[None]:
        self._virtual_services[virtual_service.key] = virtual_service
        yield from self._analysis.add_virtual_service(virtual_service, self.proxy)
        self._unjudged[virtual_service.key] = None

    def _forget_virtual_service(self, virtual_service: VirtualService) -> Iterator[None]:
        del self._virtual_services[virtual_service.key]
        self._analysis.drop_virtual_service(virtual_service)
        self._unjudged.pop(virtual_service.key, None)
        lacks = self._lacks.pop(virtual_service.key, None)
        if lacks is not None:
            noted = list(chained(*lacks.noted))
            del lacks
            yield from discard(noted)

    def _look_around(self) -> Generator[None, None, None]:
        """Make anew what rests on all that is neither a Gateway nor a VirtualService, if any of that has changed."""
        if not self._others_are_stale:
            return
        others = list(self._others.values())
        self._catalog = yield from Catalog.in_steps(others, self.proxy.domain_suffix, self._catalog)
        self._rules = yield from DestinationRules.in_steps(_of(others, DestinationRuleSpec), self.proxy)
        faulty = [
            each for each in self._refused.values() if not isinstance(each.spec, GatewaySpec | VirtualServiceSpec)
        ]
        known = self._catalog
        if faulty:
            known = yield from Catalog.in_steps([*others, *faulty], self.proxy.domain_suffix, self._catalog)
        self._sources = (self._catalog, self._rules, known)
        front = Front.of(_of(others, ServiceSpec), _of(others, PodSpec), self.proxy)
        if front != self._front:
            self._front = front
        self._reading = (ExtendedRules if self.proxy.extended else Rules)()
        self._cells.doubt()
        self._unjudged = dict.fromkeys(self._virtual_services)
        given = AnalysisInput([*others, *faulty], self.proxy, known)
        yield from self._analysis.look_around(given, self._virtual_services)
        self._others_are_stale = False

    def _part(
        self, server: BoundServer, virtual_service: VirtualService, before: Answered[Part] | None
    ) -> Generator[None, None, Answered[Part]]:
        if before is not None and (yield from before.holds(self._sources)):
            return before

        def ask(catalog: Catalog, rules: DestinationRules, known: Catalog) -> Generator[None, None, Part]:
            return self._reading.part(server, virtual_service, lambda: Destinations(catalog, rules, self.proxy, known))

        return (yield from answered(ask, self._sources))

    def _find_lacks(self, key: ResourceKey) -> Generator[None, None, None]:
        """Find out what the destinations of a VirtualService lack, whatever the server."""
        before = self._lacks.get(key)
        if before is not None and (yield from before.holds(self._sources)):
            return

        def ask(
            catalog: Catalog, rules: DestinationRules, known: Catalog
        ) -> Generator[None, None, tuple[Problem, ...]]:
            destinations = Destinations(catalog, rules, self.proxy, known)
            virtual_service = self._virtual_services[key]
            for batch in batches(destinations_of(virtual_service)):
                for path, written in batch:
                    destinations.check(virtual_service, path, written)
                if len(batch) == BATCH:
                    yield
            return tuple(destinations.problems)

        self._lacks[key] = yield from answered(ask, self._sources)

    def _said_by_cells(
        self,
    ) -> Generator[None, None, tuple[list[Problem], set[ResourceKey], set[tuple[ResourceKey, int]]]]:
        """What was found while the table was made, what its destinations rest on, and which servers were dropped."""
        refused = self._refused.values()
        problems = [
            *self._rules.problems,
            *self._bindings.problems,
            *unselected(_of(refused, GatewaySpec), self.proxy, self._front.pods),
        ]
        used: set[ResourceKey] = set()
        dropped: set[tuple[ResourceKey, int]] = set()
        for batch in batches(self._cells.built(), 256):
            for built in batch:
                problems += built.problems
                used.update(built.used)
                dropped.update(built.dropped)
            yield
        problems += self._families.problems(self.proxy, dropped)
        for unbound in self._bindings.unbound(self._cells.gateways, refused):
            problems += unbound
            yield
        return problems, used, dropped


def _of(resources: Iterable[Resource[Any]], spec: type[Any]) -> list[Resource[Any]]:
    return [resource for resource in resources if isinstance(resource.spec, spec)]


def _table(listeners: Mapping[ListenerKey, Listener], generation: int) -> Generator[None, None, RoutingTable]:
    """The table of some listeners, with the destinations of all chains."""
    destinations: dict[int, Destination] = {}
    for listener in listeners.values():
        for batch in batches(listener.in_no_order(), 512):
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
        rows += (
            (
                each.file,
                each.line,
                each.column,
                each.path,
                each.code,
                each.listener,
                each.message,
                len(rows) + number,
                each,
            )
            for number, each in enumerate(batch)
        )
        yield
    rows.sort()
    yield
    return tuple([row[-1] for row in rows])
