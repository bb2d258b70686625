"""
The problems in the program's log: each one once, and a note for each file that has no errors any more.

A provider is other people's code. Whatever it raises becomes one line for the user; the traceback goes to the debug log
only.
"""

from __future__ import annotations

import traceback
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


def describe(reason: object) -> str:
    """
    Describe a reason in one line, without a full stop.

    :param reason: a sentence, or an exception. A ValueError counts as a sentence; other exceptions are named, since
        their text may be no more than a missing key.
    """
    if isinstance(reason, OSError) and reason.strerror:
        text = f"{reason.filename}: {reason.strerror}" if reason.filename else reason.strerror
    elif isinstance(reason, BaseException) and not isinstance(reason, ValueError):
        text = f"{type(reason).__name__}: {reason}".removesuffix(": ")
    else:
        text = str(reason)
    return " ".join(text.split()).rstrip(".")


def log_traceback(log: Logger, where: str, error: BaseException) -> None:
    """
    Write the traceback of an exception to the debug log.

    :param where: the code that was called, in words.
    """
    # As text: an event that carries a failure is printed as an error whatever its level.
    text = "".join(traceback.format_exception(error))
    log.debug("{where} raised:\n{traceback}", where=where, traceback=text)
