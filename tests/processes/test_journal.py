"""Tests of :mod:`meshgate.processes.journal`: entries as journald reads them."""

from __future__ import annotations

import os

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.journal import Journal, entry, leads_to_journal
from tests.log_receivers import FakeJournal, parse_entry, socket_folder

names = st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True)


class EntryTests(SynchronousTestCase):
    """The encoding."""

    @given(st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"]))))
    @example({"MESSAGE": "two\nlines", "PRIORITY": "3"})
    @example({"MESSAGE": "\n"})
    @example({"MESSAGE": "FAKE=1\n\x00\x08", "LAST": ""})
    def test_any_fields_read_back(self, fields: dict[str, str]) -> None:
        """Whatever is in a value, line ends among it, the same fields come out."""
        self.assertEqual(parse_entry(entry(fields)), fields)

    def test_the_form_of_the_protocol(self) -> None:
        """A value with a line end has its length before it, in 64 bits, the lowest byte first."""
        self.assertEqual(entry({"A": 1, "B": "x\ny"}), b"A=1\nB\n\3\0\0\0\0\0\0\0x\ny\n")

    def test_half_a_surrogate_pair_is_escaped(self) -> None:
        """A text that UTF-8 has no form for is sent all the same."""
        self.assertEqual(entry({"A": "\ud800"}), b"A=\\ud800\n")


class SocketTests(SynchronousTestCase):
    """The way to the journal."""

    def setUp(self) -> None:
        """Have a journal."""
        receiver = FakeJournal(self)
        self.received = receiver.received
        self.journal = Journal(str(receiver.path))
        self.addCleanup(self.journal.close)

    def test_an_entry_arrives(self) -> None:
        """One datagram is one entry."""
        self.journal.send(entry({"MESSAGE": "a"}))
        self.journal.send(entry({"MESSAGE": "b"}))
        self.assertEqual([each["MESSAGE"] for each in self.received()], ["a", "b"])

    def test_a_large_entry_arrives(self) -> None:
        """What no datagram can hold is passed as a file in memory, which nobody can change any more."""
        text = "line\n" * 1_000_000
        self.journal.send(entry({"MESSAGE": text, "PRIORITY": 6}))
        self.assertEqual(self.received(), [{"MESSAGE": text, "PRIORITY": "6"}])

    def test_a_journal_without_room_does_not_block(self) -> None:
        """When nobody reads, sending fails at once."""

        def fill() -> None:
            for _ in range(100_000):
                self.journal.send(entry({"MESSAGE": "x"}))

        self.assertRaises(BlockingIOError, fill)

    def test_a_journal_that_is_gone(self) -> None:
        """A socket that does not exist is told by the usual error."""
        self.assertRaises(FileNotFoundError, Journal(str(socket_folder(self) / "none")).send, b"A=1\n")


class StreamTests(SynchronousTestCase):
    """The recognition of the journal's stream."""

    def test_by_device_and_inode(self) -> None:
        """Only the very file that the variable names is the journal's."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        status = os.fstat(writer)
        name = f"{status.st_dev}:{status.st_ino}"
        self.assertTrue(leads_to_journal(writer, name))
        for descriptor, other in ((writer, f"{status.st_dev}:{status.st_ino + 1}"), (writer, ""), (-1, name)):
            self.assertFalse(leads_to_journal(descriptor, other))
        os.close(writer)
