"""Tests of :mod:`meshgate.proxy.log_outputs`: syslog and the journal, with real sockets; test_access_log has files."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.access_log import FLUSH_AFTER, RETRY_AFTER, AccessLog, open_access_log
from meshgate.proxy.log_line import format_text, lost_text
from meshgate.proxy.log_outputs import (
    JOURNAL,
    SYSLOG,
    AccessLogChoice,
    SyslogDatagrams,
    SyslogServer,
    _begin_of_message,
)
from tests.log_receivers import FakeJournal, parse_counted, parse_syslog, socket_folder
from tests.proxy.test_access_log import numbers, record

WITHIN = 10.0
"""Seconds that a test waits for bytes on loopback."""


class OutputTestCase(SynchronousTestCase):
    """A log with an output that is a socket."""

    def setUp(self) -> None:
        """Make a clock."""
        self.clock = Clock()

    def open(self, server: SyslogServer, facility: int = 16) -> AccessLog:
        """A log that goes to a syslog server."""
        choice = AccessLogChoice(to=SYSLOG, server=server, facility=facility)
        log = open_access_log(choice, self.clock)
        self.addCleanup(log.close)
        return log

    def write(self, log: AccessLog, first: int, last: int) -> None:
        """Log connections with numbers in this range, both included."""
        for number in range(first, last + 1):
            log.write(record(number))

    def datagram_server(self, family: int, address: object) -> socket.socket:
        """A server that takes datagrams."""
        server = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(server.close)
        server.bind(address)  # type: ignore[arg-type]
        server.settimeout(WITHIN)
        return server


class DatagramTests(OutputTestCase):
    """Syslog over UDP and Unix sockets."""

    def test_udp(self) -> None:
        """Each line is a message of RFC 5424: facility, severity, time, host, program, process."""
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            server = self.datagram_server(family, (host, 0))
            log = self.open(("udp", host, server.getsockname()[1]))
            self.write(log, 1, 3)
            self.clock.advance(FLUSH_AFTER)
            messages = [parse_syslog(server.recv(65536)) for _ in range(3)]
            self.assertEqual([numbers(each.text) for each in messages], [[1], [2], [3]])
            first = messages[0]
            self.assertEqual(first.text, format_text(record(1)))
            self.assertEqual((first.priority, first.application, first.id), (16 * 8 + 6, "meshgate", "access"))
            self.assertEqual((first.host, first.process), (socket.gethostname() or "-", str(os.getpid())))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_unix_socket(self) -> None:
        """The same over the socket of a local server, with another facility."""
        path = str(socket_folder(self) / "log")
        server = self.datagram_server(socket.AF_UNIX, path)
        log = self.open(("unix", path, 0), facility=3)
        self.write(log, 1, 1)
        self.successResultOf(log.close())
        self.assertEqual(parse_syslog(server.recv(65536)).priority, 3 * 8 + 6)

    def test_a_server_that_is_stuck_does_not_block(self) -> None:
        """Lines wait, up to a limit; once it reads, they come in order, and a line tells how many were lost."""
        path = str(socket_folder(self) / "log")
        server = self.datagram_server(socket.AF_UNIX, path)
        server.setblocking(False)
        log = self.open(("unix", path, 0))
        log.max_pending = 200_000
        with capturedLogs() as events:
            self.write(log, 1, 3000)
            found: list[int] = []
            while log.lost == 0 or -1 not in found:
                self.clock.advance(RETRY_AFTER)
                found += [numbers(parse_syslog(each).text)[0] for each in drained(server)]
        kept = found.index(-1)
        self.assertEqual(found, [*range(1, kept + 1), -1])
        self.assertEqual(log.lost, 3000 - kept)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error, LogLevel.info])

    def test_a_server_that_comes_back(self) -> None:
        """Lines wait for a server that is not there, without a word more than one, and are sent when it is."""
        path = str(socket_folder(self) / "log")
        log = self.open(("unix", path, 0))
        with capturedLogs() as events:
            self.write(log, 1, 2)
            self.clock.pump([FLUSH_AFTER] * 5)
            server = self.datagram_server(socket.AF_UNIX, path)
            self.clock.advance(FLUSH_AFTER)
        self.assertEqual([numbers(parse_syslog(server.recv(65536)).text) for _ in range(2)], [[1], [2]])
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error, LogLevel.info])
        server.close()
        os.unlink(path)
        again = self.datagram_server(socket.AF_UNIX, path)
        self.write(log, 3, 3)
        self.clock.pump([FLUSH_AFTER] * 3)
        self.assertEqual(numbers(parse_syslog(again.recv(65536)).text), [3])
        self.assertEqual(log.lost, 0)

    def test_a_line_for_which_no_datagram_is_large_enough(self) -> None:
        """It is lost and counted, and holds up no other."""
        server = self.datagram_server(socket.AF_INET, ("127.0.0.1", 0))
        output = SyslogDatagrams("udp", "127.0.0.1", server.getsockname()[1], 134)
        log = AccessLog(output, lambda each: "x" * (70_000 if each.id == 2 else 10), lost_text, self.clock)
        self.addCleanup(log.close)
        self.write(log, 1, 3)
        self.clock.advance(FLUSH_AFTER)
        texts = [parse_syslog(server.recv(65536)).text for _ in range(3)]
        self.assertEqual(texts[0], "x" * 10)
        self.assertEqual(len([each for each in texts if each == "x" * 10]), 2)
        self.assertIn("1 lines lost", " ".join(texts))
        self.assertEqual(log.lost, 1)


class StreamTests(OutputTestCase):
    """Syslog over TCP, with octet counting."""

    def setUp(self) -> None:
        """Listen."""
        super().setUp()
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.server.bind(("127.0.0.1", 0))
        self.server.listen()
        self.server.setblocking(False)
        self.addCleanup(self.server.close)
        self.log = self.open(("tcp", "127.0.0.1", self.server.getsockname()[1]))

    def accept(self) -> socket.socket:
        """The next connection, while time passes for the log."""
        for _ in self.turns():
            try:
                connection, _ = self.server.accept()
            except BlockingIOError:
                continue
            self.addCleanup(connection.close)
            connection.setblocking(False)
            return connection
        raise AssertionError("no connection came")

    def turns(self) -> Iterator[None]:
        """Let time pass for the log, for as long as a test may wait."""
        end = time.monotonic() + WITHIN
        while time.monotonic() < end:
            self.clock.advance(RETRY_AFTER)
            yield

    def read(self, connection: socket.socket, last: int) -> list[int]:
        """The numbers that come, up to the last one."""
        found: list[int] = []
        stream = b""
        for _ in self.turns():
            try:
                stream += connection.recv(1 << 20)
            except BlockingIOError:
                pass
            messages, stream = parse_counted(stream)
            found += [numbers(each.text)[0] for each in messages]
            if found and found[-1] == last and not stream:
                return found
        raise AssertionError(f"only {len(found)} messages came")

    def test_messages_have_their_length(self) -> None:
        """One connection carries all lines, in order."""
        self.write(self.log, 1, 1000)
        connection = self.accept()
        self.assertEqual(self.read(connection, 1000), list(range(1, 1001)))
        self.write(self.log, 1001, 1001)
        self.assertEqual(self.read(connection, 1001), [1001])

    def test_a_reader_that_is_stuck_does_not_block(self) -> None:
        """More than the kernel holds waits, whole and in order."""
        self.write(self.log, 1, 6000)
        connection = self.accept()
        self.assertEqual(self.read(connection, 6000), list(range(1, 6001)))
        self.assertEqual(self.log.lost, 0)

    def test_a_connection_that_was_cut(self) -> None:
        """The line in which it was cut comes again, whole, on the next connection; none is missing."""
        for number in range(1, 3501):  # more than the kernel takes
            long = record(number)
            long.destination = "x" * 2000
            self.log.write(long)
        first = self.accept()
        self.clock.pump([RETRY_AFTER] * 20)
        begin = first.recv(100_000)
        messages, _ = parse_counted(begin)
        before = [numbers(each.text)[0] for each in messages]
        first.close()
        with capturedLogs() as events:
            second = self.accept()
            found = self.read(second, 3500)
        self.assertEqual(found, list(range(found[0], 3501)))
        self.assertEqual(before, list(range(1, len(before) + 1)))
        self.assertGreater(found[0], before[-1])
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error, LogLevel.info])

    def test_a_server_that_closes_in_order_loses_nothing(self) -> None:
        """The end of stream is seen before anything is sent into the void."""
        self.write(self.log, 1, 5)
        first = self.accept()
        self.assertEqual(self.read(first, 5), [1, 2, 3, 4, 5])
        first.close()
        self.write(self.log, 6, 9)
        second = self.accept()
        self.assertEqual(self.read(second, 9), [6, 7, 8, 9])

    def test_no_server(self) -> None:
        """A refused connection is told once, and tried again."""
        self.server.close()
        with capturedLogs() as events:
            self.write(self.log, 1, 2)
            self.clock.pump([FLUSH_AFTER] * 5)
        (event,) = events
        self.assertIn("refused", event["reason"])

    @given(st.lists(st.binary(max_size=12), max_size=8), st.integers(0, 150))
    def test_the_begin_of_a_message(self, texts: list[bytes], sent: int) -> None:
        """Wherever a connection was cut, it is found where the message begins that was not sent as a whole."""
        messages = [b"%d %s" % (len(text), text) for text in texts]
        ends = [sum(map(len, messages[:count])) for count in range(len(messages) + 1)]
        sent = min(sent, ends[-1])
        self.assertEqual(_begin_of_message(b"".join(messages), sent), max(end for end in ends if end <= sent))

    def test_reopening_is_nothing_to_it(self) -> None:
        """A rotation of logs changes no connection."""
        self.write(self.log, 1, 1)
        connection = self.accept()
        self.log.reopen()
        self.write(self.log, 2, 2)
        self.assertEqual(self.read(connection, 2), [1, 2])


class JournalTests(OutputTestCase):
    """The journal."""

    def test_lines(self) -> None:
        """Each connection is an entry, whose message is its line in the format."""
        journal = FakeJournal(self)
        log = open_access_log(AccessLogChoice(to=JOURNAL, journal=str(journal.path)), self.clock)
        self.write(log, 1, 2)
        self.successResultOf(log.close())
        entries = journal.received()
        self.assertEqual([each["MESSAGE"] for each in entries], [format_text(record(1)), format_text(record(2))])
        self.assertEqual([each["MESHGATE_ID"] for each in entries], ["1", "2"])

    def test_a_journal_that_is_stuck(self) -> None:
        """Lines over the limit are lost and counted, and an entry says how many there were."""
        journal = FakeJournal(self)
        log = open_access_log(AccessLogChoice(to=JOURNAL, journal=str(journal.path)), self.clock)
        log.max_pending = 100_000
        self.write(log, 1, 2000)
        while not (found := journal.received()) or "lines lost" not in found[-1]["MESSAGE"]:
            self.clock.advance(RETRY_AFTER)
        self.assertEqual(len(journal.entries) - 1, 2000 - log.lost)
        self.assertEqual(journal.entries[-1]["PRIORITY"], "4")
        self.assertIn(f" {log.lost} lines lost", journal.entries[-1]["MESSAGE"])
        self.successResultOf(log.close())

    def test_what_is_left_at_the_end(self) -> None:
        """Lines that nobody took until the log was closed are counted."""
        log = open_access_log(AccessLogChoice(to=JOURNAL, journal=str(socket_folder(self) / "none")), self.clock)
        self.write(log, 1, 7)
        self.clock.advance(FLUSH_AFTER)
        self.write(log, 8, 9)
        self.successResultOf(log.close())
        self.assertEqual(log.lost, 9)


def drained(server: socket.socket) -> list[bytes]:
    """All datagrams that wait."""
    found = []
    while True:
        try:
            found.append(server.recv(65536))
        except BlockingIOError:
            return found
