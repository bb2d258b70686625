"""Tests of :mod:`meshgate.processes.clock`: Twisted's reactors on the monotonic clock."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.pollreactor import PollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.clock import follow_monotonic_clock

A_DAY = 86400.0


class MonotonicClockTests(SynchronousTestCase):
    """Every part of a reactor that asks for the time asks the same clock, whatever the wall clock does."""

    def setUp(self) -> None:
        """A wall clock that is moved back by a day each time somebody looks."""
        self.wall = time.time()

        def wall_clock() -> float:
            self.wall -= A_DAY
            return self.wall

        self.patch(time, "time", wall_clock)

    def check(self, reactor: Any) -> None:
        """Make calls, move them, and let them come."""
        follow_monotonic_clock(reactor)
        self.addCleanup(reactor.disconnectAll)
        heard: list[str] = []
        began = time.monotonic()
        later = reactor.callLater(A_DAY, heard.append, "later")
        moved = reactor.callLater(A_DAY, heard.append, "moved")
        reactor.callLater(0, heard.append, "now")
        moved.reset(0)
        self.assertTrue(0 <= later.getTime() - A_DAY - began < 60)
        later.reset(2 * A_DAY)
        self.assertTrue(0 <= later.getTime() - 2 * A_DAY - began < 60)
        reactor.runUntilCurrent()
        self.assertEqual(sorted(heard), ["moved", "now"])
        self.assertTrue(2 * A_DAY - 60 < later.getTime() - reactor.seconds() <= 2 * A_DAY)
        reactor._insertNewDelayedCalls()
        self.assertTrue(2 * A_DAY - 60 < reactor.timeout() <= 2 * A_DAY)
        later.cancel()

    def test_select(self) -> None:
        """The reactor that is everywhere."""
        self.check(SelectReactor())

    def test_poll(self) -> None:
        """The reactor of systems without epoll."""
        self.check(PollReactor())

    def test_epoll(self) -> None:
        """The reactor of Linux."""
        self.check(EPollReactor())
