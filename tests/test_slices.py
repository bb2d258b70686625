"""Tests of :mod:`meshgate.providers.slices`."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.slices import SLICE, in_slices

STEP = SLICE / 5
"""Seconds."""


class InSlicesTests(SynchronousTestCase):
    """:func:`in_slices`, on a clock that the work itself moves."""

    def setUp(self) -> None:
        """Count the steps done."""
        self.clock = Clock()
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

    def test_short_work_is_done_at_once(self) -> None:
        """What fits in one slice is done before the call returns."""
        self.assertAlmostEqual(self.successResultOf(self.run_work(4, STEP)), 4 * STEP)

    def test_long_work_rests(self) -> None:
        """After a slice the reactor gets its turn, and the work goes on after it."""
        working = self.run_work(12, STEP)
        self.assertNoResult(working)
        self.assertEqual(self.done, round(SLICE / STEP))
        self.clock.advance(0)
        self.assertAlmostEqual(self.successResultOf(working), 12 * STEP)
        self.assertEqual(self.done, 12)

    def test_rests_are_not_counted_as_work(self) -> None:
        """What the reactor does in between is not the work's."""
        working = self.run_work(6, STEP)
        self.clock.advance(3)
        self.assertAlmostEqual(self.successResultOf(working), 6 * STEP)

    def test_it_can_be_cancelled(self) -> None:
        """Cancelled work does no more steps, and leaves no timer."""
        working = self.run_work(100, STEP)
        working.cancel()
        self.failureResultOf(working, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.done, round(SLICE / STEP))
