"""Tests of :mod:`meshgate.publishing` and of how :mod:`meshgate.status` writes its file: real files, a real thread."""

from __future__ import annotations

import gc
import json
from collections.abc import Generator
from pathlib import Path
from threading import Event

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.publishing import StatusFile
from meshgate.routing.table import RoutingTable
from meshgate.status import WRITTEN_AT_ONCE, StatusContent, read_status, write_status
from tests.support import new_folder, reactor, wait_for


class StatusFileTests(TestCase):
    """A :class:`StatusFile` on the real reactor."""

    async def test_nothing_is_walked_meanwhile(self) -> None:
        """The collector is off while the text is made: it would walk thousands of rows, each time a little is done."""
        folder = new_folder(self)
        collecting: list[bool] = []

        def gather() -> Generator[None, None, StatusContent]:
            yield
            collecting.append(gc.isenabled())
            return StatusContent(RoutingTable(7, {}), {}, (), {"version": "1"}, {})

        file = StatusFile(reactor, lambda: folder, gather)
        file.write_soon()
        await wait_for((folder / "status.json").exists, "the document")
        await file.stop()
        self.assertEqual((collecting, gc.isenabled()), ([False], True))
        self.assertEqual(read_status(folder)["generation"], 7)

    async def test_a_stop_in_the_middle_leaves_nothing(self) -> None:
        """A stop while the thread writes waits for it, and leaves no timer for the next document behind."""
        folder = new_folder(self)
        begun, go_on = Event(), Event()
        self.addCleanup(go_on.set)

        def gather() -> Generator[None, None, StatusContent]:
            yield
            return StatusContent(RoutingTable(7, {}), {}, (), {"version": "1"}, {})

        def slow_folder() -> Path:
            begun.set()
            go_on.wait(10)
            return folder

        file = StatusFile(reactor, slow_folder, gather)
        file.write_soon()
        await wait_for(begun.is_set, "the thread")
        before = reactor.getDelayedCalls()  # trial's own
        stopped = Deferred.fromCoroutine(file.stop())
        self.assertNoResult(stopped)
        go_on.set()
        await stopped
        self.assertEqual(read_status(folder)["generation"], 7)
        self.assertEqual([call for call in reactor.getDelayedCalls() if call not in before], [])


class WriteStatusTests(SynchronousTestCase):
    """:func:`write_status`."""

    def test_rests(self) -> None:
        """Who writes in a thread rests after some pieces each; the file is whole, and nothing else is left."""
        folder = new_folder(self)
        rests: list[int] = []
        pieces = ["[", *["1, "] * (2 * WRITTEN_AT_ONCE), "1]"]
        write_status(folder, pieces, lambda: rests.append(len(list(folder.iterdir()))))
        self.assertEqual(rests, [1, 1, 1])
        self.assertEqual(json.loads((folder / "status.json").read_text()), [1] * (2 * WRITTEN_AT_ONCE + 1))
        self.assertEqual([path.name for path in folder.iterdir()], ["status.json"])
