"""
Edits of a table as bytes, in parts that are each read in a moment.

Reading 10,000 routes at once would hold up every connection of a worker for a tenth of a second. Knows pickling; must
not know what the edits do, which is :mod:`meshgate.routing.table_changes`'s business.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from meshgate.routing.table_changes import Edit

EDITS_IN_PART: Final = 50
"""How many edits are read at once: about half a millisecond."""


def packed(edits: Iterable[Edit]) -> Iterator[bytes]:
    """The edits in parts, for one :class:`Unpacker`. What occurs in several parts stands in the first only."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    rest = iter(edits)
    while part := list(islice(rest, EDITS_IN_PART)):
        pickler.dump(part)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


class Unpacker:
    """Reads the parts of one change of a table, in their order."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._unpickler = pickle.Unpickler(self._buffer)  # noqa: S301 -- from the parent process

    def unpack(self, part: bytes) -> list[Edit]:
        """The edits of the next part."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._buffer.write(part)
        self._buffer.seek(0)
        edits: list[Edit] = self._unpickler.load()
        return edits
