"""What works again, said in the log: success deserves a line where failure had one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from twisted.logger import Logger

from meshgate.routing.generation_news import listed

MOST: Final = 10
"""How many things are named in one line."""


class Recoveries:
    """
    Things of one kind, of which some fail at times.

    :param text: what is said of those that do not any more, as ``{things} can be reached again``.
    """

    def __init__(self, log: Logger, text: str) -> None:
        self._log = log
        self._text = text
        self._failing: frozenset[str] = frozenset()

    def follow(self, failing: Iterable[str], is_there: Callable[[str], bool]) -> None:
        """
        Say which of those that failed the last time do not fail now.

        :param is_there: whether there still is a thing: one that is gone has not recovered.
        """
        before, self._failing = self._failing, frozenset(failing)
        recovered = sorted(thing for thing in before - self._failing if is_there(thing))
        if recovered:
            self._log.info(self._text, things=listed(recovered[:MOST], len(recovered)))
