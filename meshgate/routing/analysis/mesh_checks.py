"""What VirtualServices have against each other in the mesh. This gateway is not part of it; the same files may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from meshgate.resources.kinds.export_to import EVERYBODY
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.routing.analysis.analysis_input import AnalysisInput, destinations_of, listed
from meshgate.routing.compile.route_binding import gateways_of, in_mesh
from meshgate.routing.compile.visibility import scopes
from meshgate.routing.hosts import full_name, is_wildcard, matches, wildcards_over


class _MeshHosts:
    """The hosts of VirtualServices for sidecars, by the namespaces that see them."""

    def __init__(self, domain_suffix: str) -> None:
        self._domain_suffix = domain_suffix
        self._places: dict[ResourceKey, dict[str, int]] = defaultdict(dict)
        self._seen: dict[tuple[str, str], list[VirtualService]] = defaultdict(list)
        self._public: dict[str, None] = {}

    def add(self, virtual_service: VirtualService) -> None:
        """Take a VirtualService in."""
        places, seeing = self._places[virtual_service.key], scopes(virtual_service)
        for place, written in enumerate(virtual_service.spec.hosts):
            host = full_name(written, virtual_service.namespace, self._domain_suffix)
            if host in places:
                continue
            places[host] = place
            for scope in seeing:
                self._seen[scope, host].append(virtual_service)
            if EVERYBODY in seeing:
                self._public[host] = None

    def hosts_of(self, virtual_service: VirtualService) -> Iterable[str]:
        """The full names, each once."""
        return self._places[virtual_service.key]

    def path_of(self, virtual_service: VirtualService, host: str) -> str:
        """The path of a host that it has, or of all where that is another's."""
        place = self._places[virtual_service.key].get(host)
        return "spec.hosts" if place is None else f"spec.hosts[{place}]"

    def rivals(self, virtual_service: VirtualService, host: str) -> Iterator[VirtualService]:
        """Others with the same host in the same namespaces; and of public and private ones, with an overlapping one."""
        for scope in sorted(scopes(virtual_service)):
            found = list(self._seen[scope, host])
            if scope != EVERYBODY:
                found += [other for public in self._overlapping(host) for other in self._seen[EVERYBODY, public]]
            yield from (other for other in found if other is not virtual_service)

    def _overlapping(self, host: str) -> Iterator[str]:
        """The public hosts that have a name in common with a host."""
        if is_wildcard(host):
            return (public for public in self._public if matches(host, public))
        return (public for public in (host, *wildcards_over(host)) if public in self._public)


def mesh_conflicts(given: AnalysisInput) -> Iterator[Problem]:
    """Several VirtualServices for one host of the mesh (virtualservice/conflictingmeshgatewayhosts.go)."""
    mesh = _MeshHosts(given.proxy.domain_suffix)
    members = [each for each in given.virtual_services if in_mesh(each)]
    for virtual_service in members:
        mesh.add(virtual_service)
    losers: dict[tuple[ResourceKey, str], tuple[VirtualService, dict[ResourceKey, VirtualService]]] = {}
    for virtual_service, host in ((each, host) for each in members for host in mesh.hosts_of(each)):
        for rival in mesh.rivals(virtual_service, host):
            _, others = losers.setdefault((virtual_service.key, host), (virtual_service, {}))
            others[rival.key] = rival
            _, back = losers.setdefault((rival.key, host), (rival, {}))
            back[virtual_service.key] = virtual_service
    for (_, host), (virtual_service, others) in losers.items():
        rivals = [(other, mesh.path_of(other, host)) for other in others.values()]
        yield virtual_service.problem(
            Severity.ERROR,
            "MG2053",
            f"in the mesh, {host} is a host of VirtualService {listed(rivals)}, too, and only one counts",
            path=mesh.path_of(virtual_service, host),
            hint="merge them into one, or export them to different namespaces",
        )


def rules_without_effect(given: AnalysisInput) -> Iterator[Problem]:
    """
    Rules at a gateway that lead to a host whose subsets are told apart by a VirtualService for that host: a gateway
    does not follow it (virtualservice/destinationhosts.go, analyzeSubset).
    """
    for virtual_service in given.virtual_services:
        for path, destination in destinations_of(virtual_service) if gateways_of(virtual_service) else ():
            if destination.subset or not given.subset_owners:
                continue
            host = full_name(destination.host, virtual_service.namespace, given.proxy.domain_suffix)
            owners = given.subset_owners.get(host, {})
            others = [other for other in owners.values() if other[0] is not virtual_service]
            if others:
                others.sort(key=lambda other: other[0].order())
                yield virtual_service.problem(
                    Severity.WARNING,
                    "MG2063",
                    f"the subsets that VirtualService {listed(others)} tells apart for {host} have no effect here: "
                    "a gateway goes to all endpoints of the host",
                    path=path,
                    hint="write the subset into this rule",
                )


def subset_hosts(virtual_service: VirtualService, domain_suffix: str) -> Iterator[tuple[str, str]]:
    """
    The hosts of a VirtualService of which its own rules tell subsets apart, each with the path of a subset, and some
    several times.
    """
    hosts = {full_name(host, virtual_service.namespace, domain_suffix) for host in virtual_service.spec.hosts}
    for path, destination in destinations_of(virtual_service):
        if destination.subset:
            host = full_name(destination.host, virtual_service.namespace, domain_suffix)
            if host in hosts:
                yield host, f"{path}.subset"
