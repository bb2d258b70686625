"""Tests of :mod:`meshgate.processes.log_file`."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.log_file import LogFile
from tests.support import new_folder


class LogFileTests(SynchronousTestCase):
    """A log in a file of its own."""

    def setUp(self) -> None:
        """A log that is empty."""
        self.path = new_folder(self) / "own.log"
        self.log = LogFile(self.path)

    def contents(self) -> dict[str, str]:
        """All files in the folder."""
        return {file.name: file.read_text() for file in self.path.parent.iterdir()}

    def test_it_appends(self) -> None:
        """Whatever stands there stays, also after another program has shortened it; any text can be written."""
        self.log.write("one\n")
        LogFile(self.path).write("two é \udcff\n")
        self.assertEqual(self.contents(), {"own.log": "one\ntwo é \\udcff\n"})
        os.truncate(self.path, 0)
        self.log.write("three\n")
        self.log.flush()
        self.assertEqual(self.contents(), {"own.log": "three\n"})

    def test_it_never_rotates_itself_unless_asked(self) -> None:
        """A megabyte is nothing special."""
        self.log.write("x" * 3_000_000)
        self.log.write("y")
        self.assertEqual([*self.contents()], ["own.log"])

    def test_it_rotates_itself(self) -> None:
        """Before it would have more than so many bytes; of the old ones the latest are kept."""
        self.log.rotate_at, self.log.keep = 10, 2
        for line in ("1 long line\n", "2222\n", "3333\n", "4\n", "55555555\n", "66666666\n"):
            self.log.write(line)
        self.assertEqual(self.contents(), {"own.log": "66666666\n", "own.log.1": "55555555\n", "own.log.2": "4\n"})

    def test_a_rotation_that_fails(self) -> None:
        """It goes on in the same file."""
        self.log.rotate_at = 5
        (self.path.parent / "own.log.1").mkdir()
        (self.path.parent / "own.log.1" / "in the way").touch()
        for line in ("1111\n", "2222\n", "3333\n"):
            self.log.write(line)
        self.assertEqual(self.path.read_text(), "1111\n2222\n3333\n")

    def test_it_is_opened_anew(self) -> None:
        """After a rename, lines go to a new file; where that cannot be made, to the old one."""
        self.log.write("1\n")
        self.path.rename(self.path.with_name("old.log"))
        self.log.write("2\n")
        self.log.reopen()
        self.log.write("3\n")
        self.assertEqual(self.contents(), {"old.log": "1\n2\n", "own.log": "3\n"})
        self.path.unlink()
        self.path.mkdir()
        self.assertRaises(OSError, self.log.reopen)
        self.log.write("lost, and no harm\n")

    def test_a_pipe_that_nobody_reads(self) -> None:
        """It is an error, and is not waited for."""
        pipe = self.path.with_name("pipe")
        os.mkfifo(pipe)
        self.assertRaises(OSError, LogFile, pipe)

    def test_two_processes(self) -> None:
        """Both log during an upgrade; one does not rotate again what the other one has rotated."""
        other = LogFile(self.path)
        for log in (self.log, other):
            log.rotate_at = 10
            log.write("1234\n")
        self.log.write("rotates\n")
        other.write("follows\n")
        self.assertEqual(self.contents(), {"own.log": "rotates\nfollows\n", "own.log.1": "1234\n1234\n"})
