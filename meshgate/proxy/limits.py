"""
The limits of connections: times, sizes, numbers and rates from the settings and from traffic policies.

Connections over a limit on their number are turned away: over all connections, those of one listener or those of one
client. They are counted over all workers (:mod:`meshgate.proxy.shared_counts`), and only for the limits that are set.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

from meshgate.proxy.rates import Rate
from meshgate.proxy.shared_counts import EVERYTHING, CounterPair, SharedCounts
from meshgate.routing.access_lists import AccessList
from meshgate.routing.connection_policy import ConnectionPolicy, Keepalive

FIRST_PROBE_AGE: Final = 5.0
"""Age of a connection in seconds at which its sides get their keepalive and are first checked for signs of life."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Limits that hold for every connection.

    :ivar hello_timeout: seconds for the whole ClientHello, from accept (15 in Istio's gateway).
    :ivar hello_bytes: largest size of a ClientHello.
    :ivar connect_timeout: seconds for each dial, and for resolving names without a known address.
    :ivar dial_attempts: number of endpoints that may stay silent before a connection ends; with 1, no second endpoint
        is tried, as in Istio.
    :ivar idle: seconds without a byte either way; 0 for no limit.
    :ivar half_close: seconds without a byte after one side has finished; never 0, since a later reset by that side
        may go unnoticed.
    :ivar duration_jitter: the percentage by which chance lengthens the longest duration of a connection, at the most.
    :ivar connections: largest number of connections at once, over all workers; 0 for no limit but descriptors.
    :ivar connections_per_listener: largest number of connections of one listener; 0 for no limit.
    :ivar connections_per_client: largest number of connections from one IPv4 address, or one IPv6 network of 64 bits;
        0 for no limit.
    :ivar client_rate: new connections from one client, counted as in :attr:`connections_per_client`; None for no limit.
    :ivar listener_rate: new connections of one listener; None for no limit.
    :ivar dry_run: the limits on numbers and rates refuse nobody; who would be refused is logged and counted.
    :ivar bandwidth: bytes that a connection may move in a second, each way; 0 for no limit.
    :ivar bandwidth_burst: bytes that it may move at once; 0 for the usual burst.
    :ivar access: the clients that may connect; None for all.
    :ivar unknown_sni_alert: send a TLS alert to a client whose server name is unknown, before closing.
    :ivar client_keepalive: the keepalive of accepted connections; None for none.
    :ivar upstream_keepalive: the keepalive of connections to endpoints, unless their destination sets one; None for
        none.
    :ivar first_check: age in seconds at which a relayed connection is checked for the first time; 0 for never.
    """

    hello_timeout: float = 15.0
    hello_bytes: int = 16384
    connect_timeout: float = 10.0
    dial_attempts: int = 3
    idle: float = 3600.0
    half_close: float = 600.0
    duration_jitter: int = 0
    connections: int = 0
    connections_per_listener: int = 0
    connections_per_client: int = 0
    client_rate: Rate | None = None
    listener_rate: Rate | None = None
    dry_run: bool = False
    bandwidth: int = 0
    bandwidth_burst: int = 0
    access: AccessList | None = None
    unknown_sni_alert: bool = False
    client_keepalive: Keepalive | None = None
    upstream_keepalive: Keepalive | None = None
    first_check: float = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the time of the first check once, for all connections."""
        checks = [self.idle, self.half_close] if self.idle else []
        for keepalive in (self.client_keepalive, self.upstream_keepalive):
            if keepalive is not None:
                checks += [FIRST_PROBE_AGE, max(1.0, (keepalive.time + keepalive.interval * keepalive.probes) / 2)]
        object.__setattr__(self, "first_check", min(checks, default=0.0))

    @property
    def room_is_limited(self) -> bool:
        """True if a limit on the number of connections is set."""
        return bool(self.connections or self.connections_per_listener or self.connections_per_client)

    def longest(self, duration: float, rng: random.Random) -> float:
        """Return how long a connection may last, in seconds, where its policy sets a duration."""
        jitter = self.duration_jitter
        return duration * (1 + jitter * rng.random() / 100) if jitter else duration

    @property
    def rates_are_limited(self) -> bool:
        """True if a limit on the rate of new connections is set."""
        return self.client_rate is not None or self.listener_rate is not None

    def under(self, policy: ConnectionPolicy) -> Limits:
        """Return the limits of a connection with a policy."""
        return self if policy.idle is None else replace(self, idle=policy.idle)


IPV6_CLIENT: Final = 64
"""Leading bits of an IPv6 address by which clients are distinguished: one client usually has a whole /64 network."""

_IPV4: Final = 1 << 128
_MAPPED: Final = 0xFFFF
"""The upper 96 bits of an IPv6 address that stands for an IPv4 address."""

CountedIn = tuple[CounterPair, ...]
"""The counters that a connection is counted in."""


class Admission:
    """
    Admits connections while no limit is reached.

    :param counts: the counts that all workers share.
    """

    def __init__(self, counts: SharedCounts) -> None:
        self._counts = counts
        self._listener_pair = lru_cache(1024)(lambda listener: counts.pair(f"listener {listener}"))

    def enter(self, limits: Limits, listener: str, client: str) -> CountedIn | None:
        """
        Count a connection, unless a limit is reached.

        :param client: the client's IP address.
        :return: the counters, to be passed to :meth:`leave` at its end; None if a limit is reached.
        """
        wanted = self._wanted(limits, listener, client)
        for pair, most in wanted:
            if self._counts.total(pair) >= most:
                return None
        return self._count(wanted)

    def leave(self, counted: CountedIn) -> None:
        """Count a connection no more."""
        for pair in counted:
            self._counts.add(pair, -1)

    def recount(self, limits: Limits, listener: str, client: str, counted: CountedIn) -> CountedIn:
        """Count a live connection by new limits; it stays even if they are exceeded."""
        self.leave(counted)
        return self._count(self._wanted(limits, listener, client))

    def _count(self, wanted: list[tuple[CounterPair, int]]) -> CountedIn:
        for pair, _ in wanted:
            self._counts.add(pair, 1)
        return tuple(pair for pair, _ in wanted)

    def _wanted(self, limits: Limits, listener: str, client: str) -> list[tuple[CounterPair, int]]:
        wanted: list[tuple[CounterPair, int]] = []
        if limits.connections:
            wanted.append((EVERYTHING, limits.connections))
        if limits.connections_per_listener:
            wanted.append((self._listener_pair(listener), limits.connections_per_listener))
        if limits.connections_per_client:
            wanted.append((self._counts.pair(f"client {client_key(client)}"), limits.connections_per_client))
        return wanted


def client_number(client: str) -> int | None:
    """As :func:`meshgate.routing.addresses.address`, in a fifth of the time: every connection may be judged by it."""
    if "%" in client:
        client = client.partition("%")[0]
    try:
        if ":" not in client:
            return _IPV4 | int.from_bytes(inet_pton(AF_INET, client)) << 96
        number = int.from_bytes(inet_pton(AF_INET6, client))
    except (OSError, ValueError):
        return None
    return _IPV4 | (number & 0xFFFFFFFF) << 96 if number >> 32 == _MAPPED else number


def client_key(client: str) -> str:
    """
    Return the key that a client is counted by: an IPv4 address, or the network of an IPv6 address, each as a number.

    :param client: an IP address, with or without a zone.
    """
    number = client_number(client)
    if number is None:
        return client
    return f"{number:x}" if number >= _IPV4 else f"{number >> IPV6_CLIENT:x}"
