"""
Exceptions of providers, in words.

A provider is other people's code. Whatever it raises becomes one line for the user; the traceback goes to the debug log
only.
"""

from __future__ import annotations

import traceback

from twisted.logger import Logger

from meshgate.resources.problem import Phase, Problem, Severity


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


def provider_problem(provider: str, message: str) -> Problem:
    """Make the problem of a provider as a whole, as opposed to a problem of one of its resources."""
    return Problem(Severity.ERROR, "MG3001", message, Phase.ANALYSIS, provider=provider)


def log_traceback(log: Logger, where: str, error: BaseException) -> None:
    """
    Write the traceback of an exception to the debug log.

    :param where: the code that was called, in words.
    """
    # As text: an event that carries a failure is printed as an error whatever its level.
    text = "".join(traceback.format_exception(error))
    log.debug("{where} raised:\n{traceback}", where=where, traceback=text)
