"""
The endpoints of a destination as those who choose among them see them, and what there is to choose where there is no
choice.

Knows what an endpoint is called, how many connections it has, and with which others it shares a name; knows nothing of
chance and weights.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshgate.routing.table import Endpoint


class Place:
    """
    An endpoint as balancers see it.

    :ivar active: how many connections it has now.
    :ivar name: the endpoint in words, put once for all connections; its address and port are here for the same reason.
    :ivar key: of the endpoint, for :class:`~meshgate.routing.backoff.Backoffs`; 0 before it is needed.
    :ivar marked: its last dial failed, so it is tried last.
    :ivar shared_name: the DNS name and port that it has in common with other endpoints, each of them one of the name's
        addresses; empty where there are no others.
    """

    __slots__ = ("active", "address", "endpoint", "key", "marked", "name", "port", "shared_name")

    def __init__(self, endpoint: Endpoint, active: int = 0) -> None:
        self.endpoint = endpoint
        self.active = active
        self.name = str(endpoint)
        self.address = endpoint.address
        self.port = endpoint.port
        self.key = 0
        self.marked = False
        self.shared_name = ""

    @property
    def is_ipv6(self) -> bool:
        """The family of its address."""
        return ":" in self.address

    def __repr__(self) -> str:
        return f"Place({self.name!r}, active={self.active})"


class NoChoice:
    """The balancer of one endpoint, or of none."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places

    def order(self, turn: int, source: str | None, rng: random.Random) -> Iterator[Place]:
        """What there is."""
        return iter(self._places)
