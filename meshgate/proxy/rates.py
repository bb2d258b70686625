"""
Rates: how often something may happen, and how fast bytes may flow, for each of many keys and over all workers.

The problem: the keys may be addresses of strangers, of whom there are any number; all workers have to agree; and a
connection that is refused should cost next to nothing.

The approach: a token bucket is one number, the time at which it would be full again (the generic cell rate algorithm of
ITU-T I.371). To take tokens moves that time on; a bucket is empty if the time is too far ahead. The numbers are in a
table of fixed size in memory that the workers share, in sets of :data:`WAYS` entries. A hash with a secret key chooses
the set of a key. If the set is full, the key takes over the entry whose bucket is nearest to full.

The invariants: the table never grows. Nobody is refused who has not used up the bucket: a key that loses its entry
loses what it has taken, and those who take most keep theirs longest. Workers that take from one bucket in the same
microsecond may together take once too often.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

WAYS: Final = 8
"""Entries of a set."""

_ENTRY: Final = 2
"""Words of an entry: its tag, and the time at which its bucket is full, in microseconds of the clock."""
_SET: Final = WAYS * _ENTRY

SOURCES: Final = 4096
"""Sets for the rates of clients: 32,768 clients that have connected lately."""
LISTENERS: Final = 128
"""Sets for the rates of listeners."""
DESTINATIONS: Final = 512
"""Sets for the bandwidth of destinations."""

RATE_WORDS: Final = _SET * (SOURCES + LISTENERS + DESTINATIONS)
"""Words of memory for the three tables."""


def table_words(sets: int) -> int:
    """Return the words of memory for a table of some sets."""
    return sets * _SET


@dataclass(frozen=True, slots=True)
class Rate:
    """
    A token bucket.

    :ivar per_second: tokens that come back in a second; more than 0.
    :ivar burst: tokens of a full bucket; at least 1.
    """

    per_second: float
    burst: int

    @property
    def interval(self) -> float:
        """Microseconds for one token."""
        return 1e6 / self.per_second

    @property
    def patience(self) -> float:
        """Microseconds by which the time of a full bucket may be ahead when a token is taken."""
        return (self.burst - 1) * self.interval


class RateTable:
    """
    Buckets by key, as one worker sees them.

    :param words: memory of zeros at first, shared with the other workers: a multiple of :data:`WAYS` entries.
    :param seed: the key of the hash, the same for all workers.
    """

    def __init__(self, words: memoryview, seed: bytes) -> None:
        self._words = words
        self._seed = seed
        self._sets = len(words) // _SET

    def entry(self, key: str, now: int) -> int:
        """
        Return the entry of a key, which it gets if it has none.

        :param now: the clock's microseconds.
        """
        number = int.from_bytes(blake2b(key.encode(), digest_size=8, key=self._seed).digest(), "little")
        tag = number >> 1 | 1  # no tag is 0, and all fit into a word
        first = (number & 0xFFFF) % self._sets * _SET
        words = self._words
        content = words[first : first + _SET].tolist()
        times = content[1::_ENTRY]
        tags = content[::_ENTRY]
        if tag in tags:
            return first + tags.index(tag) * _ENTRY
        entry = first + times.index(min(times)) * _ENTRY
        words[entry] = tag
        words[entry + 1] = now
        return entry

    def allows(self, entry: int, rate: Rate, now: int) -> bool:
        """Tell if there is a token in a bucket."""
        return self._words[entry + 1] - now <= rate.patience

    def take(self, entry: int, microseconds: int, now: int) -> int:
        """
        Take tokens.

        :param microseconds: the time in which as many come back.
        :return: the time at which the bucket would have been full before.
        """
        words = self._words
        full = max(words[entry + 1], now)
        words[entry + 1] = full + microseconds
        return full


def microseconds(seconds: float) -> int:
    """The clock's microseconds."""
    return int(seconds * 1e6)
