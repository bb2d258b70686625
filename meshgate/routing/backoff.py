"""
Back-offs: the marks of endpoints whose last dial failed, and the times at which each is tried again.

The problem: a dead endpoint must not cost every connection a failed dial, in any worker, and must be used again soon
after it has come back.

The approach: a failed dial marks its endpoint, and until the mark is lifted, connections try it last. The mark has a
back-off, which doubles with every failed probe, from one second to thirty. When the back-off ends, one connection
claims the endpoint as its probe; while that is under way, the others still try the endpoint last. A probe that connects
lifts the mark, a probe that fails starts the next back-off, and a probe that reports nothing loses its lease to another
one.

Marks are in memory that all workers share. The key of an endpoint, a hash of its address and port, leads to one of a
fixed number of sets of four slots each. If a set is full, the slot with the oldest back-off is reused. There are no
locks: two workers that claim a probe within a microsecond may both get it, and of two that reuse one slot, one loses
its mark. Invariant: whatever is lost in this way costs a failed dial more, and nothing else.

Pure: time and chance are arguments. Workers compare each other's times, so all must use the clock of the machine.
"""

from __future__ import annotations

import random
from typing import Final

from meshgate.routing.hashing import hash64

FIRST: Final = 1.0
LONGEST: Final = 30.0
"""The first back-off and the longest, in seconds; each back-off is twice the one before."""

JITTER: Final = 0.25
"""The largest fraction by which chance shortens a back-off: endpoints that failed together are probed apart."""

SETS: Final = 1024
_WAYS: Final = 4
_SLOT: Final = 4
_HEAD: Final = 4
"""Words in front of the slots; the first of them has another value after every change."""

# The words of a slot behind its key. Times are in microseconds. An endpoint that answers again keeps its slot: the end
# of its back-off is 0 then, and the word of the lease has the time at which it answered.
_FAILURES: Final = 1
_RETRY_AT: Final = 2
_LEASE: Final = 3

WORDS: Final = _HEAD + SETS * _WAYS * _SLOT
"""The size of the memory in words of eight bytes."""

_LOGGED: Final = 1 << 32
"""Added to the failures of an endpoint while the last log entry about it says that it fails."""

_MICRO: Final = 1_000_000
_STAMP_BITS: Final = 40
_DOUBLINGS: Final = 5  # after which the longest back-off is reached


def endpoint_key(name: str) -> int:
    """
    The key of an endpoint, never 0.

    :param name: ``address:port``, as :attr:`~meshgate.routing.endpoint_load.EndpointLoad.name` has it.
    """
    return hash64(name) >> 1 or 1


class KeyedSlots:
    """
    Slots of :data:`_SLOT` words by key, in memory that workers share: sets of :data:`_WAYS` slots each.

    :param words: memory of :data:`WORDS` integers of eight bytes, zero at first, shared with the other workers.
    :param worker: the index of this worker, from 0.
    :ivar words: the memory. Its first word changes with every call of :meth:`_changed`.
    """

    def __init__(self, words: memoryview, worker: int = 0) -> None:
        self.words = words
        self._worker = worker + 1

    def _last_used(self, slot: int) -> int:
        """A time by which slots that may be reused are compared, in microseconds."""
        raise NotImplementedError

    def _find(self, key: int) -> int:
        """The index of a key's slot; 0 if the key has none."""
        words, first = self.words, self._first(key)
        for slot in range(first, first + _WAYS * _SLOT, _SLOT):
            if words[slot] == key:
                return slot
        return 0

    def _allocate(self, key: int) -> int:
        """Give a new key a slot: a free one, else the one that has not been used for the longest time."""
        words, first = self.words, self._first(key)
        slot = min(range(first, first + _WAYS * _SLOT, _SLOT), key=lambda slot: words[slot] and self._last_used(slot))
        words[slot + 1] = words[slot + 2] = words[slot + 3] = 0
        words[slot] = key
        return slot

    def _first(self, key: int) -> int:
        return _HEAD + (key & SETS - 1) * _WAYS * _SLOT

    def _changed(self) -> None:
        # The value names the worker, too: two workers that count at the same instant write different values, so that
        # no reader takes the second change for the first.
        count = (int(self.words[0]) + 1) & (1 << _STAMP_BITS) - 1
        self.words[0] = self._worker << _STAMP_BITS | count


