"""
From traffic policies, as DestinationRules have them, to what counts for one destination and for one chain.

Knows how policies override each other, and which of them Istio puts where; knows nothing of which DestinationRule
counts for a host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from meshgate.resources.kinds.destinationrule import DestinationRule
from meshgate.resources.kinds.loadbalancer import ConsistentHash, LoadBalancer, LoadBalancing
from meshgate.resources.kinds.tls import ClientTLSMode
from meshgate.resources.kinds.trafficpolicy import OutlierDetection, TcpKeepalive, TCPSettings
from meshgate.routing.compile.destination_rules import MergedRule, OwnedSubset
from meshgate.routing.connection_policy import (
    NO_CONNECTION_POLICY,
    NO_UPSTREAM_POLICY,
    Algorithm,
    Balancing,
    ConnectionPolicy,
    Keepalive,
    Outliers,
    UpstreamPolicy,
)
from meshgate.routing.hashing import LARGEST_RING, LARGEST_TABLE

ORIGINATING: Final = frozenset({ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL})
"""Modes in which the gateway itself would have to speak TLS to the endpoint."""

RULE_POLICY: Final = "spec.trafficPolicy"
"""The path of the policy for a whole host."""

NO_LIMIT: Final = 2**32 - 1
"""The maxConnections that stands for none."""

LONGEST_PROBING: Final = 32767
"""Seconds between two probes, or before the first, that Linux takes at the most."""

MOST_PROBES: Final = 127
"""Probes that Linux takes at the most."""

_USUAL_RING: Final = 1024
_USUAL_FAILURES: Final = 5
_PARTS: Final = ("load_balancer", "connection_pool", "outlier_detection", "tls")
_ALGORITHMS: Final = {LoadBalancing.RANDOM: Algorithm.RANDOM, LoadBalancing.ROUND_ROBIN: Algorithm.ROUND_ROBIN}


class Written(NamedTuple):
    """
    A policy, or a part of one, and where it stands.

    :ivar path: of the policy, as ``spec.trafficPolicy.portLevelSettings[0]``.
    """

    rule: DestinationRule
    path: str
    value: Any

    def __str__(self) -> str:
        return f"DestinationRule {self.rule.qualified_name} ({self.rule.location(self.path)}) {self.path}"


def written_policies(rule: MergedRule, subset: OwnedSubset | None) -> Iterator[Written]:
    """The policies for a host and one of its subsets, each overriding the one before it."""
    if rule.policy is not None:
        yield Written(rule.policy[0], RULE_POLICY, rule.policy[1])
    if subset is not None and subset.subset.traffic_policy is not None:
        yield Written(subset.rule, f"spec.subsets[{subset.index}].trafficPolicy", subset.subset.traffic_policy)


def effective(policies: Iterable[Written], port: int) -> Mapping[str, Written]:
    """
    The parts that count for one port. A port's own policy replaces all that came before it, a subset's overrides the
    rule's part by part (Istio, pilot/pkg/networking/util, MergeTrafficPolicy).

    :return: by the names of the parts' fields; those that nobody sets are missing.
    """
    found: dict[str, Written] = {}
    for rule, path, policy in policies:
        found.update(_parts(rule, path, policy))
        for index, of_port in enumerate(policy.port_level_settings):
            if of_port.port.number == port:
                found = _parts(rule, f"{path}.portLevelSettings[{index}]", of_port)
                break
    return found


def upstream_policy(parts: Mapping[str, Written]) -> UpstreamPolicy:
    """How connections to a destination are made, by the :func:`effective` parts of its policies."""
    tcp = _tcp(parts.get("connection_pool"))
    load_balancer, outliers = parts.get("load_balancer"), parts.get("outlier_detection")
    used = [parts[name] for name in ("load_balancer", "connection_pool", "outlier_detection") if name in parts]
    if load_balancer is None and tcp is None and outliers is None:
        return NO_UPSTREAM_POLICY
    tcp = tcp or TCPSettings()
    return UpstreamPolicy(
        connect_timeout=tcp.connect_timeout if "connect_timeout" in tcp.model_fields_set else None,
        keepalive=_keepalive(tcp.tcp_keepalive) if tcp.tcp_keepalive is not None else None,
        max_connections=tcp.max_connections if tcp.max_connections < NO_LIMIT else None,
        balancing=balancing(load_balancer.value) if load_balancer is not None else Balancing(),
        outliers=_outliers(outliers.value) if outliers is not None else None,
        origin=_origin(used),
    )


def connection_policy(rule: MergedRule | None, subset: OwnedSubset | None) -> ConnectionPolicy:
    """
    How the connections of a chain are treated: for the times only the policy of the whole rule counts. Whether the
    client's address is hashed, a subset's can say as well (pilot/pkg/networking/core/networkfilter.go).

    :param rule: of the chain's first destination.
    :param subset: of its only destination; None where it has several.
    """
    if rule is None:
        return NO_CONNECTION_POLICY
    found: dict[str, Written] = {}
    for each in written_policies(rule, subset):
        of_rule = each.path == RULE_POLICY
        found.update({name: part for name, part in _parts(*each).items() if of_rule or name == "load_balancer"})
    tcp = _tcp(found.get("connection_pool")) or TCPSettings()
    idle, longest = tcp.idle_timeout, tcp.max_connection_duration
    used = [found["connection_pool"]] if idle is not None or longest is not None else []
    chooser = found.get("load_balancer")
    by_source = chooser is not None and hashes_source(chooser.value)
    if chooser is not None and by_source:
        used.append(chooser)
    return ConnectionPolicy(idle, longest, by_source, _origin(used)) if used else NO_CONNECTION_POLICY


def balancing(load_balancer: LoadBalancer) -> Balancing:
    """How endpoints are chosen; what is larger than this gateway makes it is as large as that goes."""
    by_hash = load_balancer.consistent_hash
    if by_hash is None:
        return Balancing(_ALGORITHMS.get(load_balancer.simple, Algorithm.LEAST_REQUEST))
    if by_hash.maglev is not None:
        return Balancing(Algorithm.MAGLEV, min(wanted_size(by_hash), LARGEST_TABLE))
    return Balancing(Algorithm.RING_HASH, min(wanted_size(by_hash), LARGEST_RING))


def wanted_size(by_hash: ConsistentHash) -> int:
    """The size of the ring or table that is asked for (pilot/pkg/networking/core/loadbalancer)."""
    if by_hash.maglev is not None:
        return by_hash.maglev.table_size or LARGEST_TABLE
    ring = by_hash.ring_hash
    return (ring.minimum_ring_size if ring is not None else by_hash.minimum_ring_size) or _USUAL_RING


def hashes_source(load_balancer: LoadBalancer | None) -> bool:
    """Whether it chooses by the client's address."""
    by_hash = load_balancer.consistent_hash if load_balancer is not None else None
    return by_hash is not None and by_hash.use_source_ip


