"""
The line and column of each field of a document, packed so small that every resource keeps them.

Problem: analysis reports problems long after a document was read, at a line and column. But the tree of YAML nodes,
which knows them, takes several times the memory of the text.

Approach: a path is kept as a checksum of 4 bytes, in a sorted array, and beside it line and column of 4 bytes each.
:mod:`~meshgate.resources.yaml.field_positions` fills the array while the tree is still there.

Invariant: positions serve for messages only. If two paths of one document ever have the same checksum, a problem
points at the wrong line of the right document, and nothing else is wrong.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PackedPositions:
    """
    The lines and columns of fields: 12 bytes each.

    :ivar checksums: the checksum of each path, in ascending order: 4 bytes each.
    :ivar coordinates: line and column of each field, in the same order: 4 bytes each.
    """

    checksums: bytes = field(repr=False)
    coordinates: bytes = field(repr=False)

    @classmethod
    def pack(cls, positions: Mapping[int, tuple[int, int]]) -> PackedPositions:
        """
        Pack positions.

        :param positions: line and column by the :func:`path_checksum` of each path.
        """
        checksums = sorted(positions)
        coordinates = array("I", [number for checksum in checksums for number in positions[checksum]])
        return cls(array("I", checksums).tobytes(), coordinates.tobytes())

    def of(self, path: str) -> tuple[int, int] | None:
        """
        Line and column of a field's value, from 1; of a missing field, those of the value that would contain it.

        :param path: as ``spec.servers[0].port.number``.
        :return: None if not even the first step of the path has a position.
        """
        checksums = memoryview(self.checksums).cast("I")
        while path:
            wanted = path_checksum(path)
            found = bisect_left(checksums, wanted)
            if found < len(checksums) and checksums[found] == wanted:
                coordinates = memoryview(self.coordinates).cast("I")
                return coordinates[2 * found], coordinates[2 * found + 1]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None


def path_checksum(path: str, parent: int = 0) -> int:
    """
    The checksum of a path, or of an extension of a path whose checksum is known.

    :param path: as ``spec.servers[0].port.number``; with a parent, the rest of the path, as ``.number``.
    :param parent: the checksum of the path before it.
    """
    return zlib.crc32(path.encode(), parent)
