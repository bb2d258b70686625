"""
The input of analyzers: all resources sorted by kind, and the workloads that Gateways select.

An analyzer goes over all resources of its kind in the input. To ask it about one resource, the caller narrows the
input to that one (:meth:`AnalysisInput.narrow`); what the resource is compared with stays whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from meshgate.resources.kinds.destinationrule import DestinationRule, DestinationRuleSpec
from meshgate.resources.kinds.gateway import Gateway, GatewaySpec
from meshgate.resources.kinds.pod import makes_pods, pod_labels
from meshgate.resources.kinds.route_destinations import Destination
from meshgate.resources.kinds.secret import SecretSpec
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.serviceentry import ServiceEntrySpec
from meshgate.resources.kinds.virtualservice import TCPRoute, TLSRoute, VirtualService, VirtualServiceSpec
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.compile.catalog import Catalog
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.route_binding import users_of, users_of_rule
from meshgate.routing.compile.selection import selected
from meshgate.routing.hosts import HostIndex

SubsetOwners = dict[ResourceKey, tuple[VirtualService, str]]
"""VirtualServices that choose between the subsets of one host, each with the path of a subset."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload that a Gateway can select: this gateway, or a Pod."""

    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class AnalysisInput:
    """
    All resources; the lists by kind begin with the oldest resource.

    :ivar resources: the valid resources, and the readable fields of invalid ones; Istio's analyzers look at both.
    :ivar dropped: servers that the compiler has dropped with a problem, by their Gateway and index.
    :ivar faulty: the keys of the invalid resources among them.
    :ivar now: the time against which certificates are checked; None to leave their dates unchecked.
    :ivar services_by_selector: a cache of the Services in front of the workloads that a selector selects.
    :ivar host_indexes: the hosts of each Gateway that a VirtualService names, by ``namespace/name``.
    :ivar subset_owners: by host, the VirtualServices for that host which choose between its subsets.
    """

    resources: Sequence[Resource[Any]]
    proxy: Proxy
    catalog: Catalog
    dropped: Collection[tuple[ResourceKey, int]] = field(default=frozenset())
    faulty: Set[ResourceKey] = frozenset()
    now: datetime | None = None
    services_by_selector: dict[Any, dict[ResourceKey, Resource[ServiceSpec]]] = field(default_factory=dict)
    host_indexes: dict[str, HostIndex] = field(default_factory=dict)
    subset_owners: Mapping[str, SubsetOwners] = field(default_factory=dict)

    def narrow(self, **chosen: Any) -> AnalysisInput:
        """
        Copy this input with other values for some attributes.

        The copy shares the lists that :meth:`sort_by_kind` has sorted, so that narrowing is cheap.
        """
        view = object.__new__(AnalysisInput)
        vars(view).update(vars(self), **chosen)
        return view

    def sort_by_kind(self) -> None:
        """Sort the resources by kind now, so that narrowed copies share the sorted lists."""
        for name in ("services", "entries", "rules", "secrets", "workloads", "_namespaces"):
            getattr(self, name)

    @cached_property
    def gateways(self) -> list[Gateway]:
        """The Gateways, those that select other gateways included."""
        return self._of(GatewaySpec)

    @cached_property
    def gateway_of(self) -> dict[str, Gateway]:
        """The Gateways by ``namespace/name``."""
        return {gateway.qualified_name: gateway for gateway in self.gateways}

    @cached_property
    def virtual_services(self) -> list[VirtualService]:
        """The VirtualServices."""
        return self._of(VirtualServiceSpec)

    @cached_property
    def services(self) -> list[Resource[ServiceSpec]]:
        """The Services."""
        return self._of(ServiceSpec)

    @cached_property
    def entries(self) -> list[Resource[ServiceEntrySpec]]:
        """The ServiceEntries."""
        return self._of(ServiceEntrySpec)

    @cached_property
    def rules(self) -> list[DestinationRule]:
        """The DestinationRules."""
        return self._of(DestinationRuleSpec)

    @cached_property
    def secrets(self) -> dict[tuple[str, str], Resource[SecretSpec]]:
        """The Secrets by namespace and name."""
        return {(secret.namespace, secret.name): secret for secret in self._of(SecretSpec)}

    @cached_property
    def workloads(self) -> list[Workload]:
        """The gateway itself, and all Pods, those of templates included."""
        pods = (Workload(each.namespace, pod_labels(each)) for each in self.resources if makes_pods(each))
        return [Workload(self.proxy.namespace, self.proxy.labels), *pods]

    @cached_property
    def _namespaces(self) -> dict[frozenset[tuple[str, str]], list[str]]:
        return {}

    def namespaces_of(self, selector: Mapping[str, str]) -> list[str]:
        """The namespaces of the workloads that a Gateway's selector selects."""
        key = frozenset(selector.items())
        if key not in self._namespaces:
            self._namespaces[key] = sorted({workload.namespace for workload in self.workloads_of(selector)})
        return self._namespaces[key]

    def workloads_of(self, selector: Mapping[str, str]) -> Iterator[Workload]:
        """The workloads that a Gateway's selector selects."""
        return (workload for workload in self.workloads if selected(selector, workload.labels))

    def _of(self, spec: type[Any]) -> list[Any]:
        return sorted((each for each in self.resources if isinstance(each.spec, spec)), key=Resource.order)


class RuleDestination(NamedTuple):
    """
    A destination of a rule.

    :ivar users: those that apply the rule: Gateways as ``namespace/name``, and ``mesh`` for sidecars.
    """

    path: str
    destination: Destination
    users: tuple[str, ...]


def destinations_of(virtual_service: VirtualService) -> Iterator[RuleDestination]:
    """The destinations of all rules; those without a readable host are left out."""
    spec, users = virtual_service.spec, users_of(virtual_service)
    several: Sequence[tuple[str, Sequence[TLSRoute | TCPRoute]]] = (("tls", spec.tls), ("tcp", spec.tcp))
    for kind, rules in several:
        for number, rule in enumerate(rules):
            own = users_of_rule(virtual_service, users, [block.gateways for block in rule.match])
            for index, target in enumerate(rule.route):
                if target.destination.host:
                    path = f"spec.{kind}[{number}].route[{index}].destination"
                    yield RuleDestination(path, target.destination, own)
    for number, http in enumerate(spec.http_rules):
        own = users_of_rule(virtual_service, users, http.gateways)
        for path, destination in http.destinations:
            yield RuleDestination(f"spec.http[{number}].{path}", destination, own)


def listed(fields: Iterable[tuple[Resource[Any], str]], count: int | None = None, most: int = 3) -> str:
    """
    Join the names and locations of resources: ``shop/a (routes.yaml:7:5), shop/b (routes.yaml:12:5) and 2 more``.

    :param fields: each resource with the path of the field whose location is shown.
    :param count: how many there are, if only the first are given.
    :param most: how many are named.
    """
    found = list(fields)
    rest = (len(found) if count is None else count) - most
    names = ", ".join(f"{each.qualified_name} ({each.location(path)})" for each, path in found[:most])
    return names + (f" and {rest} more" if rest > 0 else "")
