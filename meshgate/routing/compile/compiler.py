"""
The compiler: resources in, a routing table and everything worth saying about them out. Pure.

Problem: routes change one at a time among ten thousand, and a table has to follow within a moment; and the process that
compiles also answers others, so no single piece of work may take long.

Approach: :class:`Compiler` keeps the resources of the time before and takes changes. Its work comes in phases, of some
500 resources or 100 Gateways each: apply the change, refresh what all Gateways share, compile stale Gateways, join them
to the table, judge destinations, ask the analyzers, tell statuses. :func:`compile_change` is the one place that goes
through the phases; between two it awaits whatever the caller gives it to rest by. The table is installed as soon as it
is complete, before everything that there is to say about it.

Invariants: the result depends neither on the order in which resources are given nor on the changes before; it equals
that of a new compiler with all resources at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from meshgate.resources.kinds.destinationrule import DestinationRuleSpec
from meshgate.resources.kinds.gateway import Gateway, GatewaySpec
from meshgate.resources.kinds.pod import PodSpec
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.virtualservice import VirtualService, VirtualServiceSpec
from meshgate.resources.latest import ResourceChange
from meshgate.resources.phases import Rest, at_once, no_rest
from meshgate.resources.problem import Problem
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.analysis.analysis_input import AnalysisInput, destinations_of
from meshgate.routing.analysis.analyzers import Analysis
from meshgate.routing.bind_families import BindFamilies
from meshgate.routing.compile.catalog import Catalog
from meshgate.routing.compile.chains import ChainBuilder
from meshgate.routing.compile.claims import ClaimReader, ServerClaims
from meshgate.routing.compile.destination_rules import DestinationRules
from meshgate.routing.compile.destinations import Destinations
from meshgate.routing.compile.extended import ExtendedChainBuilder, ExtendedClaimReader
from meshgate.routing.compile.gateways import Gateways
from meshgate.routing.compile.route_binding import Bindings
from meshgate.routing.compile.servers import BoundServer, Front, Proxy, servers_of, unselected
from meshgate.routing.hosts import full_name, wildcards_over
from meshgate.routing.loops import loops
from meshgate.routing.table import Destination, Listener, ListenerKey, RoutingTable
from meshgate.routing.tell.statuses import ResourceStatus, Statuses

RESOURCES_AT_ONCE: Final = 500
CLAIMS_AT_ONCE: Final = 200
"""How many resources, and how many claims of VirtualServices to servers, one phase takes: some 0.05 s each."""


@dataclass(frozen=True, slots=True)
class Compilation:
    """
    A routing table and everything that is known about it.

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
    Compile valid resources into the table of one generation, at once.

    :param resources: each kind, namespace and name at most once.
    :param proxy: what this gateway is to Istio.
    :param refused: what can be read of resources that are not valid. They have no part in the table; what refers to
        them is told so, and what is wrong with them beside their faults is said.
    :param now: for certificates that expire; None to leave that aside.
    """
    return at_once(compile_change(Compiler(proxy), ResourceChange(added=list(resources)), generation, refused, now))


async def compile_change(
    compiler: Compiler,
    change: ResourceChange,
    generation: int,
    refused: Collection[Resource[Any]] = (),
    now: datetime | None = None,
    rest: Rest = no_rest,
    install: Callable[[RoutingTable], None] = lambda table: None,
) -> Compilation:
    """
    Compile the resources after a change, in phases.

    :param change: to the resources of the time before; of which each kind, namespace and name is there once.
    :param refused: as of :func:`compile_table`; all of them.
    :param now: as of :func:`compile_table`.
    :param rest: awaited between two phases.
    :param install: called with the table as soon as it is complete.
    """
    for chunk in change.in_chunks(RESOURCES_AT_ONCE):
        compiler.apply(chunk)
        await rest()
    compiler.apply_refused(refused)
    compiler.refresh_shared_state()
    await rest()
    while not compiler.compile_gateways(CLAIMS_AT_ONCE):
        await rest()
    table = compiler.join(generation)
    await rest()
    install(table)
    while not compiler.judge_destinations(RESOURCES_AT_ONCE):
        await rest()
    while not compiler.ask_analyzers(now, RESOURCES_AT_ONCE):
        await rest()
    problems = compiler.problems()
    await rest()
    return Compilation(table, problems, compiler.statuses(table, problems))


class Compiler:
    """
    Compiles one set of resources after the other, and again only what a change touches. :func:`compile_change` calls
    its methods in their order.

    :param proxy: what this gateway is to Istio.
    """

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self._resources: dict[ResourceKey, Resource[Any]] = {}
        # What can be read of resources of which no valid version exists. They are analyzed, and not served.
        self._refused: dict[ResourceKey, Resource[Any]] = {}
        self._gateways: dict[str, Gateway] = {}
        self._virtual_services: dict[ResourceKey, VirtualService] = {}
        # The full names of the hosts that the destinations of each VirtualService name.
        self._destination_hosts: dict[ResourceKey, frozenset[str]] = {}
        # What all Gateways share: everything that is neither a Gateway nor a VirtualService.
        self._shared_bindings: dict[ResourceKey, Resource[Any]] = {}
        self._shared_is_stale = True
        self._catalog = Catalog((), proxy.domain_suffix)
        # The same with the resources that are not valid.
        self._known = self._catalog
        self._rules = DestinationRules((), proxy)
        self._front = Front()
        self._reader = (ExtendedClaimReader if proxy.extended else ClaimReader)()
        self._bindings = Bindings(proxy)
        self._compiled = Gateways(
            lambda gateway: servers_of(gateway, self._front, proxy),
            self._read_claims,
            ExtendedChainBuilder if proxy.extended else ChainBuilder,
        )
        # What the destinations of VirtualServices lack, whatever the server; those that lack nothing are left out.
        self._lacks: dict[ResourceKey, tuple[Problem, ...]] = {}
        self._unjudged: dict[ResourceKey, None] = {}
        self._analysis = Analysis(self._gateways)
        self._statuses = Statuses()
        self._families = BindFamilies()
        self._table = RoutingTable()

    def apply(self, change: ResourceChange) -> None:
        """Forget the resources that are gone, and take those that have come."""
        for resource in change.removed:
            del self._resources[resource.key]
            self._statuses.touch(resource.key)
            if isinstance(resource.spec, GatewaySpec):
                del self._compiled.by_name[resource.qualified_name]
                self._families.drop(resource)
                self._compiled.touch([resource.qualified_name])
                self._forget_gateway(resource)
            elif isinstance(resource.spec, VirtualServiceSpec):
                self._compiled.touch(self._bindings.remove(resource).gateways)
                self._forget_virtual_service(resource)
            else:
                del self._shared_bindings[resource.key]
                self._shared_is_stale = True
        for resource in change.added:
            if resource.key in self._refused:
                self._drop_refused(resource.key)
            self._resources[resource.key] = resource
            self._statuses.touch(resource.key)
            if isinstance(resource.spec, GatewaySpec):
                self._compiled.by_name[resource.qualified_name] = resource
                self._families.add(resource)
                self._compiled.touch([resource.qualified_name])
                self._analyze_gateway(resource)
            elif isinstance(resource.spec, VirtualServiceSpec):
                self._compiled.touch(self._bindings.add(resource).gateways)
                self._analyze_virtual_service(resource)
            else:
                self._shared_bindings[resource.key] = resource
                self._shared_is_stale = True

    def apply_refused(self, refused: Iterable[Resource[Any]]) -> None:
        """Take what can be read of invalid resources for the analysis, in place of those of the time before."""
        wanted = {each.key: each for each in refused if each.key not in self._resources}
        for key in [key for key, each in self._refused.items() if wanted.get(key) is not each]:
            self._drop_refused(key)
        for resource in (each for key, each in wanted.items() if key not in self._refused):
            self._refused[resource.key] = resource
            if isinstance(resource.spec, GatewaySpec):
                self._analyze_gateway(resource)
            elif isinstance(resource.spec, VirtualServiceSpec):
                self._analyze_virtual_service(resource)
            else:
                self._shared_is_stale = True

    def refresh_shared_state(self) -> None:
        """Make anew what rests on all that is neither a Gateway nor a VirtualService, if any of that has changed."""
        if not self._shared_is_stale:
            return
        shared = list(self._shared_bindings.values())
        before, known_before, rules_before = self._catalog, self._known, self._rules
        self._catalog = Catalog(shared, self.proxy.domain_suffix, self._catalog)
        self._rules = DestinationRules(_of(shared, DestinationRuleSpec), self.proxy)
        faulty = [
            each for each in self._refused.values() if not isinstance(each.spec, GatewaySpec | VirtualServiceSpec)
        ]
        self._known = self._catalog
        if faulty:
            self._known = Catalog([*shared, *faulty], self.proxy.domain_suffix, self._catalog)
        front = Front.of(_of(shared, ServiceSpec), _of(shared, PodSpec), self.proxy)
        if front != self._front:
            self._front = front
            self._compiled.begin_epoch()
        self._reader = (ExtendedClaimReader if self.proxy.extended else ClaimReader)()
        changed = self._catalog.changed_hosts(before) | self._known.changed_hosts(known_before)
        self._follow_hosts(changed | self._rules.changed_hosts(rules_before))
        given = AnalysisInput([*shared, *faulty], self.proxy, self._known)
        self._analysis.refresh_shared_state(given)
        self._shared_is_stale = False

    def compile_gateways(self, budget: int) -> bool:
        """Compile stale Gateways; True when none is left. See :meth:`Gateways.compile_some`."""
        return self._compiled.compile_some(self._bindings, budget)

    def join(self, generation: int) -> RoutingTable:
        """The table that all Gateways come to."""
        self._table = _table(self._families.narrowed(self._compiled.join()), generation)
        return self._table

    def judge_destinations(self, budget: int) -> bool:
        """Find what the destinations of some VirtualServices lack, whatever the server; True when none is left."""
        for key in list(islice(self._unjudged, budget)):
            destinations = self._destinations()
            virtual_service = self._virtual_services[key]
            for path, destination in destinations_of(virtual_service):
                destinations.check(virtual_service, path, destination)
            if destinations.problems:
                self._lacks[key] = tuple(destinations.problems)
            else:
                self._lacks.pop(key, None)
            del self._unjudged[key]
        return not self._unjudged

    def ask_analyzers(self, now: datetime | None, budget: int) -> bool:
        """Ask the analyzers about some of what has changed; True when nothing is left."""
        return self._analysis.analyze_some(self._virtual_services, now, budget)

    def problems(self) -> tuple[Problem, ...]:
        """Everything that there is to say, in the order of the files."""
        refused = self._refused.values()
        problems = [
            *self._rules.problems,
            *self._bindings.problems,
            *unselected(_of(refused, GatewaySpec), self.proxy, self._front.pods),
            *self._bindings.unbound(self._compiled.by_name, refused),
        ]
        dropped: set[tuple[ResourceKey, int]] = set()
        for output in self._compiled.outputs():
            problems += output.problems
            dropped.update(output.dropped)
        for lacks in self._lacks.values():
            problems += lacks
        problems += self._analysis.problems(dropped)
        problems += self._families.problems(self.proxy, dropped)
        problems += loops(self._table, self._virtual_services.values(), self.proxy.domain_suffix)
        return _in_order(problems)

    def statuses(self, table: RoutingTable, problems: Collection[Problem]) -> Mapping[ResourceKey, ResourceStatus]:
        """The status of each resource, by its kind and name."""
        used = {key for output in self._compiled.outputs() for key in output.used}
        return self._statuses.renew(self._resources, table, used, problems)

    def _follow_hosts(self, changed: Set[str]) -> None:
        """Read the claims again, and judge the destinations, of VirtualServices with a destination at these hosts."""
        if not changed:
            return
        affected = {
            key
            for key, hosts in self._destination_hosts.items()
            if not changed.isdisjoint(hosts) or any(not changed.isdisjoint(wildcards_over(host)) for host in hosts)
        }
        self._compiled.read_again(affected)
        self._unjudged.update(dict.fromkeys(affected))

    def _drop_refused(self, key: ResourceKey) -> None:
        resource = self._refused.pop(key)
        if isinstance(resource.spec, GatewaySpec):
            self._forget_gateway(resource)
        elif isinstance(resource.spec, VirtualServiceSpec):
            self._forget_virtual_service(resource)
        else:
            self._shared_is_stale = True

    def _analyze_gateway(self, gateway: Gateway) -> None:
        self._gateways[gateway.qualified_name] = gateway
        self._analysis.add_gateway(gateway)
        self._analyze_again_naming(gateway.qualified_name)

    def _forget_gateway(self, gateway: Gateway) -> None:
        del self._gateways[gateway.qualified_name]
        self._analysis.drop_gateway(gateway)
        self._analyze_again_naming(gateway.qualified_name)

    def _analyze_again_naming(self, gateway: str) -> None:
        refused = _of(self._refused.values(), VirtualServiceSpec)
        self._analysis.touch(each.key for each in (*self._bindings.naming(gateway), *refused))

    def _analyze_virtual_service(self, virtual_service: VirtualService) -> None:
        self._virtual_services[virtual_service.key] = virtual_service
        self._destination_hosts[virtual_service.key] = frozenset(
            full_name(destination.host, virtual_service.namespace, self.proxy.domain_suffix)
            for _, destination in destinations_of(virtual_service)
        )
        self._analysis.add_virtual_service(virtual_service, self.proxy)
        self._unjudged[virtual_service.key] = None

    def _forget_virtual_service(self, virtual_service: VirtualService) -> None:
        del self._virtual_services[virtual_service.key]
        del self._destination_hosts[virtual_service.key]
        self._analysis.drop_virtual_service(virtual_service)
        self._unjudged.pop(virtual_service.key, None)
        self._lacks.pop(virtual_service.key, None)

    def _read_claims(self, server: BoundServer, virtual_service: VirtualService) -> ServerClaims:
        return self._reader.read(server, virtual_service, self._destinations)

    def _destinations(self) -> Destinations:
        return Destinations(self._catalog, self._rules, self.proxy, self._known)


def _of(resources: Iterable[Resource[Any]], spec: type[Any]) -> list[Resource[Any]]:
    return [resource for resource in resources if isinstance(resource.spec, spec)]


def _table(listeners: Mapping[ListenerKey, Listener], generation: int) -> RoutingTable:
    """The table of some listeners, with the destinations of all chains."""
    destinations: dict[int, Destination] = {}
    for listener in listeners.values():
        for chain in listener.unordered_chains():
            for destination in chain.destinations:
                destinations[id(destination)] = destination
    return RoutingTable(generation, listeners, tuple(destinations.values()))


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By place, so that the list reads like the files; the same problem is said once."""

    def place(problem: Problem) -> tuple[Any, ...]:
        return (
            problem.file,
            problem.line,
            problem.column,
            problem.path,
            problem.code,
            problem.listener,
            problem.message,
        )

    return tuple(sorted(dict.fromkeys(problems), key=place))
