"""
Checks of VirtualServices against each other in the mesh.

This gateway takes no part in the mesh, but the files that it reads may be applied in one.
"""

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
    """The hosts of the mesh's VirtualServices, by the namespaces to which they are exported."""

    def __init__(self, domain_suffix: str) -> None:
        self._domain_suffix = domain_suffix
        self._indexes: dict[ResourceKey, dict[str, int]] = defaultdict(dict)
        self._by_scope: dict[tuple[str, str], list[VirtualService]] = defaultdict(list)
        self._public: dict[str, None] = {}

    def add(self, virtual_service: VirtualService) -> None:
        """Add a VirtualService."""
        indexes, exported_to = self._indexes[virtual_service.key], scopes(virtual_service)
        for index, name in enumerate(virtual_service.spec.hosts):
            host = full_name(name, virtual_service.namespace, self._domain_suffix)
            if host in indexes:
                continue
            indexes[host] = index
            for scope in exported_to:
                self._by_scope[scope, host].append(virtual_service)
            if EVERYBODY in exported_to:
                self._public[host] = None

    def hosts_of(self, virtual_service: VirtualService) -> Iterable[str]:
        """The full names of a VirtualService's hosts, each once."""
        return self._indexes[virtual_service.key]

    def path_of(self, virtual_service: VirtualService, host: str) -> str:
        """The path of a host in a VirtualService; that of all its hosts if it has an overlapping one instead."""
        index = self._indexes[virtual_service.key].get(host)
        return "spec.hosts" if index is None else f"spec.hosts[{index}]"

    def rivals(self, virtual_service: VirtualService, host: str) -> Iterator[VirtualService]:
        """
        Other VirtualServices that a namespace sees with the same host; a host that is not exported to all namespaces
        also has rivals among the public hosts that overlap with it.
        """
        for scope in sorted(scopes(virtual_service)):
            found = list(self._by_scope[scope, host])
            if scope != EVERYBODY:
                found += [other for public in self._overlapping(host) for other in self._by_scope[EVERYBODY, public]]
            yield from (other for other in found if other is not virtual_service)

    def _overlapping(self, host: str) -> Iterator[str]:
        """The hosts exported to all namespaces that have a name in common with a host."""
        if is_wildcard(host):
            return (public for public in self._public if matches(host, public))
        return (public for public in (host, *wildcards_over(host)) if public in self._public)


def mesh_conflicts(given: AnalysisInput) -> Iterator[Problem]:
    """Report VirtualServices of the mesh that share a host (virtualservice/conflictingmeshgatewayhosts.go)."""
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
            f"in the mesh, {host} is also a host of VirtualService {listed(rivals)}, and only one of them counts",
            path=mesh.path_of(virtual_service, host),
            hint="merge them into one, or export them to different namespaces",
        )


def rules_without_effect(given: AnalysisInput) -> Iterator[Problem]:
    """
    Report rules of a gateway for a host between whose subsets another VirtualService chooses: a gateway does not apply
    that VirtualService (virtualservice/destinationhosts.go, analyzeSubset).
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
                    f"the choice of VirtualService {listed(others)} between subsets of {host} has no effect here: "
                    "a gateway uses all endpoints of the host",
                    path=path,
                    hint="name the subset in this rule",
                )


def subset_hosts(virtual_service: VirtualService, domain_suffix: str) -> Iterator[tuple[str, str]]:
    """
    The hosts of a VirtualService between whose subsets its own rules choose, each with the path of a subset; a host
    comes once for each such rule.
    """
    hosts = {full_name(host, virtual_service.namespace, domain_suffix) for host in virtual_service.spec.hosts}
    for path, destination in destinations_of(virtual_service):
        if destination.subset:
            host = full_name(destination.host, virtual_service.namespace, domain_suffix)
            if host in hosts:
                yield host, f"{path}.subset"
