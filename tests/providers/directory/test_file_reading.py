"""Tests of :mod:`meshgate.providers.directory.file_reading`; more with those of last good versions."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.directory import file_reading
from meshgate.providers.directory.file_reading import content_of, read_file
from meshgate.providers.directory.tree import FileState, scan
from meshgate.resources.phases import at_once, no_rest
from meshgate.resources.problem import Severity
from meshgate.resources.reader import DOCUMENTS_AT_ONCE, read_text
from tests.route_files import gateway
from tests.support import new_folder


def state_of(path: Path) -> FileState:
    """The state of the file, by a scan."""
    return scan([str(path)]).files[str(path)]


class FileReadingTests(SynchronousTestCase):
    """One real file."""

    def setUp(self) -> None:
        """A file of one Gateway."""
        self.path = new_folder(self) / "a.yaml"
        self.path.write_text(gateway("a"))

    def test_its_bytes(self) -> None:
        """A file that can be read is its bytes."""
        self.assertEqual(content_of(str(self.path), state_of(self.path)), gateway("a").encode())

    def test_one_that_has_grown(self) -> None:
        """The limit holds for what is there, not only for what was seen."""
        state = state_of(self.path)
        self.patch(file_reading, "MAX_FILE_SIZE", 1024)
        self.path.write_text("#" * 2000)
        self.assertEqual(content_of(str(self.path), state), "the file is larger than 0 MiB and is not read")

    def test_what_it_says(self) -> None:
        """The same as the text, with unknown fields as warnings."""
        text = gateway("a") + "  colour: red\n"
        self.path.write_text(text)
        reading = at_once(read_file(str(self.path), state_of(self.path), "files", "edge", no_rest))
        self.assertEqual(reading, read_text(text, str(self.path), "files", "edge", Severity.WARNING))

    def test_one_that_cannot_be_read(self) -> None:
        """The reason is the only problem, of the file as a whole."""
        reading = at_once(read_file(str(self.path), "it is not there", "files", "edge", no_rest))
        self.assertEqual((reading.readable, reading.documents), (False, ()))
        (problem,) = reading.problems
        self.assertEqual(problem.message, "the file cannot be read: it is not there")
        self.assertEqual(problem.provider, "files")

    def test_it_is_read_in_phases(self) -> None:
        """A file of many documents is read with rests between them."""
        self.path.write_text("".join(gateway(f"g{number}") for number in range(2 * DOCUMENTS_AT_ONCE + 1)))
        rests: list[None] = []

        async def rest() -> None:
            rests.append(None)

        reading = at_once(read_file(str(self.path), state_of(self.path), "files", "edge", rest))
        self.assertEqual((len(reading.documents), len(rests)), (2 * DOCUMENTS_AT_ONCE + 1, 2))
