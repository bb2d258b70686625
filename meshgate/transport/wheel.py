"""
The timer wheel: time limits by the second, with one call of the reactor for all of them.

The problem: each connection has several time limits, and nearly all are cancelled before they are met. A ``callLater``
of the reactor for each of them would cost too much.

The approach: calls wait in buckets, one for each second, which are sets: setting and cancelling a limit is adding to a
set and taking out of it. One tick per second empties the buckets that are due.

The invariants: no call comes early, and none comes more than :data:`TICK` late.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

TICK: Final = 1.0
"""Seconds from one tick to the next."""

SOON: Final = 0.05
"""Seconds within which a call of :meth:`Wheel.call_soon` comes."""


class Timer:
    """A call to come, as :meth:`Wheel.callLater` returns it; has the most used half of IDelayedCall."""

    __slots__ = ("_bucket", "_call")

    def __init__(self, call: Callable[[], object], bucket: set[Timer]) -> None:
        # The called object often refers to its timer: dropping both references after the call leaves no cycle.
        self._call: Callable[[], object] | None = call
        self._bucket: set[Timer] | None = bucket
        bucket.add(self)

    def active(self) -> bool:
        """Return True if the call is still to come."""
        return self._bucket is not None

    def cancel(self) -> None:
        """Cancel the call; do nothing if it has come or was cancelled before."""
        bucket = self._bucket
        if bucket is not None:
            self._bucket = self._call = None
            bucket.discard(self)

    def fire(self) -> None:
        """Make the call; the wheel's."""
        call = self._call
        self._bucket = self._call = None
        if call is not None:
            call()


class Wheel:
    """
    Calls in buckets, one for each second.

    :param clock: provides IReactorTime.
    :ivar now: the time of the last tick, in the clock's seconds; less than :data:`TICK` ago while any call waits.
    """

    _log: ClassVar = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._buckets: dict[int, set[Timer]] = {}
        self._done = 0  # every bucket up to this one has been emptied
        self._ticking: IDelayedCall | None = None
        self._stopped = False
        self._soon: set[Timer] = set()
        self._calling_soon: IDelayedCall | None = None
        self.now = 0.0
        #: As IReactorTime; the clock's own method.
        self.seconds = clock.seconds

    def __len__(self) -> int:
        """The number of calls that are to come."""
        return sum(map(len, self._buckets.values())) + len(self._soon)

    def callLater(self, delay: float, call: Callable[..., object], *args: Any) -> Timer:
        """
        As IReactorTime, but up to :data:`TICK` later.

        :param delay: in seconds.
        """
        if args:
            call = partial(call, *args)
        if self._ticking is None:
            self._start()
        ticks = int(delay / TICK)
        if ticks * TICK != delay:
            return self.call_at(self.seconds() + delay, call)
        # Counting whole ticks from the end of this one never calls early, and needs no look at the clock.
        return self._put(self._done + 1 + ticks, call)

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """
        Call at a point in time, or up to :data:`TICK` later.

        :param when: in the clock's seconds.
        """
        if self._ticking is None:
            self._start()
        at = math.ceil(when / TICK)
        if at <= self._done:
            at = self._done + 1
        return self._put(at, call)

    def call_soon(self, call: Callable[[], object]) -> Timer:
        """Call within :data:`SOON` seconds. All such calls of that time share one call of the clock."""
        if self._calling_soon is None and not self._stopped:
            self._calling_soon = self._clock.callLater(SOON, self._call_soon)
        return Timer(call, self._soon)

    def _put(self, at: int, call: Callable[[], object]) -> Timer:
        bucket = self._buckets.get(at)
        if bucket is None:
            bucket = self._buckets[at] = set()
        return Timer(call, bucket)

    def stop(self) -> None:
        """Cancel all calls, for good."""
        self._stopped = True
        for bucket in (*self._buckets.values(), self._soon):
            for timer in tuple(bucket):
                timer.cancel()
        self._buckets.clear()
        for call in (self._ticking, self._calling_soon):
            if call is not None and call.active():
                call.cancel()
        self._ticking = self._calling_soon = None

    def _start(self) -> None:
        self._read_clock()
        if not self._stopped:
            self._wait()

    def _read_clock(self) -> None:
        # A clock may call some microseconds early, by its own seconds.
        self._done = math.floor(self._clock.seconds() / TICK + 1e-6)
        self.now = self._done * TICK

    def _wait(self) -> None:
        self._ticking = self._clock.callLater(max(0.0, self.now + TICK - self._clock.seconds()), self._tick)

    def _tick(self) -> None:
        self._read_clock()
        for at in sorted(at for at in self._buckets if at <= self._done):
            self._empty(self._buckets.pop(at))
        self._buckets = {at: bucket for at, bucket in self._buckets.items() if bucket}
        if self._buckets and not self._stopped:
            self._wait()
        else:
            self._ticking = None

    def _call_soon(self) -> None:
        self._calling_soon = None
        soon, self._soon = self._soon, set()
        self._empty(soon)

    def _empty(self, bucket: set[Timer]) -> None:
        while bucket:
            try:
                bucket.pop().fire()
            except Exception:
                self._log.failure("a time limit could not be acted on")
