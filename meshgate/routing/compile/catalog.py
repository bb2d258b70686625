"""The catalog: the hosts that exist, their ports, and the endpoints behind each port, joined as Istio joins them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshgate.resources.kinds.pod import PodSource, makes_pods
from meshgate.resources.kinds.service import (
    EndpointSliceSpec,
    EndpointsSpec,
    ServicePort,
    ServiceSpec,
    ServiceType,
    SliceEndpoint,
    TransportProtocol,
)
from meshgate.resources.kinds.serviceentry import ServiceEntrySpec
from meshgate.resources.kinds.workloadentry import WorkloadEntrySpec
from meshgate.resources.names import DOT_HINT
from meshgate.resources.resource import Resource
from meshgate.routing.compile.catalog_port import (
    NOWHERE,
    ZONE_LABEL,
    CatalogPort,
    LabeledEndpoint,
    Site,
    endpoint_of,
    external_port,
    site_of,
    with_endpoints,
    workload_labels,
    workload_port,
)
from meshgate.routing.compile.selection import (
    PodIndex,
    have_port,
    in_cluster_only,
    scopes,
    selected,
    selector_text,
    visible,
)
from meshgate.routing.hosts import full_name, most_specific, other_by_dot, short_name
from meshgate.routing.table import Endpoint

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""The label by which an EndpointSlice names its Service."""


_SERVICES_OF_ISTIO: Final = frozenset(
    {"istio-ingressgateway", "istio-egressgateway", "istio-eastwestgateway", "istiod"}
)

