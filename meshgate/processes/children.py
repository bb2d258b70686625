"""
How a process of meshgate's own is started: by the same Python, from the same modules, with signals held back.

Knows the operating system; must not know what the process does, nor whether there will be another one.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from meshgate.processes.signals import HANDLED

HELD_BACK: Final = HANDLED
"""Signals that a process is started with blocked: a terminal sends them to all, and the parent is the one to act."""


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module."""
    # -P, lest a file in the folder we run in is taken for a module; the path is ours, given by the environment.
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """The environment in which it finds the modules that we find."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@contextmanager
def held_back() -> Iterator[None]:
    """What is started in here has the signals blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def fate(status: int) -> str:
    """
    How a process ended, in words.

    :param status: its exit status; negative for the signal that killed it.
    """
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
