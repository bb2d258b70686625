"""
From the destinations of a route to hosts, ports, subsets, endpoints and policies.

A destination that lacks something, such as its host or every endpoint, is still a
:class:`~meshgate.routing.table.Destination`, without endpoints and with the reason; the resolver reports the problem
once for each route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from meshgate.resources.kinds.route_destinations import Destination as RouteTarget
from meshgate.resources.kinds.route_destinations import RouteDestination
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import listing, verb
from meshgate.routing.compile.catalog import Catalog, CatalogHost
from meshgate.routing.compile.catalog_port import NODE_LABEL, CatalogPort, labeled_locality
from meshgate.routing.compile.destination_rules import DestinationRules, MergedRule, OwnedSubset
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.lacks import (
    DestinationProblems,
    Lack,
    late_hello,
    no_port,
    no_resolution_lack,
    no_subset,
    passthrough_lack,
    preamble_lack,
    tls_lack,
    unknown_host,
)
from meshgate.routing.compile.policy_notes import (
    affinity_ignored,
    never_out,
    notes,
    overruled,
    unknown_node,
    unknown_site,
)
from meshgate.routing.compile.preference import (
    GatewaySite,
    Preferred,
    needs_site,
    on_own_node,
    prefer,
    preference_of,
)
from meshgate.routing.compile.rule_candidates import Viewer
from meshgate.routing.compile.traffic_policies import (
    RULE_POLICY,
    PolicySource,
    checked_by,
    connection_policy,
    effective,
    health_check,
    policy_sources,
    upstream_policy,
    with_bandwidth,
    with_check,
)
from meshgate.routing.connection_policy import NO_UPSTREAM_POLICY, ConnectionPolicy, UpstreamPolicy
from meshgate.routing.hosts import full_name
from meshgate.routing.table import Destination, Endpoint

NO_ENDPOINT = "MG2022"


@dataclass(frozen=True, slots=True)
class _Resolved:
    """
    A destination, resolved.

    :ivar port: 0 if the host is unknown and the route names none.
    :ivar used: the Service or ServiceEntry, and the DestinationRules.
    """

    host: str
    port: int
    endpoints: tuple[Endpoint, ...] = ()
    lack: Lack | None = None
    used: frozenset[ResourceKey] = frozenset()
    policy: UpstreamPolicy = NO_UPSTREAM_POLICY


class DestinationResolver:
    """
    Resolves the destinations of routes.

    :param catalog: the hosts that exist.
    :param rules: all DestinationRules.
    :param all_hosts: the hosts that exist, and those of invalid resources.
    :ivar used: the Services, ServiceEntries and DestinationRules that destinations resolved so far come from.
    """

    def __init__(self, catalog: Catalog, rules: DestinationRules, proxy: Proxy, all_hosts: Catalog) -> None:
        self._catalog = catalog
        self._all_hosts = all_hosts
        self._rules = rules
        self._proxy = proxy
        self._site = GatewaySite.of(proxy.locality or labeled_locality(proxy.labels), proxy.node, proxy.labels)
        self._problems = DestinationProblems()
        # By host, port and subset: two routes to a destination share its endpoints and its policy.
        self._resolved: dict[tuple[int, int, str], _Resolved] = {}
        self.used: set[ResourceKey] = set()

    @property
    def problems(self) -> list[Problem]:
        """The problems of all destinations so far: of hosts, ports, subsets, endpoints and policies."""
        return list(self._problems)

    def destinations(
        self,
        virtual_service: VirtualService,
        path: str,
        route: Sequence[RouteDestination],
        server_port: int,
    ) -> tuple[Destination, ...]:
        """
        Resolve the destinations of a route.

        :param path: of the rule.
        :param server_port: the port of the server, for destinations without a port of their own.
        """
        return tuple(
            self._destination(
                virtual_service,
                f"{path}.route[{index}].destination",
                each,
                server_port,
                used=len(route) == 1 or each.weight > 0,
            )
            for index, each in enumerate(route)
        )

    def connection_policy(
        self, virtual_service: VirtualService, path: str, route: Sequence[RouteDestination]
    ) -> ConnectionPolicy:
        """
        The policy for the connections of a route. The first destination decides; where others have another policy, that
        is a problem.

        :param path: of the rule.
        """
        policies = []
        for target in route:
            rule, subset = self._rules_for(virtual_service, target.destination)
            policies.append((connection_policy(rule, subset), connection_policy(rule, None)))
        chosen = policies[0][0 if len(route) == 1 else 1]
        for index, (wanted, _) in enumerate(policies):
            fields = overruled(wanted, chosen)
            if fields and (route[index].weight or len(route) == 1):
                reason = f"of several destinations, the {RULE_POLICY} of the first one's rule decides for all"
                message = f"{listing(fields)} of {wanted.origin} {verb(fields, 'has', 'have')} no effect here: {reason}"
                hint = "Istio ignores it here without a word"
                lack = Lack("MG2071", message, hint, Severity.WARNING)
                self._problems.add_lack(virtual_service, f"{path}.route[{index}].destination", lack)
        return chosen

    def check_beginnings(self, virtual_service: VirtualService, path: str, destinations: Iterable[Destination]) -> None:
        """
        Inform of destinations whose clients do not begin with a ClientHello, by which their rule is chosen.

        :param path: of the rule.
        :param destinations: as :meth:`destinations` gives them.
        """
        for index, destination in enumerate(destinations):
            found = self._catalog.find(destination.host, self._proxy.namespace)
            port = found.ports.get(destination.port) if found is not None else None
            protocol = late_hello(port) if port is not None else None
            if protocol is not None:
                message = (
                    f"{protocol.name} clients {protocol.beginning}, so the gateway sees no ClientHello, and this rule "
                    "gets none of their connections"
                )
                hint = f"{protocol.way_out}use a TCP server on a port of its own"
                lack = Lack("MG2078", message, hint, Severity.INFO)
                self._problems.add_lack(virtual_service, f"{path}.route[{index}].destination", lack)

    def _host(self, virtual_service: VirtualService, target: RouteTarget) -> str:
        return full_name(target.host, virtual_service.namespace, self._proxy.domain_suffix)

    def _destination(
        self,
        virtual_service: VirtualService,
        path: str,
        route_destination: RouteDestination,
        server_port: int,
        *,
        used: bool,
    ) -> Destination:
        """
        Resolve one destination of a route.

        :param used: some connections go there.
        """
        target = route_destination.destination
        resolved = self._resolve(virtual_service, target, server_port)
        self.used.update(resolved.used)
        if resolved.lack is not None and (used or resolved.lack.code != NO_ENDPOINT):
            self._problems.add_lack(virtual_service, path, resolved.lack)
        return Destination(
            host=resolved.host,
            port=resolved.port,
            subset=target.subset,
            weight=route_destination.weight,
            endpoints=resolved.endpoints,
            missing=resolved.lack.message if resolved.lack is not None else "",
            missing_code=resolved.lack.code if resolved.lack is not None else "",
            policy=resolved.policy,
        )

    def _resolve(self, virtual_service: VirtualService, target: RouteTarget, server_port: int) -> _Resolved:
        """
        Resolve a destination. Its port is the one that the route names, else the host's only one, else the server's
        (pilot/pkg/networking/util, GetDestinationCluster).
        """
        host, viewer = self._host(virtual_service, target), self._proxy.namespace
        number = target.port.number or None if target.port is not None else None
        found = self._catalog.find(host, viewer)
        if found is None:
            unknown = unknown_host(self._catalog, self._all_hosts, host, viewer, virtual_service.namespace)
            return _Resolved(host, number or 0, lack=unknown)
        if number is None:
            number = found.only_port or server_port
        alias, found = found, self._catalog.concrete(found, viewer) or found
        if number not in found.ports:
            return _Resolved(found.host, number, lack=no_port(found, number, is_named=target.port is not None))
        key = (id(found), number, target.subset)
        if key not in self._resolved:
            self._resolved[key] = self._resolve_subset(found, number, target.subset)
        self.used.add(alias.source.key)
        return self._resolved[key]

    def _rules_for(
        self, virtual_service: VirtualService, target: RouteTarget
    ) -> tuple[MergedRule | None, OwnedSubset | None]:
        """The DestinationRule and the subset that this gateway follows for a destination."""
        found = self._catalog.find(self._host(virtual_service, target), self._proxy.namespace)
        rule = self._rules.find(found.host, found.source.namespace) if found is not None else None
        return rule, rule.subsets.get(target.subset) if rule is not None else None

    def _resolve_subset(self, found: CatalogHost, number: int, subset_name: str) -> _Resolved:
        """
        Resolve a host and port that exist.

        :param subset_name: empty for all endpoints.
        """
        rule = self._rules.find(found.host, found.source.namespace)
        subset = rule.subsets.get(subset_name) if rule is not None and subset_name else None
        if subset_name and subset is None:
            absent = no_subset(self._rules, self._catalog, found, subset_name, Viewer.of(self._proxy))
            return _Resolved(found.host, number, lack=absent)
        policies = list(policy_sources(rule, subset)) if rule is not None else []
        for problem in notes(policies):
            self._problems.add(problem)
        sections = effective(policies, number)
        port, labels = found.ports[number], subset.subset.labels if subset is not None else {}
        endpoints, missing = port.subset(labels)
        name = f"{found.host}:{number}" + (f" (subset {subset_name})" if subset_name else "")
        self._problems.add(affinity_ignored(found.source, endpoints, sections))
        preferred = self._preferred(found, port, endpoints, sections, name)
        endpoints, missing = preferred.endpoints, missing or preferred.missing
        lack = (
            tls_lack(sections.get("tls"))
            or preamble_lack(sections)
            or passthrough_lack(sections.get("load_balancer"))
            or no_resolution_lack(found, number)
        )
        if lack is not None:
            return _Resolved(found.host, number, lack=lack)
        if missing:
            # Where the port lacks endpoints, the subset is not to blame.
            subject = f"{found.host}:{number}" if missing == port.missing else name
            elsewhere = port.has_pods(labels) or self._catalog.is_of_istio(found.host)
            severity = Severity.INFO if self._proxy.in_cluster and elsewhere else Severity.WARNING
            lack = Lack(NO_ENDPOINT, f"{subject} has no endpoint: {missing}", severity=severity)
        policy = with_bandwidth(upstream_policy(sections), rule)
        policy = with_check(policy, health_check(found, number, rule, self._proxy))
        if preferred.shares:
            policy = replace(policy, balancing=replace(policy.balancing, shares=preferred.shares))
        if policy.outliers is not None:
            self._problems.add(never_out(sections["outlier_detection"], policy.outliers, endpoints, name))
        return _Resolved(found.host, number, endpoints, lack, _used(found, rule, subset), policy)

    def _preferred(
        self,
        found: CatalogHost,
        port: CatalogPort,
        endpoints: tuple[Endpoint, ...],
        sections: Mapping[str, PolicySource],
        name: str,
    ) -> Preferred:
        """
        The endpoints with their priorities, as far as it is known where the gateway is.

        :param name: of the destination, for messages.
        """
        if not endpoints:
            return Preferred(())
        facts, node = port.facts_of(endpoints), self._site.labels.get(NODE_LABEL, "")
        if on_own_node(found.source) and node:
            kept = [each for each, (site, _) in zip(endpoints, facts, strict=True) if site.node in ("", node)]
            missing = "" if kept else f"internalTrafficPolicy is Local, and none of its endpoints is on the node {node}"
            facts = [each for each in facts if each[0].node in ("", node)]
            endpoints = tuple(kept)
            if missing:
                return Preferred((), missing=missing)
        elif on_own_node(found.source) and len(endpoints) > 1:
            self._problems.add(unknown_node(found.source))
        preference = preference_of(found.source, sections)
        if needs_site(preference, self._site):
            self._problems.add(unknown_site(found, port, endpoints, sections, name))
            return Preferred(endpoints)
        return prefer(endpoints, facts, self._site, preference)


def _used(found: CatalogHost, rule: MergedRule | None, subset: OwnedSubset | None) -> frozenset[ResourceKey]:
    owners = [found.source, *found.others]
    if rule is not None:
        owners += checked_by(rule)
    if rule is not None and rule.policy is not None:
        owners.append(rule.policy[0])
    if subset is not None:
        owners.append(subset.rule)
    return frozenset(owner.key for owner in owners)