_LabeledWorkload = tuple[WorkloadEntrySpec, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class CatalogHost:
    """
    A host that routes can name: a Service, or one host of a ServiceEntry.

    :ivar source: the Service or ServiceEntry.
    :ivar ports: by number, without those for UDP, which gateways do not route.
    :ivar others: younger ServiceEntries of the same host and namespace, whose endpoints are among those of the ports.
    """

    host: str
    source: Resource[Any]
    ports: Mapping[int, CatalogPort]
    others: tuple[Resource[Any], ...] = ()

    @property
    def only_port(self) -> int | None:
        """The number of the host's port, if it has a single one; a port for UDP counts as well."""
        return next(iter(self.ports), None) if len(self.source.spec.ports) == 1 else None

    @property
    def udp_ports(self) -> set[int]:
        """The numbers of the host's ports for UDP."""
        ports = (each for each in self.source.spec.ports if each.protocol == TransportProtocol.UDP)
        return {each.port if isinstance(each, ServicePort) else each.number for each in ports}

    def joined(self, other: CatalogHost) -> CatalogHost:
        """
        Join the ports and endpoints of another source of the same host and namespace: Istio keeps endpoints by host and
        namespace (pilot/pkg/model/endpointshards.go).
        """
        ports = {
            number: port.joined(other.ports[number]) if number in other.ports else port
            for number, port in self.ports.items()
        }
        return CatalogHost(self.host, self.source, {**other.ports, **ports}, (*self.others, other.source))


class Catalog:
    """
    All hosts by their full name.

    :param resources: of any kind, in any order.
    :param domain_suffix: the cluster domain, ``cluster.local``.
    :param before: the catalog before a change; hosts that have not changed stay the same objects.
    """

    def __init__(self, resources: Iterable[Resource[Any]], domain_suffix: str, before: Catalog | None = None) -> None:
        self._domain_suffix = domain_suffix
        self._hosts: dict[str, list[CatalogHost]] = defaultdict(list)
        # The hosts of Services of type ExternalName, by the name that each stands for.
        self._aliases: dict[str, list[str]] = defaultdict(list)
        self._slices: dict[tuple[str, str], list[EndpointSliceSpec]] = defaultdict(list)
        self._pods: dict[tuple[str, str], Resource[Any]] = {}
        self._pod_index = PodIndex()
        # By namespace, key and value of each of their labels, so that a selector need not try all of them.
        self._workloads: dict[tuple[str, str, str], list[_LabeledWorkload]] = defaultdict(list)
        # The namespaces of Services by name, made when a host is unknown.
        self._services: dict[str, list[str]] | None = None
        self._fill(resources, before)

    def _fill(self, resources: Iterable[Resource[Any]], before: Catalog | None) -> None:
        services: list[Resource[ServiceSpec]] = []
        entries: list[Resource[ServiceEntrySpec]] = []
        in_order = sorted(resources, key=Resource.order)
        for resource in in_order:
            if isinstance(resource.spec, ServiceSpec):
                services.append(resource)
            elif isinstance(resource.spec, ServiceEntrySpec):
                entries.append(resource)
            else:
                self._add_backends(resource)
        # A Service comes before a ServiceEntry of the same host, as the older source does in Istio.
        for service in services:
            host = full_name(service.name, service.namespace, self._domain_suffix)
            self._add(host, service, self._service_ports(service), before)
            if service.spec.stands_for:
                self._aliases[service.spec.stands_for].append(host)
        for entry in entries:
            for host in entry.spec.hosts:
                self._add(host, entry, self._entry_ports(entry, host), before)

    def _add_backends(self, resource: Resource[Any]) -> None:
        """Add a resource among which Services and ServiceEntries find their endpoints."""
        if isinstance(resource.spec, WorkloadEntrySpec):
            labels = {**resource.labels, **workload_labels(resource.spec)}
            for key, value in labels.items():
                self._workloads[resource.namespace, key, value].append((resource.spec, labels))
        elif makes_pods(resource):
            if resource.kind == "Pod":
                self._pods[resource.namespace, resource.name] = resource
            self._pod_index.add(resource)
        elif isinstance(resource.spec, EndpointSliceSpec):
            service_name = resource.labels.get(SERVICE_NAME_LABEL)
            if service_name:
                self._slices[resource.namespace, service_name].append(resource.spec)
        elif isinstance(resource.spec, EndpointsSpec):
            self._slices[resource.namespace, resource.name] += resource.spec.slices()

    def find(self, host: str, namespace: str | None = None) -> CatalogHost | None:
        """
        The first host of a name.

        :param host: a full name, as :func:`~meshgate.routing.hosts.full_name` gives it.
        :param namespace: from which the host must be visible; None to find it whatever its visibility.
        """
        found = self._hosts.get(host, ())
        return next((each for each in found if namespace is None or visible(each.source, namespace)), None)

    def concrete(self, found: CatalogHost, namespace: str) -> CatalogHost | None:
        """
        The host that connections to a host go to in Istio: itself; or for a Service of type ExternalName, the host of
        that name (pilot/pkg/networking/util, GetDestinationCluster), if there is one that is no such Service itself.

        :param namespace: from which the host must be visible.
        """
        if not _is_alias(found):
            return found
        target = self.find(found.source.spec.stands_for, namespace)
        return None if target is not None and _is_alias(target) else target

    def find_covering(self, host: str, namespace: str) -> CatalogHost | None:
        """Find a host, or else the longest wildcard that covers it, as sidecars do."""
        covering = most_specific(host, self._hosts)
        return None if covering is None else self.find(covering, namespace)

    def is_of_istio(self, host: str) -> bool:
        """
        True if a host is a Service that Istio installs: its control plane, or that in front of a gateway. Examples and
        applications name it, and Istio's installer brings it, so that it is seldom among the files.
        """
        name = short_name(host, self._domain_suffix)
        return name in _SERVICES_OF_ISTIO and host.startswith(f"{name}.istio-")

    def unknown_host_hint(self, host: str, namespace: str) -> str:
        """
        The hint for a host that does not exist: the one that was probably meant.

        :param host: a full name.
        :param namespace: of the resource that names the host.
        """
        dotted = other_by_dot(host, namespace, self._domain_suffix)
        if dotted in self._hosts:
            return f"did you mean {dotted}? {DOT_HINT[:1].upper()}{DOT_HINT[1:]}"
        name = short_name(host, self._domain_suffix)
        others = self._namespaces_of(name)
        if others:
            meant = full_name(name, others[0], self._domain_suffix)
            return f"did you mean {meant}? A short name is completed with the namespace of its own resource"
        for rest in (f".svc.{self._domain_suffix}", f".{self._domain_suffix}"):
            if host + rest in self._hosts:
                return f"did you mean {host}{rest}? A host with a dot is taken as it is written"
        service = self.find(host.partition(".")[2])
        if service is not None and isinstance(service.source.spec, ServiceSpec):
            return f"Istio knows {service.source.key} and not its single Pods; write a ServiceEntry for {host}"
        wildcard = self.find(most_specific(host, self._hosts) or "")
        if wildcard is not None:
            return f"only sidecars find it by {wildcard.host} of {wildcard.source.key}; write a ServiceEntry for {host}"
        return "give it a Service or a ServiceEntry" + (", or check the namespace of the short name" if name else "")

    def _namespaces_of(self, name: str) -> Sequence[str]:
        """The namespaces that have a Service of a name, sorted."""
        if self._services is None:
            self._services = defaultdict(list)
            for each in self:
                if isinstance(each.source.spec, ServiceSpec):
                    self._services[each.source.name].append(each.source.namespace)
        return sorted(self._services.get(name, ()))

    def changed_hosts(self, before: Catalog) -> set[str]:
        """
        The names of the hosts that have changed since another catalog, and those of Services that stand for them.

        :param before: the catalog that was given to this one when it was made.
        """
        hosts = self._hosts.keys() | before._hosts.keys()
        changed = {host for host in hosts if not are_the_same(self._hosts.get(host, ()), before._hosts.get(host, ()))}
        return changed.union(*(self._aliases.get(host, ()) for host in changed))

    def __iter__(self) -> Iterator[CatalogHost]:
        for same in self._hosts.values():
            yield from same

    def _add(self, host: str, source: Resource[Any], ports: Iterable[CatalogPort], before: Catalog | None) -> None:
        new = CatalogHost(host, source, {port.number: port for port in ports})
        old = before._hosts.get(host, ()) if before is not None else ()
        hosts = self._hosts[host]
        for index, first in enumerate(hosts):
            same = (first.source.namespace, scopes(first.source)) == (source.namespace, scopes(source))
            if same and not _is_alias(first):
                joined = first.joined(new)
                hosts[index] = next((each for each in old if each == joined), joined)
                return
        hosts.append(next((each for each in old if each == new), new))

    def _service_ports(self, service: Resource[ServiceSpec]) -> Iterator[CatalogPort]:
        spec = service.spec
        for port in spec.ports:
            if port.protocol is TransportProtocol.UDP:
                continue
            if spec.type is ServiceType.EXTERNAL_NAME:
                yield external_port(spec.external_name, port)
                continue
            found = [*self._from_slices(service, port), *self._from_workloads(service, port)]
            pods = () if found else self.pods_of(service)
            missing = self._missing(service, port, found, pods)
            yield with_endpoints(port.port, port.name, found, missing, pods if have_port(pods, port) else ())

    def _from_slices(self, service: Resource[ServiceSpec], port: ServicePort) -> Iterator[LabeledEndpoint]:
        """
        The endpoints of EndpointSlices, joined by the names of ports. FQDN slices are ignored, and so are endpoints
        that are not ready (istio#34995).
        """
        for endpoint_slice in self._slices.get((service.namespace, service.name), ()):
            if endpoint_slice.address_type == "FQDN":
                continue
            for slice_port in endpoint_slice.ports:
                if (slice_port.name or "") != port.name or slice_port.port is None:
                    continue
                for endpoint in endpoint_slice.endpoints:
                    if endpoint.conditions.ready is not False and not endpoint.conditions.terminating:
                        labels = self._pod_labels(endpoint, service.namespace)
                        site = Site(f"/{endpoint.zone}" if endpoint.zone else "", endpoint.node_name or "")
                        for address in endpoint.addresses:
                            yield Endpoint(address, slice_port.port), labels, site

    def _pod_labels(self, endpoint: SliceEndpoint, namespace: str) -> Mapping[str, str] | None:
        reference = endpoint.target_ref
        if reference is None or reference.kind != "Pod":
            return None
        pod = self._pods.get((reference.namespace or namespace, reference.name))
        return None if pod is None else {**pod.labels, **({ZONE_LABEL: endpoint.zone} if endpoint.zone else {})}

    def _from_workloads(self, service: Resource[ServiceSpec], port: ServicePort) -> Iterator[LabeledEndpoint]:
        for workload, labels in self._selected(service.namespace, service.spec.selector):
            number = workload_port(workload.ports, port)
            if number is not None:
                yield endpoint_of(workload.address, number, workload.weight), labels, site_of(workload)

    def _selected(self, namespace: str, selector: Mapping[str, str] | None) -> list[_LabeledWorkload]:
        """
        The WorkloadEntries that a selector selects by the labels of their metadata and spec together. An empty selector
        selects none.
        """
        if not selector:
            return []
        fewest = min((self._workloads.get((namespace, *pair), []) for pair in selector.items()), key=len)
        return [(workload, labels) for workload, labels in fewest if selected(selector, labels)]

    def pods_of(self, service: Resource[ServiceSpec]) -> tuple[PodSource, ...]:
        """The Pods that a Service selects, and the resources that make such Pods."""
        return self._pod_index.find(service.namespace, service.spec.selector)

    def _missing(
        self,
        service: Resource[ServiceSpec],
        port: ServicePort,
        found: list[LabeledEndpoint],
        pods: Sequence[PodSource],
    ) -> str:
        """The reason why a port of a Service has no endpoints, or empty."""
        if found:
            return ""
        if pods and not have_port(pods, port):
            source = f"{pods[0].key} ({pods[0].location()})"
            return f"targetPort {port.target_port!r} is a name, and no container of {source} has a port of that name"
        if pods:
            return in_cluster_only(pods)
        chosen = list(self._selected(service.namespace, service.spec.selector))
        if chosen and isinstance(port.target_port, str):
            return f"targetPort {port.target_port!r} is a name, and no selected WorkloadEntry has a port of that name"
        if service.spec.selector:
            wanted = selector_text(service.spec.selector)
            return (
                f"no EndpointSlice names the Service, and no WorkloadEntry in {service.namespace} is labeled {wanted}"
            )
        return (
            f"the Service has no selector, no EndpointSlice is labeled {SERVICE_NAME_LABEL}={service.name}, and there "
            "are no Endpoints of its name"
        )

    def _entry_ports(self, entry: Resource[ServiceEntrySpec], host: str) -> Iterator[CatalogPort]:
        spec = entry.spec
        for port in spec.ports:
            if port.protocol == "UDP":
                continue
            target = port.target_port or port.number
            if spec.resolution == "DYNAMIC_DNS":
                missing = "resolution DYNAMIC_DNS looks up the name that each client asks for, which is not served"
                yield CatalogPort(port.number, port.name, (), missing)
            else:
                found = list(self._entry_endpoints(entry, host, port.name, target))
                chosen = spec.workload_selector.labels if spec.workload_selector is not None and not found else {}
                pods = self._pod_index.find(entry.namespace, chosen)
                missing = "" if found else "the ServiceEntry has no endpoint that can be dialed"
                if pods:
                    missing = in_cluster_only(pods)
                elif not found and spec.resolution == "NONE":
                    missing = "resolution NONE keeps the original destination, which a gateway does not have"
                yield with_endpoints(port.number, port.name, found, missing, pods)

    def _entry_endpoints(
        self, entry: Resource[ServiceEntrySpec], host: str, port_name: str, target: int
    ) -> Iterator[LabeledEndpoint]:
        """
        The endpoints of a ServiceEntry. With resolution NONE, a gateway goes to selected workloads alone
        (pilot/pkg/networking/core/cluster_builder.go, convertResolution).
        """
        spec = entry.spec
        workloads: list[_LabeledWorkload] = [(each, workload_labels(each)) for each in spec.endpoints]
        if spec.workload_selector is not None:
            workloads += self._selected(entry.namespace, spec.workload_selector.labels)
        elif not workloads and spec.resolution not in ("NONE", "STATIC"):
            yield endpoint_of(host, target), {}, NOWHERE
        for workload, labels in workloads:
            if workload.address:
                number = workload.ports.get(port_name, target)
                yield endpoint_of(workload.address, number, workload.weight), labels, site_of(workload)


def _is_alias(host: CatalogHost) -> bool:
    """True if a host is a Service of type ExternalName, which stands for another host."""
    spec = host.source.spec
    return isinstance(spec, ServiceSpec) and bool(spec.stands_for)


def are_the_same(some: Sequence[object], others: Sequence[object]) -> bool:
    """True if two sequences have the same objects in the same order."""
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
