"""From a route's destinations, as written, to hosts, ports, subsets and endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshgate.resources.kinds.export_to import EVERYBODY
from meshgate.resources.kinds.loadbalancer import LoadBalancing
from meshgate.resources.kinds.virtualservice import Destination as WrittenDestination
from meshgate.resources.kinds.virtualservice import RouteDestination, VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import spelling_hint
from meshgate.routing.compile.catalog import Catalog, CatalogHost
from meshgate.routing.compile.destination_rules import DestinationRules, MergedRule, OwnedSubset
from meshgate.routing.compile.policy_notes import never_out, notes, overruled
from meshgate.routing.compile.route_binding import gateways_of
from meshgate.routing.compile.servers import Proxy
from meshgate.routing.compile.subsets import endpoints_of
from meshgate.routing.compile.traffic_policies import (
    ORIGINATING,
    RULE_POLICY,
    Written,
    connection_policy,
    effective,
    upstream_policy,
    written_policies,
)
from meshgate.routing.compile.visibility import scopes
from meshgate.routing.connection_policy import NO_UPSTREAM_POLICY, ConnectionPolicy, UpstreamPolicy
from meshgate.routing.hosts import full_name, other_by_dot, unknown_host_hint
from meshgate.routing.table import Destination, Endpoint

NO_ENDPOINT = "MG2022"


@dataclass(frozen=True, slots=True)
class _Lack:
    """
    What a destination lacks.

    :ivar field: of the destination, that says what there is not, as ``.host``.
    """

    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    field: str = ""


@dataclass(frozen=True, slots=True)
class _Resolved:
    """
    What a destination comes to.

    :ivar port: None where it depends on a server that is not known.
    :ivar rests_on: the resources it is made of.
    """

    host: str
    port: int | None
    endpoints: tuple[Endpoint, ...] = ()
    lack: _Lack | None = None
    rests_on: frozenset[ResourceKey] = frozenset()
    policy: UpstreamPolicy = NO_UPSTREAM_POLICY


class Destinations:
    """
    Makes the destinations of routes, and says once of each what is missing.

    :param catalog: the hosts that exist.
    :param rules: the DestinationRules that there are.
    :param known: the hosts that exist, and those of resources that are not valid.
    :ivar used: what the destinations made so far rest on.
    """

    def __init__(self, catalog: Catalog, rules: DestinationRules, proxy: Proxy, known: Catalog | None = None) -> None:
        self._catalog = catalog
        self._all_hosts = catalog if known is None else known
        self._rules = rules
        self._proxy = proxy
        self._said: dict[tuple[object, ...], Problem] = {}
        # By what is the same for every route: two routes to a destination share its endpoints and its policy.
        self._known: dict[tuple[int, int | None, str], _Resolved] = {}
        self.used: set[ResourceKey] = set()

    @property
    def problems(self) -> list[Problem]:
        """What is missing: a host, a port, a subset, or every endpoint."""
        return list(self._said.values())

    def of(
        self,
        virtual_service: VirtualService,
        path: str,
        route: Sequence[RouteDestination],
        server_port: int,
    ) -> tuple[Destination, ...]:
        """
        :param path: the rule's path, for problems.
        :param server_port: the server's port, which a destination without a port of its own falls back to.
        """
        return tuple(
            self._one(virtual_service, f"{path}.route[{index}].destination", target, server_port)
            for index, target in enumerate(route)
        )

    def connection_policy(
        self, virtual_service: VirtualService, path: str, route: Sequence[RouteDestination]
    ) -> ConnectionPolicy:
        """
        How the connections of a route are treated, which its first destination decides; says what others want in vain.

        :param path: as of :meth:`of`.
        """
        policies = []
        for target in route:
            rule, subset = self._rules_for(virtual_service, target.destination)
            policies.append((connection_policy(rule, subset), connection_policy(rule, None)))
        chosen = policies[0][0 if len(route) == 1 else 1]
        for index, (wanted, _) in enumerate(policies):
            vain = overruled(wanted, chosen)
            if vain and (route[index].weight or len(route) == 1):
                why = f"of several destinations, the {RULE_POLICY} of the first one's rule decides for all"
                message = f"{', '.join(vain)} of {wanted.origin} has no effect here: {why}"
                hint = "Istio ignores it here without a word"
                where = f"{path}.route[{index}].destination"
                self._say(virtual_service, where, _Lack("MG2071", message, hint, Severity.WARNING))
        return chosen

    def check(self, virtual_service: VirtualService, path: str, written: WrittenDestination) -> None:
        """
        Say what a destination lacks whatever the server: its host, a port that is named, its subset.

        :param path: of the destination.
        """
        host = full_name(written.host, virtual_service.namespace, self._proxy.domain_suffix)
        for viewer in self._viewers(virtual_service):
            lack = self._resolve(virtual_service, written, None, viewer).lack
            if lack is not None and lack.code != NO_ENDPOINT:
                self._say(virtual_service, path, lack)
                break
        found = self._all_hosts.find(host)
        if found is not None and written.port is None and len(found.ports) > 1:
            have = ", ".join(map(str, sorted(found.ports)))
            message = f"{host} has the ports {have} and none is named, so the number of the server's port is taken"
            hint = "name one of them under destination.port.number"
            self._say(virtual_service, path, _Lack("MG2047", message, hint, Severity.WARNING))

    def _one(
        self, virtual_service: VirtualService, path: str, target: RouteDestination, server_port: int
    ) -> Destination:
        resolved = self._resolve(virtual_service, target.destination, server_port, self._proxy.namespace)
        self.used.update(resolved.rests_on)
        if resolved.lack is not None:
            self._say(virtual_service, path, resolved.lack)
        return Destination(
            host=resolved.host,
            port=resolved.port or 0,
            subset=target.destination.subset,
            weight=target.weight,
            endpoints=resolved.endpoints,
            missing=resolved.lack.message if resolved.lack is not None else "",
            policy=resolved.policy,
        )

    def _resolve(
        self,
        virtual_service: VirtualService,
        written: WrittenDestination,
        server_port: int | None,
        viewer: str,
    ) -> _Resolved:
        """
        The port is the one written, else the host's only one, else the server's
        (pilot/pkg/networking/util, GetDestinationCluster).

        :param viewer: the namespace that has to see the host.
        """
        host = full_name(written.host, virtual_service.namespace, self._proxy.domain_suffix)
        number = written.port.number or None if written.port is not None else None
        sidecar = server_port is None and not gateways_of(virtual_service)
        found = (self._catalog.covering if sidecar else self._catalog.find)(host, viewer)
        if found is None:
            return _Resolved(host, number or 0, lack=self._unknown(host, viewer, virtual_service.namespace))
        if number is None:
            number = next(iter(found.ports)) if len(found.ports) == 1 else server_port
        if number is not None and number not in found.ports:
            return _Resolved(host, number, lack=_no_port(found, number))
        key = (id(found), number, written.subset)
        if key not in self._known:
            self._known[key] = self._selected(found, number, written.subset)
        return self._known[key]

    def _rules_for(
        self, virtual_service: VirtualService, written: WrittenDestination
    ) -> tuple[MergedRule | None, OwnedSubset | None]:
        """The DestinationRules that this gateway follows for a destination."""
        host = full_name(written.host, virtual_service.namespace, self._proxy.domain_suffix)
        found = self._catalog.find(host, self._proxy.namespace)
        rule = self._rules.find(found.host, found.source.namespace) if found is not None else None
        return rule, rule.subsets.get(written.subset) if rule is not None else None

    def _selected(self, found: CatalogHost, number: int | None, subset_name: str) -> _Resolved:
        """The endpoints of a host's port that a subset selects, which no subset name is."""
        rule = self._rules.find(found.host, found.source.namespace)
        subset = rule.subsets.get(subset_name) if rule is not None and subset_name else None
        if subset_name and subset is None:
            return _Resolved(found.host, number, lack=_no_subset(found.host, subset_name, rule))
        if number is None:
            return _Resolved(found.host, None)
        policies = list(written_policies(rule, subset)) if rule is not None else []
        for problem in notes(policies):
            self._keep(problem)
        parts = effective(policies, number)
        lack = _tls_lack(parts.get("tls")) or _passthrough_lack(parts.get("load_balancer"))
        if lack is not None:
            return _Resolved(found.host, number, lack=lack)
        endpoints, missing = endpoints_of(found.ports[number], subset.subset.labels if subset is not None else {})
        what = f"{found.host}:{number}" + (f" (subset {subset_name})" if subset_name else "")
        lack = _Lack(NO_ENDPOINT, f"{what} has no endpoint: {missing}", severity=Severity.WARNING) if missing else None
        policy = upstream_policy(parts)
        if policy.outliers is not None:
            self._keep(never_out(parts["outlier_detection"], policy.outliers, endpoints, what))
        return _Resolved(found.host, number, endpoints, lack, _rests_on(found, rule, subset), policy)

    def _keep(self, problem: Problem | None) -> None:
        """Say something of a policy, once."""
        if problem is not None:
            self._said.setdefault((problem.namespace, problem.name, problem.path, problem.message), problem)

    def _viewers(self, virtual_service: VirtualService) -> list[str]:
        """The namespaces that follow a VirtualService: this gateway's, or of one for sidecars those that see it."""
        if gateways_of(virtual_service):
            return [self._proxy.namespace]
        return sorted({virtual_service.namespace if each == EVERYBODY else each for each in scopes(virtual_service)})

    def _unknown(self, host: str, viewer: str, namespace: str) -> _Lack:
        hidden = self._catalog.find(host)
        faulty = self._all_hosts.find(host) if hidden is None else None
        if faulty is not None:
            message = f"the host {host} is that of {faulty.source.key} ({faulty.source.location()}), which is not valid"
            return _Lack("MG2023", message, "its own problems say what is wrong with it", field=".host")
        if hidden is None:
            meant = other_by_dot(host, namespace, self._proxy.domain_suffix)
            hint = unknown_host_hint(meant if self._catalog.find(meant) is not None else "")
            return _Lack("MG2020", f"the host {host} is unknown", hint, field=".host")
        seen_by = ", ".join(sorted(scopes(hidden.source))) or "nobody"
        message = (
            f"the host {host} is not visible in the namespace {viewer}: "
            f"{hidden.source.key} ({hidden.source.location('spec.exportTo')}) is exported to {seen_by} only"
        )
        return _Lack("MG2046", message, f'add {viewer} or "*" to its exportTo', field=".host")

    def _say(self, virtual_service: VirtualService, path: str, lack: _Lack) -> None:
        said = (virtual_service.key, path, lack.message)
        if said not in self._said:
            where = path + lack.field
            self._said[said] = virtual_service.problem(
                lack.severity, lack.code, lack.message, path=where, hint=lack.hint
            )


