"""From a route's destinations, as written, to hosts, ports, subsets and endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.trafficpolicy import TrafficPolicy
from meshgate.resources.virtualservice import Destination as WrittenDestination
from meshgate.resources.virtualservice import RouteDestination, VirtualServiceSpec
from meshgate.resources.wording import nearest
from meshgate.routing.binding import gateways_of
from meshgate.routing.catalog import Catalog, CatalogHost
from meshgate.routing.destinationrules import DestinationRule, DestinationRules, MergedRule, OwnedSubset
from meshgate.routing.hosts import full_name
from meshgate.routing.policies import ORIGINATING, client_tls, not_served
from meshgate.routing.servers import Proxy
from meshgate.routing.subsets import endpoints_of
from meshgate.routing.table import Destination, Endpoint
from meshgate.routing.visibility import EVERYBODY, scopes

NO_ENDPOINT = "MG2022"


@dataclass(frozen=True, slots=True)
class _Lack:
    """What a destination lacks."""

    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR


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


class Destinations:
    """
    Makes the destinations of routes, and says once of each what is missing.

    :param catalog: the hosts that exist.
    :param rules: the DestinationRules that there are.
    :ivar used: what the destinations made so far rest on.
    """

    def __init__(self, catalog: Catalog, rules: DestinationRules, proxy: Proxy) -> None:
        self._catalog = catalog
        self._rules = rules
        self._proxy = proxy
        self._said: dict[tuple[object, ...], Problem] = {}
        self.used: set[ResourceKey] = set()

    @property
    def problems(self) -> list[Problem]:
        """What is missing: a host, a port, a subset, or every endpoint."""
        return list(self._said.values())

    def of(
        self,
        virtual_service: Resource[VirtualServiceSpec],
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

    def check(self, virtual_service: Resource[VirtualServiceSpec], path: str, written: WrittenDestination) -> None:
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
        found = self._catalog.find(host)
        if found is not None and written.port is None and len(found.ports) > 1:
            have = ", ".join(map(str, sorted(found.ports)))
            message = f"{host} has the ports {have} and none is named, so the number of the server's port is taken"
            hint = "name one of them under destination.port.number"
            self._say(virtual_service, path, _Lack("MG2047", message, hint, Severity.WARNING))

    def _one(
        self, virtual_service: Resource[VirtualServiceSpec], path: str, target: RouteDestination, server_port: int
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
        )

    def _resolve(
        self,
        virtual_service: Resource[VirtualServiceSpec],
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
        number = written.port.number if written.port is not None else None
        sidecar = server_port is None and not gateways_of(virtual_service)
        found = (self._catalog.covering if sidecar else self._catalog.find)(host, viewer)
        if found is None:
            return _Resolved(host, number or 0, lack=self._unknown(host, viewer))
        if number is None:
            number = next(iter(found.ports)) if len(found.ports) == 1 else server_port
        if number is not None and number not in found.ports:
            return _Resolved(host, number, lack=_no_port(found, number))
        return self._selected(found, number, written.subset)

    def _selected(self, found: CatalogHost, number: int | None, subset_name: str) -> _Resolved:
        """The endpoints of a host's port that a subset selects, which no subset name is."""
        rule = self._rules.find(found.host, found.source.namespace)
        subset = rule.subsets.get(subset_name) if rule is not None and subset_name else None
        if subset_name and subset is None:
            return _Resolved(found.host, number, lack=_no_subset(found.host, subset_name, rule))
        if number is None:
            return _Resolved(found.host, None)
        if rule is not None and (lack := self._policy_lack(rule, subset, number)) is not None:
            return _Resolved(found.host, number, lack=lack)
        endpoints, missing = endpoints_of(found.ports[number], subset.subset.labels if subset is not None else {})
        what = f"{found.host}:{number}" + (f" (subset {subset_name})" if subset_name else "")
        lack = _Lack(NO_ENDPOINT, f"{what} has no endpoint: {missing}", severity=Severity.WARNING) if missing else None
        return _Resolved(found.host, number, endpoints, lack, _rests_on(found, rule, subset))

    def _policy_lack(self, rule: MergedRule, subset: OwnedSubset | None, number: int) -> _Lack | None:
        """Why a policy forbids dialing; what else of it is not done is said on the way."""
        override = subset.subset.traffic_policy if subset is not None else None
        owner, policy = rule.policy if rule.policy is not None else (None, None)
        if owner is not None and policy is not None:
            self._note_not_served(owner, "spec.trafficPolicy", policy)
        if subset is not None and override is not None:
            self._note_not_served(subset.rule, f"spec.subsets[{subset.index}].trafficPolicy", override)
        tls = client_tls(policy, override, number)
        if tls is None or tls.mode not in ORIGINATING:
            return None
        by = subset.rule if subset is not None and (owner is None or override is not None) else owner
        message = f"the endpoint is to be spoken to by TLS {tls.mode}, which this gateway does not begin yet"
        hint = (
            f"so DestinationRule {by.qualified_name} ({by.origin}) wants it; nothing is sent in the clear" if by else ""
        )
        return _Lack("MG2045", message, hint)

    def _note_not_served(self, rule: DestinationRule, path: str, policy: TrafficPolicy) -> None:
        fields = ", ".join(not_served(policy))
        if fields:
            problem = rule.problem(
                Severity.INFO,
                "MG2044",
                f"not done by this gateway yet: {fields}",
                path=path,
                hint="its connections are made without it",
            )
            self._said.setdefault((rule.key, path), problem)

    def _viewers(self, virtual_service: Resource[VirtualServiceSpec]) -> list[str]:
        """The namespaces that follow a VirtualService: this gateway's, or of one for sidecars those that see it."""
        if gateways_of(virtual_service):
            return [self._proxy.namespace]
        return sorted({virtual_service.namespace if each == EVERYBODY else each for each in scopes(virtual_service)})

    def _unknown(self, host: str, viewer: str) -> _Lack:
        hidden = self._catalog.find(host)
        if hidden is None:
            hint = "give it a Service or a ServiceEntry, or check the namespace of the short name"
            return _Lack("MG2020", f"the host {host} is unknown", hint)
        seen_by = ", ".join(sorted(scopes(hidden.source))) or "nobody"
        message = (
            f"the host {host} is not visible in the namespace {viewer}: "
            f"{hidden.source.key} ({hidden.source.origin}) is exported to {seen_by} only"
        )
        return _Lack("MG2046", message, f'add {viewer} or "*" to its exportTo')

    def _say(self, virtual_service: Resource[VirtualServiceSpec], path: str, lack: _Lack) -> None:
        problem = virtual_service.problem(lack.severity, lack.code, lack.message, path=path, hint=lack.hint)
        self._said.setdefault((virtual_service.key, path, lack.message), problem)


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
    )


def _no_subset(host: str, name: str, rule: MergedRule | None) -> _Lack:
    if rule is None:
        return _Lack("MG2043", f"{host} has no subset {name}: there is no DestinationRule for it", "write one")
    hint = nearest(name, rule.subsets) or "its DestinationRule has none"
    return _Lack("MG2043", f"{host} has no subset {name}", hint)
