"""
From the traffic policies of DestinationRules to the policy of one destination, and of one chain.

A policy has sections (load balancer, connection pool, outlier detection, TLS), and comes from several sources: the
rule, a subset, and the port-level settings of either. This module says how they override each other, and which of them
Istio applies to the cluster, and which to the listener.

The health check of a destination is that of its DestinationRule, else of its Service or ServiceEntry, else of the
settings. The first of them that has a check for the destination's port counts as a whole; nothing is merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from meshgate.resources.kinds.annotations import ALPN, AUTHORITY, BANDWIDTH, UNIQUE_ID, parse_bandwidth, sent_fields
from meshgate.resources.kinds.destinationrule import (
    DestinationRule,
    OutlierDetection,
    ProxyProtocolVersion,
    TcpKeepalive,
    TCPSettings,
)
from meshgate.resources.kinds.health_check import ANNOTATION, HealthCheckForm, checks_in, read_bytes
from meshgate.resources.kinds.loadbalancer import ConsistentHash, LoadBalancer, LoadBalancing
from meshgate.resources.kinds.tls import ClientTLSMode
from meshgate.routing.compile.catalog import CatalogHost
from meshgate.routing.compile.destination_rules import MergedRule, OwnedSubset
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.connection_policy import (
    NO_CONNECTION_POLICY,
    NO_UPSTREAM_POLICY,
    Algorithm,
    Balancing,
    ConnectionPolicy,
    HealthCheck,
    Keepalive,
    Outliers,
    UpstreamPolicy,
    Warmup,
)
from meshgate.routing.hashing import LARGEST_RING, LARGEST_TABLE
from meshgate.routing.hosts import most_specific
from meshgate.routing.proxy_headers import HeaderForEndpoint

ORIGINATING: Final = frozenset({ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL})
"""Modes in which the gateway itself would have to speak TLS to the endpoint."""

RULE_POLICY: Final = "spec.trafficPolicy"
"""The path of the policy for a whole host."""

NO_LIMIT: Final = 2**32 - 1
"""The maxConnections that means no limit."""

LONGEST_PROBING: Final = 32767
"""The most seconds between two keepalive probes, or before the first, that Linux accepts."""

MOST_PROBES: Final = 127
"""The most keepalive probes that Linux accepts."""

_ANNOTATION: Final = f'metadata.annotations["{BANDWIDTH}"]'
_DEFAULT_RING: Final = 1024
_DEFAULT_FAILURES: Final = 5
_SECTIONS: Final = ("load_balancer", "connection_pool", "outlier_detection", "tls")
_PREAMBLES: Final = ("tunnel", "proxy_protocol")
"""The fields by which an endpoint is sent something before the bytes of the client; a policy for a port has none."""

_USED: Final = ("load_balancer", "connection_pool", "outlier_detection", "proxy_protocol")
"""The sections of which the policy for a destination is made."""

_ALGORITHMS: Final = {LoadBalancing.RANDOM: Algorithm.RANDOM, LoadBalancing.ROUND_ROBIN: Algorithm.ROUND_ROBIN}


class PolicySource(NamedTuple):
    """
    A policy, or one of its sections, with its source.

    :ivar path: of the policy, as ``spec.trafficPolicy.portLevelSettings[0]``.
    :ivar value: the model of the policy or of the section.
    """

    rule: DestinationRule
    path: str
    value: Any

    def __str__(self) -> str:
        return f"DestinationRule {self.rule.qualified_name} ({self.rule.location(self.path)}) {self.path}"


def policy_sources(rule: MergedRule, subset: OwnedSubset | None) -> Iterator[PolicySource]:
    """The policies for a host and one of its subsets. Each overrides the one before it."""
    if rule.policy is not None:
        yield PolicySource(rule.policy[0], RULE_POLICY, rule.policy[1])
    if subset is not None and subset.subset.traffic_policy is not None:
        yield PolicySource(subset.rule, f"spec.subsets[{subset.index}].trafficPolicy", subset.subset.traffic_policy)


def effective(policies: Iterable[PolicySource], port: int) -> Mapping[str, PolicySource]:
    """
    The sections that count for one port, ``tunnel`` and ``proxy_protocol`` among them. The port-level settings of a
    policy replace all policies before them, but for these two; the policy of a subset overrides that of the rule
    section by section (Istio, pilot/pkg/networking/util, MergeTrafficPolicy).

    :return: by the names of the sections' fields, without those that no policy sets.
    """
    found: dict[str, PolicySource] = {}
    for rule, path, policy in policies:
        found.update(_sections(rule, path, policy, *_PREAMBLES))
        for index, port_policy in enumerate(policy.port_level_settings):
            if port_policy.port.number == port:
                kept: dict[str, PolicySource] = {name: found[name] for name in _PREAMBLES if name in found}
                found = {**kept, **_sections(rule, f"{path}.portLevelSettings[{index}]", port_policy)}
                break
    return found


def upstream_policy(sections: Mapping[str, PolicySource]) -> UpstreamPolicy:
    """
    The policy for connections to a destination.

    :param sections: the :func:`effective` ones.
    """
    tcp = _tcp(sections.get("connection_pool"))
    load_balancer, outliers = sections.get("load_balancer"), sections.get("outlier_detection")
    header = sections.get("proxy_protocol")
    used = [sections[name] for name in _USED if name in sections]
    if load_balancer is None and tcp is None and outliers is None and header is None:
        return NO_UPSTREAM_POLICY
    tcp = tcp or TCPSettings()
    return UpstreamPolicy(
        connect_timeout=tcp.connect_timeout if "connect_timeout" in tcp.model_fields_set else None,
        keepalive=_keepalive(tcp.tcp_keepalive) if tcp.tcp_keepalive is not None else None,
        max_connections=tcp.max_connections if tcp.max_connections < NO_LIMIT else None,
        balancing=balancing(load_balancer.value) if load_balancer is not None else Balancing(),
        outliers=_outliers(outliers.value) if outliers is not None else None,
        header=_header(header) if header is not None else None,
        origin=_origin(used),
    )


def with_bandwidth(policy: UpstreamPolicy, rule: MergedRule | None) -> UpstreamPolicy:
    """A policy with the bandwidth that the oldest DestinationRule with one has as an annotation."""
    for each in rule.rules if rule is not None else ():
        bandwidth = parse_bandwidth(each.annotations.get(BANDWIDTH, ""))
        if bandwidth is not None:
            source = f"DestinationRule {each.qualified_name} ({each.location(_ANNOTATION)}) {_ANNOTATION}"
            return replace(policy, bandwidth=bandwidth, origin=" and ".join(filter(None, (policy.origin, source))))
    return policy


def connection_policy(rule: MergedRule | None, subset: OwnedSubset | None) -> ConnectionPolicy:
    """
    The policy for the connections of a chain. Timeouts count only in the policy of the whole rule; hashing the client's
    address, in that of a subset as well (pilot/pkg/networking/core/networkfilter.go).

    :param rule: of the chain's first destination.
    :param subset: of its only destination; None if it has several.
    """
    if rule is None:
        return NO_CONNECTION_POLICY
    found: dict[str, PolicySource] = {}
    for source in policy_sources(rule, subset):
        whole_rule = source.path == RULE_POLICY
        sections = _sections(*source)
        found.update({name: each for name, each in sections.items() if whole_rule or name == "load_balancer"})
    tcp = _tcp(found.get("connection_pool")) or TCPSettings()
    idle, longest = tcp.idle_timeout, tcp.max_connection_duration
    used = [found["connection_pool"]] if idle is not None or longest is not None else []
    load_balancer = found.get("load_balancer")
    by_source = load_balancer is not None and hashes_source(load_balancer.value)
    if load_balancer is not None and by_source:
        used.append(load_balancer)
    return ConnectionPolicy(idle, longest, by_source, _origin(used)) if used else NO_CONNECTION_POLICY


def balancing(load_balancer: LoadBalancer) -> Balancing:
    """The algorithm that chooses endpoints. A larger ring or table than this gateway makes is cut to its largest."""
    by_hash = load_balancer.consistent_hash
    if by_hash is None:
        algorithm = _ALGORITHMS.get(load_balancer.simple, Algorithm.LEAST_REQUEST)
        return Balancing(algorithm, warmup=_warmup(load_balancer) if algorithm is not Algorithm.RANDOM else None)
    if by_hash.maglev is not None:
        return Balancing(Algorithm.MAGLEV, min(wanted_size(by_hash), LARGEST_TABLE))
    return Balancing(Algorithm.RING_HASH, min(wanted_size(by_hash), LARGEST_RING))


def _warmup(load_balancer: LoadBalancer) -> Warmup | None:
    """
    The slow start of new endpoints, which LEAST_REQUEST and ROUND_ROBIN have. The older field has Envoy's defaults
    (pilot/pkg/networking/core/cluster_traffic_policy.go, setSlowStartConfig).
    """
    if load_balancer.warmup is not None:
        warmup = load_balancer.warmup
        return Warmup(warmup.duration, warmup.minimum_percent / 100, warmup.aggression)
    duration = load_balancer.warmup_duration_secs
    return Warmup(duration, 0.1, 1.0) if duration else None


def wanted_size(by_hash: ConsistentHash) -> int:
    """The size of the ring or table that a policy asks for (pilot/pkg/networking/core/loadbalancer)."""
    if by_hash.maglev is not None:
        return by_hash.maglev.table_size or LARGEST_TABLE
    ring = by_hash.ring_hash
    return (ring.minimum_ring_size if ring is not None else by_hash.minimum_ring_size) or _DEFAULT_RING


def hashes_source(load_balancer: LoadBalancer | None) -> bool:
    """True if endpoints are chosen by the client's address."""
    by_hash = load_balancer.consistent_hash if load_balancer is not None else None
    return by_hash is not None and by_hash.use_source_ip


