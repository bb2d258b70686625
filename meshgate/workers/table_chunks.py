"""
Edits of a table as bytes, in chunks that are each read in a moment.

Problem: to read 10,000 routes at once would hold up every connection of a worker for a tenth of a second.

Approach: the edits travel in chunks of some fifty, each a message. One pickler makes all chunks of a change, so that
what stands in several is sent once. Pickle is safe here because both ends are ours, and nobody else holds the socket
between them.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from meshgate.routing.table_edits import Edit

EDITS_IN_CHUNK: Final = 50
"""How many edits are read at once: about half a millisecond."""


def packed(edits: Iterable[Edit]) -> Iterator[bytes]:
    """The edits in chunks, each a list of them, for one :class:`Unpacker`."""
    packer = Packer()
    rest = iter(edits)
    while chunk := list(islice(rest, EDITS_IN_CHUNK)):
        yield packer.pack(chunk)


class Packer:
    """Makes the chunks, for one :class:`Unpacker`. What occurs in several chunks stands in the first only."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._pickler = pickle.Pickler(self._buffer, pickle.HIGHEST_PROTOCOL)

    def pack(self, thing: object) -> bytes:
        """The next chunk."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._pickler.dump(thing)
        return self._buffer.getvalue()


class Unpacker:
    """Reads the chunks of one :class:`Packer`, in their order."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._unpickler = pickle.Unpickler(self._buffer)  # noqa: S301 -- see above

    def unpack(self, chunk: bytes) -> Any:
        """The object in the next chunk."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._buffer.write(chunk)
        self._buffer.seek(0)
        return self._unpickler.load()
