"""
Overload: which connections there is no room for, by limits over all of them, over those of one listener and over those
of one client.

Knows counts and limits; must not know how a connection is turned away. What is counted is counted over all workers
(:mod:`meshgate.proxy.shared_counts`), and only where a limit is set.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

from meshgate.proxy.limits import Limits
from meshgate.proxy.shared_counts import EVERYTHING, CounterPair, SharedCounts

IPV6_CLIENT: Final = 64
"""Leading bits of an IPv6 address by which clients are told apart: a single client has all the addresses below."""

CountedIn = tuple[CounterPair, ...]
"""Where a connection is counted."""


class Admission:
    """
    Lets connections in, as long as there is room.

    :param counts: over all workers.
    """

    def __init__(self, counts: SharedCounts) -> None:
        self._counts = counts
        self._listener_pair = lru_cache(1024)(lambda listener: counts.pair(f"listener {listener}"))

    def enter(self, limits: Limits, listener: str, client: str) -> CountedIn | None:
        """
        Count a connection, if there is room.

        :param client: its IP address.
        :return: where it was counted, to be given to :meth:`leave` at its end; None if there is no room.
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
        """Count a connection that is there as other limits want it; nobody is turned away for that."""
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
    What a client is counted by: an IPv4 address, or the network of an IPv6 one.

    :param address: an IP address, perhaps with a zone.
    """
    if ":" not in address:
        return address
    network = ipaddress.IPv6Network((address.partition("%")[0], IPV6_CLIENT), strict=False)
    return str(network.network_address)