def _sections(rule: DestinationRule, path: str, policy: Any, *others: str) -> dict[str, PolicySource]:
    values = {name: getattr(policy, name) for name in (*_SECTIONS, *others)}
    return {name: PolicySource(rule, path, value) for name, value in values.items() if value is not None}


def _origin(used: Iterable[PolicySource]) -> str:
    return " and ".join(dict.fromkeys(map(str, used)))


def _tcp(pool: PolicySource | None) -> TCPSettings | None:
    tcp: TCPSettings | None = pool.value.tcp if pool is not None else None
    return tcp


def _keepalive(keepalive: TcpKeepalive) -> Keepalive:
    """Keepalive in whole seconds, as Istio passes them on, but at least 1; and within the limits of Linux."""
    return Keepalive(
        probes=min(keepalive.probes, MOST_PROBES),
        time=_whole_seconds(keepalive.time),
        interval=_whole_seconds(keepalive.interval),
    )


def _outliers(detection: OutlierDetection) -> Outliers | None:
    """
    The limits of outlier detection. Over TCP a failure to connect counts as a failure of each kind, unless these are
    split (pilot/pkg/networking/core/cluster_traffic_policy.go, applyOutlierDetection).
    """
    if detection.split_external_local_origin_errors:
        limits = [detection.consecutive_local_origin_failures or _DEFAULT_FAILURES]
    else:
        limits = [each for each in (detection.consecutive_5xx_errors, detection.consecutive_gateway_errors) if each]
    if not limits:
        return None
    return Outliers(
        failures=min(limits),
        interval=detection.interval,
        base=detection.base_ejection_time,
        most=detection.max_ejection_percent,
        panic=detection.min_health_percent,
    )


