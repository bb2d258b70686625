"""
What is worth saying about all resources together beyond what the compiler drops: dangling references, contradictions.

It changes no route. The rules are mostly those of Istio's analyzers (pkg/config/analysis/analyzers), held against what
is known here: files instead of a cluster, and this gateway in place of its pod.

An analyzer takes an :class:`~meshgate.routing.analysis_input.AnalysisInput` and gives what it finds. It stands below by
what its findings about one resource depend on, so that it is asked again only about what a change touches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Sequence
from typing import Final

from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.problem import Problem
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.steps import batches
from meshgate.resources.virtualservice import VirtualServiceSpec
from meshgate.routing.analysis_certificates import certificates_of, credentials, shared_certificates
from meshgate.routing.analysis_gateways import conflicting_gateways, places_of, ports_not_on_service
from meshgate.routing.analysis_input import AnalysisInput
from meshgate.routing.analysis_mesh import mesh_conflicts, rules_without_effect, subset_hosts
from meshgate.routing.analysis_rules import idle_subsets, unknown_hosts, unverified_servers
from meshgate.routing.analysis_services import conflicting_protocols, missing_addresses, unnamed_protocols
from meshgate.routing.analysis_virtualservices import hosts_not_in_gateway, unreached_rules
from meshgate.routing.binding import Binding, in_mesh
from meshgate.routing.memo import Memo

Gateway = Resource[GatewaySpec]
VirtualService = Resource[VirtualServiceSpec]
Analyzer = Callable[[AnalysisInput], Iterable[Problem]]

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
"""About one Gateway; depends on no other, and on no VirtualService."""

OF_RIVALS: Final[Sequence[Analyzer]] = (conflicting_gateways, shared_certificates)
"""About Gateways that have a place or a certificate in common; depends on no others, and on no VirtualService."""

OF_VIRTUAL_SERVICE: Final[Sequence[Analyzer]] = (hosts_not_in_gateway, unreached_rules)
"""About one VirtualService; depends on the Gateways that it names."""

OF_MESH: Final[Sequence[Analyzer]] = (mesh_conflicts,)
"""About VirtualServices for sidecars; depends on all of them."""

BESIDE_SUBSETS: Final[Sequence[Analyzer]] = (rules_without_effect,)
"""About one VirtualService; depends on those that tell the subsets of their hosts apart."""


class Analysis:
    """Asks all analyzers, of one set of resources after the other."""

    _given: AnalysisInput

    def __init__(self) -> None:
        self._surroundings: AnalysisInput | None = None
        self._others: tuple[Problem, ...] = ()
        self._marks: Memo[tuple[Hashable, ...]] = Memo(_marks)
        self._owns: Memo[bool] = Memo(self._tells_subsets)
        self._of_gateway: Memo[tuple[Problem, ...]] = Memo(self._about_gateway)
        self._of_virtual_service: Memo[tuple[Problem, ...]] = Memo(self._about_virtual_service)
        self._mesh: tuple[list[VirtualService], list[Problem]] = ([], [])
        self._owners: tuple[VirtualService, ...] = ()

    def problems(
        self,
        surroundings: AnalysisInput,
        gateways: Sequence[Gateway],
        virtual_services: Sequence[VirtualService],
        binding: Callable[[VirtualService], Binding],
        dropped: Collection[tuple[ResourceKey, int]],
    ) -> Generator[None, None, list[Problem]]:
        """
        All that analyzers find, in steps.

        :param surroundings: everything that is neither Gateway nor VirtualService, prepared; the same object as long
            as that does not change.
        :param gateways: in their order.
        :param virtual_services: in their order.
        :param dropped: the servers that the compiler has dropped and spoken of.
        """
        gateway_of = {gateway.qualified_name: gateway for gateway in gateways}
        yield
        if surroundings is not self._surroundings:
            self._others = tuple((yield from _of_others(surroundings)))
            self._surroundings = surroundings
        self._given = surroundings.about(
            gateways=gateways,
            virtual_services=virtual_services,
            gateway_of=gateway_of,
            dropped=dropped,
            host_indexes={},
        )
        found = list(self._others)
        found += yield from self._gateways(gateways, surroundings)
        found += yield from self._rivals(gateways)
        found += yield from self._in_mesh(virtual_services)
        owners = yield from self._find_owners(virtual_services)
        for batch in batches(virtual_services):
            for each in batch:
                named = map(gateway_of.get, binding(each).gateways)
                found += self._of_virtual_service(each, surroundings, owners, *named)
            yield
        self._of_virtual_service.forget_unasked()
        yield
        return found

    def _gateways(
        self, gateways: Sequence[Gateway], surroundings: AnalysisInput
    ) -> Generator[None, None, list[Problem]]:
        found: list[Problem] = []
        for batch in batches(gateways):
            for gateway in batch:
                found += self._of_gateway(gateway, surroundings)
            yield
        self._of_gateway.forget_unasked()
        yield
        return found

    def _about_gateway(self, gateway: Gateway, surroundings: AnalysisInput) -> tuple[Problem, ...]:
        return _ask(OF_GATEWAY, surroundings.about(gateways=[gateway]))

    def _rivals(self, gateways: Sequence[Gateway]) -> Generator[None, None, list[Problem]]:
        first: dict[Hashable, Gateway] = {}
        rivals: dict[ResourceKey, Gateway] = {}
        for batch in batches(gateways):
            for gateway in batch:
                for mark in self._marks(gateway):
                    known = first.setdefault(mark, gateway)
                    if known is not gateway:
                        rivals[known.key], rivals[gateway.key] = known, gateway
            yield
        self._marks.forget_unasked()
        yield
        given = self._given.about(gateways=sorted(rivals.values(), key=Resource.order))
        return (yield from _ask_in_steps(OF_RIVALS, given))

    def _in_mesh(self, virtual_services: Sequence[VirtualService]) -> Generator[None, None, list[Problem]]:
        members: list[VirtualService] = []
        for batch in batches(virtual_services, 256):
            members += [each for each in batch if in_mesh(each)]
            yield
        if members != self._mesh[0]:
            found = yield from _ask_in_steps(OF_MESH, self._given.about(virtual_services=members))
            self._mesh = (members, found)
        return self._mesh[1]

    def _find_owners(
        self, virtual_services: Sequence[VirtualService]
    ) -> Generator[None, None, tuple[VirtualService, ...]]:
        """The VirtualServices that tell the subsets of their hosts apart; the same object while they are the same."""
        owners: list[VirtualService] = []
        for batch in batches(virtual_services):
            owners += [each for each in batch if self._owns(each)]
            yield
        self._owns.forget_unasked()
        yield
        if tuple(owners) != self._owners:
            self._owners = tuple(owners)
        return self._owners

    def _tells_subsets(self, virtual_service: VirtualService) -> bool:
        return any(True for _ in subset_hosts(virtual_service, self._given.proxy.domain_suffix))

    def _about_virtual_service(
        self,
        virtual_service: VirtualService,
        surroundings: AnalysisInput,
        owners: tuple[VirtualService, ...],
        *gateways: Gateway | None,
    ) -> tuple[Problem, ...]:
        found = _ask(OF_VIRTUAL_SERVICE, self._given.about(virtual_services=[virtual_service]))
        if owners:
            both = {each.key: each for each in (*owners, virtual_service)}
            found += _ask(BESIDE_SUBSETS, self._given.about(virtual_services=list(both.values())))
        return found


def _of_others(given: AnalysisInput) -> Generator[None, None, list[Problem]]:
    """What is found about everything but Gateways and VirtualServices."""
    found = yield from _ask_in_steps(OF_ENTRIES, given)
    for kind, analyzer in OF_EACH:
        for batch in batches(getattr(given, kind)):
            found += analyzer(given.about(**{kind: batch}))
            yield
    return found


def _marks(gateway: Gateway) -> tuple[Hashable, ...]:
    """What makes two Gateways rivals when they have it in common."""
    return (*places_of(gateway), *certificates_of(gateway))


def _ask(analyzers: Iterable[Analyzer], given: AnalysisInput) -> tuple[Problem, ...]:
    return tuple(problem for analyzer in analyzers for problem in analyzer(given))


def _ask_in_steps(analyzers: Iterable[Analyzer], given: AnalysisInput) -> Generator[None, None, list[Problem]]:
    """Rests at each finding, which are what takes time."""
    found: list[Problem] = []
    for analyzer in analyzers:
        for problem in analyzer(given):
            found.append(problem)
            yield
        yield
    return found
