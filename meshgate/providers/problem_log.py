"""Says problems in the program's log: each once, and not again until it changes."""

from __future__ import annotations

from collections.abc import Iterable

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

    def say(self, problems: Iterable[Problem]) -> None:
        """
        Say those that were not there last time.

        :param problems: all problems there are now. One that is missing has gone, and is said again when it
            comes back.
        """
        now: set[Problem] = set()
        for problem in problems:
            if problem not in self._said and problem not in now:
                say = self._log.info if problem.severity is Severity.INFO else self._log.warn
                say("{problem}", problem=problem)
            now.add(problem)
        self._said = now