class Backoffs(KeyedSlots):
    """The marks, as one worker sees them: the first word changes with every mark that is made or lifted."""

    def due_at(self, key: int) -> float:
        """The time at which a connection may claim an endpoint as its probe; 0 if the endpoint is not marked."""
        slot = self._find(key)
        if not slot or not self.words[slot + _RETRY_AT]:
            return 0.0
        return max(int(self.words[slot + _RETRY_AT]), int(self.words[slot + _LEASE])) / _MICRO

    def failed(self, key: int, started: float, now: float, rng: random.Random) -> tuple[bool, bool]:
        """
        Note a dial that failed, and mark the endpoint.

        Only a dial that began after the last back-off counts as another failure: one that was under way before, or that
        tried the endpoint for want of a better one, says nothing new.

        :param started: the time at which the dial began.
        :return: True if the endpoint was not marked before; and True if the failure is to be logged. The 1st, 2nd, 4th,
            8th … failure of an endpoint that comes and goes is.
        """
        words, slot = self.words, self._find(key)
        was_marked = slot > 0 and words[slot + _RETRY_AT] != 0
        if was_marked and started * _MICRO < words[slot + _RETRY_AT]:
            return False, False
        if not slot:
            slot = self._allocate(key)
        elif not was_marked and now * _MICRO - words[slot + _LEASE] > LONGEST * _MICRO:
            words[slot + _FAILURES] = 0  # it has answered for so long that this failure is a new one
        before = int(words[slot + _FAILURES])
        failures, logged = (before & _LOGGED - 1) + 1, was_marked and before >= _LOGGED
        log = not logged and failures & failures - 1 == 0
        words[slot + _FAILURES] = failures | (_LOGGED if logged or log else 0)
        pause = min(LONGEST, FIRST * 2.0 ** min(failures - 1, _DOUBLINGS)) * (1 - JITTER * rng.random())
        words[slot + _RETRY_AT] = int((now + pause) * _MICRO) or 1
        words[slot + _LEASE] = 0
        self._changed()
        return not was_marked, log

    def succeeded(self, key: int, now: float) -> bool:
        """
        Note a dial that connected, and lift the mark. The number of failures is remembered for a while.

        :return: True if this is to be logged, because the failure was.
        """
        slot = self._find(key)
        if not slot or not self.words[slot + _RETRY_AT]:
            return False
        self.words[slot + _RETRY_AT] = 0
        self.words[slot + _LEASE] = int(now * _MICRO)
        self._changed()
        return int(self.words[slot + _FAILURES]) >= _LOGGED

    def claim(self, key: int, now: float, lease: float) -> bool:
        """
        Claim an endpoint as the probe of a connection.

        :param lease: seconds after which another connection may claim it, should this one report nothing.
        :return: True if the back-off is over and no other connection has the probe.
        """
        slot, at = self._find(key), int(now * _MICRO)
        words = self.words
        if not slot or not words[slot + _RETRY_AT] or at < words[slot + _RETRY_AT] or at < words[slot + _LEASE]:
            return False
        words[slot + _LEASE] = at + int(lease * _MICRO)
        return True

    def release(self, key: int) -> None:
        """Give up a probe without a result, so that the next connection may claim it."""
        slot = self._find(key)
        if slot and self.words[slot + _RETRY_AT]:
            self.words[slot + _LEASE] = 0
            self._changed()

    def _last_used(self, slot: int) -> int:
        return max(1, int(self.words[slot + _RETRY_AT]), int(self.words[slot + _LEASE]))
