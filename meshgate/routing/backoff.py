"""
Endpoints whose last dial failed, and when each is tried again.

A failed dial marks its endpoint: until the mark is lifted, connections try it last. The mark has a back-off, which
doubles with every failed trial, from one second to thirty. When the back-off ends, one connection claims the endpoint
as its probe; while the probe is under way, the others still try the endpoint last. A probe that connects lifts the
mark, one that fails starts the next back-off, and one that never reports is forgotten with its lease.

Marks stand in memory that all workers share. An endpoint has a key, the hash of its address and port; the key leads to
one of a fixed number of sets of four slots. Where a set is full, the slot with the oldest back-off is used anew: a lost
mark costs one more failed dial, nothing else. For the same reason there are no locks: of two workers that claim a probe
within a microsecond both may get it, and of two that use the same slot anew one loses its mark.

Pure: the time and chance come in. Times of different processes are compared, so the clock has to be the machine's.
"""

from __future__ import annotations

import random
from typing import Final

from meshgate.routing.hashing import hash64

FIRST: Final = 1.0
LONGEST: Final = 30.0
"""Seconds of the first back-off, and of the longest; each is twice the one before."""

JITTER: Final = 0.25
"""The part of a back-off by which chance shortens it, at the most: endpoints that failed together part again."""

SETS: Final = 1024
_WAYS: Final = 4
_SLOT: Final = 4
_HEAD: Final = 4
"""Words in front of the slots; the first of them is another number after every change."""

# The words of a slot. Times are in microseconds. An endpoint that has come back keeps its slot, with 0 for the end of
# its back-off, and with the time when it came back in place of the lease.
_KEY: Final = 0
_FAILURES: Final = 1
_RETRY_AT: Final = 2
_LEASE: Final = 3

WORDS: Final = _HEAD + SETS * _WAYS * _SLOT
"""How many words of eight bytes the memory has."""

_TOLD: Final = 1 << 32
"""Added to the failures of an endpoint while people know of its mark."""

_MICRO: Final = 1_000_000
_STAMP_BITS: Final = 40
_DOUBLINGS: Final = 5  # after which the longest back-off is reached


def endpoint_key(name: str) -> int:
    """
    The key of an endpoint, never 0.

    :param name: address and port in one form.
    """
    return hash64(name) >> 1 or 1


class Backoffs:
    """
    The marks, as one worker sees them.

    :param words: :data:`WORDS` integers of eight bytes, zero at first, shared with the other workers if there are any.
    :param worker: which worker this is, from 0.
    :ivar words: the memory. Its first word changes with every mark that is made or lifted.
    """

    def __init__(self, words: memoryview, worker: int = 0) -> None:
        self.words = words
        self._worker = worker + 1

    def due_at(self, key: int) -> float:
        """When the next connection may claim an endpoint as its probe; 0 if it is not marked."""
        slot = self._find(key)
        if not slot or not self.words[slot + _RETRY_AT]:
            return 0.0
        return max(int(self.words[slot + _RETRY_AT]), int(self.words[slot + _LEASE])) / _MICRO

    def failed(self, key: int, started: float, now: float, rng: random.Random) -> tuple[bool, bool]:
        """
        A dial failed. Only one that began after the last back-off counts as another failure: what was under way before,
        or was tried for want of anything better, says nothing new.

        :param started: when the dial began.
        :return: whether the endpoint was not marked before; and whether people are to be told. Of one that comes and
            goes they are told the 1st, 2nd, 4th, 8th … time, and that it is back if they were told before.
        """
        words, slot = self.words, self._find(key)
        known = slot > 0 and words[slot + _RETRY_AT] != 0
        if known and started * _MICRO < words[slot + _RETRY_AT]:
            return False, False
        if not slot:
            slot = self._use(key)
        elif not known and now * _MICRO - words[slot + _LEASE] > LONGEST * _MICRO:
            words[slot + _FAILURES] = 0  # it has lived for long enough that this is another trouble
        before = int(words[slot + _FAILURES])
        failures, told = (before & _TOLD - 1) + 1, known and before >= _TOLD
        tell = not told and failures & failures - 1 == 0
        words[slot + _FAILURES] = failures | (_TOLD if told or tell else 0)
        pause = min(LONGEST, FIRST * 2.0 ** min(failures - 1, _DOUBLINGS)) * (1 - JITTER * rng.random())
        words[slot + _RETRY_AT] = int((now + pause) * _MICRO) or 1
        words[slot + _LEASE] = 0
        self._changed()
        return not known, tell

    def succeeded(self, key: int, now: float) -> bool:
        """
        A dial did not fail. The endpoint is like any other, but its failures are remembered for a while.

        :return: whether people are to be told.
        """
        slot = self._find(key)
        if not slot or not self.words[slot + _RETRY_AT]:
            return False
        self.words[slot + _RETRY_AT] = 0
        self.words[slot + _LEASE] = int(now * _MICRO)
        self._changed()
        return int(self.words[slot + _FAILURES]) >= _TOLD

    def claim(self, key: int, now: float, lease: float) -> bool:
        """
        Take the probe of an endpoint, if its back-off is over and nobody else has it.

        :param lease: seconds after which somebody else may take it, should nothing be heard of this one.
        """
        slot, at = self._find(key), int(now * _MICRO)
        words = self.words
        if not slot or not words[slot + _RETRY_AT] or at < words[slot + _RETRY_AT] or at < words[slot + _LEASE]:
            return False
        words[slot + _LEASE] = at + int(lease * _MICRO)
        return True

    def release(self, key: int) -> None:
        """The probe was given up before anything was known: let the next connection take it."""
        slot = self._find(key)
        if slot and self.words[slot + _RETRY_AT]:
            self.words[slot + _LEASE] = 0
            self._changed()

    def _find(self, key: int) -> int:
        """The slot of a key; 0 if there is none."""
        words, first = self.words, self._first(key)
        for slot in range(first, first + _WAYS * _SLOT, _SLOT):
            if words[slot] == key:
                return slot
        return 0

    def _use(self, key: int) -> int:
        """A slot for a new key: a free one, else the one that was of no use for the longest."""
        words, first = self.words, self._first(key)
        slot = min(range(first, first + _WAYS * _SLOT, _SLOT), key=lambda slot: words[slot] and self._last_used(slot))
        words[slot + _FAILURES] = words[slot + _RETRY_AT] = words[slot + _LEASE] = 0
        words[slot + _KEY] = key
        return slot

    def _last_used(self, slot: int) -> int:
        return max(1, int(self.words[slot + _RETRY_AT]), int(self.words[slot + _LEASE]))

    def _first(self, key: int) -> int:
        return _HEAD + (key & SETS - 1) * _WAYS * _SLOT

    def _changed(self) -> None:
        # Two workers that count on at the same instant come to different numbers, so nobody takes the second change
        # for the first.
        count = (int(self.words[0]) + 1) & (1 << _STAMP_BITS) - 1
        self.words[0] = self._worker << _STAMP_BITS | count
