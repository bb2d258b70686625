"""Child processes of meshgate's own: started by the same Python, with the same modules, and with signals held back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from meshgate.processes.signals import HANDLED

HELD_BACK: Final = HANDLED
"""Signals that are blocked in a child until it handles them: a terminal sends them to all processes at once."""


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module as a program."""
    # -P keeps files in the current folder from being imported as modules; the path comes from the environment.
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """The environment in which a child finds the same modules as this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@contextmanager
def held_back() -> Iterator[None]:
    """Block the signals for the processes that are started in this context."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def fate(status: int) -> str:
    """
    The end of a process, in words.

    :param status: its exit status; the negative number of the signal if one killed it.
    """
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
