"""Tests of :mod:`meshgate.providers.reading_messages`."""

from __future__ import annotations

import pickletools
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.pieces import PieceUnpacker
from meshgate.providers.reading_messages import packed
from meshgate.resources.reader import Reading, read_text
from tests.route_files import UNPARSABLE, broken_gateway, gateway, large_gateway


def unpacked(reading: Reading | None) -> list[object]:
    """The last piece of each part of an answer."""
    return [pieces[-1] for pieces in map(PieceUnpacker().unpack, packed(reading))]


class PackedTests(SynchronousTestCase):
    """:func:`packed`."""

    def test_the_last_part_is_the_whole(self) -> None:
        """Resources, their positions, problems and what is refused come through equal."""
        other = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: echo}\n"
        for text in (gateway("a") + broken_gateway("b") + other, UNPARSABLE, ""):
            reading = read_text(text, "a.yaml", "files")
            self.assertEqual(unpacked(reading)[-1], reading)

    def test_a_file_that_is_not_what_was_asked_for(self) -> None:
        """The only part is None."""
        self.assertEqual(unpacked(None), [None])

    def test_no_part_is_much_of_it(self) -> None:
        """A resource of many parts comes a little at a time, whether it is valid or not, and so do its problems."""
        change: Callable[[str], str]
        for change in (str, lambda text: text.replace("TLS", "what")):
            reading = read_text(change(large_gateway("a", 500)), "a.yaml")
            # What takes time to read is the number of objects, not of bytes.
            work = [sum(1 for _ in pickletools.genops(part)) for part in packed(reading)]
            self.assertLess(max(work) * 8, sum(work))