def _tls_lack(tls: Written | None) -> _Lack | None:
    """Why a policy forbids to dial in the clear."""
    if tls is None or tls.value.mode not in ORIGINATING:
        return None
    return _Lack(
        "MG2045",
        f"the endpoint is to be spoken to by TLS {tls.value.mode}, which this gateway does not begin yet",
        f"so {_named(tls, 'tls')} wants it; nothing is sent in the clear",
    )


def _passthrough_lack(load_balancer: Written | None) -> _Lack | None:
    """Why nothing can be dialed: a gateway is itself where its clients connect to."""
    if load_balancer is None or load_balancer.value.simple is not LoadBalancing.PASSTHROUGH:
        return None
    return _Lack(
        "MG2069",
        "loadBalancer PASSTHROUGH keeps the original destination, which a gateway does not have",
        f"so {_named(load_balancer, 'loadBalancer')} wants it; Istio's gateway would dial itself",
    )


def _named(written: Written, field: str) -> str:
    place = written.rule.location(f"{written.path}.{field}")
    return f"DestinationRule {written.rule.qualified_name} ({place})"


def _rests_on(found: CatalogHost, rule: MergedRule | None, subset: OwnedSubset | None) -> frozenset[ResourceKey]:
    owners = [found.source]
    if rule is not None and rule.policy is not None:
        owners.append(rule.policy[0])
    if subset is not None:
        owners.append(subset.rule)
    return frozenset(owner.key for owner in owners)


def _no_port(found: CatalogHost, number: int) -> _Lack:
    have = ", ".join(map(str, sorted(found.ports))) or "none"
    return _Lack(
        "MG2021",
        f"{found.host} has no port {number}; it has {have}",
        "name one of the ports under destination.port.number",
        field=".port.number",
    )


def _no_subset(host: str, name: str, rule: MergedRule | None) -> _Lack:
    if rule is None:
        return _Lack(
            "MG2043", f"{host} has no subset {name}: there is no DestinationRule for it", "write one", field=".subset"
        )
    hint = spelling_hint(name, rule.subsets) or "its DestinationRule has none"
    return _Lack("MG2043", f"{host} has no subset {name}", hint, field=".subset")
