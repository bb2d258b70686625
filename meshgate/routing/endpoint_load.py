"""
Endpoint loads: the endpoints of a destination as those who choose among them see them.

A cluster keeps one :class:`EndpointLoad` for each endpoint, for as long as a table in force has the endpoint. It holds
what changes from connection to connection, so that :class:`~meshgate.routing.table.Endpoint` can stay immutable.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshgate.routing.table import Endpoint


class EndpointLoad:
    """
    An endpoint with the number of its connections.

    :ivar active: connections of this process to the endpoint, those that are being dialed included.
    :ivar name: ``address:port``, formatted once for all connections; :attr:`address` and :attr:`port` are copied from
        the endpoint for the same reason.
    :ivar key: the endpoint's key in :class:`~meshgate.routing.backoff.Backoffs`; 0 until it is needed.
    :ivar weight: the endpoint's weight now: all loads of a balancer are in the same unit, which is larger than 1 while
        one of them warms up.
    :ivar added: the clock's seconds when the endpoint was added, or was back after an ejection, while that matters.
    :ivar marked: True if the last dial failed, so that the endpoint is tried last.
    :ivar shared_name: the DNS name and port of which this endpoint is one of several addresses; empty if it is not.
    """

    __slots__ = ("active", "added", "address", "endpoint", "key", "marked", "name", "port", "shared_name", "weight")

    def __init__(self, endpoint: Endpoint, active: int = 0) -> None:
        self.endpoint = endpoint
        self.active = active
        self.name = str(endpoint)
        self.address = endpoint.address
        self.port = endpoint.port
        self.weight = endpoint.weight
        self.added = 0.0
        self.key = 0
        self.marked = False
        self.shared_name = ""

    @property
    def is_ipv6(self) -> bool:
        """True if the address is an IPv6 address."""
        return ":" in self.address

    def __repr__(self) -> str:
        return f"EndpointLoad({self.name!r}, active={self.active})"


class NoChoice:
    """The balancer of a destination that has one endpoint, or none."""

    def __init__(self, loads: Sequence[EndpointLoad]) -> None:
        self._loads = loads

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[EndpointLoad]:
        """The only order there is."""
        return iter(self._loads)
