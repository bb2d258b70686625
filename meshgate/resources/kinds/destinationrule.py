"""
DestinationRule: traffic policies, which are the treatment of connections to a service, and the service's subsets
(Istio, destination_rule.proto).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from meshgate.resources import names
from meshgate.resources.fault import Fault, FieldPath, chain_rules, duplicate_faults, sound_items
from meshgate.resources.kinds.loadbalancer import LoadBalancer, load_balancer_faults
from meshgate.resources.kinds.shared_fields import (
    EXPORTED_TO_ALL,
    ExportTo,
    export_faults,
    malformed_labels,
    selector_faults,
)
from meshgate.resources.kinds.tls import ClientTLSSettings, client_tls_faults
from meshgate.resources.model import (
    MAX_UINT32,
    Count,
    Duration,
    IdleDuration,
    Int32,
    Items,
    Labels,
    Model,
    NonEmpty,
    Number,
    Percent,
    PortNumber,
    UInt32,
    by_number,
    refuse,
)
from meshgate.resources.names import DnsLabel, WildcardDomain
from meshgate.resources.problem import Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.resources.wording import quoted, spelling_hint

_TUNNELS: Final = ("CONNECT", "POST")


class H2UpgradePolicy(enum.StrEnum):
    """When HTTP/1.1 becomes HTTP/2, in the order of protobuf's numbers."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class ProxyProtocolVersion(enum.StrEnum):
    """The version of the PROXY protocol's header, in the order of protobuf's numbers."""

    V1 = "V1"
    V2 = "V2"


class TcpKeepalive(Model):
    """Probes on idle connections. Without any field the system's own values count."""

    probes: UInt32 = Field(default=0, description="lost probes that end the connection; 0 for the system's (9)")
    time: Duration | None = Field(default=None, description="idle time before the first; unset is the system's (2h)")
    interval: Duration | None = Field(default=None, description="time between two; unset is the system's (75s)")


class TCPSettings(Model):
    """Limits of the connections to a service."""

    max_connections: Annotated[Count, AfterValidator(lambda limit: limit or MAX_UINT32)] = Field(
        default=MAX_UINT32, description="number of connections at once; 0 and unset for no limit"
    )
    connect_timeout: Duration = Field(default=10.0, description="time to connect in; 10s if unset")
    tcp_keepalive: TcpKeepalive | None = Field(default=None, description="probes on idle connections; unset for none")
    max_connection_duration: Duration | None = Field(
        default=None, description="longest time of a connection; unset for no limit"
    )
    idle_timeout: IdleDuration | None = Field(
        default=None, description="time without a byte after which a connection ends; 1h if unset, 0s for never"
    )


class HTTPSettings(Model):
    """Limits of HTTP requests, which a layer 4 gateway does not see."""

    http1_max_pending_requests: Count = Field(default=0, description="HTTP only")
    http2_max_requests: Count = Field(default=0, description="HTTP only")
    max_requests_per_connection: Count = Field(default=0, description="HTTP only")
    max_retries: Count = Field(default=0, description="HTTP only")
    idle_timeout: Duration | None = Field(default=None, description="HTTP only")
    h2_upgrade_policy: Annotated[H2UpgradePolicy, Field(strict=False), by_number(H2UpgradePolicy)] = Field(
        default=H2UpgradePolicy.DEFAULT, description="HTTP only"
    )
    use_client_protocol: bool = Field(default=False, description="HTTP only")
    max_concurrent_streams: Count = Field(default=0, description="HTTP only")


class ConnectionPool(Model):
    """Limits of the connections to a service."""

    tcp: TCPSettings | None = Field(default=None, description="limits of connections")
    http: HTTPSettings | None = Field(default=None, description="HTTP only: limits of requests")


