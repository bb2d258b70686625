"""
The ports of hosts, with the endpoints behind them.

A workload's labels include those of its locality, and its port goes by name before it goes by number. An endpoint with
a DNS name keeps it here; the data plane resolves it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from meshgate.resources.kinds.pod import PodSource
from meshgate.resources.kinds.service import ServicePort
from meshgate.resources.kinds.workloadentry import WorkloadEntrySpec
from meshgate.routing.addresses import UNIX_PREFIX
from meshgate.routing.compile.selection import may_select, selected, selector_text
from meshgate.routing.table import Endpoint

REGION_LABEL = "topology.kubernetes.io/region"
ZONE_LABEL = "topology.kubernetes.io/zone"
SUBZONE_LABEL = "topology.istio.io/subzone"
NETWORK_LABEL = "topology.istio.io/network"
NODE_LABEL = "kubernetes.io/hostname"

LOCALITY_LABEL: Final = "istio-locality"
"""The label of a workload that has its locality, with dots in place of slashes."""


class Site(NamedTuple):
    """
    Where an endpoint is.

    :ivar locality: as ``region/zone/subzone``, or ``/zone`` if the region is unknown; empty if both are.
    :ivar node: the name of its node, or empty.
    """

    locality: str = ""
    node: str = ""


NOWHERE: Final = Site()

LabeledEndpoint = tuple[Endpoint, Mapping[str, str] | None, Site]
"""An endpoint with its labels, None if these are unknown, and its site."""


@dataclass(frozen=True, slots=True)
class CatalogPort:
    """
    One port of a host.

    :ivar missing: the reason why there are no endpoints, in words; empty if there are some.
    :ivar labels: of each endpoint, by which subsets select; None if they are unknown.
    :ivar sites: of each endpoint.
    :ivar pods: what makes the Pods behind the port, if their addresses are the only thing that is missing.
    """

    number: int
    name: str
    endpoints: tuple[Endpoint, ...] = ()
    missing: str = ""
    labels: tuple[Mapping[str, str] | None, ...] = ()
    sites: tuple[Site, ...] = ()
    pods: tuple[PodSource, ...] = ()

    def localities_of(self, endpoints: Collection[Endpoint]) -> list[str]:
        """The different localities of some of the endpoints, as text; an empty one if some are unknown."""
        return sorted({site.locality.lstrip("/") for site, _ in self.facts_of(endpoints)})

    def facts_of(self, endpoints: Collection[Endpoint]) -> list[tuple[Site, Mapping[str, str] | None]]:
        """The site and the labels of each of some of the endpoints, in their order."""
        facts = list(zip(self.sites, self.labels, strict=True))
        if endpoints is self.endpoints:
            return facts
        chosen = frozenset(endpoints)
        return [each for endpoint, each in zip(self.endpoints, facts, strict=True) if endpoint in chosen]

    def has_pods(self, selector: Mapping[str, str]) -> bool:
        """
        True if only the addresses of Pods are missing.

        :param selector: the labels of a subset; none select every Pod.
        """
        return any(may_select(selector, each) for each in self.pods)

    def subset(self, selector: Mapping[str, str]) -> tuple[tuple[Endpoint, ...], str]:
        """
        The endpoints that a subset selects, and the reason if there are none.

        :param selector: the labels of the subset; none select every endpoint.
        """
        if not selector or not self.endpoints:
            lacks_label = bool(self.pods) and not self.has_pods(selector)
            return (
                self.endpoints,
                f"none of its Pods is labeled {selector_text(selector)}" if lacks_label else self.missing,
            )
        chosen = tuple(
            endpoint
            for endpoint, labels in zip(self.endpoints, self.labels, strict=True)
            if labels is not None and selected(selector, labels)
        )
        if chosen:
            return chosen, ""
        reason = f"none of its {len(self.labels)} endpoints is labeled {selector_text(selector)}"
        unknown = self.labels.count(None)
        return (), reason + (f", as far as labels are known: the Pods of {unknown} are not given" if unknown else "")

    def joined(self, other: CatalogPort) -> CatalogPort:
        """Join the endpoints that another source has for a port of the same name."""
        if other.name != self.name or not (other.endpoints or other.pods):
            return self
        own = zip(self.endpoints, self.labels, self.sites, strict=True)
        others = zip(other.endpoints, other.labels, other.sites, strict=True)
        found = [*own, *others]
        pods = () if found else (*self.pods, *other.pods)
        return with_endpoints(self.number, self.name, found, "" if found else self.missing or other.missing, pods)


def with_endpoints(
    number: int, name: str, found: Iterable[LabeledEndpoint], missing: str, pods: tuple[PodSource, ...] = ()
) -> CatalogPort:
    """A port with its endpoints, each of them once."""
    labels_of: dict[Endpoint, Mapping[str, str] | None] = {}
    sites: dict[Endpoint, Site] = {}
    for endpoint, labels, site in found:
        if labels_of.get(endpoint) is None:
            labels_of[endpoint] = labels
        before = sites.get(endpoint, NOWHERE)
        sites[endpoint] = before if before.locality else site
    return CatalogPort(number, name, tuple(labels_of), missing, tuple(labels_of.values()), tuple(sites.values()), pods)


def site_of(workload: WorkloadEntrySpec) -> Site:
    """The site of a workload (pilot/pkg/serviceregistry/serviceentry/conversion.go, convertEndpoint)."""
    return Site(workload.locality or labeled_locality(workload.labels), workload.labels.get(NODE_LABEL, ""))


def labeled_locality(labels: Mapping[str, str]) -> str:
    """The locality that the labels of a workload or of the gateway name; empty if they name none."""
    label = labels.get(LOCALITY_LABEL, "")
    return label if "/" in label else label.replace(".", "/")


def workload_labels(workload: WorkloadEntrySpec) -> dict[str, str]:
    """The labels of a workload, with those of its locality and network (pkg/config/labels, AugmentLabels)."""
    locality = dict(zip((REGION_LABEL, ZONE_LABEL, SUBZONE_LABEL), workload.locality.split("/"), strict=False))
    locality[NETWORK_LABEL] = workload.network
    return {**workload.labels, **{key: value for key, value in locality.items() if value}}


def workload_port(ports: Mapping[str, int], port: ServicePort) -> int | None:
    """
    The port of a workload for a port of a Service: the workload's port with the name of the targetPort or of the
    Service port, else the numeric targetPort. None if the targetPort is a name that the workload does not have.
    """
    for name in (port.target_port, port.name):
        if isinstance(name, str) and name in ports:
            return ports[name]
    return _numeric_target(port) if not isinstance(port.target_port, str) else None


def _numeric_target(port: ServicePort) -> int:
    return port.target_port if isinstance(port.target_port, int) and port.target_port else port.port


def external_port(name: str, port: ServicePort) -> CatalogPort:
    """The port of a Service of type ExternalName, with the name that it stands for as its endpoint."""
    if not name:
        missing = "the Service is of type ExternalName without an externalName"
        return with_endpoints(port.port, port.name, (), missing)
    endpoint = endpoint_of(name.removesuffix("."), _numeric_target(port))
    return with_endpoints(port.port, port.name, [(endpoint, {}, NOWHERE)], "")


def endpoint_of(address: str, port: int, weight: int | None = None) -> Endpoint:
    """An endpoint with an IP address, with a name to be resolved, or a Unix socket, which has no port."""
    if address.startswith(UNIX_PREFIX):
        return Endpoint(address, 0, weight=weight or 1)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return Endpoint(address, port, dns=True, weight=weight or 1)
    return Endpoint(address, port, weight=weight or 1)
