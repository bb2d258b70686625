"""
Edits of a routing table as bytes, in chunks of which a worker reads each in half a millisecond.

The problem: if a worker read the edits of 10,000 routes at once, its connections would wait for a tenth of a second.

The approach: the edits travel in chunks of :data:`EDITS_IN_CHUNK`, each in a message of its own. One pickler makes all
chunks of a change, so that an object that occurs in several chunks is sent only once. Therefore chunks must be unpacked
in their order, all of them, by one :class:`Unpacker`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from meshgate.routing.table_edits import Edit

EDITS_IN_CHUNK: Final = 50
"""The number of edits that a worker reads at once."""


def pack_edits(edits: Iterable[Edit]) -> Iterator[bytes]:
    """Pack edits into chunks, each of them a list, for one :class:`Unpacker`."""
    packer = Packer()
    remaining = iter(edits)
    while chunk := list(islice(remaining, EDITS_IN_CHUNK)):
        yield packer.pack(chunk)


class Packer:
    """Packs the chunks of one change."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._pickler = pickle.Pickler(self._buffer, pickle.HIGHEST_PROTOCOL)

    def pack(self, content: object) -> bytes:
        """Pack an object as the next chunk."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._pickler.dump(content)
        return self._buffer.getvalue()


class Unpacker:
    """Unpacks the chunks of one :class:`Packer`."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._unpickler = pickle.Unpickler(self._buffer)  # noqa: S301 -- both ends are ours

    def unpack(self, chunk: bytes) -> Any:
        """Unpack the next chunk."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._buffer.write(chunk)
        self._buffer.seek(0)
        return self._unpickler.load()
