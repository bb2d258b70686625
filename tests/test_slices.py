"""Tests of :mod:`meshgate.providers.slices`."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.slices import BUSY, LONG_REST, SLICE, in_slices

IN_SLICE = 5
"""Steps: the last one goes beyond the slice."""

STEP = SLICE / (IN_SLICE - 0.5)
"""Seconds."""


class Turns(Clock):
    """A clock that is advanced as a reactor runs: what is asked for in a turn waits for the next one."""

    def turn(self, seconds: float = 0) -> None:
        """One turn, after so many seconds."""
        self.rightNow += seconds
        for call in [each for each in self.calls if each.getTime() <= self.rightNow]:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class InSlicesTests(SynchronousTestCase):
    """:func:`in_slices`, on a clock that the work itself moves."""

    def setUp(self) -> None:
        """Count the steps done."""
        self.clock = Turns()
        self.done = 0

    def work(self, steps: int, seconds: float) -> Iterator[None]:
        """So many steps, each taking so long."""
        for _ in range(steps):
            self.clock.rightNow += seconds
            self.done += 1
            yield

    def run_work(self, steps: int, seconds: float) -> Deferred[float]:
        """Start to work in slices."""
        return Deferred.fromCoroutine(in_slices(self.work(steps, seconds), self.clock))

    def test_short_work_takes_one_rest(self) -> None:
        """The caller has worked, too, so there is a rest before; what fits in one slice is done then."""
        working = self.run_work(4, STEP)
        self.assertEqual(self.done, 0)
        self.clock.turn()
        self.assertAlmostEqual(self.successResultOf(working), 4 * STEP)

    def test_long_work_rests(self) -> None:
        """After a slice the reactor gets its turn, and the work goes on after it."""
        working = self.run_work(12, STEP)
        self.clock.turn()
        self.assertNoResult(working)
        self.assertEqual(self.done, IN_SLICE)
        self.clock.turn()
        self.assertEqual(self.done, 2 * IN_SLICE)
        self.clock.turn()
        self.assertAlmostEqual(self.successResultOf(working), 12 * STEP)
        self.assertEqual(self.done, 12)

    def test_rests_are_not_counted_as_work(self) -> None:
        """What the reactor does in between is not the work's."""
        working = self.run_work(6, STEP)
        for _ in range(4):
            self.clock.turn(3)
        self.assertAlmostEqual(self.successResultOf(working), 6 * STEP)

    def test_who_is_served_is_left_alone(self) -> None:
        """Where a rest took time, somebody was served, and may come back at once: that one goes first."""
        self.run_work(6, STEP)
        self.clock.turn(2 * BUSY)
        self.assertEqual(self.done, 0)
        self.clock.turn(LONG_REST / 2)
        self.assertEqual(self.done, 0)
        self.clock.turn(LONG_REST)
        self.assertEqual(self.done, IN_SLICE)

    def test_nobody_is_waited_for(self) -> None:
        """Where a rest took no time, the work goes on at once."""
        self.run_work(6, STEP)
        self.clock.turn(BUSY / 2)
        self.assertEqual(self.done, IN_SLICE)

    def test_it_can_be_cancelled(self) -> None:
        """Cancelled work does no more steps, and leaves no timer."""
        working = self.run_work(100, STEP)
        self.clock.turn()
        working.cancel()
        self.failureResultOf(working, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.done, IN_SLICE)
