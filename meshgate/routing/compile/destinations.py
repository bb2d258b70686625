"""
From the destinations of a route to hosts, ports, subsets, endpoints and policies.

A destination that lacks something, such as its host or every endpoint, is still a
:class:`~meshgate.routing.table.Destination`, without endpoints and with the reason; the resolver reports the problem
once for each route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from meshgate.resources.kinds.loadbalancer import LoadBalancing
from meshgate.resources.kinds.route_destinations import Destination as RouteTarget
from meshgate.resources.kinds.route_destinations import RouteDestination
from meshgate.resources.kinds.serviceentry import Resolution, ServiceEntrySpec
from meshgate.resources.kinds.shared_fields import EVERYBODY
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.routing.compile.catalog import Catalog, CatalogHost, scopes
from meshgate.routing.compile.destination_rules import DestinationRules, MergedRule, OwnedSubset
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.policy_notes import nearness, never_out, notes, overruled
from meshgate.routing.compile.rule_candidates import Viewer, missing_subset, passed_over
from meshgate.routing.compile.starttls import late_hello
from meshgate.routing.compile.traffic_policies import (
    ORIGINATING,
    RULE_POLICY,
    PolicySource,
    connection_policy,
    effective,
    policy_sources,
    upstream_policy,
)
from meshgate.routing.connection_policy import NO_UPSTREAM_POLICY, ConnectionPolicy, UpstreamPolicy
from meshgate.routing.hosts import full_name
from meshgate.routing.table import Destination, Endpoint

NO_ENDPOINT = "MG2022"


@dataclass(frozen=True, slots=True)
class _Lack:
    """
    A problem of a destination, before it has a location.

    :ivar field: the field of the destination with the fault, as ``.host``; empty for the whole destination.
    """

    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    field: str = ""


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
    lack: _Lack | None = None
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
        self._problems: dict[tuple[object, ...], Problem] = {}
        # By host, port and subset: two routes to a destination share its endpoints and its policy.
        self._resolved: dict[tuple[int, int, str], _Resolved] = {}
        self.used: set[ResourceKey] = set()

    @property
    def problems(self) -> list[Problem]:
        """The problems of all destinations so far: of hosts, ports, subsets, endpoints and policies."""
        return list(self._problems.values())

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
            self._destination(virtual_service, f"{path}.route[{index}].destination", each, server_port)
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
                message = f"{', '.join(fields)} of {wanted.origin} has no effect here: {reason}"
                hint = "Istio ignores it here without a word"
                lack = _Lack("MG2071", message, hint, Severity.WARNING)
                self._report(virtual_service, f"{path}.route[{index}].destination", lack)
        return chosen

    def check(self, virtual_service: VirtualService, path: str, target: RouteTarget) -> None:
        """
        Report the faults of a destination of this gateway that depend neither on the server nor on policies: of its
        host, named port and subset, and of DestinationRules that this gateway does not follow for it.

        :param path: of the destination.
        """
        host, viewer = self._host(virtual_service, target), self._proxy.namespace
        found = self._catalog.find(host, viewer)
        if found is None:
            self._report(virtual_service, path, self._unknown(host, viewer, virtual_service.namespace))
        else:
            concrete = self._catalog.concrete(found, viewer)
            if concrete is None:
                self._report(virtual_service, path, _undescribed(found))
            found = concrete or found
            rule = self._rules.find(found.host, found.source.namespace)
            lack = _no_port_named(found, target)
            if lack is None and target.subset and (rule is None or target.subset not in rule.subsets):
                lack = _no_subset(self._rules, found, target.subset, Viewer.of(self._proxy))
            if lack is not None:
                self._report(virtual_service, path, lack)
            for problem in passed_over(self._rules, found, rule, target.subset):
                self._report_policy(problem)
        self._check_port(virtual_service, path, target, "the server's port")

    def check_elsewhere(
        self, virtual_service: VirtualService, path: str, target: RouteTarget, *, for_sidecars: bool
    ) -> None:
        """
        Report the faults of a destination that only sidecars, or other gateways, go to. They follow DestinationRules of
        their own namespaces, so a subset is missing only if none of them finds it.

        :param path: of the destination.
        :param for_sidecars: True if sidecars go there, for which a wildcard stands for the hosts that it covers.
        """
        host, exported_to = self._host(virtual_service, target), scopes(virtual_service)
        find = self._catalog.find_covering if for_sidecars else self._catalog.find
        viewers = sorted({virtual_service.namespace if each == EVERYBODY else each for each in exported_to})
        seen = {viewer: find(host, viewer) for viewer in viewers}
        found = seen[viewers[0]]
        hidden = next((viewer for viewer in viewers if seen[viewer] is None), None)
        if hidden is not None and not self._catalog.is_of_istio(host):
            self._report(virtual_service, path, self._unknown(host, hidden, virtual_service.namespace))
        elif found is not None:
            lack = _no_port_named(found, target)
            if lack is None and target.subset:
                lack = self._subset_elsewhere(found, host, target.subset, viewers, exported_to)
            if lack is not None:
                self._report(virtual_service, path, lack)
        self._check_port(virtual_service, path, target, "the port that clients connect to")

    def _subset_elsewhere(
        self, found: CatalogHost, host: str, subset: str, viewers: Iterable[str], exported_to: Set[str]
    ) -> _Lack | None:
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
        lack = _no_subset(self._rules, found, subset, Viewer.client(without))
        return replace(lack, severity=Severity.INFO) if is_found(exported_to) else lack

    def _check_port(self, virtual_service: VirtualService, path: str, target: RouteTarget, port: str) -> None:
        """Report a destination that names none of its host's ports."""
        host = self._host(virtual_service, target)
        found = self._all_hosts.find(host)
        if found is not None and target.port is None and len(found.ports) > 1:
            have = ", ".join(map(str, sorted(found.ports)))
            message = f"{host} has the ports {have}, and the route names none, so {port} is used"
            hint = "name one of them under destination.port.number"
            self._report(virtual_service, path, _Lack("MG2047", message, hint, Severity.WARNING))

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
                lack = _Lack("MG2078", message, hint, Severity.INFO)
                self._report(virtual_service, f"{path}.route[{index}].destination", lack)

    def _host(self, virtual_service: VirtualService, target: RouteTarget) -> str:
        return full_name(target.host, virtual_service.namespace, self._proxy.domain_suffix)

    def _destination(
        self, virtual_service: VirtualService, path: str, route_destination: RouteDestination, server_port: int
    ) -> Destination:
        target = route_destination.destination
        resolved = self._resolve(virtual_service, target, server_port)
        self.used.update(resolved.used)
        if resolved.lack is not None:
            self._report(virtual_service, path, resolved.lack)
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
            return _Resolved(host, number or 0, lack=self._unknown(host, viewer, virtual_service.namespace))
        if number is None:
            number = found.only_port or server_port
        alias, found = found, self._catalog.concrete(found, viewer) or found
        if number not in found.ports:
            return _Resolved(found.host, number, lack=_no_port(found, number))
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
            absent = _no_subset(self._rules, found, subset_name, Viewer.of(self._proxy))
            return _Resolved(found.host, number, lack=absent)
        policies = list(policy_sources(rule, subset)) if rule is not None else []
        for problem in notes(policies):
            self._report_policy(problem)
        sections = effective(policies, number)
        lack = (
            _tls_lack(sections.get("tls"))
            or _preamble_lack(sections)
            or _passthrough_lack(sections.get("load_balancer"))
            or _no_resolution_lack(found, number)
        )
        if lack is not None:
            return _Resolved(found.host, number, lack=lack)
        port, labels = found.ports[number], subset.subset.labels if subset is not None else {}
        endpoints, missing = port.subset(labels)
        name = f"{found.host}:{number}" + (f" (subset {subset_name})" if subset_name else "")
        if missing:
            # Where the port lacks endpoints, the subset is not to blame.
            subject = f"{found.host}:{number}" if missing == port.missing else name
            severity = Severity.INFO if self._proxy.in_cluster and port.has_pods(labels) else Severity.WARNING
            lack = _Lack(NO_ENDPOINT, f"{subject} has no endpoint: {missing}", severity=severity)
        policy = upstream_policy(sections)
        self._report_policy(nearness(found, found.ports[number], endpoints, sections, name))
        if policy.outliers is not None:
            self._report_policy(never_out(sections["outlier_detection"], policy.outliers, endpoints, name))
        return _Resolved(found.host, number, endpoints, lack, _used(found, rule, subset), policy)

    def _report_policy(self, problem: Problem | None) -> None:
        """Report a problem of a policy, once."""
        if problem is not None:
            self._problems.setdefault((problem.namespace, problem.name, problem.path, problem.message), problem)

    def _unknown(self, host: str, viewer: str, namespace: str) -> _Lack:
        """The fault of a host that does not exist, or is not visible, or belongs to an invalid resource."""
        hidden = self._catalog.find(host)
        faulty = self._all_hosts.find(host) if hidden is None else None
        if faulty is not None:
            message = f"the host {host} is that of {faulty.source.key} ({faulty.source.location()}), which is not valid"
            return _Lack("MG2023", message, f"the problems of that {faulty.source.kind} say why", field=".host")
        if hidden is None:
            hint = self._catalog.unknown_host_hint(host, namespace)
            return _Lack("MG2020", f"the host {host} is unknown", hint, field=".host")
        seen_by = ", ".join(sorted(scopes(hidden.source))) or "nobody"
        message = (
            f"the host {host} is not visible in the namespace {viewer}: "
            f"{hidden.source.key} ({hidden.source.location('spec.exportTo')}) is exported to {seen_by} only"
        )
        return _Lack("MG2046", message, f'add {viewer} or "*" to its exportTo', field=".host")

    def _report(self, virtual_service: VirtualService, path: str, lack: _Lack) -> None:
        """
        Report the fault of a destination, once.

        :param path: of the destination.
        """
        key = (virtual_service.key, path, lack.message)
        if key not in self._problems:
            self._problems[key] = virtual_service.problem(
                lack.severity, lack.code, lack.message, path=path + lack.field, hint=lack.hint
            )


