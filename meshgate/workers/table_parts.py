"""
Edits of a table as bytes, in parts that are each read in a moment.

Reading 10,000 routes at once would hold up every connection of a worker for a tenth of a second. Must not know what the
edits do, which is :mod:`meshgate.routing.table_changes`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from meshgate.processes.parts import Packer
from meshgate.resources.steps import batches
from meshgate.routing.table_changes import Edit

EDITS_IN_PART: Final = 50
"""How many edits are read at once: about half a millisecond."""


def packed(edits: Iterable[Edit]) -> Iterator[bytes]:
    """The edits in parts, each a list of them, for one :class:`~meshgate.processes.parts.Unpacker`."""
    packer = Packer()
    return map(packer.pack, batches(edits, EDITS_IN_PART))
