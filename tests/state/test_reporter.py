"""Tests of :mod:`meshgate.state.reporter`."""

from __future__ import annotations

from typing import cast

from twisted.logger import ILogObserver, LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from meshgate.state.reporter import OwnProblems, Recoveries


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


class OwnProblemsTests(SynchronousTestCase):
    """Each problem lasts until its subject is found in order."""

    def setUp(self) -> None:
        """Begin without any."""
        self.problems = OwnProblems()

    def codes(self) -> list[str]:
        """The codes of the problems."""
        return [problem.code for problem in self.problems.all()]

    def test_settings(self) -> None:
        """Settings that cannot be reloaded."""
        self.problems.settings_unusable(ValueError("broken"))
        self.assertEqual(self.codes(), ["MG3005"])
        self.problems.settings_usable()
        self.assertEqual(self.codes(), [])

    def test_workers(self) -> None:
        """Another number of workers."""
        self.problems.check_workers(3, 2)
        (problem,) = self.problems.all()
        self.assertEqual(str(problem), "warning[MG3103]: workers is now 3, and 2 until the gateway is started again")
        self.problems.check_workers(2, 2)
        self.assertEqual(self.codes(), [])

    def test_sections_of_the_start(self) -> None:
        """A section that is taken at the start only, changed and changed back."""
        self.problems.check_unchanged("metrics", {"port": 2}, {"port": 1})
        (problem,) = self.problems.all()
        text = "warning[MG3103]: metrics has changed, which counts when the gateway is started again"
        self.assertEqual(str(problem), text)
        self.problems.check_unchanged("metrics", {"port": 1}, {"port": 1})
        self.assertEqual(self.codes(), [])

    def test_source_addresses(self) -> None:
        """An address that this machine does not have."""
        self.problems.check_source_addresses(["127.0.0.1", "192.0.2.77"])
        (problem,) = self.problems.all()
        self.assertIn("192.0.2.77 is no address of this machine", problem.message)
        self.problems.check_source_addresses(["127.0.0.1"])
        self.assertEqual(self.codes(), [])

    def test_attempts(self) -> None:
        """A failure of an expected kind is a problem until the next success; any other is a bug, and is raised."""

        def fail() -> None:
            raise OSError("no room")

        self.problems.attempt("lab", fail, OSError)
        self.assertEqual([problem.message for problem in self.problems.all()], ["the lab cannot be renewed: no room"])
        self.assertRaises(OSError, self.problems.attempt, "lab", fail, ValueError)
        self.problems.attempt("lab", lambda: None, OSError)
        self.assertEqual(self.codes(), [])
