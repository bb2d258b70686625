"""Tests of :mod:`meshgate.providers.problem_log`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.problem_log import ProblemLog
from meshgate.resources.problem import Problem, Severity
from tests.support import new_folder

WARNING = Problem(Severity.WARNING, "MG1001", "unknown field {x}", file="a.yaml", line=3, column=5)
INFO = Problem(Severity.INFO, "MG0006", "the kind ConfigMap is not read")


class ProblemLogTests(SynchronousTestCase):
    """:class:`ProblemLog`, over an observer of the test's own."""

    def setUp(self) -> None:
        """Collect what is logged."""
        self.events: list[dict[str, Any]] = []
        self.log = ProblemLog(Logger("test", observer=self.events.append))  # type: ignore[arg-type]

    def logged(self) -> list[str]:
        """The log's lines so far."""
        return [formatEvent(event) for event in self.events]

    def test_a_problem_is_said_once(self) -> None:
        """A problem that stays is not repeated."""
        self.log.report([WARNING])
        self.log.report([WARNING])
        self.assertEqual(self.logged(), ["a.yaml:3:5: warning[MG1001]: unknown field {x}"])

    def test_only_what_is_new_is_said(self) -> None:
        """A new problem beside an old one is the only line."""
        self.log.report([WARNING])
        self.log.report([WARNING, INFO])
        self.assertEqual(self.logged()[1:], ["info[MG0006]: the kind ConfigMap is not read"])

    def test_a_problem_that_comes_back_is_said_again(self) -> None:
        """A problem that was gone in between is logged again."""
        self.log.report([WARNING])
        self.log.report([])
        self.log.report([WARNING])
        self.assertEqual(len(self.logged()), 2)

    def test_a_repaired_file_is_said(self) -> None:
        """A file that has no errors any more is logged once, unless it is gone or only warnings are."""
        file = new_folder(self) / "a.yaml"
        file.touch()
        error = replace(WARNING, severity=Severity.ERROR, file=str(file))
        gone = replace(error, file=str(file.with_name("gone.yaml")))
        self.log.report([error, gone, WARNING])
        self.log.report([replace(error, line=4)])
        self.log.report([])
        self.log.report([])
        self.assertEqual(self.logged()[4:], [f"{file} has no errors any more"])

    def test_levels(self) -> None:
        """Errors and warnings are warnings in the log, infos are infos."""
        self.log.report([WARNING, INFO])
        self.assertEqual([event["log_level"] for event in self.events], [LogLevel.warn, LogLevel.info])
