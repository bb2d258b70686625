"""
What is worth saying about all resources together beyond what the compiler drops: dangling references, contradictions.

It changes no route. The rules are mostly those of Istio's analyzers (pkg/config/analysis/analyzers), held against what
is known here: files instead of a cluster, and this gateway in place of its pod.

An analyzer takes an :class:`~meshgate.routing.analysis.analysis_input.AnalysisInput` and gives its findings. The lists
below sort analyzers by what their findings about one resource depend on, so that each is asked again only about what a
change touches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, TypeVar

from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.analysis.analysis_input import AnalysisInput, SubsetOwners
from meshgate.routing.analysis.certificate_checks import (
    credentials,
    next_validity_change,
    shared_certificates,
    terminates_tls,
)
from meshgate.routing.analysis.destination_rule_checks import idle_subsets, unknown_hosts, unverified_servers
from meshgate.routing.analysis.gateway_checks import Binding, bindings_of, conflicting_gateways, ports_not_on_service
from meshgate.routing.analysis.mesh_checks import mesh_conflicts, rules_without_effect, subset_hosts
from meshgate.routing.analysis.service_checks import conflicting_protocols, missing_addresses, unnamed_protocols
from meshgate.routing.analysis.virtual_service_checks import (
    host_index,
    hostless_destinations,
    hosts_not_in_gateway,
    unreached_rules,
)
from meshgate.routing.compile.catalog import Catalog
from meshgate.routing.compile.route_binding import gateways_of, in_mesh
from meshgate.routing.compile.servers import Proxy
from meshgate.routing.hosts import HostIndex

K = TypeVar("K")
Analyzer = Callable[[AnalysisInput], Iterable[Problem]]

RESOURCE_ANALYZERS: Final[Sequence[Analyzer]] = (
    unnamed_protocols,
    missing_addresses,
    unknown_hosts,
    idle_subsets,
    unverified_servers,
)
"""About one Service, ServiceEntry or DestinationRule; depends on no Gateway, VirtualService or others of its kind."""

SERVICE_ENTRY_ANALYZERS: Final[Sequence[Analyzer]] = (conflicting_protocols,)
"""About ServiceEntries; depends on all others of them."""

GATEWAY_ANALYZERS: Final[Sequence[Analyzer]] = (ports_not_on_service, credentials)
"""About one Gateway; depends on no other, and on no VirtualService, but on the time."""

RIVAL_ANALYZERS: Final[Sequence[Analyzer]] = (conflicting_gateways,)
"""About Gateways that have a place in common; depends on no others, and on no VirtualService."""

CERTIFICATE_ANALYZERS: Final[Sequence[Analyzer]] = (shared_certificates,)
"""About Gateways with certificates; depends on all of them, and on no VirtualService."""

VIRTUAL_SERVICE_ANALYZERS: Final[Sequence[Analyzer]] = (
    hosts_not_in_gateway,
    hostless_destinations,
    unreached_rules,
    rules_without_effect,
)
"""
About one VirtualService; depends on the Gateways that it names, and on the VirtualServices that tell subsets apart.
"""

MESH_ANALYZERS: Final[Sequence[Analyzer]] = (mesh_conflicts,)
"""About VirtualServices for sidecars; depends on all of them."""


class Analysis:
    """
    Keeps what all analyzers find, and asks them again about what a change touches.

    :param gateways: all Gateways by ``namespace/name``; kept up to date by its owner.
    """

    def __init__(self, gateways: Mapping[str, Gateway]) -> None:
        self._gateways = gateways
        self._given = AnalysisInput((), Proxy({}, ""), Catalog((), ""))
        self._other_problems: list[Problem] = []
        self._gateway_problems: dict[str, tuple[Problem, ...]] = {}
        self._virtual_service_problems: dict[ResourceKey, tuple[Problem, ...]] = {}
        self._mesh_problems: tuple[Problem, ...] = ()
        self._stale_gateways: dict[str, None] = {}
        self._stale: dict[ResourceKey, None] = {}
        self._gateways_by_binding: dict[Binding, dict[str, None]] = {}
        self._shared_bindings: dict[Binding, None] = {}
        self._certificate_problems: tuple[Problem, ...] = ()
        self._with_certificates: dict[str, Gateway] = {}
        self._certificates_are_stale = False
        # What is said of certificates holds from the first of these moments to the second.
        self._judged: tuple[datetime, datetime] | None = None
        self._members: dict[ResourceKey, VirtualService] = {}
        self._members_are_stale = False
        self._subset_owners: dict[str, SubsetOwners] = {}
        # By owner, the hosts.
        self._owned: dict[ResourceKey, dict[str, None]] = {}
        self._owners_are_stale = False
        # The hosts of the Gateways that VirtualServices name, made when they are first needed.
        self._host_indexes: dict[str, HostIndex] = {}

    def touch(self, virtual_services: Iterable[ResourceKey]) -> None:
        """Look at VirtualServices anew: a Gateway that they name has changed."""
        self._stale.update(dict.fromkeys(virtual_services))

    def add_gateway(self, gateway: Gateway) -> None:
        """Take a Gateway in."""
        self._host_indexes.pop(gateway.qualified_name, None)
        self._stale_gateways[gateway.qualified_name] = None
        for place in bindings_of(gateway):
            having = self._gateways_by_binding.setdefault(place, {})
            having[gateway.qualified_name] = None
            if len(having) == 2:
                self._shared_bindings[place] = None
        if terminates_tls(gateway):
            self._with_certificates[gateway.qualified_name] = gateway
            self._certificates_are_stale = True

    def drop_gateway(self, gateway: Gateway) -> None:
        """Forget a Gateway."""
        self._host_indexes.pop(gateway.qualified_name, None)
        self._gateway_problems.pop(gateway.qualified_name, None)
        self._stale_gateways.pop(gateway.qualified_name, None)
        for place in bindings_of(gateway):
            having = self._gateways_by_binding.get(place, {})
            if gateway.qualified_name not in having:
                continue  # several servers have the place
            del having[gateway.qualified_name]
            if len(having) == 1:
                del self._shared_bindings[place]
            if not having:
                del self._gateways_by_binding[place]
        if self._with_certificates.pop(gateway.qualified_name, None) is not None:
            self._certificates_are_stale = True

    def add_virtual_service(self, virtual_service: VirtualService, proxy: Proxy) -> None:
        """Take a VirtualService in."""
        self._stale[virtual_service.key] = None
        if in_mesh(virtual_service):
            self._members[virtual_service.key] = virtual_service
            self._members_are_stale = True
        for host, path in subset_hosts(virtual_service, proxy.domain_suffix):
            self._owned.setdefault(virtual_service.key, {})[host] = None
            self._subset_owners.setdefault(host, {}).setdefault(virtual_service.key, (virtual_service, path))
            self._owners_are_stale = True

    def drop_virtual_service(self, virtual_service: VirtualService) -> None:
        """Forget a VirtualService."""
        self._virtual_service_problems.pop(virtual_service.key, None)
        self._stale.pop(virtual_service.key, None)
        if self._members.pop(virtual_service.key, None) is not None:
            self._members_are_stale = True
        for host in self._owned.pop(virtual_service.key, ()):
            del self._subset_owners[host][virtual_service.key]
            if not self._subset_owners[host]:
                del self._subset_owners[host]
            self._owners_are_stale = True

    def refresh_shared_state(self, given: AnalysisInput) -> None:
        """
        Take in what is neither a Gateway nor a VirtualService.

        :param given: with that alone.
        """
        given.sort_by_kind()
        self._given = given
        self._other_problems = list(_run((*SERVICE_ENTRY_ANALYZERS, *RESOURCE_ANALYZERS), given))
        self._stale_gateways.update(dict.fromkeys(self._gateways))
        self._certificates_are_stale = True

    def analyze_some(
        self, virtual_services: Mapping[ResourceKey, VirtualService], now: datetime | None, budget: int
    ) -> bool:
        """
        Ask the analyzers about what has changed.

        :param now: for certificates that expire; None to leave that aside.
        :param budget: how many resources are asked about at most.
        :return: True when nothing is left to be asked about.
        """
        given = self._given.narrow(gateway_of=self._gateways, host_indexes=self._host_indexes, now=now)
        if now is not None and (self._certificates_are_stale or not self._still_holds(now)):
            self._judged = (now, next_validity_change(given, now))
            self._stale_gateways.update(dict.fromkeys(self._with_certificates))
        if self._certificates_are_stale:
            gateways = sorted(self._with_certificates.values(), key=Resource.order)
            self._certificate_problems = _run(CERTIFICATE_ANALYZERS, given.narrow(gateways=gateways))
            self._certificates_are_stale = False
        if self._members_are_stale:
            members = sorted(self._members.values(), key=Resource.order)
            self._mesh_problems = _run(MESH_ANALYZERS, given.narrow(virtual_services=members))
            self._members_are_stale = False
        if self._owners_are_stale:
            self._stale.update(dict.fromkeys(virtual_services))
            self._owners_are_stale = False
        for name in list(islice(self._stale_gateways, budget)):
            narrowed = given.narrow(gateways=[self._gateways[name]])
            _keep(self._gateway_problems, name, _run(GATEWAY_ANALYZERS, narrowed))
            del self._stale_gateways[name]
        for key in list(islice(self._stale, budget)):
            one = virtual_services[key]
            self._index_hosts(one)
            narrowed = given.narrow(virtual_services=[one], subset_owners=self._subset_owners)
            _keep(self._virtual_service_problems, key, _run(VIRTUAL_SERVICE_ANALYZERS, narrowed))
            del self._stale[key]
        return not (self._stale or self._stale_gateways)

    def problems(self, dropped: Collection[tuple[ResourceKey, int]]) -> list[Problem]:
        """
        Everything that the analyzers find, once nothing is left to be asked about.

        :param dropped: the servers that the compiler has dropped and spoken of.
        """
        given = self._given.narrow(gateway_of=self._gateways, dropped=dropped)
        names = dict.fromkeys(name for place in self._shared_bindings for name in self._gateways_by_binding[place])
        rivals = sorted((self._gateways[name] for name in names), key=Resource.order)
        found = [*self._other_problems, *_run(RIVAL_ANALYZERS, given.narrow(gateways=rivals))]
        found += self._certificate_problems
        found += self._mesh_problems
        for kept in (self._gateway_problems, self._virtual_service_problems):
            for problems in kept.values():
                found += problems
        return found

    def _still_holds(self, now: datetime) -> bool:
        """Tell whether the dates of certificates mean what they meant; the clock may have been moved back."""
        return self._judged is not None and self._judged[0] <= now <= self._judged[1]

    def _index_hosts(self, virtual_service: VirtualService) -> None:
        for name in gateways_of(virtual_service):
            if name in self._gateways and name not in self._host_indexes:
                self._host_indexes[name] = host_index(self._gateways[name])


def _keep(kept: dict[K, tuple[Problem, ...]], key: K, found: tuple[Problem, ...]) -> None:
    """Keep what is found about a resource; about most there is nothing."""
    if found:
        kept[key] = found
    else:
        kept.pop(key, None)


def _run(analyzers: Iterable[Analyzer], given: AnalysisInput) -> tuple[Problem, ...]:
    """The findings of some analyzers."""
    return tuple(problem for analyzer in analyzers for problem in analyzer(given))
