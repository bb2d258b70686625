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
from meshgate.proxy.shared_counts import EVERYTHING, SharedCounts, Slots

IPV6_CLIENT: Final = 64
"""Leading bits of an IPv6 address by which clients are told apart: a single client has all the addresses below."""

Counted = tuple[Slots, ...]
"""Where a connection is counted."""


class Admission:
    """
    Lets connections in, as long as there is room.

    :param counts: over all workers.
    """

    def __init__(self, counts: SharedCounts) -> None:
        self._counts = counts
        self._listener_slots = lru_cache(1024)(lambda listener: counts.slots(f"listener {listener}"))

    def enter(self, limits: Limits, listener: str, client: str) -> Counted | None:
        """
        Count a connection, if there is room.

        :param client: its IP address.
        :return: where it was counted, to be given to :meth:`leave` at its end; None if there is no room.
        """
        wanted = self._wanted(limits, listener, client)
        for slots, most in wanted:
            if self._counts.total(slots) >= most:
                return None
        return self._count(wanted)

    def leave(self, counted: Counted) -> None:
        """Count a connection no more."""
        for slots in counted:
            self._counts.add(slots, -1)

    def follow(self, limits: Limits, listener: str, client: str, counted: Counted) -> Counted:
        """Count a connection that is there as other limits want it; nobody is turned away for that."""
        self.leave(counted)
        return self._count(self._wanted(limits, listener, client))

    def _count(self, wanted: list[tuple[Slots, int]]) -> Counted:
        for slots, _ in wanted:
            self._counts.add(slots, 1)
        return tuple(slots for slots, _ in wanted)

    def _wanted(self, limits: Limits, listener: str, client: str) -> list[tuple[Slots, int]]:
        wanted: list[tuple[Slots, int]] = []
        if limits.connections:
            wanted.append((EVERYTHING, limits.connections))
        if limits.connections_per_listener:
            wanted.append((self._listener_slots(listener), limits.connections_per_listener))
        if limits.connections_per_client:
            wanted.append((self._counts.slots(f"client {client_key(client)}"), limits.connections_per_client))
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
