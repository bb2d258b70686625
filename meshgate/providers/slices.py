"""
Long work on the reactor's thread, in slices with rests between them.

Not in a thread: Python code there takes the interpreter lock from the connections for much longer.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

SLICE = 0.0001
"""Seconds of work between two rests; longer only if one step is. A rest costs some 0.01 ms."""

BUSY = 0.00003
"""Seconds. A rest that took longer had something to serve, be it a single event."""

LONG_REST = 0.001
"""Seconds until the work goes on then; the least that a reactor waits, and mostly enough for a short connection."""


async def in_slices(steps: Iterator[None], clock: IReactorTime) -> float:
    """
    Run an iterator to its end, and let the reactor serve connections before each slice: whoever calls has worked, too.

    :param steps: does a little work each time it is advanced.
    :return: the seconds of work, without the rests.
    """
    worked = 0.0
    while True:
        await _rest(clock)
        begin = clock.seconds()
        for _ in steps:
            if clock.seconds() - begin >= SLICE:
                break
        else:
            return worked + clock.seconds() - begin
        worked += clock.seconds() - begin


async def _rest(clock: IReactorTime) -> None:
    """
    Let the reactor serve what there is. A connection comes back several times within a millisecond, with the answers of
    others: it shall wait for one slice, and not for one each time.
    """
    begin = clock.seconds()
    await deferLater(clock, 0)
    if clock.seconds() - begin > BUSY:
        await deferLater(clock, LONG_REST)
