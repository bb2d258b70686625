"""
What of a traffic policy this gateway does, and what it only reads.

Knows the parts of policies; knows nothing of which policy counts for a host.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshgate.resources.trafficpolicy import ClientTLSMode, ClientTLSSettings, PolicyParts, TrafficPolicy

ORIGINATING: Final = frozenset({ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL})
"""Modes in which the gateway itself would have to speak TLS to the endpoint."""

_PARTS: Final = {
    "load_balancer": "loadBalancer",
    "outlier_detection": "outlierDetection",
    "tunnel": "tunnel",
    "proxy_protocol": "proxyProtocol",
}
_TCP_FIELDS: Final = {
    "max_connections": "maxConnections",
    "connect_timeout": "connectTimeout",
    "tcp_keepalive": "tcpKeepalive",
    "max_connection_duration": "maxConnectionDuration",
    "idle_timeout": "idleTimeout",
}


def not_served(policy: PolicyParts) -> Iterator[str]:
    """The paths, within a policy, of what means something to TCP and is not done yet."""
    for name, written in _PARTS.items():
        if getattr(policy, name, None) is not None:
            yield written
    if policy.connection_pool is not None and policy.connection_pool.tcp is not None:
        chosen = policy.connection_pool.tcp.model_fields_set
        yield from (f"connectionPool.tcp.{written}" for name, written in _TCP_FIELDS.items() if name in chosen)
    if policy.tls is not None and policy.tls.mode is ClientTLSMode.ISTIO_MUTUAL:
        yield "tls"
    if isinstance(policy, TrafficPolicy):
        for index, port in enumerate(policy.port_level_settings):
            yield from (f"portLevelSettings[{index}].{path}" for path in not_served(port))


def client_tls(policy: TrafficPolicy | None, override: TrafficPolicy | None, port: int) -> ClientTLSSettings | None:
    """
    The TLS settings towards the endpoints of one port. A port's own policy replaces the destination's whole, and a
    subset's policy overrides the rule's part by part (pilot/pkg/networking/core/cluster_builder.go).

    :param policy: the rule's.
    :param override: the subset's.
    """
    for each in (override, policy):
        if each is None:
            continue
        for of_port in each.port_level_settings:
            if of_port.port.number == port:
                return of_port.tls
        if each.tls is not None:
            return each.tls
    return None
