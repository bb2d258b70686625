"""The rules between the fields of a traffic policy (Istio, validation.go, validateTrafficPolicy)."""

from __future__ import annotations

from collections.abc import Iterator

from meshgate.resources import names
from meshgate.resources.broken import sound
from meshgate.resources.fault import Fault, Path, judged
from meshgate.resources.kinds.client_tls_rules import tls_faults
from meshgate.resources.kinds.loadbalancer_rules import load_balancer_faults
from meshgate.resources.kinds.trafficpolicy import (
    H2UpgradePolicy,
    PolicyParts,
    PortTrafficPolicy,
    TrafficPolicy,
)
from meshgate.resources.problem import Severity


def policy_faults(policy: TrafficPolicy, path: Path, namespace: str) -> Iterator[Fault]:
    """
    What is wrong with a traffic policy.

    :param path: of the policy.
    :param namespace: of the DestinationRule.
    """
    yield from judged(
        _silence_faults(policy, path),
        _header_faults(policy, path),
        _tunnel_faults(policy, path),
        _part_faults(policy, path, namespace),
        _port_faults(policy, path, namespace),
    )


def _silence_faults(policy: TrafficPolicy, path: Path) -> Iterator[Fault]:
    others = (policy.port_level_settings, policy.tunnel, policy.proxy_protocol, policy.retry_budget)
    if _is_empty(policy) and not any(map(_is_set, others)):
        yield _empty(path, "the traffic policy says nothing")


def _header_faults(policy: TrafficPolicy, path: Path) -> Iterator[Fault]:
    if policy.tunnel and policy.proxy_protocol:
        yield Fault(
            (*path, "proxyProtocol"),
            "MG1063",
            "tunnel and proxyProtocol exclude each other",
            "leave one of them out",
            at_key=True,
        )


def _port_faults(policy: TrafficPolicy, path: Path, namespace: str) -> Iterator[Fault]:
    for index, part in sound(policy.port_level_settings):
        place = (*path, "portLevelSettings", index)
        yield from judged(_port_silence_faults(part, place), _part_faults(part, place, namespace))


def _port_silence_faults(policy: PortTrafficPolicy, path: Path) -> Iterator[Fault]:
    if _is_empty(policy):
        yield _empty(path, "the policy for a port says nothing")


def _is_set(value: object) -> bool:
    return value is not None and value != ()


def _is_empty(policy: PolicyParts) -> bool:
    return not any(map(_is_set, (policy.load_balancer, policy.connection_pool, policy.outlier_detection, policy.tls)))


def _empty(path: Path, message: str) -> Fault:
    return Fault(path, "MG1062", message, "write a setting, or leave it out")


def _part_faults(policy: PolicyParts, path: Path, namespace: str) -> Iterator[Fault]:
    yield from judged(
        _deprecation_faults(policy, path),
        _outlier_faults(policy, path),
        _pool_faults(policy, path),
        _http_faults(policy, path),
        _load_balancer_faults(policy, path),
        _tls_faults(policy, path, namespace),
    )


def _deprecation_faults(policy: PolicyParts, path: Path) -> Iterator[Fault]:
    if policy.outlier_detection and policy.outlier_detection.consecutive_errors:
        yield Fault(
            (*path, "outlierDetection", "consecutiveErrors"),
            "MG1065",
            "consecutiveErrors is deprecated",
            "write consecutive5xxErrors or consecutiveGatewayErrors",
            Severity.WARNING,
            at_key=True,
        )


def _outlier_faults(policy: PolicyParts, path: Path) -> Iterator[Fault]:
    settings = policy.outlier_detection
    if not settings or settings.split_external_local_origin_errors:
        return
    if "consecutive_local_origin_failures" in settings.model_fields_set and settings.consecutive_local_origin_failures:
        yield Fault(
            (*path, "outlierDetection", "consecutiveLocalOriginFailures"),
            "MG1064",
            "consecutiveLocalOriginFailures needs splitExternalLocalOriginErrors",
            "write splitExternalLocalOriginErrors: true beside it",
            at_key=True,
        )


def _pool_faults(policy: PolicyParts, path: Path) -> Iterator[Fault]:
    pool = policy.connection_pool
    if pool and not pool.tcp and not pool.http:
        yield _empty((*path, "connectionPool"), "the connection pool says nothing")


def _http_faults(policy: PolicyParts, path: Path) -> Iterator[Fault]:
    http = policy.connection_pool.http if policy.connection_pool else None
    if http and http.use_client_protocol and http.h2_upgrade_policy == H2UpgradePolicy.UPGRADE:
        yield Fault(
            (*path, "connectionPool", "http", "useClientProtocol"),
            "MG1082",
            "useClientProtocol and h2UpgradePolicy: UPGRADE exclude each other",
            "leave one of them out",
            at_key=True,
        )


def _load_balancer_faults(policy: PolicyParts, path: Path) -> Iterator[Fault]:
    if policy.load_balancer:
        ejects = policy.outlier_detection is not None
        yield from load_balancer_faults(policy.load_balancer, (*path, "loadBalancer"), ejects)


def _tls_faults(policy: PolicyParts, path: Path, namespace: str) -> Iterator[Fault]:
    if policy.tls:
        yield from tls_faults(policy.tls, (*path, "tls"), namespace)


def _tunnel_faults(policy: TrafficPolicy, path: Path) -> Iterator[Fault]:
    if not policy.tunnel:
        return
    message = names.fqdn(policy.tunnel.target_host)
    if message and names.ip_address(policy.tunnel.target_host):
        yield Fault((*path, "tunnel", "targetHost"), "MG1083", message, "write a name or an IP address")