class OutlierDetection(Model):
    """Ejection of endpoints that fail, for some time. Over TCP, a connection that cannot be made is a failure."""

    consecutive_errors: Int32 = Field(default=0, description="deprecated: write consecutive5xxErrors")
    split_external_local_origin_errors: bool = Field(
        default=False, description="count failures to connect separately from errors that the service answers"
    )
    consecutive_local_origin_failures: UInt32 = Field(
        default=5, description="failures to connect, where they are counted separately; 0 for 5"
    )
    consecutive_gateway_errors: UInt32 = Field(default=0, description="gateway errors in a row; 0 for off")
    consecutive_5xx_errors: UInt32 = Field(
        default=5, alias="consecutive5xxErrors", description="failures in a row; 0 for off"
    )
    interval: Duration = Field(default=10.0, description="time between two checks of the endpoints; 10s if unset")
    base_ejection_time: Duration = Field(
        default=30.0, description="time of the first ejection, multiplied by the number of ejections; 30s if unset"
    )
    max_ejection_percent: Annotated[Percent, AfterValidator(lambda percent: percent or 10)] = Field(
        default=10, description="percentage of endpoints that may be ejected; 0 and unset are 10"
    )
    min_health_percent: Percent = Field(
        default=0, description="with a smaller percentage of good endpoints, all are used; 0 for never"
    )


def _tunnel(protocol: str) -> str:
    if protocol and protocol not in _TUNNELS:
        refuse("MG1004", f"{quoted(protocol)} is not a way to open a tunnel", spelling_hint(protocol, _TUNNELS))
    return protocol or _TUNNELS[0]


class TunnelSettings(Model):
    """A tunnel through an HTTP proxy."""

    protocol: Annotated[str, AfterValidator(_tunnel)] = Field(
        default=_TUNNELS[0], description="CONNECT, which is the default, or POST"
    )
    target_host: NonEmpty = Field(description="name or IP address at the tunnel's end")
    target_port: PortNumber = Field(description="port at the tunnel's end")


class ProxyProtocol(Model):
    """A header before the first byte of a connection, which tells the service the address of the client."""

    version: Annotated[ProxyProtocolVersion, Field(strict=False), by_number(ProxyProtocolVersion)] = Field(
        default=ProxyProtocolVersion.V1, description="V1 is text, V2 is binary"
    )


class RetryBudget(Model):
    """How many HTTP requests may be retries, which a layer 4 gateway does not see."""

    percent: Annotated[Number, Field(ge=0, le=100)] | None = Field(default=None, description="HTTP only")
    min_retry_concurrency: UInt32 = Field(default=0, description="HTTP only")


class PortSelector(Model):
    """A port of the service."""

    number: PortNumber = Field(description="1 to 65535")


class PolicySections(Model):
    """The sections of a policy that may be set for the whole service and for one port alike."""

    load_balancer: LoadBalancer | None = Field(default=None, description="how an endpoint is chosen")
    connection_pool: ConnectionPool | None = Field(default=None, description="limits of its connections")
    outlier_detection: OutlierDetection | None = Field(default=None, description="ejection of endpoints that fail")
    tls: ClientTLSSettings | None = Field(default=None, description="TLS that the gateway originates; not served yet")


class PortTrafficPolicy(PolicySections):
    """The policy for one port, which replaces that for the service as a whole: nothing is inherited."""

    port: PortSelector = Field(description="port it is for")


class TrafficPolicy(PolicySections):
    """How the connections to a service are treated."""

    port_level_settings: Annotated[Items[PortTrafficPolicy], Field(max_length=4096)] = Field(
        default=(), description="policies for single ports"
    )
    tunnel: TunnelSettings | None = Field(default=None, description="tunnel through an HTTP proxy; not served yet")
    proxy_protocol: ProxyProtocol | None = Field(
        default=None, description="header with the client's address before its first byte"
    )
    retry_budget: RetryBudget | None = Field(default=None, description="HTTP only")


def policy_faults(policy: TrafficPolicy, path: FieldPath, namespace: str) -> Iterator[Fault]:
    """
    The rules between the fields of a traffic policy (Istio, validation.go, validateTrafficPolicy).

    :param path: the path of the policy.
    :param namespace: the namespace of the DestinationRule.
    """
    yield from chain_rules(
        _empty_policy_faults(policy, path),
        _header_faults(policy, path),
        _tunnel_faults(policy, path),
        _section_faults(policy, path, namespace),
        _port_faults(policy, path, namespace),
    )


