"""Recoveries in the log: what failed and works again gets a line, as its failure did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from twisted.logger import Logger

from meshgate.routing.tell.generation_news import listed

MOST: Final = 10
"""The most names in one line."""


class Recoveries:
    """
    The things of one kind that fail at times.

    :param text: the line about those that work again, as ``{things} can be reached again``.
    """

    def __init__(self, log: Logger, text: str) -> None:
        self._log = log
        self._text = text
        self._failing: frozenset[str] = frozenset()

    def follow(self, failing: Iterable[str], exists: Callable[[str], bool]) -> None:
        """
        Log which of the things that failed at the last call do not fail now.

        :param exists: tells if a thing still exists: one that is gone has not recovered.
        """
        before, self._failing = self._failing, frozenset(failing)
        recovered = sorted(thing for thing in before - self._failing if exists(thing))
        if recovered:
            self._log.info(self._text, things=listed(recovered[:MOST], len(recovered)))
