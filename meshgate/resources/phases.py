"""
Phases: long work of the control process, divided so that its reactor runs in between.

Problem: the control process answers an API and probes, so nothing may hold it for longer than a quarter of a second;
but reading and compiling thousands of resources takes seconds.

Approach: functions that may have much to do are coroutines, which await a rest after some hundreds of resources. The
caller supplies the rest. For the gateway it is one turn of the reactor (``deferLater(reactor, 0)``); for the command
line, the start and tests it is :func:`no_rest`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

Rest = Callable[[], Awaitable[object]]
"""A function that returns what is awaited between two phases."""


async def no_rest() -> None:
    """Go on with the next phase at once."""


def at_once(phases: Coroutine[Any, Any, T]) -> T:
    """
    Run a coroutine whose phases have no rest between them, and return its result.

    :raises RuntimeError: the coroutine awaits something that is not there yet.
    """
    try:
        phases.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    phases.close()
    raise RuntimeError("phases that are to run at once have rested")