def _empty_policy_faults(policy: TrafficPolicy, path: FieldPath) -> Iterator[Fault]:
    others = (policy.port_level_settings, policy.tunnel, policy.proxy_protocol, policy.retry_budget)
    if _is_empty(policy) and not any(map(_is_set, others)):
        yield _empty_fault(path, "the traffic policy is empty")


def _header_faults(policy: TrafficPolicy, path: FieldPath) -> Iterator[Fault]:
    if policy.tunnel and policy.proxy_protocol:
        yield Fault(
            (*path, "proxyProtocol"),
            "MG1063",
            "tunnel and proxyProtocol exclude each other",
            "leave one of them out",
            points_at_key=True,
        )


def _port_faults(policy: TrafficPolicy, path: FieldPath, namespace: str) -> Iterator[Fault]:
    for index, port in sound_items(policy.port_level_settings):
        port_path = (*path, "portLevelSettings", index)
        yield from chain_rules(_empty_port_faults(port, port_path), _section_faults(port, port_path, namespace))


def _empty_port_faults(policy: PortTrafficPolicy, path: FieldPath) -> Iterator[Fault]:
    if _is_empty(policy):
        yield _empty_fault(path, "the policy for a port is empty")


def _is_set(value: object) -> bool:
    return value is not None and value != ()


def _is_empty(policy: PolicySections) -> bool:
    return not any(map(_is_set, (policy.load_balancer, policy.connection_pool, policy.outlier_detection, policy.tls)))


def _empty_fault(path: FieldPath, message: str) -> Fault:
    return Fault(path, "MG1062", message, "write a setting, or leave it out")


def _section_faults(policy: PolicySections, path: FieldPath, namespace: str) -> Iterator[Fault]:
    yield from chain_rules(
        _deprecation_faults(policy, path),
        _outlier_faults(policy, path),
        _pool_faults(policy, path),
        _http_faults(policy, path),
        _load_balancer_faults(policy, path),
        _tls_faults(policy, path, namespace),
    )


def _deprecation_faults(policy: PolicySections, path: FieldPath) -> Iterator[Fault]:
    if policy.outlier_detection and policy.outlier_detection.consecutive_errors:
        yield Fault(
            (*path, "outlierDetection", "consecutiveErrors"),
            "MG1065",
            "consecutiveErrors is deprecated",
            "write consecutive5xxErrors or consecutiveGatewayErrors",
            Severity.WARNING,
            points_at_key=True,
        )


def _outlier_faults(policy: PolicySections, path: FieldPath) -> Iterator[Fault]:
    settings = policy.outlier_detection
    if not settings or settings.split_external_local_origin_errors:
        return
    if "consecutive_local_origin_failures" in settings.model_fields_set and settings.consecutive_local_origin_failures:
        yield Fault(
            (*path, "outlierDetection", "consecutiveLocalOriginFailures"),
            "MG1064",
            "consecutiveLocalOriginFailures needs splitExternalLocalOriginErrors",
            "write splitExternalLocalOriginErrors: true beside it",
            points_at_key=True,
        )


def _pool_faults(policy: PolicySections, path: FieldPath) -> Iterator[Fault]:
    pool = policy.connection_pool
    if pool and not pool.tcp and not pool.http:
        yield _empty_fault((*path, "connectionPool"), "the connection pool is empty")


def _http_faults(policy: PolicySections, path: FieldPath) -> Iterator[Fault]:
    http = policy.connection_pool.http if policy.connection_pool else None
    if http and http.use_client_protocol and http.h2_upgrade_policy == H2UpgradePolicy.UPGRADE:
        yield Fault(
            (*path, "connectionPool", "http", "useClientProtocol"),
            "MG1082",
            "useClientProtocol and h2UpgradePolicy: UPGRADE exclude each other",
            "leave one of them out",
            points_at_key=True,
        )


def _load_balancer_faults(policy: PolicySections, path: FieldPath) -> Iterator[Fault]:
    if policy.load_balancer:
        ejects = policy.outlier_detection is not None
        yield from load_balancer_faults(policy.load_balancer, (*path, "loadBalancer"), ejects)


