"""Tests of meshgate.proxy.access_log: its files, pipes and terminals, of which some take nothing, and its counts."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import select
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.access_log import (
    CLOSE_WITHIN,
    FLUSH_AFTER,
    FLUSH_AT,
    MAX_PENDING,
    RETRY_AFTER,
    AccessLog,
    EndedConnections,
    open_access_log,
)
from meshgate.proxy.endings import Ending
from meshgate.proxy.log_line import format_text, lost_text
from meshgate.proxy.log_outputs import AccessLogChoice, AccessLogError, FileOutput
from meshgate.proxy.record import ConnectionRecord
from tests.support import IMPORT_ROOT, new_folder


def record(number: int) -> ConnectionRecord:
    """A connection's record, known by its number."""
    return ConnectionRecord(number, 0.0, 0.0, "0.0.0.0:31400", ("192.0.2.1", 40001))


LINE_LENGTH = len(format_text(record(10**6))) + 1


def numbers(text: str) -> list[int]:
    """The numbers of the records on these lines, -1 for a line that stands for lost ones."""
    words = [line.split(" ") for line in text.splitlines()]
    return [int(word[1].removeprefix("id=")) if len(word) == 17 else -1 for word in words]


class AccessLogTestCase(SynchronousTestCase):
    """A test with a clock and a folder."""

    def setUp(self) -> None:
        """Make them."""
        self.clock = Clock()
        self.path = new_folder(self) / "access.log"

    def open_file(self, **options: str) -> AccessLog:
        """The access log in the folder."""
        log = open_access_log(AccessLogChoice(str(self.path)), self.clock)
        self.addCleanup(log.close)
        return log

    def log_to(self, open_output: Callable[[], int]) -> AccessLog:
        """An access log with an output of the test's own."""
        return AccessLog(FileOutput(open_output), format_text, lost_text, self.clock)

    def write(self, log: AccessLog, first: int, last: int) -> None:
        """Log connections with numbers in this range, both included."""
        for number in range(first, last + 1):
            log.write(record(number))


