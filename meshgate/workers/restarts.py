"""When a worker that has ended is replaced: at once, but not over and over. Decisions only."""

from __future__ import annotations

from typing import Final

FIRST_PAUSE: Final = 1.0
LAST_PAUSE: Final = 30.0
"""Seconds before the second replacement in a row, and at most; doubled each time between. Where no other worker serves,
it is the first each time."""

STEADY_AFTER: Final = 30.0
"""Seconds that a worker has to live for its end to count as the first of its kind again."""


class Restarts:
    """The replacements in one worker's place."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def pause(self, lived: float) -> float:
        """
        A worker has ended.

        :param lived: seconds.
        :return: seconds to wait before its replacement is started.
        """
        if lived >= STEADY_AFTER:
            self._in_a_row = 0
        self._in_a_row += 1
        if self._in_a_row == 1:
            return 0.0
        return float(min(LAST_PAUSE, FIRST_PAUSE * 2 ** min(self._in_a_row - 2, 16)))
