"""
Objects as bytes for another process of ours, in parts that are each read in a moment.

Knows pickling; must not know what the objects mean, nor how the bytes get there. Pickle is safe here because both ends
are ours, and nobody else holds what is between them.
"""

from __future__ import annotations

import io
import pickle
from typing import Any


class Packer:
    """Makes the parts, for one :class:`Unpacker`. What occurs in several parts stands in the first only."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._pickler = pickle.Pickler(self._buffer, pickle.HIGHEST_PROTOCOL)

    def pack(self, thing: object) -> bytes:
        """The next part."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._pickler.dump(thing)
        return self._buffer.getvalue()


class Unpacker:
    """Reads the parts of one :class:`Packer`, in their order."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._unpickler = pickle.Unpickler(self._buffer)  # noqa: S301 -- see above

    def unpack(self, part: bytes) -> Any:
        """What is in the next part."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._buffer.write(part)
        self._buffer.seek(0)
        return self._unpickler.load()