class FileTests(AccessLogTestCase):
    """Files."""

    def test_lines_are_written_within_a_second(self) -> None:
        """Lines wait for company, by a single timer, and stand in the file a second later; then nothing waits."""
        log = self.open_file()
        self.write(log, 1, 3)
        self.assertEqual(self.path.read_text(), "")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual(numbers(self.path.read_text()), [1, 2, 3])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_lines_are_written_at_once(self) -> None:
        """When 64 KiB are gathered, nobody waits for the second to end."""
        log = self.open_file()
        enough = FLUSH_AT // LINE_LENGTH + 1
        self.write(log, 10**6, 10**6 + enough - 2)
        self.assertEqual(self.path.read_text(), "")
        log.write(record(10**6 + enough - 1))
        self.assertEqual(len(numbers(self.path.read_text())), enough)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        log.write(record(1))
        self.assertEqual(len(numbers(self.path.read_text())), enough)

    def test_closing_writes_the_rest(self) -> None:
        """Nothing is lost at the end, nothing is left behind, and what comes afterwards is ignored."""
        log = self.open_file()
        self.write(log, 1, 2)
        self.successResultOf(log.close())
        self.assertEqual(numbers(self.path.read_text()), [1, 2])
        log.write(record(3))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        log.flush()
        self.assertEqual(numbers(self.path.read_text()), [1, 2])

    def test_a_file_is_appended_to(self) -> None:
        """The lines of an earlier run stay."""
        for number in (1, 2):
            log = self.open_file()
            log.write(record(number))
            log.close()
        self.assertEqual(numbers(self.path.read_text()), [1, 2])

    def test_a_new_file_is_not_for_everybody(self) -> None:
        """Addresses of clients are in it: others than the owner and the group cannot read it."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.open_file()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o640)

    def test_lines_of_json(self) -> None:
        """The other format."""
        log = open_access_log(AccessLogChoice(str(self.path), "json"), self.clock)
        log.write(record(7))
        log.close()
        self.assertEqual(json.loads(self.path.read_text())["id"], 7)

    def test_a_rotated_file_is_opened_anew(self) -> None:
        """Lines from before go to the renamed file, those after to the new one."""
        log = self.open_file()
        log.write(record(1))
        renamed = self.path.rename(f"{self.path}.1")
        log.reopen()
        log.write(record(2))
        log.flush()
        self.assertEqual(numbers(renamed.read_text()), [1])
        self.assertEqual(numbers(self.path.read_text()), [2])

    def test_a_failed_rotation_keeps_the_old_file(self) -> None:
        """If the new file cannot be opened, the lines go on to the old one."""
        log = self.open_file()
        renamed = self.path.rename(f"{self.path}.1")
        self.path.mkdir()
        with self.assertRaisesRegex(AccessLogError, "Is a directory"):
            log.reopen()
        log.write(record(1))
        log.flush()
        self.assertEqual(numbers(renamed.read_text()), [1])

    def test_what_cannot_be_opened_is_said_plainly(self) -> None:
        """A missing folder, a folder in the file's place, and a named pipe that nobody reads."""
        fifo = self.path.with_name("fifo")
        os.mkfifo(fifo)
        reasons = {
            self.path / "x" / "access.log": "No such file or directory (its folder has to exist)",
            self.path.parent: "Is a directory",
            fifo: "No such device or address (a named pipe needs its reader first)",
        }
        for path, reason in reasons.items():
            with self.assertRaises(AccessLogError) as caught:
                open_access_log(AccessLogChoice(str(path)), self.clock)
            self.assertEqual(str(caught.exception), f"the access log {path} cannot be opened: {reason}")

    def test_a_full_disk_harms_nobody(self) -> None:
        """Without space the lines are kept, the fault is logged once, and all are written when it is over."""
        places = [Path("/dev/full"), self.path]
        log = self.log_to(lambda: os.open(places.pop(0), os.O_WRONLY | os.O_CREAT))
        with capturedLogs() as events:
            for number in range(1, 4):
                log.write(record(number))
                self.clock.advance(FLUSH_AFTER)
            log.reopen()
        self.assertEqual(numbers(self.path.read_text()), [1, 2, 3])
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error, LogLevel.info])
        self.assertIn("No space left on device", events[0]["reason"])
        self.successResultOf(log.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PipeTests(AccessLogTestCase):
    """Pipes whose reader is slow, stuck or gone."""

    def setUp(self) -> None:
        """Log into a pipe."""
        super().setUp()
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.addCleanup(os.close, self.writer)
        self.log = self.log_to(partial(os.dup, self.writer))

    def read(self) -> str:
        """Read the pipe, and let time pass as long as bytes come."""
        pieces: list[bytes] = []
        while select.select([self.reader], [], [], 0)[0] and (chunk := os.read(self.reader, 1 << 20)):
            pieces.append(chunk)
            self.clock.advance(RETRY_AFTER)
        return b"".join(pieces).decode()

    def test_a_stuck_reader_does_not_block(self) -> None:
        """More lines than the pipe holds wait here, and come out whole and in order once it reads."""
        self.write(self.log, 1, 5000)
        self.assertEqual(numbers(self.read()), list(range(1, 5001)))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.successResultOf(self.log.close())
        os.close(self.reader)

    def test_the_pipe_stays_as_it_is_for_others(self) -> None:
        """A shared pipe is not made non-blocking: that would hold for all who share it."""
        self.write(self.log, 1, 5000)
        self.assertFalse(fcntl.fcntl(self.writer, fcntl.F_GETFL) & os.O_NONBLOCK)
        self.read()
        self.log.close()
        os.close(self.reader)

    def test_two_that_share_a_pipe_write_whole_lines(self) -> None:
        """However they take turns with the room there is, no line of one stands within a line of the other."""
        other = self.log_to(partial(os.dup, self.writer))
        for log, first in ((self.log, 1), (other, 5001)):
            self.write(log, first, first + 4999)
        text = ""
        for turn in range(60):
            text += os.read(self.reader, 8192).decode()
            (self.log, other)[turn % 2].flush()
        found = numbers(text + self.read())
        self.assertEqual(sorted(found), list(range(1, 10_001)))
        self.assertEqual([number for number in found if number > 5000], list(range(5001, 10_001)))
        self.log.close()
        other.close()
        os.close(self.reader)

    def test_lost_lines_are_counted(self) -> None:
        """Lines over the limit are dropped; one line in their place says how many, and the log says so once."""
        self.log.max_pending = 1_000_000
        with capturedLogs() as events:
            self.write(self.log, 1, 10_000)
            text = self.read()
            self.assertEqual(numbers(text)[-1], -1)
            self.write(self.log, 10_001, 10_003)
            text += self.read_after_a_second()
        found = numbers(text)
        kept = found.index(-1)
        self.assertEqual(found, [*range(1, kept + 1), -1, 10_001, 10_002, 10_003])
        self.assertIn(f" {10_000 - kept} lines lost", text.splitlines()[kept])
        self.assertTrue(0.95 * 1_000_000 < kept * LINE_LENGTH < 1.2 * 1_000_000)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error, LogLevel.info])
        self.log.close()
        os.close(self.reader)

    def test_the_loss_stands_where_it_happened(self) -> None:
        """Lines that come while older ones still wait stand after the line for those lost between them."""
        self.log.max_pending = 200_000
        self.write(self.log, 1, 3000)
        text = os.read(self.reader, 1 << 16).decode()
        self.clock.advance(FLUSH_AFTER)
        self.write(self.log, 3001, 3002)
        text += self.read()
        found = numbers(text)
        self.assertEqual(found[-3:], [-1, 3001, 3002])
        self.assertEqual(found.count(-1), 1)
        self.log.close()
        os.close(self.reader)

    def test_a_slow_reader_loses_nothing(self) -> None:
        """A reader that keeps pace gets everything, however much more than the pipe's size passes."""
        text = ""
        for start in range(1, 100_001, 200):
            self.write(self.log, start, start + 199)
            text += os.read(self.reader, 1 << 20).decode() if select.select([self.reader], [], [], 0)[0] else ""
        text += self.read_after_a_second()
        self.assertGreater(len(text), MAX_PENDING)
        self.assertEqual(numbers(text), list(range(1, 100_001)))
        self.log.close()
        os.close(self.reader)

    def test_a_reader_that_is_gone_harms_nobody(self) -> None:
        """A broken pipe is logged once, memory stays bounded, and closing does not wait."""
        os.close(self.reader)
        self.log.max_pending = 100_000
        with capturedLogs() as events:
            self.write(self.log, 1, 5000)
            self.clock.advance(FLUSH_AFTER)
            self.successResultOf(self.log.close())
        self.assertEqual([event.get("reason") for event in events], ["Broken pipe", None])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closing_waits_for_a_slow_reader(self) -> None:
        """At the end, what the pipe does not take at once is given time."""
        self.write(self.log, 1, 5000)
        closed = self.log.close()
        self.assertNoResult(closed)
        self.assertEqual(numbers(self.read()), list(range(1, 5001)))
        self.successResultOf(closed)
        os.close(self.reader)

    def test_closing_does_not_wait_forever(self) -> None:
        """A reader that is stuck holds up the end by two seconds at most, and the loss is logged."""
        self.write(self.log, 1, 5000)
        with capturedLogs() as events:
            closed = self.log.close()
            self.clock.pump([0.1] * round(CLOSE_WITHIN / 0.1))
            self.successResultOf(closed)
        self.assertIn("could not be written", events[-1]["log_format"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        os.close(self.reader)

    def read_after_a_second(self) -> str:
        """Read the pipe after the time at which gathered lines are written."""
        self.clock.advance(FLUSH_AFTER)
        return self.read()


CHILD = """
import sys
from twisted.internet.task import Clock
from meshgate.proxy.access_log import open_access_log
from meshgate.proxy.log_outputs import AccessLogChoice
from meshgate.proxy.record import ConnectionRecord

sys.stdout = sys.stderr  # as twistd does, in its way
clock = Clock()
log = open_access_log(AccessLogChoice("-"), clock)
for number in range(int(sys.argv[1])):
    log.write(ConnectionRecord(number, 0.0, 0.0, "0.0.0.0:31400", ("192.0.2.1", 40001)))
log.close()
clock.pump([0.1] * 21)
print("closed")
"""


class StandardOutputTests(SynchronousTestCase):
    """Standard output, seen from outside."""

    def run_child(self, lines: int, stdout: int | None = None) -> subprocess.Popen[str]:
        """Run a process that logs so many connections to standard output and closes the log."""
        arguments = [sys.executable, "-c", CHILD, str(lines)]
        environment = {**os.environ, "PYTHONPATH": str(IMPORT_ROOT)}
        child = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def test_bare_lines_go_to_standard_output(self) -> None:
        """They go to file descriptor 1, wherever sys.stdout leads."""
        out, err = self.run_child(3).communicate(timeout=20)
        self.assertEqual(numbers(out), [0, 1, 2])
        self.assertEqual(err, "closed\n")

    def test_a_stopped_terminal_does_not_block(self) -> None:
        """A terminal that nobody reads from takes what it takes, and the process goes on and ends."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        try:
            child = self.run_child(20_000, stdout=theirs)
        finally:
            os.close(theirs)
        _, err = child.communicate(timeout=20)
        self.assertIn("closed\n", err)
        self.assertEqual(numbers(os.read(ours, 1000).decode().rpartition("\n")[0])[:3], [0, 1, 2])


def ended_record(number: int, ending: Ending) -> ConnectionRecord:
    """A complete record."""
    complete = ConnectionRecord(number, 0.0, 0.0, "0.0.0.0:31400", ("192.0.2.1", 40001))
    complete.ending = ending
    return complete


class EndedTests(SynchronousTestCase):
    """Connections that have ended."""

    def test_they_are_counted(self) -> None:
        """Each by its ending; those that never came have no count."""
        ended = EndedConnections()
        self.assertEqual(ended.counts, {})
        for number, ending in enumerate((Ending.OK, Ending.NO_ROUTE, Ending.OK), 1):
            ended.add(ended_record(number, ending))
        self.assertEqual(ended.counts, {Ending.OK: 2, Ending.NO_ROUTE: 1})

    def test_they_are_logged(self) -> None:
        """Each leaves its line where there is a log, and none where there is none, or no more."""
        clock, file = Clock(), new_folder(self) / "access.log"
        records = [ended_record(number, Ending.OK) for number in range(1, 4)]
        ended = EndedConnections()
        ended.add(records[0])
        log = ended.access_log = open_access_log(AccessLogChoice(str(file)), clock)
        ended.add(records[1])
        ended.access_log = None
        ended.add(records[2])
        log.close()
        self.assertEqual(file.read_text(), f"{format_text(records[1])}\n")

    def logged(self, ended: EndedConnections, records: list[ConnectionRecord]) -> list[int]:
        """The numbers of those of the connections that have a line."""
        file = new_folder(self) / "access.log"
        log = ended.access_log = open_access_log(AccessLogChoice(str(file)), Clock())
        for each in records:
            ended.add(each)
        log.close()
        return numbers(file.read_text())

    def test_a_choice_of_endings(self) -> None:
        """Only connections with these endings have lines; all are counted, and the choice can be taken back."""
        endings = (Ending.OK, Ending.NO_ROUTE, Ending.IDLE)
        records = [ended_record(number, ending) for number, ending in enumerate(endings)]
        ended = EndedConnections()
        ended.choose(("no_route", "idle"), 1.0)
        self.assertEqual(self.logged(ended, records), [1, 2])
        self.assertEqual(ended.counts, dict.fromkeys(endings, 1))
        ended.choose((), 1.0)
        self.assertEqual(self.logged(ended, records), [0, 1, 2])

    def test_a_sample_of_those_that_ended_well(self) -> None:
        """About the share of them has lines, as chance says, and every other connection has one."""
        ended = EndedConnections(random.Random(1))
        ended.choose((), 0.1)
        records = [ended_record(number, Ending.IDLE if number % 10 == 0 else Ending.OK) for number in range(10_000)]
        found = self.logged(ended, records)
        sampled = [number for number in found if number % 10]
        self.assertEqual([number for number in found if not number % 10], list(range(0, 10_000, 10)))
        self.assertTrue(800 < len(sampled) < 1000)
        again = EndedConnections(random.Random(1))
        again.choose((), 0.1)
        self.assertEqual(self.logged(again, records), found)

    def test_no_share_at_all(self) -> None:
        """With a share of 0, none that ended well has a line."""
        ended = EndedConnections()
        ended.choose((), 0.0)
        records = [ended_record(1, Ending.OK), ended_record(2, Ending.DRAINED)]
        self.assertEqual(self.logged(ended, records), [2])
