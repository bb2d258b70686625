"""
The limits of one connection: how long it may wait for what, and how much it may say first.

Knows numbers only; they come from the settings, and for a single connection from its traffic policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from meshgate.routing.connection_policy import ConnectionPolicy, Keepalive

FIRST_PROBE_AGE: Final = 5.0
"""Seconds that a connection has to live until it is worth while to ask for signs of life."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Limits and choices that hold for every connection.

    :ivar hello_timeout: seconds for the whole ClientHello, from accept (Istio's gateway gives it 15).
    :ivar hello_bytes: bytes of a ClientHello.
    :ivar connect_timeout: seconds for each dial, and for resolving names of which nothing is known.
    :ivar dial_attempts: endpoints that may stay silent before one connection is given up; 1 tries no second one, as
        Istio.
    :ivar idle: seconds without a byte either way; 0 for no limit.
    :ivar half_close: seconds without a byte after one side has finished; never off, since a reset from that
        side goes unnoticed from then on.
    :ivar connections: how many there may be at once, over all workers; 0 for as many as there are descriptors.
    :ivar connections_per_listener: how many of them by one listener; 0 for no limit.
    :ivar connections_per_client: how many of them from one IPv4 address, or one IPv6 network of 64 bits; 0 for no
        limit.
    :ivar unknown_sni_alert: tell a client by a TLS alert that its server name is unknown, before closing.
    :ivar client_keepalive: the probes that accepted connections have; None for none.
    :ivar upstream_keepalive: the probes that connections to endpoints get, unless their destination has its own; None
        for none.
    :ivar first_check: seconds until a relayed connection is looked at for the first time; 0 for never.
    """

    hello_timeout: float = 15.0
    hello_bytes: int = 16384
    connect_timeout: float = 10.0
    dial_attempts: int = 3
    idle: float = 3600.0
    half_close: float = 600.0
    connections: int = 0
    connections_per_listener: int = 0
    connections_per_client: int = 0
    unknown_sni_alert: bool = False
    client_keepalive: Keepalive | None = None
    upstream_keepalive: Keepalive | None = None
    first_check: float = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Find out once what every connection asks for."""
        checks = [self.idle, self.half_close] if self.idle else []
        for keepalive in (self.client_keepalive, self.upstream_keepalive):
            if keepalive is not None:
                checks += [FIRST_PROBE_AGE, max(1.0, (keepalive.time + keepalive.interval * keepalive.probes) / 2)]
        object.__setattr__(self, "first_check", min(checks, default=0.0))

    @property
    def room_is_limited(self) -> bool:
        """Whether connections have to be counted."""
        return bool(self.connections or self.connections_per_listener or self.connections_per_client)

    def under(self, policy: ConnectionPolicy) -> Limits:
        """Those of a connection with this policy."""
        return self if policy.idle is None else replace(self, idle=policy.idle)
