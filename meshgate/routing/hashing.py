"""
Consistent hashing: the same owner for the same key, and most keys keep theirs when an owner comes or goes. Pure.

Two tables, a ring and Maglev's (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", 2016,
section 3.4). Their hashes do not depend on the process, so that all gateways with the same owners agree.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b, shake_128
from typing import Final

LARGEST_RING: Final = 16384
"""Points of a ring: making one this large takes a few milliseconds, in which nothing else is served."""

LARGEST_TABLE: Final = 65537
"""
Entries of a Maglev table; a prime, as they have to be, and the usual size. The first look-ups, which fill it, take some
ten milliseconds between them; a larger one would be a pause for everybody.
"""


def hash64(text: str) -> int:
    """A number below 2**64 for a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


class Ring:
    """
    A ring: each owner has points on it by its weight, and a key belongs to the first point from its own on.

    :param names: of the owners, which decide where their points are.
    :param weights: at least 1 each.
    :param size: how many points there are at least; every owner has one or more.
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
        The owners in the order in which they stand from a key on, each once.

        :param key: below 2**64.
        """
        owners, start = self._owners, bisect_left(self._points, key)
        yield from _distinct(owners[(start + step) % len(owners)] for step in range(len(owners)))


class Maglev:
    """
    A table in which owners take entries in turns, each in an order of its own, by their weights.

    It is filled no further than the entries asked for need: half of them are there after a fifteenth of the work.

    :param names: as of :class:`Ring`.
    :param weights: likewise. The heaviest takes an entry in each turn, every other one in its share of them.
    :param size: how many entries there are; a prime.
    """

    def __init__(self, names: Sequence[str], weights: Sequence[int], size: int) -> None:
        self._size = size
        self._entries: list[int | None] = [None] * size
        self._filling = self._fill(names, weights)

    def walk(self, key: int) -> Iterator[int]:
        """As :meth:`Ring.walk`. An owner that came too late to get an entry is not among them."""
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
        # Everybody takes one in the first turn, however light.
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