def _tls_lack(tls: PolicySource | None) -> _Lack | None:
    """The fault that a policy forbids connections in the clear, or None."""
    if tls is None or tls.value.mode not in ORIGINATING:
        return None
    return _Lack(
        "MG2045",
        f"the endpoint expects TLS of mode {tls.value.mode}, which this gateway does not originate yet",
        f"{_named(tls, 'tls')} asks for it; nothing is sent in the clear",
    )


def _undescribed(alias: CatalogHost) -> _Lack:
    """The fault that a Service of type ExternalName stands for a name that is no host."""
    name = alias.source.spec.stands_for
    return _Lack(
        "MG2080",
        f"{alias.source.key} ({alias.source.location('spec.externalName')}) stands for {name}, which is a host of no "
        "Service and no ServiceEntry: Istio closes these connections, and this gateway dials the name",
        f"write a ServiceEntry for {name}, and name that as the destination",
        Severity.WARNING,
        ".host",
    )


def _preamble_lack(sections: Mapping[str, PolicySource]) -> _Lack | None:
    """The fault that an endpoint waits for something before the client's bytes, or None."""
    header, tunnel = sections.get("proxy_protocol"), sections.get("tunnel")
    source = header or tunnel
    if source is None:
        return None
    field, what = ("proxyProtocol", "a PROXY header") if header is not None else ("tunnel", "the request for a tunnel")
    return _Lack(
        "MG2076",
        f"the endpoint waits for {what}, which this gateway does not send yet",
        f"{_named(source, field)} asks for it; without it, no connection is made, as the client's first bytes would be "
        "taken for it",
    )


