"""
Analysis: problems of all resources together that drop no route, such as dangling references and contradictions.

The rules are mostly those of Istio's analyzers (pkg/config/analysis/analyzers), with files in place of a cluster and
this gateway in place of its pod. An analyzer is a function from an
:class:`~meshgate.routing.analysis.analysis_input.AnalysisInput` to problems.

Running all analyzers over ten thousand resources after every change would take too long. So the analyzers stand in
lists by what their problems about one resource depend on, and :class:`Analysis` keeps the problems of each resource.
A change marks as stale the resources whose problems may be others now, and only those are analyzed again. Invariant:
once nothing is stale, the problems are those that analyzing everything anew would find. What depends on many resources
at once is kept small by an index: only Gateways that share a binding are compared with each other, only Gateways with
certificates, only VirtualServices of the mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from datetime import datetime
from itertools import islice
from typing import Final, TypeVar

from meshgate.resources.kinds.destinationrule import DestinationRule
from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.analysis.analysis_input import AnalysisInput, SubsetOwners
from meshgate.routing.analysis.gateway_checks import (
    Binding,
    bindings_of,
    conflicting_gateways,
    credentials,
    next_validity_change,
    ports_not_on_service,
    shared_certificates,
    terminates_tls,
)
from meshgate.routing.analysis.host_checks import (
    conflicting_protocols,
    idle_subsets,
    missing_addresses,
    rules_of_unknown_hosts,
    unknown_hosts,
    unnamed_protocols,
    unverified_servers,
)
from meshgate.routing.analysis.virtual_service_checks import (
    host_index,
    hostless_destinations,
    hosts_not_in_gateway,
    mesh_conflicts,
    rules_without_effect,
    subset_hosts,
    unreached_rules,
)
from meshgate.routing.compile.catalog import Catalog
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.route_binding import gateways_of, in_mesh
from meshgate.routing.hosts import HostIndex

K = TypeVar("K")
Analyzer = Callable[[AnalysisInput], Iterable[Problem]]

RESOURCE_ANALYZERS: Final[Sequence[Analyzer]] = (
    unnamed_protocols,
    missing_addresses,
    idle_subsets,
    unverified_servers,
)
"""Analyzers of one Service, ServiceEntry or DestinationRule, which depend on no others, Gateways or VirtualServices."""

SERVICE_ENTRY_ANALYZERS: Final[Sequence[Analyzer]] = (conflicting_protocols,)
"""Analyzers of ServiceEntries, which depend on all ServiceEntries."""

GATEWAY_ANALYZERS: Final[Sequence[Analyzer]] = (ports_not_on_service, credentials)
"""Analyzers of one Gateway, which depend on the time, but on no other Gateway and on no VirtualService."""

LOST_RULE_ANALYZERS: Final[Sequence[Analyzer]] = (unknown_hosts,)
"""Analyzers of DestinationRules for unknown hosts, which depend on all VirtualServices."""

RIVAL_ANALYZERS: Final[Sequence[Analyzer]] = (conflicting_gateways,)
"""Analyzers of Gateways that have a binding in common, which depend on these Gateways alone."""

CERTIFICATE_ANALYZERS: Final[Sequence[Analyzer]] = (shared_certificates,)
"""Analyzers of Gateways with certificates, which depend on all such Gateways, and on no VirtualService."""

VIRTUAL_SERVICE_ANALYZERS: Final[Sequence[Analyzer]] = (
    hosts_not_in_gateway,
    hostless_destinations,
    unreached_rules,
    rules_without_effect,
)
"""
Analyzers of one VirtualService, which depend on the Gateways that it names, and on VirtualServices that choose between
subsets.
"""

MESH_ANALYZERS: Final[Sequence[Analyzer]] = (mesh_conflicts,)
"""Analyzers of VirtualServices of the mesh, which are for sidecars; they depend on all such VirtualServices."""


class Analysis:
    """
    The problems of all analyzers, kept from change to change.

    :param gateways: all Gateways by ``namespace/name``; the owner of the mapping keeps it up to date.
    :param faulty: the keys of all invalid resources; likewise.
    :param elsewhere: the keys of Gateways and VirtualServices whose own problems nobody asks for.
    """

    def __init__(
        self, gateways: Mapping[str, Gateway], faulty: Set[ResourceKey], elsewhere: Set[ResourceKey] = frozenset()
    ) -> None:
        self._gateways = gateways
        self._elsewhere = elsewhere
        self._faulty = faulty
        self._given = AnalysisInput((), Proxy({}, ""), Catalog((), ""))
        self._other_problems: list[Problem] = []
        self._lost_rules: list[DestinationRule] = []
        self._gateway_problems: dict[str, tuple[Problem, ...]] = {}
        self._virtual_service_problems: dict[ResourceKey, tuple[Problem, ...]] = {}
        self._mesh_problems: tuple[Problem, ...] = ()
        self._stale_gateways: dict[str, None] = {}
        self._stale_virtual_services: dict[ResourceKey, None] = {}
        self._gateways_by_binding: dict[Binding, dict[str, None]] = {}
        self._shared_bindings: dict[Binding, None] = {}
        self._certificate_problems: tuple[Problem, ...] = ()
        self._with_certificates: dict[str, Gateway] = {}
        self._certificates_are_stale = False
        # The problems of certificates hold from the first of these moments to the second.
        self._certificates_hold: tuple[datetime, datetime] | None = None
        self._mesh_members: dict[ResourceKey, VirtualService] = {}
        self._mesh_is_stale = False
        self._subset_owners: dict[str, SubsetOwners] = {}
        # The hosts between whose subsets a VirtualService chooses, by VirtualService.
        self._hosts_by_owner: dict[ResourceKey, dict[str, None]] = {}
        self._owners_are_stale = False
        # Made when a VirtualService that names the Gateway is analyzed, and kept until nothing is stale.
        self._host_indexes: dict[str, HostIndex] = {}

    def touch(self, virtual_services: Iterable[ResourceKey]) -> None:
        """Mark VirtualServices as stale, because a Gateway that they name has changed."""
        self._stale_virtual_services.update(dict.fromkeys(virtual_services))

    def add_gateway(self, gateway: Gateway) -> None:
        """Add a Gateway."""
        self._host_indexes.pop(gateway.qualified_name, None)
        self._stale_gateways[gateway.qualified_name] = None
        for binding in bindings_of(gateway):
            names = self._gateways_by_binding.setdefault(binding, {})
            names[gateway.qualified_name] = None
            if len(names) == 2:
                self._shared_bindings[binding] = None
        if terminates_tls(gateway):
            self._with_certificates[gateway.qualified_name] = gateway
            self._certificates_are_stale = True

    def drop_gateway(self, gateway: Gateway) -> None:
        """Drop a Gateway, and its problems."""
        self._host_indexes.pop(gateway.qualified_name, None)
        self._gateway_problems.pop(gateway.qualified_name, None)
        self._stale_gateways.pop(gateway.qualified_name, None)
        for binding in bindings_of(gateway):
            names = self._gateways_by_binding.get(binding, {})
            if gateway.qualified_name not in names:
                continue  # several of its servers have the binding
            del names[gateway.qualified_name]
            if len(names) == 1:
                del self._shared_bindings[binding]
            if not names:
                del self._gateways_by_binding[binding]
        if self._with_certificates.pop(gateway.qualified_name, None) is not None:
            self._certificates_are_stale = True

    def add_virtual_service(self, virtual_service: VirtualService, proxy: Proxy) -> None:
        """Add a VirtualService."""
        self._stale_virtual_services[virtual_service.key] = None
        if in_mesh(virtual_service):
            self._mesh_members[virtual_service.key] = virtual_service
            self._mesh_is_stale = True
        for host, path in subset_hosts(virtual_service, proxy.domain_suffix):
            self._hosts_by_owner.setdefault(virtual_service.key, {})[host] = None
            self._subset_owners.setdefault(host, {}).setdefault(virtual_service.key, (virtual_service, path))
            self._owners_are_stale = True

    def drop_virtual_service(self, virtual_service: VirtualService) -> None:
        """Drop a VirtualService, and its problems."""
        self._virtual_service_problems.pop(virtual_service.key, None)
        self._stale_virtual_services.pop(virtual_service.key, None)
        if self._mesh_members.pop(virtual_service.key, None) is not None:
            self._mesh_is_stale = True
        for host in self._hosts_by_owner.pop(virtual_service.key, ()):
            del self._subset_owners[host][virtual_service.key]
            if not self._subset_owners[host]:
                del self._subset_owners[host]
            self._owners_are_stale = True

    def refresh_shared_state(self, given: AnalysisInput) -> None:
        """
        Replace all resources that are neither Gateways nor VirtualServices.

        :param given: an input with those resources alone.
        """
        given.sort_by_kind()
        self._given = given
        self._lost_rules = list(rules_of_unknown_hosts(given))
        self._other_problems = list(_run((*SERVICE_ENTRY_ANALYZERS, *RESOURCE_ANALYZERS), given))
        self._stale_gateways.update(dict.fromkeys(self._gateways))
        self._certificates_are_stale = True

    def analyze_some(
        self, virtual_services: Mapping[ResourceKey, VirtualService], now: datetime | None, budget: int
    ) -> bool:
        """
        Analyze stale resources again.

        :param virtual_services: all VirtualServices.
        :param now: the time against which certificates are checked; None to leave their dates unchecked.
        :param budget: how many Gateways, and how many VirtualServices, to analyze at most.
        :return: True when nothing is stale any more.
        """
        given = self._given.narrow(
            gateway_of=self._gateways, faulty=self._faulty, host_indexes=self._host_indexes, now=now
        )
        if now is not None and (self._certificates_are_stale or not self._still_hold(now)):
            self._certificates_hold = (now, next_validity_change(given, now))
            self._stale_gateways.update(dict.fromkeys(self._with_certificates))
        if self._certificates_are_stale:
            gateways = sorted(self._with_certificates.values(), key=Resource.order)
            self._certificate_problems = _run(CERTIFICATE_ANALYZERS, given.narrow(gateways=gateways))
            self._certificates_are_stale = False
        if self._mesh_is_stale:
            members = sorted(self._mesh_members.values(), key=Resource.order)
            self._mesh_problems = _run(MESH_ANALYZERS, given.narrow(virtual_services=members))
            self._mesh_is_stale = False
        if self._owners_are_stale:
            self._stale_virtual_services.update(dict.fromkeys(virtual_services))
            self._owners_are_stale = False
        for name in list(islice(self._stale_gateways, budget)):
            if self._gateways[name].key not in self._elsewhere:
                narrowed = given.narrow(gateways=[self._gateways[name]])
                _keep(self._gateway_problems, name, _run(GATEWAY_ANALYZERS, narrowed))
            del self._stale_gateways[name]
        for key in list(islice(self._stale_virtual_services, budget)):
            if key not in self._elsewhere:
                one = virtual_services[key]
                self._index_hosts(one)
                narrowed = given.narrow(virtual_services=[one], subset_owners=self._subset_owners)
                _keep(self._virtual_service_problems, key, _run(VIRTUAL_SERVICE_ANALYZERS, narrowed))
            del self._stale_virtual_services[key]
        if self._stale_virtual_services or self._stale_gateways:
            return False
        self._host_indexes.clear()
        return True

    def problems(
        self, dropped: Collection[tuple[ResourceKey, int]], virtual_services: Iterable[VirtualService]
    ) -> list[Problem]:
        """
        The problems of all analyzers; complete once nothing is stale.

        :param dropped: servers that the compiler has dropped with a problem, by their Gateway and index.
        :param virtual_services: all VirtualServices.
        """
        given = self._given.narrow(gateway_of=self._gateways, dropped=dropped)
        names = dict.fromkeys(name for binding in self._shared_bindings for name in self._gateways_by_binding[binding])
        rivals = sorted((self._gateways[name] for name in names), key=Resource.order)
        found = [*self._other_problems, *_run(RIVAL_ANALYZERS, given.narrow(gateways=rivals))]
        if self._lost_rules:
            in_order = sorted(virtual_services, key=Resource.order)
            found += _run(LOST_RULE_ANALYZERS, given.narrow(rules=self._lost_rules, virtual_services=in_order))
        found += self._certificate_problems
        found += self._mesh_problems
        for kept in (self._gateway_problems, self._virtual_service_problems):
            for problems in kept.values():
                found += problems
        return found

    def _still_hold(self, now: datetime) -> bool:
        """True if no certificate has begun or ceased to be valid since; the clock may also have been moved back."""
        return self._certificates_hold is not None and self._certificates_hold[0] <= now <= self._certificates_hold[1]

    def _index_hosts(self, virtual_service: VirtualService) -> None:
        for name in gateways_of(virtual_service):
            if name in self._gateways and name not in self._host_indexes:
                self._host_indexes[name] = host_index(self._gateways[name])


def _keep(kept: dict[K, tuple[Problem, ...]], key: K, found: tuple[Problem, ...]) -> None:
    """Keep the problems of a resource; most have none, and take no entry."""
    if found:
        kept[key] = found
    else:
        kept.pop(key, None)


def _run(analyzers: Iterable[Analyzer], given: AnalysisInput) -> tuple[Problem, ...]:
    """The problems that some analyzers find."""
    return tuple(problem for analyzer in analyzers for problem in analyzer(given))
