"""Tests of :mod:`meshgate.providers.reading_process`: a real process on the real reactor."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from meshgate.processes.pieces import PieceUnpacker
from meshgate.providers.reading_messages import Request
from meshgate.providers.reading_process import NotReadError, ReadingProcess
from meshgate.resources.problem import Severity
from meshgate.resources.reader import read_text
from tests.route_files import gateway
from tests.support import new_folder, reactor
from tests.test_file_reading import sight_of


class ReadingProcessTests(TestCase):
    """One process."""

    timeout = 60

    def setUp(self) -> None:
        """A file."""
        self.path = new_folder(self) / "a.yaml"
        self.path.write_text(gateway("a"))

    def start(self) -> ReadingProcess:
        """Start it."""
        process = ReadingProcess(reactor)
        self.addCleanup(lambda: process.ended)
        self.addCleanup(process.kill)
        return process

    def request(self) -> Request:
        """What asks for the file as it looks now."""
        return Request(str(self.path), sight_of(self.path), "files", "default")

    async def test_it_answers(self) -> None:
        """As often as it is asked, with the parts of a reading."""
        process = self.start()
        for port in (443, 8443):
            self.path.write_text(gateway("a", port))
            parts = await process.ask(self.request())
            reading = list(map(PieceUnpacker().unpack, parts))[-1][-1]
            self.assertEqual(
                reading, read_text(gateway("a", port), str(self.path), "files", unknown_fields=Severity.WARNING)
            )

    async def test_it_ends_in_the_middle(self) -> None:
        """Whoever waits for an answer hears how; and the process is gone, also from the list of processes."""
        process = self.start()
        os.kill(process.pid, signal.SIGSTOP)
        answer = process.ask(self.request())
        process.kill()
        error = await self.assertFailure(answer, NotReadError)
        self.assertEqual(str(error), "was killed by SIGKILL")
        await process.ended
        self.assertRaises(ProcessLookupError, os.kill, process.pid, 0)

    async def test_it_ends_before_it_is_asked(self) -> None:
        """Nobody waits for an answer, and nobody is told of one."""
        process = self.start()
        process.kill()
        await process.ended

    async def test_it_ends_by_itself(self) -> None:
        """Its exit status is told."""
        self.patch(sys.modules[ReadingProcess.__module__], "__version__", "0.0.1")
        error = await self.assertFailure(self.start().ask(self.request()), NotReadError)
        self.assertEqual(str(error), "ended with status 1")

    async def test_terminals_do_not_reach_it(self) -> None:
        """Ctrl-C and the like are its parent's: it goes on."""
        process = self.start()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(process.pid, number)
        self.assertTrue(await process.ask(self.request()))

    async def test_it_has_no_descriptors_of_ours(self) -> None:
        """But for standard output and error it has its socket only, and what it opens itself."""
        with self.path.open("rb") as ours:
            os.set_inheritable(ours.fileno(), True)
            process = self.start()
            await process.ask(self.request())
            held = [os.readlink(each) for each in Path(f"/proc/{process.pid}/fd").iterdir()]
        self.assertNotIn(str(self.path), held)

    def test_it_cannot_be_started(self) -> None:
        """The system's reason is raised, and nothing is left behind."""
        self.patch(sys, "executable", "/nowhere/python")
        self.assertRaises(FileNotFoundError, ReadingProcess, reactor)
