"""
Counts over all workers, in memory that they share: the number of connections in all, and for each key.

The problem: limits hold for all workers together, a count must cost next to nothing, and the keys (such as the
addresses of clients) are not known before and may be many.

The approach: each worker has a row of counters that it alone changes, so there are no locks, and every worker reads all
rows. A key has two counters in a row, chosen by a hash, and the smaller sum counts (a count-min sketch). The hash has a
secret key, so that nobody can choose an address that shares the counters of another one.

The invariants: a count is never too low. It is too high only if a key shares both counters with other keys. A read
may be a moment old, so workers that decide at the same instant may together exceed a limit, by less than one connection
each.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from mmap import mmap
from typing import Final

from meshgate.proxy.rates import DESTINATIONS, LISTENERS, RATE_WORDS, SOURCES, RateTable, table_words
from meshgate.routing.backoff import WORDS, Backoffs
from meshgate.routing.failing_endpoints import EjectionMarks

BUCKETS: Final = 1 << 14
"""Counters in each of the two tables of a row."""

CounterPair = tuple[int, int]
"""The indexes of a key's two counters in a row."""

EVERYTHING: Final[CounterPair] = (0, 1)
"""The counters of all connections, which no key shares."""

_TABLES: Final = (len(EVERYTHING), len(EVERYTHING) + BUCKETS)
_COUNTERS: Final = len(EVERYTHING) + 2 * BUCKETS
_COUNTER_BYTES: Final = 8
_MASK: Final = BUCKETS - 1


def new_seed() -> bytes:
    """Return a new key for the hash. It is secret, and the same for all workers."""
    return os.urandom(16)


def bytes_for(workers: int) -> int:
    """Return the bytes of memory for a number of workers, all of them zero at first."""
    return (workers * _COUNTERS + RATE_WORDS + 2 * WORDS) * _COUNTER_BYTES


class SharedCounts:
    """
    The counts, as one worker sees them.

    :param memory: :func:`bytes_for` bytes, shared with the other workers.
    :param slot: the index of the worker's slot, from 0, which is its row.
    :param seed: a result of :func:`new_seed`.
    :ivar backoffs: the marks of endpoints.
    :ivar ejections: the failures that outlier detection counts, and what it has ejected.
    :ivar client_rates: the rates of new connections by client; those by listener are in ``listener_rates``.
    :ivar destination_rates: the bytes to and from destinations.
    """

    def __init__(self, memory: bytearray | mmap, slot: int, seed: bytes) -> None:
        words = memoryview(memory).cast("q")
        rest = len(words) - 2 * WORDS - RATE_WORDS
        self._counters = words[:rest]
        sources = rest + table_words(SOURCES)
        listeners = sources + table_words(LISTENERS)
        destinations = listeners + table_words(DESTINATIONS)
        self.client_rates = RateTable(words[rest:sources], seed)
        self.listener_rates = RateTable(words[sources:listeners], seed)
        self.destination_rates = RateTable(words[listeners:destinations], seed)
        self.ejections = EjectionMarks(words[-2 * WORDS : -WORDS], slot)
        self.backoffs = Backoffs(words[-WORDS:], slot)
        self._row = self._row_of(slot)
        self._seed = seed

    def pair(self, key: str) -> CounterPair:
        """Return the counters of a key. Keep the result: the hash costs more than the counting."""
        number = int.from_bytes(blake2b(key.encode(), digest_size=8, key=self._seed).digest(), "little")
        first, second = _TABLES
        return first + (number & _MASK), second + (number >> 32 & _MASK)

    def add(self, pair: CounterPair, by: int) -> None:
        """Add to two counters; a negative number subtracts."""
        row = self._row
        for slot in pair:
            row[slot] += by

    def total(self, pair: CounterPair) -> int:
        """Return the count of all workers: never too low, and too high only if keys share both counters."""
        first, second = pair
        counters = self._counters
        return min(sum(counters[first::_COUNTERS]), sum(counters[second::_COUNTERS]))

    def clear(self, slot: int) -> None:
        """Set the counts of a worker that has died to zero: its connections are gone."""
        row = self._row_of(slot)
        row[:] = memoryview(bytes(len(row) * _COUNTER_BYTES)).cast("q")

    def _row_of(self, slot: int) -> memoryview:
        return self._counters[slot * _COUNTERS : (slot + 1) * _COUNTERS]
