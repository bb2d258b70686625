"""Tests of :mod:`meshgate.state.reporter`."""

from __future__ import annotations

from typing import cast

from twisted.logger import ILogObserver, LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from meshgate.state.reporter import Recoveries


class RecoveriesTests(SynchronousTestCase):
    """:class:`Recoveries`."""

    def setUp(self) -> None:
        """Collect what is logged."""
        self.events: list[LogEvent] = []
        log = Logger("test", observer=cast("ILogObserver", self.events.append))
        self.recoveries = Recoveries(log, "in order: {things}")

    def said(self) -> list[str]:
        """The log's lines so far."""
        return [formatEvent(event) for event in self.events]

    def test_once(self) -> None:
        """What failed and is there is said when it does not fail any more; what is gone is not."""
        self.recoveries.follow(["a", "b", "c"], lambda thing: True)
        self.recoveries.follow(["c"], lambda thing: thing != "a")
        self.recoveries.follow(["c"], lambda thing: True)
        self.assertEqual(self.said(), ["in order: b"])
        self.recoveries.follow([], lambda thing: True)
        self.assertEqual(self.said()[1:], ["in order: c"])

    def test_many(self) -> None:
        """A line stays short."""
        self.recoveries.follow(map(str, range(100, 120)), lambda thing: True)
        self.recoveries.follow([], lambda thing: True)
        (line,) = self.said()
        self.assertTrue(line.startswith("in order: 100, 101, ") and line.endswith(", 109 and 10 more"), line)
