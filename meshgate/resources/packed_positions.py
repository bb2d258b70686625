"""
Where each field of a document stands, small enough to be kept with every resource.

The trees of nodes that know positions are several times the text and go with their document; what is said of a
resource later, by looking at several together, takes its place from here. Knows nothing of YAML.
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
    The lines and columns of fields: 12 bytes for each.

    A path is known by its checksum alone. Two paths of one document with the same one are no matter: at the worst, a
    problem points at the wrong line of the right document.

    :ivar checksums: of the paths as people write them, in ascending order: 4 bytes each.
    :ivar places: of the fields in the same order: line and column, 4 bytes each.
    """

    checksums: bytes = field(repr=False)
    places: bytes = field(repr=False)

    @classmethod
    def packed(cls, found: Mapping[int, tuple[int, int]]) -> PackedPositions:
        """:param found: line and column by :func:`checksum` of the path."""
        checksums = sorted(found)
        places = array("I", [number for checksum in checksums for number in found[checksum]])
        return cls(array("I", checksums).tobytes(), places.tobytes())

    def of(self, path: str) -> tuple[int, int] | None:
        """
        Line and column of a field's value, from 1; for a field that is missing, those of what would contain it.

        :param path: as ``spec.servers[0].port.number``.
        :return: None where nothing on the way is known.
        """
        checksums = memoryview(self.checksums).cast("I")
        while path:
            wanted = path_checksum(path)
            found = bisect_left(checksums, wanted)
            if found < len(checksums) and checksums[found] == wanted:
                places = memoryview(self.places).cast("I")
                return places[2 * found], places[2 * found + 1]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None


def path_checksum(path: str, parent: int = 0) -> int:
    """
    Of a path, or of what is added to a path whose checksum is known.

    :param path: as ``spec.servers[0].port.number``, or ``.number``.
    """
    return zlib.crc32(path.encode(), parent)
