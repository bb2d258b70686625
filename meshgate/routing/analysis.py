"""
What is worth saying about all resources together beyond what the compiler drops: dangling references, contradictions.

It changes no route. The rules are mostly those of Istio's analyzers (pkg/config/analysis/analyzers), held against what
is known here: files instead of a cluster, and this gateway in place of its pod.

An analyzer takes an :class:`~meshgate.routing.analysis_input.AnalysisInput` and gives what it finds. It stands below by
what its findings about one resource depend on, so that it is asked again only about what a change touches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.problem import Problem
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.steps import BATCH, batches
from meshgate.resources.virtualservice import VirtualServiceSpec
from meshgate.routing.analysis_certificates import credentials, has_certificates, next_turn, shared_certificates
from meshgate.routing.analysis_gateways import Place, all_places, conflicting_gateways, ports_not_on_service
from meshgate.routing.analysis_input import AnalysisInput, SubsetOwners
from meshgate.routing.analysis_mesh import mesh_conflicts, rules_without_effect, subset_hosts
from meshgate.routing.analysis_rules import idle_subsets, unknown_hosts, unverified_servers
from meshgate.routing.analysis_services import conflicting_protocols, missing_addresses, unnamed_protocols
from meshgate.routing.analysis_virtualservices import (
    host_index,
    hostless_destinations,
    hosts_not_in_gateway,
    unreached_rules,
)
from meshgate.routing.binding import gateways_of, in_mesh
from meshgate.routing.catalog import Catalog
from meshgate.routing.servers import Proxy

Gateway = Resource[GatewaySpec]
VirtualService = Resource[VirtualServiceSpec]
K = TypeVar("K")
Analyzer = Callable[[AnalysisInput], Iterable[Problem | None]]
"""Gives None where there can be a rest."""

OF_EACH: Final[Sequence[tuple[str, Analyzer]]] = (
    ("services", unnamed_protocols),
    ("entries", missing_addresses),
    ("rules", unknown_hosts),
    ("rules", idle_subsets),
    ("rules", unverified_servers),
)
"""About one Service, ServiceEntry or DestinationRule; depends on no Gateway, VirtualService or others of its kind."""

OF_ENTRIES: Final[Sequence[Analyzer]] = (conflicting_protocols,)
"""About ServiceEntries; depends on all others of them."""

OF_GATEWAY: Final[Sequence[Analyzer]] = (ports_not_on_service, credentials)
"""About one Gateway; depends on no other, and on no VirtualService, but on the time."""

OF_RIVALS: Final[Sequence[Analyzer]] = (conflicting_gateways,)
"""About Gateways that have a place in common; depends on no others, and on no VirtualService."""

OF_CERTIFICATES: Final[Sequence[Analyzer]] = (shared_certificates,)
"""About Gateways with certificates; depends on all of them, and on no VirtualService."""

OF_VIRTUAL_SERVICE: Final[Sequence[Analyzer]] = (
    hosts_not_in_gateway,
    hostless_destinations,
    unreached_rules,
    rules_without_effect,
)
"""
About one VirtualService; depends on the Gateways that it names, and on the VirtualServices that tell subsets apart.
"""

OF_MESH: Final[Sequence[Analyzer]] = (mesh_conflicts,)
"""About VirtualServices for sidecars; depends on all of them."""


class Analysis:
    """
    Keeps what all analyzers find, and asks them again about what a change touches.

    :param gateways: all Gateways by ``namespace/name``; kept up to date by its owner.
    """

    def __init__(self, gateways: Mapping[str, Gateway]) -> None:
        self._gateways = gateways
        self._given = AnalysisInput((), Proxy({}, ""), Catalog((), ""))
        self._about_others: list[Problem] = []
        self._about_gateways: dict[str, tuple[Problem, ...]] = {}
        self._about_virtual_services: dict[ResourceKey, tuple[Problem, ...]] = {}
        self._about_mesh: list[Problem] = []
        self._stale_gateways: dict[str, None] = {}
        self._stale: dict[ResourceKey, None] = {}
        self._on_place: dict[Place, dict[str, None]] = {}
        self._shared: dict[Place, None] = {}
        self._about_certificates: list[Problem] = []
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

    def touch(self, virtual_services: Iterable[ResourceKey]) -> None:
        """Look at VirtualServices anew: a Gateway that they name has changed."""
        self._stale.update(dict.fromkeys(virtual_services))

    def add_gateway(self, gateway: Gateway) -> Iterator[None]:
        """Take a Gateway in, in steps."""
        self._stale_gateways[gateway.qualified_name] = None
        for batch in batches(all_places(gateway)):
            for place in batch:
                having = self._on_place.setdefault(place, {})
                having[gateway.qualified_name] = None
                if len(having) == 2:
                    self._shared[place] = None
            if len(batch) == BATCH:
                yield
        if has_certificates(gateway):
            self._with_certificates[gateway.qualified_name] = gateway
            self._certificates_are_stale = True

    def drop_gateway(self, gateway: Gateway) -> Iterator[None]:
        """Forget a Gateway, in steps."""
        self._about_gateways.pop(gateway.qualified_name, None)
        self._stale_gateways.pop(gateway.qualified_name, None)
        for batch in batches(all_places(gateway)):
            for place in batch:
                having = self._on_place.get(place, {})
                if gateway.qualified_name not in having:
                    continue  # several servers have the place
                del having[gateway.qualified_name]
                if len(having) == 1:
                    del self._shared[place]
                if not having:
                    del self._on_place[place]
            if len(batch) == BATCH:
                yield
        if self._with_certificates.pop(gateway.qualified_name, None) is not None:
            self._certificates_are_stale = True

    def add_virtual_service(self, virtual_service: VirtualService, proxy: Proxy) -> Iterator[None]:
        """Take a VirtualService in, in steps."""
        self._stale[virtual_service.key] = None
        if in_mesh(virtual_service):
            self._members[virtual_service.key] = virtual_service
            self._members_are_stale = True
        for found in subset_hosts(virtual_service, proxy.domain_suffix):
            if found is None:
                yield
                continue
            host, path = found
            self._owned.setdefault(virtual_service.key, {})[host] = None
            self._subset_owners.setdefault(host, {}).setdefault(virtual_service.key, (virtual_service, path))
            self._owners_are_stale = True

    def drop_virtual_service(self, virtual_service: VirtualService) -> None:
        """Forget a VirtualService."""
        self._about_virtual_services.pop(virtual_service.key, None)
        self._stale.pop(virtual_service.key, None)
        if self._members.pop(virtual_service.key, None) is not None:
            self._members_are_stale = True
        for host in self._owned.pop(virtual_service.key, ()):
            del self._subset_owners[host][virtual_service.key]
            if not self._subset_owners[host]:
                del self._subset_owners[host]
            self._owners_are_stale = True

    def look_around(
        self, given: AnalysisInput, virtual_services: Mapping[ResourceKey, VirtualService]
    ) -> Generator[None, None, None]:
        """
        Take in what is neither a Gateway nor a VirtualService, in steps.

        :param given: with that alone.
        """
        yield from given.prepare()
        self._given = given
        self._about_others = []
        for found in _of_others(given):
            self._about_others += found
            yield
        self._stale_gateways.update(dict.fromkeys(self._gateways))
        self._stale.update(dict.fromkeys(virtual_services))
        self._members_are_stale = True
        self._certificates_are_stale = True

    def problems(
        self,
        virtual_services: Mapping[ResourceKey, VirtualService],
        dropped: Collection[tuple[ResourceKey, int]],
        now: datetime | None = None,
    ) -> Generator[None, None, list[Problem]]:
        """
        All that analyzers find, in steps.

        :param dropped: the servers that the compiler has dropped and spoken of.
        :param now: for certificates that expire; None to leave that aside.
        """
        given = self._given.about(gateway_of=self._gateways, dropped=dropped, host_indexes={}, now=now)
        found = list(self._about_others)
        if now is not None and (self._certificates_are_stale or not self._still_holds(now)):
            self._judged = (now, next_turn(given, now))
            self._stale_gateways.update(dict.fromkeys(self._with_certificates))
            yield
        for name in list(self._stale_gateways):
            about = given.about(gateways=[self._gateways[name]])
            _keep(self._about_gateways, name, (yield from _ask(OF_GATEWAY, about)))
            del self._stale_gateways[name]
            yield
        names = dict.fromkeys(name for place in self._shared for name in self._on_place[place])
        rivals = sorted((self._gateways[name] for name in names), key=Resource.order)
        for problem in _finding(OF_RIVALS, given.about(gateways=rivals)):
            found += problem
            yield
        yield from self._look_at_certificates(given)
        yield from self._look_at_mesh(given)
        yield from self._look_at_each(given, virtual_services)
        found += self._about_certificates
        found += self._about_mesh
        for kept in (self._about_gateways, self._about_virtual_services):
            for batch in batches(kept.values()):
                found += [problem for each in batch for problem in each]
                yield
        return found

    def _still_holds(self, now: datetime) -> bool:
        """Tell whether the dates of certificates mean what they meant; the clock may have been moved back."""
        return self._judged is not None and self._judged[0] <= now <= self._judged[1]

    def _look_at_certificates(self, given: AnalysisInput) -> Generator[None, None, None]:
        if not self._certificates_are_stale:
            return
        self._about_certificates = []
        gateways = sorted(self._with_certificates.values(), key=Resource.order)
        for problem in _finding(OF_CERTIFICATES, given.about(gateways=gateways)):
            self._about_certificates += problem
            yield
        self._certificates_are_stale = False

    def _look_at_mesh(self, given: AnalysisInput) -> Generator[None, None, None]:
        if not self._members_are_stale:
            return
        self._about_mesh = []
        members = sorted(self._members.values(), key=Resource.order)
        for problem in _finding(OF_MESH, given.about(virtual_services=members)):
            self._about_mesh += problem
            yield
        self._members_are_stale = False

    def _look_at_each(
        self, given: AnalysisInput, virtual_services: Mapping[ResourceKey, VirtualService]
    ) -> Generator[None, None, None]:
        if self._owners_are_stale:
            self._stale.update(dict.fromkeys(virtual_services))
            self._owners_are_stale = False
        for keys in batches(list(self._stale), 8):
            for key in keys:
                one = virtual_services[key]
                yield from self._index_hosts(given, one)
                about = given.about(virtual_services=[one], subset_owners=self._subset_owners)
                _keep(self._about_virtual_services, key, (yield from _ask(OF_VIRTUAL_SERVICE, about)))
                del self._stale[key]
            yield

    def _index_hosts(self, given: AnalysisInput, virtual_service: VirtualService) -> Generator[None, None, None]:
        for name in gateways_of(virtual_service):
            if name in self._gateways and name not in given.host_indexes:
                given.host_indexes[name] = yield from host_index(self._gateways[name])


def _keep(kept: dict[K, tuple[Problem, ...]], key: K, found: tuple[Problem, ...]) -> None:
    """Keep what is found; of most there is nothing."""
    if found:
        kept[key] = found
    else:
        kept.pop(key, None)


def _of_others(given: AnalysisInput) -> Iterator[list[Problem]]:
    """What is found about everything but Gateways and VirtualServices, a little at a time."""
    yield from _finding(OF_ENTRIES, given)
    for kind, analyzer in OF_EACH:
        for batch in batches(getattr(given, kind)):
            yield [problem for problem in analyzer(given.about(**{kind: batch})) if problem is not None]


def _ask(analyzers: Iterable[Analyzer], given: AnalysisInput) -> Generator[None, None, tuple[Problem, ...]]:
    """All that is found, in steps."""
    found: list[Problem] = []
    for analyzer in analyzers:
        for problem in analyzer(given):
            if problem is None:
                yield
            else:
                found.append(problem)
    return tuple(found)


def _finding(analyzers: Iterable[Analyzer], given: AnalysisInput) -> Iterator[list[Problem]]:
    """What is found, one problem at a time."""
    for analyzer in analyzers:
        for problem in analyzer(given):
            yield [problem] if problem is not None else []
        yield []
