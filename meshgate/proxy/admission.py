"""
Admission: connections are turned away when a limit is reached, over all connections, over those of one listener or over
those of one client.

Connections are counted over all workers (:mod:`meshgate.proxy.shared_counts`), and only for the limits that are set.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

from meshgate.proxy.limits import Limits
from meshgate.proxy.shared_counts import EVERYTHING, CounterPair, SharedCounts

IPV6_CLIENT: Final = 64
"""Leading bits of an IPv6 address by which clients are distinguished: one client usually has a whole /64 network."""

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


def client_key(address: str) -> str:
    """
    Return the key that a client is counted by: an IPv4 address, or the network of an IPv6 address.

    :param address: an IP address, with or without a zone.
    """
    if ":" not in address:
        return address
    network = ipaddress.IPv6Network((address.partition("%")[0], IPV6_CLIENT), strict=False)
    return str(network.network_address)