def _header(source: PolicySource) -> HeaderForEndpoint:
    """The PROXY header for endpoints. Version 1 has no room for fields."""
    if source.value.version is ProxyProtocolVersion.V1:
        return HeaderForEndpoint(1)
    fields = sent_fields(source.rule.annotations)
    return HeaderForEndpoint(2, AUTHORITY in fields, ALPN in fields, UNIQUE_ID in fields)


def _whole_seconds(duration: float | None) -> int:
    return 0 if duration is None else max(1, min(int(duration), LONGEST_PROBING))


def health_check(
    found: CatalogHost, number: int, rule: MergedRule | None, proxy: Proxy
) -> tuple[HealthCheck, str] | None:
    """
    The check for the endpoints of a port of a host, and its origin as text for people; None without one.

    :param rule: the rule that the gateway follows for the host.
    """
    for forms, origin in _sources(found, rule, proxy):
        for form in forms:
            if not form.service_ports or number in form.service_ports:
                return as_record(form), origin
    return None


def _sources(
    found: CatalogHost, rule: MergedRule | None, proxy: Proxy
) -> Iterator[tuple[Iterable[HealthCheckForm], str]]:
    """The checks, from those that count first; each with its origin."""
    for owner in (*(rule.rules if rule is not None else ()), found.source, *found.others):
        if ANNOTATION in owner.annotations:
            yield checks_in(owner.annotations), f"{owner.kind} {owner.qualified_name} {ANNOTATION}"
    host = most_specific(found.host, proxy.checks) if proxy.checks else None
    if host is not None:
        yield proxy.checks[host], f"health.checks of the settings for {host}"


def checked_by(rule: MergedRule) -> list[DestinationRule]:
    """The rules among those for one host that have a check."""
    return [each for each in rule.rules if ANNOTATION in each.annotations]


def with_check(policy: UpstreamPolicy, check: tuple[HealthCheck, str] | None) -> UpstreamPolicy:
    """A policy, with a check and its origin."""
    if check is None:
        return policy
    origin = " and ".join(filter(None, (policy.origin, check[1])))
    return replace(policy, check=check[0], origin=origin)


def as_record(form: HealthCheckForm) -> HealthCheck:
    """The record of the routing table for a check."""
    first, _, last = form.status.partition("-")
    return HealthCheck(
        protocol=form.protocol,
        port=form.port,
        name=form.name,
        path=form.path,
        status=(int(first), int(last or first)),
        send=read_bytes(form.send),
        expect=read_bytes(form.expect),
        interval=form.interval,
        jitter=form.jitter,
        timeout=form.timeout,
        rise=form.rise,
        fall=form.fall,
        ends=form.on_unhealthy == "end",
        panic=form.panic_threshold,
    )
