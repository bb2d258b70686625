"""
Checks of the destinations of all rules, whatever the server: those of this gateway, of sidecars and of other gateways.

The destinations of routes that this gateway serves are resolved in :mod:`meshgate.routing.compile.destinations`. Most
rules of a mesh are for others, or for HTTP, or not bound yet: what can be said of them rests on names alone. Policies
are left out, since others are capable of more than this gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import replace

from meshgate.resources.kinds.route_destinations import Destination as RouteTarget
from meshgate.resources.kinds.shared_fields import EVERYBODY
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.routing.analysis.analysis_input import destinations_of
from meshgate.routing.compile.catalog import Catalog, CatalogHost
from meshgate.routing.compile.destination_rules import DestinationRules
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.lacks import (
    DestinationProblems,
    Lack,
    no_port_named,
    no_subset,
    undescribed,
    unknown_host,
)
from meshgate.routing.compile.route_binding import in_mesh
from meshgate.routing.compile.rule_candidates import Viewer, passed_over
from meshgate.routing.compile.selection import scopes
from meshgate.routing.hosts import MESH, full_name


class DestinationChecks:
    """
    Checks of the destinations of one VirtualService.

    :param catalog: the hosts that exist.
    :param rules: all DestinationRules.
    :param all_hosts: the hosts that exist, and those of invalid resources.
    """

    def __init__(
        self,
        virtual_service: VirtualService,
        catalog: Catalog,
        rules: DestinationRules,
        proxy: Proxy,
        all_hosts: Catalog,
    ) -> None:
        self._virtual_service = virtual_service
        self._catalog = catalog
        self._all_hosts = all_hosts
        self._rules = rules
        self._proxy = proxy
        self._problems = DestinationProblems()

    def problems(self, is_ours: Callable[[str], bool]) -> tuple[Problem, ...]:
        """
        Check the destinations of all rules.

        :param is_ours: tells if a Gateway, by ``namespace/name``, is for this gateway.
        """
        for path, destination, users in destinations_of(self._virtual_service):
            gateways = [name for name in users if is_ours(name)]
            if gateways:
                self._check(path, destination, self._beside(gateways))
            else:
                self._check_elsewhere(path, destination, for_sidecars=MESH in users)
        return tuple(self._problems)

    def _beside(self, gateways: Iterable[str]) -> frozenset[str]:
        """
        The namespaces in which a DestinationRule is likely to be meant for this gateway: those of the VirtualService
        and its Gateways. If sidecars apply the VirtualService as well, it may be meant for them.
        """
        if in_mesh(self._virtual_service):
            return frozenset()
        return frozenset({self._virtual_service.namespace, *(name.partition("/")[0] for name in gateways)})

    def _check(self, path: str, target: RouteTarget, beside: Set[str]) -> None:
        """
        Check a destination of this gateway: its host, named port and subset, and whether this gateway follows the
        DestinationRules for it.

        :param path: of the destination.
        :param beside: the namespaces in which a rule is likely to be meant for this gateway.
        """
        host, viewer = self._host(target), self._proxy.namespace
        found = self._catalog.find(host, viewer)
        if found is None:
            self._add(path, self._unknown(host, viewer))
        else:
            concrete = self._catalog.concrete(found, viewer)
            if concrete is None:
                self._add(path, undescribed(found))
            found = concrete or found
            rule = self._rules.find(found.host, found.source.namespace)
            lacks_subset = target.subset and (rule is None or target.subset not in rule.subsets)
            lack = no_port_named(found, target)
            if lack is None and lacks_subset:
                lack = no_subset(self._rules, self._catalog, found, target.subset, Viewer.of(self._proxy))
            if lack is not None:
                self._add(path, lack)
            for problem in passed_over(self._rules, found, rule, beside, target.subset):
                self._problems.add(problem)
        self._check_port(path, target, "the server's port")

    def _check_elsewhere(self, path: str, target: RouteTarget, *, for_sidecars: bool) -> None:
        """
        Check a destination that only sidecars, or other gateways, go to. They follow DestinationRules of their own
        namespaces.

        :param path: of the destination.
        :param for_sidecars: True if sidecars go there, for which a wildcard stands for the hosts that it covers.
        """
        host, exported_to = self._host(target), scopes(self._virtual_service)
        find = self._catalog.find_covering if for_sidecars else self._catalog.find
        own = self._virtual_service.namespace
        viewers = sorted({own if each == EVERYBODY else each for each in exported_to})
        seen = {viewer: find(host, viewer) for viewer in viewers}
        found = seen[viewers[0]]
        hidden = next((viewer for viewer in viewers if seen[viewer] is None), None)
        if hidden is not None and not self._catalog.is_of_istio(host):
            self._add(path, self._unknown(host, hidden))
        elif found is not None:
            lack = no_port_named(found, target)
            if lack is None and target.subset:
                lack = self._subset_elsewhere(found, host, target.subset, viewers, exported_to)
            if lack is not None:
                self._add(path, lack)
        self._check_port(path, target, "the port that clients connect to")

    def _subset_elsewhere(
        self, found: CatalogHost, host: str, subset: str, viewers: Iterable[str], exported_to: Set[str]
    ) -> Lack | None:
        """
        The fault that clients do not find a subset: an error if it is all of them, else an info; None if all find it.

        :param found: the host, or the wildcard that covers it.
        :param viewers: the namespaces whose clients are certain to go there.
        :param exported_to: those whose clients may go there.
        """
        hosts, namespace = {host, found.host}, found.source.namespace

        def is_found(namespaces: Set[str]) -> bool:
            return any(self._rules.any_client_has(subset, each, namespace, namespaces) for each in hosts)

        without = next((viewer for viewer in viewers if not is_found({viewer})), None)
        if without is None:
            return None
        lack = no_subset(self._rules, self._catalog, found, subset, Viewer.client(without))
        return replace(lack, severity=Severity.INFO) if is_found(exported_to) else lack

    def _check_port(self, path: str, target: RouteTarget, port: str) -> None:
        """Report a destination that names none of its host's ports."""
        host = self._host(target)
        found = self._all_hosts.find(host)
        if found is not None and target.port is None and len(found.ports) > 1:
            have = ", ".join(map(str, sorted(found.ports)))
            message = f"{host} has the ports {have}, and the route names none, so {port} is used"
            hint = "name one of them under destination.port.number"
            self._add(path, Lack("MG2047", message, hint, Severity.WARNING))

    def _host(self, target: RouteTarget) -> str:
        return full_name(target.host, self._virtual_service.namespace, self._proxy.domain_suffix)

    def _unknown(self, host: str, viewer: str) -> Lack:
        return unknown_host(self._catalog, self._all_hosts, host, viewer, self._virtual_service.namespace)

    def _add(self, path: str, lack: Lack) -> None:
        self._problems.add_lack(self._virtual_service, path, lack)
