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
        self._said: frozenset[Problem] = frozenset()

    def say(self, problems: Iterable[Problem]) -> None:
        """
        Say those that were not there last time.

        :param problems: all problems there are now. One that is missing has gone, and is said again when it
            comes back.
        """
        now = tuple(problems)
        for problem in now:
            if problem not in self._said:
                say = self._log.info if problem.severity is Severity.INFO else self._log.warn
                say("{problem}", problem=problem)
        self._said = frozenset(now)
