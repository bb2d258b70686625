"""Tests of :mod:`meshgate.workers.slot`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.workers.slot import LAST_PAUSE, STEADY_AFTER, Restarts


class RestartsTests(SynchronousTestCase):
    """The pauses before replacements."""

    def test_the_pauses_grow(self) -> None:
        """The first replacement comes at once, the others of a row later and later, up to a limit."""
        restarts = Restarts()
        pauses = [restarts.pause(0.5) for _ in range(9)]
        self.assertEqual(pauses, [0, 1, 2, 4, 8, 16, LAST_PAUSE, LAST_PAUSE, LAST_PAUSE])

    def test_a_steady_worker_ends_the_row(self) -> None:
        """The end of a worker that has lived a while is the first again."""
        restarts = Restarts()
        self.assertEqual([restarts.pause(lived) for lived in (0, 0, STEADY_AFTER, 0)], [0, 1, 0, 1])

    def test_any_number_of_times(self) -> None:
        """After weeks of failing, the pause is still the longest one."""
        restarts = Restarts()
        self.assertEqual({restarts.pause(0) for _ in range(100_000)}, {0, 1, 2, 4, 8, 16, LAST_PAUSE})
