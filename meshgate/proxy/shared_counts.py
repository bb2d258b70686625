"""
Counts over all workers, in memory that they share: how many connections there are in all, and of whom.

Knows memory and arithmetic; must not know what is counted, nor what the limits are. There are no locks: each worker
changes only its own row, and everybody reads all of them. What is read may be a moment old, so workers that decide at
the same instant may together go over a limit, by less than one connection for each of them.

Keys are not known before, so they share a fixed number of counters: each has two, chosen by a hash, and the smaller
one counts (a count-min sketch). So a count can be too high, where a key shares both counters with others, but never
too low. The hash is keyed, so that nobody can choose addresses to share the counters of others.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from mmap import mmap
from typing import Final

from meshgate.routing.backoff import WORDS, Backoffs

BUCKETS: Final = 1 << 14
"""Counters in each of the two tables of a row."""

CounterPair = tuple[int, int]
"""Where something is counted: its two counters in a row."""

EVERYTHING: Final[CounterPair] = (0, 1)
"""Where all is counted that needs no key; nothing else is counted there."""

_TABLES: Final = (len(EVERYTHING), len(EVERYTHING) + BUCKETS)
_COUNTERS: Final = len(EVERYTHING) + 2 * BUCKETS
_COUNTER_BYTES: Final = 8
_MASK: Final = BUCKETS - 1


def new_seed() -> bytes:
    """A key for the hash: secret, and the same for all who share the memory."""
    return os.urandom(16)


def bytes_for(workers: int) -> int:
    """How much memory so many workers need, all of it zero at first."""
    return (workers * _COUNTERS + WORDS) * _COUNTER_BYTES


class SharedCounts:
    """
    The counts, as one worker sees them.

    :param memory: :func:`bytes_for` bytes, shared with the other workers if there are any.
    :param slot: which row is this worker's, from 0.
    :param seed: as :func:`new_seed` gives it.
    :ivar backoffs: the marks of endpoints.
    """

    def __init__(self, memory: bytearray | mmap, slot: int, seed: bytes) -> None:
        words = memoryview(memory).cast("q")
        self._counters = words[:-WORDS]
        self.backoffs = Backoffs(words[-WORDS:], slot)
        self._row = self._row_of(slot)
        self._seed = seed

    def pair(self, key: str) -> CounterPair:
        """Where a key is counted. To be remembered by whoever counts it: it costs more than the counting."""
        number = int.from_bytes(blake2b(key.encode(), digest_size=8, key=self._seed).digest(), "little")
        first, second = _TABLES
        return first + (number & _MASK), second + (number >> 32 & _MASK)

    def add(self, pair: CounterPair, by: int) -> None:
        """Count, or with a negative number count back."""
        row = self._row
        for slot in pair:
            row[slot] += by

    def total(self, pair: CounterPair) -> int:
        """What all workers have counted there: never too low, and too high only where keys share both counters."""
        first, second = pair
        counters = self._counters
        return min(sum(counters[first::_COUNTERS]), sum(counters[second::_COUNTERS]))

    def clear(self, slot: int) -> None:
        """Forget what a worker has counted that has died: its connections are gone as well."""
        row = self._row_of(slot)
        row[:] = memoryview(bytes(len(row) * _COUNTER_BYTES)).cast("q")

    def _row_of(self, slot: int) -> memoryview:
        return self._counters[slot * _COUNTERS : (slot + 1) * _COUNTERS]
