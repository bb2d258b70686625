"""Says problems in the program's log, each once and not again until it changes, and which files have no more errors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from twisted.logger import Logger

from meshgate.resources.problem import Problem, Severity


class ProblemLog:
    """
    Remembers which problems have been said.

    :param log: where to say them.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._said: set[Problem] = set()
        self._faulty: set[str] = set()

    def say(self, problems: Iterable[Problem]) -> None:
        """
        Say those that were not there last time.

        :param problems: all problems there are now. One that is missing has gone, and is said again when it
            comes back.
        """
        now: set[Problem] = set()
        faulty: set[str] = set()
        for problem in problems:
            if problem not in self._said and problem not in now:
                say = self._log.info if problem.severity is Severity.INFO else self._log.warn
                say("{problem}", problem=problem)
            now.add(problem)
            if problem.severity is Severity.ERROR and problem.file:
                faulty.add(problem.file)
        repaired, self._said, self._faulty = self._faulty - faulty, now, faulty
        for file in sorted(repaired):
            if Path(file).exists():  # one that was removed was not repaired
                self._log.info("{file} has no errors any more", file=file)
