"""
The pause before a worker that has ended is replaced.

The first replacement comes at once, since connections wait. If replacements end soon, too, the pauses double from
:data:`FIRST_PAUSE` to :data:`LAST_PAUSE`, so that a worker that cannot live does not use up a processor. A worker that
has lived for :data:`STEADY_AFTER` begins a new count.
"""

from __future__ import annotations

from typing import Final

FIRST_PAUSE: Final = 1.0
"""Seconds before the second replacement in a row; and before each, while no other worker serves."""

LAST_PAUSE: Final = 30.0
"""The longest pause, in seconds."""

STEADY_AFTER: Final = 30.0
"""Seconds that a worker has to live for its end to count as the first one again."""


class Restarts:
    """The replacements in one worker slot."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def pause(self, lived: float) -> float:
        """
        Count the end of a worker.

        :param lived: the seconds that the worker lived.
        :return: the seconds to wait before its replacement is started.
        """
        if lived >= STEADY_AFTER:
            self._in_a_row = 0
        self._in_a_row += 1
        if self._in_a_row == 1:
            return 0.0
        return float(min(LAST_PAUSE, FIRST_PAUSE * 2 ** min(self._in_a_row - 2, 16)))
