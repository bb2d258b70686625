"""Tests of :mod:`meshgate.providers.file_reading`; most of what it says is tested with :mod:`tests.test_last_good`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers import file_reading
from meshgate.providers.file_reading import content_of, reading_of
from meshgate.providers.tree import Sight, Tree, look
from meshgate.resources.problem import Severity
from meshgate.resources.reader import read_text
from meshgate.resources.steps import run_through
from tests.route_files import gateway
from tests.support import new_folder


def sight_of(path: Path) -> Sight:
    """How a file looks."""
    tree = Tree()
    list(look([str(path)], tree))
    return tree.files[str(path)]


class FileReadingTests(SynchronousTestCase):
    """One real file."""

    def setUp(self) -> None:
        """A file of one Gateway."""
        self.path = new_folder(self) / "a.yaml"
        self.path.write_text(gateway("a"))

    def test_its_bytes(self) -> None:
        """A file that can be read is its bytes."""
        self.assertEqual(content_of(str(self.path), sight_of(self.path)), gateway("a").encode())

    def test_one_that_has_grown(self) -> None:
        """The limit holds for what is there, not only for what was seen."""
        sight = sight_of(self.path)
        self.patch(file_reading, "MAX_FILE_SIZE", 1024)
        self.path.write_text("#" * 2000)
        self.assertEqual(content_of(str(self.path), sight), "the file is larger than 0 MiB and is not read")

    def test_what_it_says(self) -> None:
        """The same as the text, with unknown fields as warnings."""
        text = gateway("a") + "  colour: red\n"
        reading = run_through(reading_of(text.encode(), "a.yaml", "files", "edge"))
        self.assertEqual(reading, read_text(text, "a.yaml", "files", "edge", Severity.WARNING))

    def test_one_that_cannot_be_read(self) -> None:
        """The reason is the only problem, of the file as a whole."""
        reading = run_through(reading_of("it is not there", "a.yaml", "files", "edge"))
        self.assertEqual((reading.readable, reading.documents), (False, ()))
        self.assertEqual(list(map(str, reading.problems)), ["a.yaml: error[MG3010]: it is not there"])
        self.assertEqual(reading.problems[0].provider, "files")
