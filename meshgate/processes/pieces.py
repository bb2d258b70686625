"""
Objects as bytes for another process of ours, in pieces that are each read, and let go of, in a moment.

Of what occurs in several parts, :mod:`meshgate.processes.parts` has both ends remember everything; with a file of
10,000 resources that is half a million things, and to forget them at once takes 10 ms. Here, only the pieces themselves
are remembered. Knows pickling; must not know what the objects mean, nor how the bytes get there. Pickle is safe here
because both ends are ours, and nobody else holds what is between them.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Collection, Iterator
from typing import Any

from meshgate.resources.steps import discard


class PiecePacker:
    """Makes the parts, for one :class:`PieceUnpacker`. A piece that is in a later one stands in the first part only."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._count = 0

    def pack(self, pieces: Collection[object]) -> bytes:
        """
        The next part.

        :param pieces: others are made of them later; they have to be there as long as the packer is.
        """
        buffer = io.BytesIO()
        _Pickler(buffer, self._numbers).dump(pieces)
        for piece in pieces:
            self._numbers[id(piece)] = self._count
            self._count += 1
        return buffer.getvalue()


class PieceUnpacker:
    """Reads the parts of one :class:`PiecePacker`, in their order."""

    def __init__(self) -> None:
        self._pieces: list[Any] = []

    def unpack(self, part: bytes) -> list[Any]:
        """The pieces in the next part."""
        pieces: list[Any] = _Unpickler(io.BytesIO(part), self._pieces).load()
        self._pieces += pieces
        return pieces

    def forget(self) -> Iterator[None]:
        """Let go of all pieces, in steps."""
        return discard(self._pieces)


class _Pickler(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, numbers: dict[int, int]) -> None:
        super().__init__(buffer, pickle.HIGHEST_PROTOCOL)
        self._numbers = numbers

    def persistent_id(self, obj: object) -> int | None:
        return self._numbers.get(id(obj))


class _Unpickler(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, pieces: list[Any]) -> None:
        super().__init__(buffer)
        self._pieces = pieces

    def persistent_load(self, pid: int) -> Any:
        return self._pieces[pid]