def _parts(rule: DestinationRule, path: str, policy: Any) -> dict[str, Written]:
    values = {name: getattr(policy, name) for name in _PARTS}
    return {name: Written(rule, path, value) for name, value in values.items() if value is not None}


def _origin(used: Iterable[Written]) -> str:
    return " and ".join(dict.fromkeys(map(str, used)))


def _tcp(pool: Written | None) -> TCPSettings | None:
    tcp: TCPSettings | None = pool.value.tcp if pool is not None else None
    return tcp


def _keepalive(written: TcpKeepalive) -> Keepalive:
    """Whole seconds, as Istio passes them on, but none of them 0; and no more than Linux takes."""
    return Keepalive(
        probes=min(written.probes, MOST_PROBES),
        time=_whole_seconds(written.time),
        interval=_whole_seconds(written.interval),
    )


def _outliers(written: OutlierDetection) -> Outliers | None:
    """
    Over TCP a failure to connect counts as a failure of each kind, unless those are told apart
    (pilot/pkg/networking/core/cluster_traffic_policy.go, applyOutlierDetection).
    """
    if written.split_external_local_origin_errors:
        limits = [written.consecutive_local_origin_failures or _USUAL_FAILURES]
    else:
        limits = [each for each in (written.consecutive_5xx_errors, written.consecutive_gateway_errors) if each]
    if not limits:
        return None
    return Outliers(
        failures=min(limits),
        interval=written.interval,
        base=written.base_ejection_time,
        most=written.max_ejection_percent,
        panic=written.min_health_percent,
    )


def _whole_seconds(duration: float | None) -> int:
    return 0 if duration is None else max(1, min(int(duration), LONGEST_PROBING))
