"""
Consistent hashing: the same owner for the same key, and most keys keep theirs when an owner comes or goes. Pure.

The problem: clients are to reach the same endpoint again, through any gateway and after endpoints were added or
removed. A hash modulo the number of endpoints would move nearly all clients with every change.

The approach: two tables, of which a policy chooses one. On a ring (:class:`Ring`) each owner has points, and a key
belongs to the next point; a new owner takes only the keys in front of its own points. In a Maglev table
(:class:`Maglev`; Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", 2016, section 3.4)
owners claim entries in turns, each in a pseudo-random order of its own; shares are more even, and a few more keys move.

Invariants: a table follows from the names, weights and order of its owners alone, and hashes do not depend on the
process, so that all gateways with the same owners agree. A walk gives each owner at most once.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b, shake_128
from typing import Final

LARGEST_RING: Final = 16384
"""The most points that a ring may have: making one takes a few milliseconds, in which nothing else is served."""

LARGEST_TABLE: Final = 65537
"""
The most entries that a Maglev table may have: the usual size, and a prime, as the number has to be. The first look-ups
fill the table, which takes them some ten milliseconds in all; filling a larger one would delay all connections.
"""


def hash64(text: str) -> int:
    """Hash a text to a number below 2**64."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


class Ring:
    """
    A ring of points, of which each owner has a number by its weight; a key belongs to the first point at or after it.

    :param names: the names of the owners, from which their points are hashed.
    :param weights: the weights of the owners, at least 1 each.
    :param size: the least number of points; every owner has one or more.
    """

    def __init__(self, names: Sequence[str], weights: Sequence[int], size: int) -> None:
        total = sum(weights)
        owners: dict[int, int] = {}
        for owner, (name, weight) in enumerate(zip(names, weights, strict=True)):
            count = -(-size * weight // total)
            points = struct.unpack(f"<{count}Q", shake_128(name.encode()).digest(8 * count))
            owners.update(dict.fromkeys(points, owner))
        self._points = sorted(owners)
        self._owners = [owners[point] for point in self._points]
        self._count = len(names)

    def walk(self, key: int) -> Iterator[int]:
        """
        Walk around the ring from a key on, and give each owner when it is first met.

        :param key: a number below 2**64.
        """
        owners, start = self._owners, bisect_left(self._points, key)
        yield from _distinct(owners[(start + step) % len(owners)] for step in range(len(owners)))


class Maglev:
    """
    A table of which owners claim entries in turns, each in an order of its own.

    The table is filled only as far as look-ups need it: half of the entries are there after a fifteenth of the work.

    :param names: the names of the owners, from which the orders are hashed.
    :param weights: the weights of the owners, at least 1 each. The heaviest owner claims an entry in each turn, any
        other one in a share of the turns.
    :param size: the number of entries; a prime, so that every step leads through all entries.
    """

    def __init__(self, names: Sequence[str], weights: Sequence[int], size: int) -> None:
        self._size = size
        self._entries: list[int | None] = [None] * size
        self._filling = self._fill(names, weights)

    def walk(self, key: int) -> Iterator[int]:
        """Walk through the table as :meth:`Ring.walk` does; an owner that got no entry is left out."""
        start = key % self._size
        yield from _distinct(self._owner((start + step) % self._size) for step in range(self._size))

    def _owner(self, entry: int) -> int:
        while (owner := self._entries[entry]) is None:
            next(self._filling)
        return owner

    def _fill(self, names: Sequence[str], weights: Sequence[int]) -> Iterator[None]:
        entries, size, heaviest = self._entries, self._size, max(weights)
        hashes = [struct.unpack("<2Q", shake_128(name.encode()).digest(16)) for name in names]
        cursors = [first % size for first, _ in hashes]
        skips = [second % (size - 1) + 1 for _, second in hashes]
        # Every owner claims an entry in the first turn, however light it is.
        owed = [heaviest - weight for weight in weights]
        left = size
        while True:
            for owner, weight in enumerate(weights):
                owed[owner] += weight
                if owed[owner] < heaviest:
                    continue
                owed[owner] -= heaviest
                cursor, skip = cursors[owner], skips[owner]
                while entries[cursor] is not None:
                    cursor += skip
                    if cursor >= size:
                        cursor -= size
                entries[cursor] = owner
                cursors[owner] = cursor
                left -= 1
                if not left:
                    yield
                    return
            yield


def _distinct(owners: Iterator[int]) -> Iterator[int]:
    seen: set[int] = set()
    for owner in owners:
        if owner not in seen:
            seen.add(owner)
            yield owner
