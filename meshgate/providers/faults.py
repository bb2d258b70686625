"""
How the fault of a provider is put into words and shown.

A provider is other people's code: whatever it raises ends here as one line for the user, with the traceback
in the debug log only.
"""

from __future__ import annotations

import traceback

from twisted.logger import Logger

from meshgate.resources.problem import Phase, Problem, Severity


def describe(reason: object) -> str:
    """
    A reason in one line, without a full stop.

    :param reason: a sentence, or an exception. The text of a ValueError is taken for a sentence; others are
        named, since theirs may be no more than the key that was missing.
    """
    if isinstance(reason, OSError) and reason.strerror:
        text = f"{reason.filename}: {reason.strerror}" if reason.filename else reason.strerror
    elif isinstance(reason, BaseException) and not isinstance(reason, ValueError):
        text = f"{type(reason).__name__}: {reason}".removesuffix(": ")
    else:
        text = str(reason)
    return " ".join(text.split()).rstrip(".")


def provider_problem(provider: str, message: str) -> Problem:
    """The problem of a provider as a whole, as opposed to one of its resources."""
    return Problem(Severity.ERROR, "MG3001", message, Phase.ANALYSIS, provider=provider)


def log_traceback(log: Logger, where: str, error: BaseException) -> None:
    """
    Keep the traceback for whoever reads the debug log.

    :param where: what was called.
    """
    # As text: an event that carries a failure is printed as an error whatever its level.
    text = "".join(traceback.format_exception(error))
    log.debug("{where} raised:\n{traceback}", where=where, traceback=text)