def _tls_faults(policy: PolicySections, path: FieldPath, namespace: str) -> Iterator[Fault]:
    if policy.tls:
        yield from client_tls_faults(policy.tls, (*path, "tls"), namespace)


def _tunnel_faults(policy: TrafficPolicy, path: FieldPath) -> Iterator[Fault]:
    if not policy.tunnel:
        return
    message = names.fqdn(policy.tunnel.target_host)
    if message and names.ip_address(policy.tunnel.target_host):
        yield Fault((*path, "tunnel", "targetHost"), "MG1083", message, "write a name or an IP address")


class Subset(Model):
    """Some of a service's endpoints, by their labels."""

    name: DnsLabel = Field(description="name that routes use")
    labels: Labels = Field(default=Labels(), description="labels that an endpoint must have; empty for all endpoints")
    traffic_policy: TrafficPolicy | None = Field(
        default=None, description="policy for the subset, each section of which overrides that of the rule"
    )


class WorkloadSelector(Model):
    """Selects proxies of the namespace."""

    match_labels: Labels = Field(default=Labels(), description="labels that a proxy must have")


class DestinationRuleSpec(Model):
    """The spec of a DestinationRule."""

    host: WildcardDomain = Field(description="name of the service; a short one is of the rule's namespace")
    traffic_policy: TrafficPolicy | None = Field(default=None, description="policy for all its connections")
    subsets: Items[Subset] = Field(default=(), description="subsets that routes can name")
    export_to: ExportTo = Field(
        default=EXPORTED_TO_ALL, description="namespaces that may see it: * for all, . for its own"
    )
    workload_selector: WorkloadSelector | None = Field(
        default=None, description="proxies that the rule is for; unset for all that see it"
    )


DestinationRule = Resource[DestinationRuleSpec]


def faults(spec: DestinationRuleSpec, key: ResourceKey) -> Iterator[Fault]:
    """The rules between the fields of a DestinationRule (Istio, validation.go, ValidateDestinationRule)."""
    yield from chain_rules(
        _policy_faults(spec, key.namespace),
        duplicate_faults(spec.subsets, lambda subset: subset.name, ("spec", "subsets"), ("name",), "subset"),
        _subset_faults(spec, key.namespace),
        export_faults(spec.export_to, key.namespace, ("spec", "exportTo")),
        _selector_faults(spec),
        _selected_export_faults(spec, key.namespace),
    )


def _policy_faults(spec: DestinationRuleSpec, namespace: str) -> Iterator[Fault]:
    if spec.traffic_policy:
        yield from policy_faults(spec.traffic_policy, ("spec", "trafficPolicy"), namespace)


def _subset_faults(spec: DestinationRuleSpec, namespace: str) -> Iterator[Fault]:
    for index, subset in sound_items(spec.subsets):
        path = ("spec", "subsets", index)
        yield from chain_rules(malformed_labels(subset, path), _subset_policy_faults(subset, path, namespace))


def _subset_policy_faults(subset: Subset, path: FieldPath, namespace: str) -> Iterator[Fault]:
    if subset.traffic_policy:
        yield from policy_faults(subset.traffic_policy, (*path, "trafficPolicy"), namespace)


def _selector_faults(spec: DestinationRuleSpec) -> Iterator[Fault]:
    if spec.workload_selector:
        path = ("spec", "workloadSelector", "matchLabels")
        yield from selector_faults(spec.workload_selector.match_labels, path, "every proxy of the namespace")


def _selected_export_faults(spec: DestinationRuleSpec, namespace: str) -> Iterator[Fault]:
    """A DestinationRule for some proxies of its namespace cannot be exported to other namespaces."""
    if not spec.workload_selector or spec.export_to is EXPORTED_TO_ALL:
        return
    for index, entry in sound_items(spec.export_to):
        if entry not in (".", namespace):
            yield Fault(
                ("spec", "exportTo", index),
                "MG1081",
                f"a DestinationRule with a workloadSelector cannot be exported to {quoted(entry)}",
                'write "." or leave exportTo out',
            )