def _no_resolution_lack(found: CatalogHost, number: int) -> _Lack | None:
    """The fault that a ServiceEntry leaves the original destination, which is the gateway itself, or None."""
    spec, port = found.source.spec, found.ports[number]
    if port.endpoints or not isinstance(spec, ServiceEntrySpec) or spec.resolution is not Resolution.NONE:
        return None
    return _Lack(
        "MG2069",
        port.missing,
        f"{found.source.key} ({found.source.location('spec.resolution')}) has it, which serves sidecars alone; write "
        "resolution: DNS, or STATIC with endpoints",
    )


def _passthrough_lack(load_balancer: PolicySource | None) -> _Lack | None:
    """The fault that a policy asks for the original destination, which is the gateway itself, or None."""
    if load_balancer is None or load_balancer.value.simple is not LoadBalancing.PASSTHROUGH:
        return None
    return _Lack(
        "MG2069",
        "loadBalancer PASSTHROUGH keeps the original destination, which a gateway does not have",
        f"{_named(load_balancer, 'loadBalancer')} asks for it; Istio's gateway would dial itself",
    )


def _named(source: PolicySource, field: str) -> str:
    location = source.rule.location(f"{source.path}.{field}")
    return f"DestinationRule {source.rule.qualified_name} ({location})"


def _used(found: CatalogHost, rule: MergedRule | None, subset: OwnedSubset | None) -> frozenset[ResourceKey]:
    owners = [found.source, *found.others]
    if rule is not None and rule.policy is not None:
        owners.append(rule.policy[0])
    if subset is not None:
        owners.append(subset.rule)
    return frozenset(owner.key for owner in owners)


def _no_port_named(found: CatalogHost, target: RouteTarget) -> _Lack | None:
    """The fault that a host does not have the port that a destination names, or None."""
    number = target.port.number if target.port is not None else None
    return _no_port(found, number) if number and number not in found.ports else None


def _no_port(found: CatalogHost, number: int) -> _Lack:
    have = ", ".join(map(str, sorted(found.ports))) or "none"
    for_tcp = " for TCP" if number in found.udp_ports else ""
    return _Lack(
        "MG2021",
        f"{found.host} has no port {number}{for_tcp}; it has {have}",
        "name one of the ports under destination.port.number",
        field=".port.number",
    )


def _no_subset(rules: DestinationRules, found: CatalogHost, name: str, viewer: Viewer) -> _Lack:
    message, hint = missing_subset(rules, found, name, viewer)
    return _Lack("MG2043", message, hint, field=".subset")
