"""Tests of :mod:`meshgate.providers.large_files`: real files, real processes."""

from __future__ import annotations

import os
import sys

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from meshgate.providers import large_files
from meshgate.providers.file_reading import content_of, reading_of
from meshgate.providers.large_files import IDLE, LARGE, LargeFiles
from meshgate.providers.tree import Sight
from meshgate.resources.reader import Reading
from meshgate.resources.steps import run_through
from tests.reading_processes import Started
from tests.route_files import UNPARSABLE, broken_gateway, gateway
from tests.support import new_folder, reactor, wait_for
from tests.test_file_reading import sight_of

PADDING = "#" * LARGE + "\n"
"""What makes any file a large one."""


class SocketsAndClock(Clock):
    """A reactor with real sockets, on which time passes for the test only."""

    adoptStreamConnection = reactor.adoptStreamConnection


class LargeFilesTests(TestCase):
    """:class:`LargeFiles`, and the processes that it starts."""

    timeout = 60

    def setUp(self) -> None:
        """A folder without files, and no process."""
        self.folder = new_folder(self)
        self.started = Started(self)
        self.files = LargeFiles(reactor, "files", "edge")
        self.addCleanup(self.end)

    async def end(self) -> None:
        """Leave no process."""
        await maybeDeferred(self.files.stop)

    def write(self, name: str, text: str | bytes) -> dict[str, Sight | None]:
        """A file; gives how it looks."""
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return {str(path): sight_of(path)}

    def ask(self, news: dict[str, Sight | None]) -> Deferred[dict[str, Reading | None]]:
        """Begin to read."""
        return Deferred.fromCoroutine(self.files.read(news))

    def gone(self) -> bool:
        """Whether no process is left, not even its exit status."""
        return not any(os.path.exists(f"/proc/{process.pid}") for process in self.started.processes)

    async def test_it_is_the_same_as_reading_here(self) -> None:
        """Whatever is in the file: valid, invalid, other things, no YAML, no UTF-8, and nothing at all."""
        other = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: echo}\n"
        texts: dict[str, str | bytes] = {
            "a.yaml": gateway("a") + broken_gateway("b") + other + gateway("c") + "  colour: red\n",
            "b.yaml": gateway("a") + UNPARSABLE,
            "c.yaml": b"kind: \xff\n",
            "d.yaml": "",
        }
        news: dict[str, Sight | None] = {}
        for name, text in texts.items():
            news |= self.write(name, PADDING + text if isinstance(text, str) else PADDING.encode() + text)
        here = {
            path: run_through(reading_of(content_of(path, sight), path, "files", "edge"))
            for path, sight in news.items()
            if sight is not None
        }
        self.assertEqual(await self.ask(news), here)
        self.assertEqual([reading.readable for reading in here.values()], [True, False, False, True])
        self.assertEqual(len(self.started.processes), 1)

    async def test_what_is_not_large(self) -> None:
        """Files that are small, gone, not to be looked at or too large to be read at all: nothing is started."""
        self.patch(large_files, "MAX_FILE_SIZE", LARGE + 1)
        news = self.write("a.yaml", "#" * (LARGE - 1)) | self.write("b.yaml", "#" * (LARGE + 2))
        news |= {"/nowhere/c.yaml": None, "/nowhere/d.yaml": "not a regular file"}
        self.assertEqual((await self.ask(news), self.started.processes), ({}, []))

    async def test_a_file_that_has_changed_meanwhile(self) -> None:
        """It is not what was asked for, and the others are read."""
        news = self.write("a.yaml", PADDING) | self.write("b.yaml", PADDING)
        self.write("a.yaml", PADDING + gateway("a"))
        readings = await self.ask(news)
        self.assertEqual([reading is None for reading in readings.values()], [True, False])

    async def test_a_process_that_is_killed(self) -> None:
        """The file is left to whoever asked, with one warning that says why; the next file has a fresh process."""
        self.started.stopped = True
        news = self.write("a.yaml", PADDING) | self.write("b.yaml", PADDING + gateway("b"))
        a, b = news
        with capturedLogs() as events:
            asked = self.ask(news)
            self.started.stopped = False
            self.started.processes[0].kill()
            readings = await asked
        self.assertEqual((list(readings), len(self.started.processes)), ([b], 2))
        said = [formatEvent(event) for event in events if event["log_namespace"].startswith("meshgate")]
        why = f"{a} is read in the gateway's own process: the one for large files was killed by SIGKILL"
        self.assertEqual(said, [why])

    async def test_one_that_is_killed_while_idle(self) -> None:
        """Nobody misses it, and the next file has a fresh one."""
        news = self.write("a.yaml", PADDING)
        await self.ask(news)
        with capturedLogs() as events:
            self.started.processes[0].kill()
            await self.started.processes[0].ended
            self.assertEqual(list(await self.ask(news)), list(news))
        self.assertEqual((len(self.started.processes), events), (2, []))

    async def test_one_that_cannot_be_started(self) -> None:
        """The file is left to whoever asked, with a warning; and it is tried again for the next."""
        news = self.write("a.yaml", PADDING)
        with capturedLogs() as events:
            patch = self.patch(sys, "executable", "/nowhere/python")
            self.assertEqual(await self.ask(news), {})
        why = "the one for large files cannot be started: No such file or directory"
        self.assertTrue([event for event in events if formatEvent(event).endswith(why)], events)
        patch.restore()
        self.assertEqual(list(await self.ask(news)), list(news))

    async def test_stop_in_the_middle(self) -> None:
        """It ends at once, and no process is left."""
        self.started.stopped = True
        asked = self.ask(self.write("a.yaml", PADDING))
        asked.cancel()
        await self.assertFailure(asked, CancelledError)
        await maybeDeferred(self.files.stop)
        self.assertTrue(self.gone())

    async def test_an_idle_process_ends(self) -> None:
        """Time runs anew from each file; after that the next file has a fresh process."""
        clock = SocketsAndClock()
        self.files = LargeFiles(clock, "files", "edge")
        news = self.write("a.yaml", PADDING)

        async def answered() -> list[str]:
            reading = self.ask(news)

            def complete() -> bool:
                clock.advance(0)
                return reading.called

            await wait_for(complete, "the answer")
            return list(await reading)

        for _ in range(2):
            self.assertEqual(await answered(), list(news))
            clock.advance(IDLE - 1)
            self.assertFalse(self.gone())
        clock.advance(1)

        def ended() -> bool:
            clock.advance(0.01)
            return self.gone()

        await wait_for(ended, "the end of the process")
        self.assertEqual(await answered(), list(news))
        self.assertEqual(len(self.started.processes), 2)
        self.files.stop()
        await wait_for(ended, "the end of the second")
