"""
Long work on the reactor's thread, in slices with rests between them.

Not in a thread: Python code there takes the interpreter lock from the connections for much longer.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

SLICE = 0.0005
"""Seconds of work between two rests; longer only if one step is. A rest costs some 0.05 ms."""


async def in_slices(steps: Iterator[None], clock: IReactorTime) -> float:
    """
    Run an iterator to its end, and let the reactor serve connections in between.

    :param steps: does a little work each time it is advanced.
    :return: the seconds of work, without the rests.
    """
    worked = 0.0
    while True:
        begin = clock.seconds()
        for _ in steps:
            if clock.seconds() - begin >= SLICE:
                break
        else:
            return worked + clock.seconds() - begin
        worked += clock.seconds() - begin
        await deferLater(clock, 0)
