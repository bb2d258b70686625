"""
Phases: long work of the control process, done a part at a time.

Problem: the control process answers others, an API and probes among them, so nothing may hold it for longer than a
quarter of a second; reading and compiling thousands of resources takes seconds.

Approach: functions that may have much to do are coroutines, and await a rest after each part of some hundreds of
resources. Whoever calls gives them the rest: the gateway a turn of its reactor (``deferLater(reactor, 0)``), the
command line, the start and tests none at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

Rest = Callable[[], Awaitable[object]]
"""Gives what is awaited between two phases."""


async def no_rest() -> None:
    """Go on with the next phase at once."""


def at_once(phases: Coroutine[Any, Any, T]) -> T:
    """
    Run a coroutine whose phases have no rest between them.

    :raises RuntimeError: when it rests all the same.
    """
    try:
        phases.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    phases.close()
    raise RuntimeError("phases that are to run at once have rested")
