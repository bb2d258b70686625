"""
The compiler: from resources to a routing table, with the problems and the status of every resource. Pure.

Problem: routes change one at a time among ten thousand, and the table has to follow within a moment. And the process
that compiles answers others as well, so nothing may hold it for long.

Approach: :class:`Compiler` keeps the resources and everything that it has compiled of them. After a change it compiles
again only what the change concerns. Its work comes in phases of some 500 resources, or 200 claims, each;
:func:`compile_change` is the one function that goes through them, and it awaits a rest between two. The table is
installed as soon as it is complete, before destinations are checked and resources are analyzed.

Invariants: the result equals that of a new compiler that is given all resources at once. It depends neither on their
order nor on the changes before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from meshgate.resources.kinds.destinationrule import DestinationRuleSpec
from meshgate.resources.kinds.gateway import Gateway, GatewaySpec
from meshgate.resources.kinds.pod import makes_pods
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.virtualservice import VirtualService, VirtualServiceSpec
from meshgate.resources.latest import ResourceChange
from meshgate.resources.phases import Rest, at_once, no_rest
from meshgate.resources.problem import Problem, in_order
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.access_lists import AccessEntries
from meshgate.routing.analysis.analysis_input import AnalysisInput, destinations_of
from meshgate.routing.analysis.analyzers import Analysis
from meshgate.routing.compile.catalog import Catalog
from meshgate.routing.compile.chains import ChainBuilder
from meshgate.routing.compile.claims import ClaimReader
from meshgate.routing.compile.destination_checks import DestinationChecks
from meshgate.routing.compile.destination_rules import DestinationRules
from meshgate.routing.compile.destinations import DestinationResolver
from meshgate.routing.compile.extended import ExtendedChainBuilder, ExtendedClaimReader
from meshgate.routing.compile.gateway_annotations import AnnotatedGateways, GatewayAccess
from meshgate.routing.compile.gateway_proxy import GatewayPods, Proxy, Translation, unselected
from meshgate.routing.compile.gateways import Gateways
from meshgate.routing.compile.listeners import BindFamilies
from meshgate.routing.compile.route_binding import Bindings
from meshgate.routing.compile.rule_candidates import RuleLookup, gravest
from meshgate.routing.compile.selection import selected
from meshgate.routing.compile.servers import BoundServer, servers_of
from meshgate.routing.compile.unrouted import UnboundServers
from meshgate.routing.hosts import MESH, full_name, wildcards_over
from meshgate.routing.loops import loops
from meshgate.routing.table import RoutingTable
from meshgate.routing.tell.statuses import NO_RESOURCES, ResourceCounts, ResourceStatus, Statuses

RESOURCES_AT_ONCE: Final = 500
CLAIMS_AT_ONCE: Final = 200
"""How many resources, and how many claims of VirtualServices to servers, one phase handles: some 0.05 s of work."""


@dataclass(frozen=True, slots=True)
class Compilation:
    """
    The result of compiling.

    :ivar problems: of everything that was dropped, ignored or not found, in the order of the files.
    :ivar statuses: of each resource.
    :ivar rules: the DestinationRules of the table's destinations.
    :ivar translations: the ports of the gateway's Services, and the ports of listeners to which they lead.
    :ivar access: the access lists of Gateways, by ``namespace/name``.
    :ivar counts: of the resources, where those that are not valid are known.
    :ivar objects: the identity and the generation of the object of the API of which each resource is, if it is one.
    """

    table: RoutingTable
    problems: tuple[Problem, ...]
    statuses: Mapping[ResourceKey, ResourceStatus] = field(default_factory=dict)
    rules: RuleLookup = field(default_factory=RuleLookup, compare=False)
    translations: tuple[Translation, ...] = ()
    access: Mapping[str, AccessEntries] = field(default_factory=dict)
    counts: ResourceCounts = NO_RESOURCES
    objects: Mapping[ResourceKey, tuple[str, int]] = field(default_factory=dict)


def compile_table(
    resources: Collection[Resource[Any]],
    proxy: Proxy,
    generation: int = 1,
    refused: Collection[Resource[Any]] = (),
    now: datetime | None = None,
    rest: Rest = no_rest,
) -> Compilation:
    """
    Compile resources at once, as a new compiler does.

    :param resources: valid ones, each kind, namespace and name at most once.
    :param proxy: the gateway as Istio sees it.
    :param refused: invalid resources, as far as they can be read. They are analyzed and never served.
    :param now: the time, for certificates that expire; None not to check them.
    :param rest: called between two phases; it must not suspend.
    """
    change = ResourceChange(added=list(resources))
    return at_once(compile_change(Compiler(proxy), change, generation, refused, now, rest))


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

    :param change: to the resources that the compiler has.
    :param generation: the number of the table.
    :param refused: all invalid resources, as in :func:`compile_table`.
    :param now: as in :func:`compile_table`.
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
    while not compiler.check_destinations(RESOURCES_AT_ONCE):
        await rest()
    while not compiler.analyze(now, RESOURCES_AT_ONCE):
        await rest()
    problems = compiler.problems()
    await rest()
    return Compilation(
        table, problems, compiler.statuses(problems), compiler.rules(), compiler.translations(), compiler.access()
    )


class Compiler:
    """
    The resources of a gateway, and everything that has been compiled of them.

    :func:`compile_change` calls the public methods in their order.

    :param proxy: the gateway as Istio sees it.
    :param elsewhere: Gateways that do not select the gateway, and VirtualServices for these alone, whose own problems
        nobody asks for.
    :param first: a compiler of the same resources for another gateway, whose catalog this one may share.
    """

    def __init__(self, proxy: Proxy, elsewhere: Set[ResourceKey] = frozenset(), first: Compiler | None = None) -> None:
        self.proxy = proxy
        self._elsewhere = elsewhere
        self._resources: dict[ResourceKey, Resource[Any]] = {}
        # Invalid resources without an older valid version.
        self._refused: dict[ResourceKey, Resource[Any]] = {}
        # Valid and invalid ones: all that are analyzed.
        self._analyzed_gateways: dict[str, Gateway] = {}
        self._analyzed_virtual_services: dict[ResourceKey, VirtualService] = {}
        # The full names of the hosts that the destinations of each of these VirtualServices name.
        self._destination_hosts: dict[ResourceKey, tuple[str, ...]] = {}
        # Valid resources that are neither Gateways nor VirtualServices, and everything that is made of them.
        self._shared: dict[ResourceKey, Resource[Any]] = {}
        self._shared_is_stale = True
        self._catalog: Catalog = first._catalog if first is not None else Catalog((), proxy.domain_suffix)
        self._catalog_with_refused: Catalog = self._catalog if first is None else first._catalog_with_refused
        self._rules = DestinationRules((), proxy)
        self._gateway_pods = GatewayPods()
        self._reader = self._new_reader()
        self._bindings = Bindings(proxy)
        self._gateways = Gateways(
            lambda gateway: () if gateway.key in elsewhere else servers_of(gateway, self._gateway_pods, proxy),
            lambda server, virtual_service: self._reader.read(server, virtual_service, self._new_resolver),
            ExtendedChainBuilder if proxy.extended else ChainBuilder,
        )
        # The problems of destinations that do not depend on a server, where there are some.
        self._destination_problems: dict[ResourceKey, tuple[Problem, ...]] = {}
        self._unchecked: dict[ResourceKey, None] = {}
        self._analysis = Analysis(self._analyzed_gateways, self._refused.keys(), elsewhere)
        self._statuses = Statuses()
        self._families = BindFamilies()
        self._access = GatewayAccess()
        self._headers = AnnotatedGateways()
        self._table = RoutingTable()

    def apply(self, change: ResourceChange) -> None:
        """Remove the resources that are gone, and add those that have come."""
        for resource in change.removed:
            del self._resources[resource.key]
            self._statuses.touch(resource.key)
            if isinstance(resource.spec, GatewaySpec):
                self._gateways.remove(resource)
                self._families.remove(resource)
                self._access.remove(resource)
                self._headers.remove(resource)
                self._stop_analyzing_gateway(resource)
            elif isinstance(resource.spec, VirtualServiceSpec):
                self._gateways.invalidate(self._bindings.remove(resource))
                self._stop_analyzing_virtual_service(resource)
            else:
                del self._shared[resource.key]
                self._shared_is_stale = True
        for resource in change.added:
            if resource.key in self._refused:
                self._remove_refused(resource.key)
            self._resources[resource.key] = resource
            self._statuses.touch(resource.key)
            if isinstance(resource.spec, GatewaySpec):
                self._gateways.add(resource)
                self._families.add(resource)
                self._access.add(resource)
                self._headers.add(resource)
                self._analyze_gateway(resource)
            elif isinstance(resource.spec, VirtualServiceSpec):
                self._gateways.invalidate(self._bindings.add(resource))
                self._analyze_virtual_service(resource)
            else:
                self._shared[resource.key] = resource
                self._shared_is_stale = True

    def apply_refused(self, refused: Iterable[Resource[Any]]) -> None:
        """Replace the invalid resources; one with an older valid version is passed over, since that version counts."""
        wanted = {each.key: each for each in refused if each.key not in self._resources}
        for key in [key for key, each in self._refused.items() if wanted.get(key) is not each]:
            self._remove_refused(key)
        for resource in (each for key, each in wanted.items() if key not in self._refused):
            self._refused[resource.key] = resource
            if isinstance(resource.spec, GatewaySpec):
                self._analyze_gateway(resource)
            elif isinstance(resource.spec, VirtualServiceSpec):
                self._analyze_virtual_service(resource)
            else:
                self._shared_is_stale = True

    def refresh_shared_state(self) -> None:
        """Rebuild what is made of resources other than Gateways and VirtualServices, if any of these has changed."""
        if not self._shared_is_stale:
            return
        shared = list(self._shared.values())
        before, before_with_refused, rules_before = self._catalog, self._catalog_with_refused, self._rules
        self._catalog = Catalog(shared, self.proxy.domain_suffix, self._catalog)
        faulty = [
            each for each in self._refused.values() if not isinstance(each.spec, GatewaySpec | VirtualServiceSpec)
        ]
        self._rules = DestinationRules(
            _of(shared, DestinationRuleSpec),
            self.proxy,
            refused=_of(faulty, DestinationRuleSpec),
        )
        self._catalog_with_refused = self._catalog
        if faulty:
            self._catalog_with_refused = Catalog([*shared, *faulty], self.proxy.domain_suffix, self._catalog)
        gateway_pods = GatewayPods.of(_of(shared, ServiceSpec), filter(makes_pods, shared), self.proxy)
        if gateway_pods != self._gateway_pods:
            self._gateway_pods = gateway_pods
            self._gateways.begin_epoch()
        # The old reader keeps destinations of the old catalog.
        self._reader = self._new_reader()
        changed = self._catalog.changed_hosts(before) | self._catalog_with_refused.changed_hosts(before_with_refused)
        self._invalidate_destinations(changed | self._rules.changed_hosts(rules_before))
        analysis_input = AnalysisInput([*shared, *faulty], self.proxy, self._catalog_with_refused)
        self._analysis.refresh_shared_state(analysis_input)
        self._shared_is_stale = False

    def compile_gateways(self, budget: int) -> bool:
        """Compile stale Gateways as :meth:`Gateways.compile_some` does; return True when none is left."""
        return self._gateways.compile_some(self._bindings, budget)

    def join(self, generation: int) -> RoutingTable:
        """Join all Gateways to the table."""
        listeners = self._families.narrowed(self._gateways.join())
        self._table = RoutingTable.of(generation, listeners, self._access.lists)
        return self._table

    def check_destinations(self, budget: int) -> bool:
        """Check the destinations of some VirtualServices, whatever the server; return True when none is left."""
        for key in list(islice(self._unchecked, budget)):
            if key in self._elsewhere:
                del self._unchecked[key]
                continue
            virtual_service = self._analyzed_virtual_services[key]
            checks = DestinationChecks(
                virtual_service, self._catalog, self._rules, self.proxy, self._catalog_with_refused
            )
            problems = checks.problems(self._is_ours)
            if problems:
                self._destination_problems[key] = problems
            else:
                self._destination_problems.pop(key, None)
            del self._unchecked[key]
        return not self._unchecked

    def analyze(self, now: datetime | None, budget: int) -> bool:
        """Ask the analyzers about some of the changed resources; return True when none is left."""
        return self._analysis.analyze_some(self._analyzed_virtual_services, now, budget)

    def problems(self) -> tuple[Problem, ...]:
        """The problems, in the order of the files."""
        refused = self._refused.values()
        problems = [
            *self._rules.problems,
            *self._bindings.hidden(self._is_ours),
            *unselected(_of(refused, GatewaySpec), self.proxy, self._gateway_pods.pods),
            *self._bindings.unbound(self._gateways.by_name, refused),
        ]
        dropped: set[tuple[ResourceKey, int]] = set()
        unbound: list[BoundServer] = []
        for output in self._gateways.outputs():
            problems += output.problems
            unbound += output.unbound
            dropped.update(output.dropped)
        if unbound:
            problems += UnboundServers(self._bindings, self._analyzed_gateways, refused).problems(unbound)
        problems += gravest([problem for each in self._destination_problems.values() for problem in each])
        problems += self._analysis.problems(dropped, self._analyzed_virtual_services.values())
        problems += self._families.problems(self.proxy, dropped)
        problems += self._headers.problems(self.proxy)
        problems += loops(self._table, self._analyzed_virtual_services.values(), self.proxy.domain_suffix)
        return in_order(problems)

    def translations(self) -> tuple[Translation, ...]:
        """The ports of the gateway's Services, and the ports of listeners to which they lead."""
        return self._gateway_pods.translations()

    def access(self) -> Mapping[str, AccessEntries]:
        """The access lists of Gateways."""
        return self._access.entries

    def statuses(self, problems: Collection[Problem]) -> Mapping[ResourceKey, ResourceStatus]:
        """
        The statuses of all resources, by kind and name.

        :param problems: as :meth:`problems` gives them.
        """
        used = {key for output in self._gateways.outputs() for key in output.used}
        return self._statuses.renew(self._resources, self._table, used, problems)

    def rules(self) -> RuleLookup:
        """The DestinationRules, by the hosts of destinations."""
        return RuleLookup(self._catalog, self._rules)

    def _invalidate_destinations(self, changed: Set[str]) -> None:
        """Have VirtualServices read and checked again whose destinations name a changed host."""
        if not changed:
            return
        affected = {
            key
            for key, hosts in self._destination_hosts.items()
            if not changed.isdisjoint(hosts) or any(not changed.isdisjoint(wildcards_over(host)) for host in hosts)
        }
        # The hints of a problem may name a Service of the same name in another namespace, or the Service of a Pod.
        names = {host.partition(".")[0] for host in changed}
        affected.update(
            key
            for key in (*self._destination_problems, *self._unchecked)
            if any(not names.isdisjoint(host.split(".", 2)[:2]) for host in self._destination_hosts[key])
        )
        self._gateways.read_again(affected)
        self._unchecked.update(dict.fromkeys(affected))

    def _remove_refused(self, key: ResourceKey) -> None:
        resource = self._refused.pop(key)
        if isinstance(resource.spec, GatewaySpec):
            self._stop_analyzing_gateway(resource)
        elif isinstance(resource.spec, VirtualServiceSpec):
            self._stop_analyzing_virtual_service(resource)
        else:
            self._shared_is_stale = True

    def _analyze_gateway(self, gateway: Gateway) -> None:
        self._analyzed_gateways[gateway.qualified_name] = gateway
        self._analysis.add_gateway(gateway)
        self._analyze_naming(gateway.qualified_name)

    def _stop_analyzing_gateway(self, gateway: Gateway) -> None:
        del self._analyzed_gateways[gateway.qualified_name]
        self._analysis.drop_gateway(gateway)
        self._analyze_naming(gateway.qualified_name)

    def _analyze_naming(self, gateway: str) -> None:
        """Have the VirtualServices that may name a Gateway checked and analyzed again."""
        refused = _of(self._refused.values(), VirtualServiceSpec)
        keys = [each.key for each in (*self._bindings.naming(gateway), *refused)]
        self._unchecked.update(dict.fromkeys(keys))
        self._analysis.touch(keys)

    def _is_ours(self, gateway: str) -> bool:
        """True if a Gateway, by ``namespace/name``, selects this gateway; one that is not given may do so, too."""
        found = self._analyzed_gateways.get(gateway)
        return gateway != MESH and (found is None or selected(found.spec.selector, self.proxy.labels))

    def _analyze_virtual_service(self, virtual_service: VirtualService) -> None:
        self._analyzed_virtual_services[virtual_service.key] = virtual_service
        hosts = (
            full_name(each.destination.host, virtual_service.namespace, self.proxy.domain_suffix)
            for each in destinations_of(virtual_service)
        )
        self._destination_hosts[virtual_service.key] = tuple(dict.fromkeys(hosts))
        self._analysis.add_virtual_service(virtual_service, self.proxy)
        self._unchecked[virtual_service.key] = None

    def _stop_analyzing_virtual_service(self, virtual_service: VirtualService) -> None:
        del self._analyzed_virtual_services[virtual_service.key]
        del self._destination_hosts[virtual_service.key]
        self._analysis.drop_virtual_service(virtual_service)
        self._unchecked.pop(virtual_service.key, None)
        self._destination_problems.pop(virtual_service.key, None)

    def _new_reader(self) -> ClaimReader:
        return (ExtendedClaimReader if self.proxy.extended else ClaimReader)(self.proxy.domain_suffix)

    def _new_resolver(self) -> DestinationResolver:
        return DestinationResolver(self._catalog, self._rules, self.proxy, self._catalog_with_refused)


def _of(resources: Iterable[Resource[Any]], spec: type[Any]) -> list[Resource[Any]]:
    return [resource for resource in resources if isinstance(resource.spec, spec)]
