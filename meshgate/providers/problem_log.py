"""The problems in the program's log: each one once, and a note for each file that has no errors any more."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from twisted.logger import Logger

from meshgate.resources.problem import Problem, Severity


class ProblemLog:
    """
    Logs problems, and remembers which ones it has logged.

    :param log: the program's log.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._logged: set[Problem] = set()
        self._faulty: set[str] = set()

    def report(self, problems: Iterable[Problem]) -> None:
        """
        Log the problems that were not there the last time.

        :param problems: all problems there are now. One that is gone is logged again when it comes back.
        """
        now: set[Problem] = set()
        faulty: set[str] = set()
        for problem in problems:
            if problem not in self._logged and problem not in now:
                log = self._log.info if problem.severity is Severity.INFO else self._log.warn
                log("{problem}", problem=problem)
            now.add(problem)
            if problem.severity is Severity.ERROR and problem.file:
                faulty.add(problem.file)
        repaired, self._logged, self._faulty = self._faulty - faulty, now, faulty
        for file in sorted(repaired):
            if Path(file).exists():  # a removed file was not repaired
                self._log.info("{file} has no errors any more", file=file)
