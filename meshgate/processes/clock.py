"""
The two clocks: the monotonic one for the reactor, and the wall clock for times that people read.

Twisted's reactors measure time by the wall clock, which people and time servers set: moved back by an hour, no timer
would be due for an hour; moved forward, every session would seem idle. So the reactor gets the monotonic clock before
its first delayed call. The wall clock is only for times that people read, and for the dates of certificates.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater


def follow_monotonic_clock(reactor: Any) -> None:
    """
    Have a reactor and its delayed calls measure by the monotonic clock.

    :param reactor: one of Twisted's, without delayed calls: they would be due at times of the other clock.
    """
    reactor.seconds = time.monotonic


def iso_time(seconds: float | None = None) -> str:
    """
    A time in UTC as ISO 8601 with milliseconds, as ``2026-01-31T12:00:00.000Z``.

    :param seconds: since the epoch; None for now.
    """
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Delay:
    """
    A delay that may be cut short, even before it begins.

    :param clock: provides IReactorTime.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._passing: Deferred[None] | None = None
        self._ended = False

    async def pass_time(self, seconds: float) -> None:
        """Let this time pass, unless :meth:`end` is or was called."""
        if self._ended or not seconds:
            return
        self._passing = deferLater(self._clock, seconds)
        try:
            await self._passing
        except CancelledError:
            pass
        self._passing = None

    def end(self) -> None:
        """End this delay, or the one to come."""
        self._ended = True
        if self._passing is not None:
            self._passing.cancel()
