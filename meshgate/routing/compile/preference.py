"""
The preference of near endpoints: from the localities of the gateway and of endpoints to priorities and shares.

The problem: an endpoint in the gateway's own zone is cheaper and nearer, until it fails.

The approach is Istio's (pilot/pkg/networking/core/loadbalancer/loadbalancer.go): ``distribute`` gives each locality its
share of the connections, and those without one get none; otherwise endpoints have priorities, by the labels of
``failoverPriority``, or by region, zone and subzone, with the regions of ``failover`` before all others. Priorities
count only if something tells that a near endpoint fails, which is outlier detection, or if a Service asks for near
endpoints.

Invariants: priorities begin with 0 and leave out no number. Without any preference the endpoints stay the same objects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from meshgate.resources.kinds.localities import Distribute, Failover
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.resource import Resource
from meshgate.routing.compile.catalog_port import (
    NETWORK_LABEL,
    NODE_LABEL,
    REGION_LABEL,
    SUBZONE_LABEL,
    ZONE_LABEL,
    Site,
)
from meshgate.routing.compile.traffic_policies import PolicySource
from meshgate.routing.table import Endpoint

_RANKS: Final = 5
"""How many ranks localities alone can give: the same subzone, zone, region, a region that takes over, another."""

_TOPOLOGY_LABELS: Final = (REGION_LABEL, ZONE_LABEL, SUBZONE_LABEL, NODE_LABEL)

_NEAR: Final = (NETWORK_LABEL, REGION_LABEL, ZONE_LABEL)
_NEAREST: Final = (*_NEAR, SUBZONE_LABEL, NODE_LABEL)
_OF_SERVICES: Final = {"prefersamezone": _NEAR, "preferclose": _NEAR, "prefersamenode": _NEAREST}
"""The labels that near endpoints share with the gateway, by the trafficDistribution of a Service in lower case."""

_OWN_NODE: Final = "Local"
"""The value of a Service's internalTrafficPolicy that is for the endpoints on the client's own node."""

_DISTRIBUTION: Final = "networking.istio.io/traffic-distribution"


@dataclass(frozen=True, slots=True)
class Preference:
    """
    The preference that counts for one destination.

    :ivar distribute: the shares of localities.
    :ivar failover: the regions that take over from others.
    :ivar labels: those that near endpoints share with the gateway, the most important first.
    :ivar fails_over: something tells that endpoints fail, so that priorities count.
    """

    distribute: Sequence[Distribute] = ()
    failover: Sequence[Failover] = ()
    labels: Sequence[str] = ()
    fails_over: bool = False


class Preferred(NamedTuple):
    """
    Endpoints with their priorities.

    :ivar endpoints: those that may get connections.
    :ivar shares: the weights of localities, for :attr:`~meshgate.routing.connection_policy.Balancing.shares`.
    :ivar missing: why no endpoint is left, in words; empty if some are.
    """

    endpoints: tuple[Endpoint, ...]
    shares: tuple[tuple[str, int], ...] = ()
    missing: str = ""


class GatewaySite(NamedTuple):
    """
    Where the gateway is.

    :ivar locality: as ``region/zone/subzone``; empty if it is unknown.
    :ivar labels: of its pod, those of its locality and node among them.
    """

    locality: str
    labels: Mapping[str, str]

    @classmethod
    def of(cls, locality: str, node: str, labels: Mapping[str, str]) -> GatewaySite:
        """Join what is known of the gateway."""
        return cls(locality, {**labels, **_topology(locality, node)})


def traffic_distribution(source: Resource[Any]) -> tuple[str, str]:
    """
    The path and the value of the field by which a Service or a ServiceEntry asks for near endpoints; empty if it does
    not (pilot/pkg/model, GetTrafficDistribution).
    """
    field = source.spec.traffic_distribution if isinstance(source.spec, ServiceSpec) else ""
    if field.lower() in _OF_SERVICES and field[:1].isupper():
        return "spec.trafficDistribution", field
    # The older annotation, which ServiceEntries have as well, may be written in any case.
    annotation = source.annotations.get(_DISTRIBUTION, "")
    return (f'metadata.annotations["{_DISTRIBUTION}"]', annotation) if annotation.lower() in _OF_SERVICES else ("", "")


def preference_of(source: Resource[Any], sections: Mapping[str, PolicySource]) -> Preference:
    """
    The preference for the endpoints of a host (loadbalancer.go, GetLocalityLbSetting): that of a policy, else that of
    the Service, else the default of the mesh.

    :param source: the Service or ServiceEntry.
    :param sections: of the policies, those that count.
    """
    load_balancer, fails_over = sections.get("load_balancer"), "outlier_detection" in sections
    setting = load_balancer.value.locality_lb_setting if load_balancer is not None else None
    if setting is not None:
        if setting.enabled is False:
            return Preference()
        return Preference(setting.distribute, setting.failover, setting.failover_priority, fails_over)
    asked = traffic_distribution(source)[1].lower()
    return Preference(labels=_OF_SERVICES[asked], fails_over=True) if asked else Preference(fails_over=fails_over)


def on_own_node(source: Resource[Any]) -> bool:
    """True if a Service is for the clients on the nodes of its endpoints alone (xds/endpoints, filterIstioEndpoint)."""
    return isinstance(source.spec, ServiceSpec) and source.spec.internal_traffic_policy == _OWN_NODE


def needs_site(preference: Preference, gateway: GatewaySite) -> bool:
    """True if a preference cannot be followed, since it is not known where the gateway is."""
    if preference.distribute:
        return not gateway.locality and not any(matches("", each.source) for each in preference.distribute)
    if not preference.fails_over:
        return False
    if not preference.labels or preference.failover:
        return not gateway.locality
    coarsest = next((label for label in preference.labels if label in _TOPOLOGY_LABELS), "")
    return bool(coarsest) and coarsest not in gateway.labels


def prefer(
    endpoints: Sequence[Endpoint],
    facts: Sequence[tuple[Site, Mapping[str, str] | None]],
    gateway: GatewaySite,
    preference: Preference,
) -> Preferred:
    """
    Give endpoints their priorities, or localities their shares.

    :param facts: the site of each endpoint, and its labels; None if they are unknown.
    """
    region = gateway.locality.partition("/")[0]
    # An EndpointSlice tells the zone alone. Its region is the gateway's, since the two are in one cluster.
    localities = [region + site.locality if site.locality.startswith("/") else site.locality for site, _ in facts]
    if preference.distribute:
        return _distributed(endpoints, localities, gateway.locality, preference.distribute)
    if not preference.fails_over:
        return Preferred(tuple(endpoints))
    ranks = [0] * len(endpoints)
    if preference.labels:
        every = [
            {**(labels or {}), **_topology(locality, site.node)}
            for (site, labels), locality in zip(facts, localities, strict=True)
        ]
        ranks = [_label_rank(each, gateway.labels, preference.labels) for each in every]
    if not preference.labels or preference.failover:
        ranks = [
            rank * _RANKS + _locality_rank(locality, gateway.locality, preference.failover)
            for rank, locality in zip(ranks, localities, strict=True)
        ]
    order = {rank: priority for priority, rank in enumerate(sorted(set(ranks)))}
    if len(order) < 2:
        return Preferred(tuple(endpoints))
    return Preferred(
        tuple(
            replace(endpoint, priority=order[rank], locality=locality)
            for endpoint, rank, locality in zip(endpoints, ranks, localities, strict=True)
        )
    )


def matches(locality: str, rule: str) -> bool:
    """True if a rule such as ``region/zone/*`` or ``region`` covers a locality (networking/util, LocalityMatch)."""
    region, *nearer = zip(_levels(rule), _levels(locality), strict=True)
    return region[0] in ("*", region[1]) and all(wanted in ("*", "", own) for wanted, own in nearer)


def _distributed(
    endpoints: Sequence[Endpoint], localities: Sequence[str], own: str, distribute: Sequence[Distribute]
) -> Preferred:
    to = next((each.to for each in distribute if matches(own, each.source)), None)
    if to is None:
        return Preferred(tuple(endpoints))
    totals: dict[str, int] = {}
    for endpoint, locality in zip(endpoints, localities, strict=True):
        totals[locality] = totals.get(locality, 0) + endpoint.weight
    shares: dict[str, int] = {}
    for rule, percent in to.items():
        # Localities that one entry covers divide its share by the weights of their endpoints.
        covered = [locality for locality in totals if locality not in shares and matches(locality, rule)]
        total = sum(totals[locality] for locality in covered)
        shares.update((locality, math.ceil(percent * totals[locality] / total)) for locality in covered)
    kept = tuple(
        replace(endpoint, locality=locality)
        for endpoint, locality in zip(endpoints, localities, strict=True)
        if locality in shares
    )
    missing = "" if kept else "distribute gives connections only to localities without endpoints"
    return Preferred(kept, tuple(sorted(shares.items())), missing)


def _locality_rank(locality: str, own: str, failover: Sequence[Failover]) -> int:
    """The distance of a locality (util.LbPriority, applyLocalityFailover): 0 is the nearest."""
    same = [one == other for one, other in zip(_levels(locality), _levels(own), strict=True)]
    if same[0]:
        return 3 - same.index(False) if False in same else 0
    region = own.partition("/")[0]
    to = next((each.to for each in failover if each.source == region), None)
    return 3 if to is None or _levels(locality)[0] == to else 4


def _label_rank(labels: Mapping[str, str], own: Mapping[str, str], wanted: Sequence[str]) -> int:
    """
    The distance of an endpoint by its labels: how many of the wanted ones are left from the first that differs on. A
    wanted label may have a value, which then counts in place of the gateway's.
    """
    for index, each in enumerate(wanted):
        key, has_value, value = each.partition("=")
        if labels.get(key, "") != (value if has_value else own.get(key, "")):
            return len(wanted) - index
    return 0


def _levels(locality: str) -> list[str]:
    levels = locality.split("/", 2)
    return [*levels, *[""] * (3 - len(levels))]


def _topology(locality: str, node: str) -> dict[str, str]:
    region, zone, subzone = _levels(locality)
    found = {REGION_LABEL: region, ZONE_LABEL: zone, SUBZONE_LABEL: subzone, NODE_LABEL: node}
    return {key: value for key, value in found.items() if value}
