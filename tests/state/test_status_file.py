"""Tests of :mod:`meshgate.state.status_file`: real files, a real thread."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from meshgate.routing.table import RoutingTable
from meshgate.state.folder import StateFolder, WriteReport, holder
from meshgate.state.status_file import StatusFile
from meshgate.state.status_text import StatusContent, read_status
from tests.support import new_folder, reactor, wait_for


class StatusFileTests(TestCase):
    """A :class:`StatusFile` on the real reactor."""

    def setUp(self) -> None:
        """Hold a folder, and count the documents that are made."""
        self.folder = new_folder(self)
        self.state = StateFolder()
        self.state.hold(self.folder)
        self.addCleanup(self.state.release)
        self.made = 0
        self.file = StatusFile(reactor, self.state, WriteReport(self.state), self.gather)

    def gather(self) -> StatusContent:
        """A small document."""
        self.made += 1
        return StatusContent(RoutingTable(7, {}), {}, (), {"version": "1", "running": True}, {})

    async def test_it_is_written_soon(self) -> None:
        """A document that is asked for is made and written, once for those who ask at the same time."""
        self.file.write_soon()
        self.file.write_soon()
        await wait_for((self.folder / "status.json").exists, "the document")
        await self.file.stop()
        self.assertEqual((self.made, read_status(self.folder)["generation"]), (1, 7))

    async def test_a_stop_in_the_middle_leaves_nothing(self) -> None:
        """A stop while the thread writes waits for it, and leaves no timer for the next document behind."""
        begun, go_on = Event(), Event()
        self.addCleanup(go_on.set)
        find = self.state.file

        def find_slowly(name: str) -> Path:
            begun.set()
            go_on.wait(10)
            return find(name)

        self.patch(self.state, "file", find_slowly)
        self.file.write_soon()
        await wait_for(begun.is_set, "the thread")
        before = reactor.getDelayedCalls()  # trial's own
        stopped = Deferred.fromCoroutine(self.file.stop())
        self.assertNoResult(stopped)
        go_on.set()
        await stopped
        self.assertEqual(read_status(self.folder)["generation"], 7)
        self.assertEqual([call for call in reactor.getDelayedCalls() if call not in before], [])

    async def test_what_could_not_be_written_is_tried_again(self) -> None:
        """A document that could not be written is made and written again as soon as that is possible."""
        in_the_way = self.folder / "status.json"
        in_the_way.mkdir()
        self.file.write_soon()
        await wait_for(lambda: "not_written" in holder(self.folder).facts, "the failure")
        in_the_way.rmdir()
        await wait_for(in_the_way.is_file, "the document")
        await self.file.stop()
        self.assertEqual(self.made, 2)
