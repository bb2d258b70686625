"""Tests of :mod:`meshgate.state.figures`: real files, a real thread."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.providers.feed import ProviderFigures
from meshgate.routing.failing_endpoints import EJECTED, UNHEALTHY, LeftOut
from meshgate.state.figures import Figures, FiguresFile, FiguresText
from meshgate.state.folder import StateFolder, WriteReport, holder
from meshgate.transport.dns.resolver import NameFigures
from meshgate.workers.slot import WorkerFigures
from tests.support import new_folder, reactor, wait_for

PROCESS = {"pid": 7, "started": "then"}


class FiguresTextTests(SynchronousTestCase):
    """:class:`FiguresText`."""

    def test_everything(self) -> None:
        """What the file tells; times are those that people read."""
        figures = Figures(
            PROCESS,
            3,
            2,
            {"ok": 2, "idle": 1},
            (WorkerFigures(1, 8, 4), WorkerFigures(2, None, 1, 2)),
            (
                LeftOut("x:80", "10.0.0.7:80", EJECTED, 60.0, 2),
                LeftOut("x:80", "10.0.0.8:80", UNHEALTHY, None, 2, "there is no answer"),
            ),
            (ProviderFigures("files", 4, 1.5), ProviderFigures("own", 0, None, 2.0, "no")),
            {"b.org": NameFigures(("10.0.0.1",), 3.0), "a.org": NameFigures((), None, 4.0, "unknown")},
        )
        worker = {"connections": 4, "pid": 8, "restarts": 0, "worker": 1}
        expected: dict[str, Any] = {
            **PROCESS,
            "generation": 3,
            "live_generation": 2,
            "connections": 5,
            "ended": {"idle": 1, "ok": 2},
            "workers": [worker, {"worker": 2, "pid": None, "connections": 1, "restarts": 2}],
            "failing_endpoints": [
                {
                    "destination": "x:80",
                    "endpoint": "10.0.0.7:80",
                    "state": "ejected",
                    "until": "1970-01-01T00:01:00.000Z",
                    "workers": 2,
                    "reason": "",
                },
                {
                    "destination": "x:80",
                    "endpoint": "10.0.0.8:80",
                    "state": "unhealthy",
                    "until": None,
                    "workers": 2,
                    "reason": "there is no answer",
                },
            ],
            "providers": [
                {
                    "name": "files",
                    "resources": 4,
                    "published": "1970-01-01T00:00:01.500Z",
                    "failing_since": None,
                    "reason": "",
                },
                {
                    "name": "own",
                    "resources": 0,
                    "published": None,
                    "failing_since": "1970-01-01T00:00:02.000Z",
                    "reason": "no",
                },
            ],
            "names": [
                {
                    "name": "a.org",
                    "addresses": [],
                    "answered": None,
                    "failing_since": "1970-01-01T00:00:04.000Z",
                    "reason": "unknown",
                },
                {
                    "name": "b.org",
                    "addresses": ["10.0.0.1"],
                    "answered": "1970-01-01T00:00:03.000Z",
                    "failing_since": None,
                    "reason": "",
                },
            ],
        }
        self.assertEqual(json.loads(FiguresText().make(figures)), expected)


class FiguresFileTests(TestCase):
    """:class:`FiguresFile` on the real reactor."""

    timeout = 60

    def setUp(self) -> None:
        """Write figures of which the test changes one."""
        self.path = new_folder(self) / "state"
        self.state = StateFolder()
        self.state.hold(self.path)
        self.addCleanup(self.state.release)
        self.connections = 0
        self.renewals = 0
        self.file = FiguresFile(reactor, self.state, WriteReport(self.state), self.gather, self.renew)
        (self.path / "status.json").touch()
        self.file.start()
        self.addCleanup(self.stop)

    async def stop(self) -> None:
        """Leave nothing."""
        await self.file.stop()

    def gather(self) -> Figures:
        """The figures of the moment."""
        return Figures(PROCESS, 1, 1, {}, (WorkerFigures(1, 7, self.connections),))

    def renew(self) -> None:
        """The other file is gone; it is written by this test."""
        self.renewals += 1
        (self.path / "status.json").touch()

    async def counted(self, number: int) -> dict[str, Any]:
        """Wait until the file has so many connections."""

        def read() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = json.loads((self.path / "figures.json").read_text())
            except OSError:
                return None
            return found if found["connections"] == number else None

        found = await wait_for(read, f"{number} connections")
        assert found is not None
        return found

    async def test_within_a_second(self) -> None:
        """What has changed is there soon, and nothing is written where nothing has."""
        await self.counted(0)
        self.connections = 3
        began = reactor.seconds()
        first = await self.counted(3)
        self.assertLess(reactor.seconds() - began, 1.0)
        written = (self.path / "figures.json").stat()
        await wait_for(lambda: reactor.seconds() > began + 2, "two seconds")
        self.assertEqual((self.path / "figures.json").stat().st_ino, written.st_ino)
        self.connections = 4
        self.assertGreater((await self.counted(4))["counted"], first["counted"])

    async def test_a_folder_that_is_removed(self) -> None:
        """The folder is made anew, held, and everything is written there again."""
        await self.counted(0)
        shutil.rmtree(self.path)
        await self.counted(0)
        self.assertEqual(holder(self.path).held, True)
        await wait_for(lambda: self.renewals == 1, "the other file")

    async def test_a_file_that_is_removed(self) -> None:
        """So is a single file: something may clean up here."""
        for name in ("figures.json", "status.json", "meshgate.lock"):
            await self.counted(0)
            (self.path / name).unlink()
            await wait_for((self.path / name).exists, name)

    async def test_a_folder_that_cannot_be_written(self) -> None:
        """It is tried again until it can be."""
        await self.counted(0)
        await self.refuse(self.block)
        self.path.unlink()
        await self.counted(5)
        self.assertEqual(holder(self.path).facts, {})

    async def test_a_folder_of_another_gateway(self) -> None:
        """A folder that another gateway has taken meanwhile is left to it, until that ends."""
        await self.counted(0)
        other = StateFolder()

        def take() -> None:
            shutil.rmtree(self.path)
            other.hold(self.path)

        await self.refuse(take)
        self.assertFalse((self.path / "figures.json").exists())
        other.release()
        await self.counted(5)

    async def refuse(self, spoil: Callable[[], None]) -> None:
        """Spoil the folder, and wait until that was noticed."""
        failed: list[str] = []
        report: Any = self.file._report
        self.patch(report, "failed", lambda name, error: failed.append(name))
        self.connections = 5
        spoil()
        await wait_for(lambda: len(failed) > 1, "two failures")
        self.assertEqual(set(failed), {"figures.json"})

    def block(self) -> None:
        """A file stands where the folder was."""
        shutil.rmtree(self.path)
        Path(self.path).write_text("no folder")
