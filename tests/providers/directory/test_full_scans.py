"""Tests of the full scans of :mod:`meshgate.providers.directory.provider`, which inotify makes rare."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from meshgate.providers.directory import provider as directory
from meshgate.providers.directory.provider import FULL_SCAN, DirectoryFactory
from meshgate.providers.directory.tree import Tree, scan
from meshgate.providers.directory.watch import FolderWatch, Interest
from meshgate.providers.interfaces import ProviderContext
from tests.providers.directory.test_provider import Scenarios
from tests.route_files import gateway


@implementer(IReactorFDSet)
class ReadingClock(Clock):
    """A clock, and a reactor that calls its readers whenever time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.addReader = self.readers.append
        self.removeReader = self.readers.remove

    def addWriter(self, writer: object) -> None:
        """As IReactorFDSet; nobody does that here."""
        raise NotImplementedError

    removeWriter = addWriter
    removeAll = getReaders = getWriters = None

    def pass_time(self, seconds: float) -> None:
        """In small steps."""
        for _ in range(round(seconds / 0.01)):
            for reader in list(self.readers):
                reader.doRead()
            self.advance(0.01)


@skipUnless(os.path.exists("/proc/sys/fs/inotify"), "inotify is part of Linux")
class FullScanTests(Scenarios, TestCase):
    """Changes take effect within a second by the clock, though everything is scanned only every ten."""

    poll = 0.5

    def setUp(self) -> None:
        """Count the scans, on a file system that inotify reports every change of."""
        self.reactor = ReadingClock()
        self.reported = True
        self.patch(directory, "reports_every_change", lambda paths: self.reported)
        self.scans: list[float] = []

        def counted(*arguments: Any) -> Tree:
            self.scans.append(self.reactor.seconds())
            return scan(*arguments)

        self.patch(directory, "scan", counted)
        super().setUp()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Let up to a second pass."""
        for _ in range(100):
            self.reactor.pass_time(0.01)
            if condition():
                return
        raise AssertionError(f"a second has passed without {what}")

    def begin_watched(self, *paths: Path) -> None:
        """Start, and wait until every folder is watched."""
        self.begin(*paths)
        self.reactor.pass_time(3)
        self.scans.clear()

    def scans_within(self, seconds: float) -> int:
        """Return the number of scans in a time."""
        self.scans.clear()
        self.reactor.pass_time(seconds)
        return len(self.scans)

    def test_scans_are_rare(self) -> None:
        """While inotify reports every change, one scan in ten seconds is enough."""
        self.begin_watched()
        self.assertEqual(self.scans_within(10 * FULL_SCAN), 10)

    async def test_also_while_something_changes(self) -> None:
        """A file that changes all the time is checked alone; scans are as rare as without changes, but go on."""
        self.begin_watched()
        for port in range(8000, 8040):
            self.write("a.yaml", gateway("a", port))
            await self.until_ports(a=port)
            self.reactor.pass_time(0.9)
        self.assertLessEqual(len(self.scans), self.reactor.seconds() / FULL_SCAN + 1)
        self.assertGreaterEqual(len(self.scans), 3)

    def test_as_often_as_the_user_wants(self) -> None:
        """A poll in the settings is the pause between scans as well."""
        options = DirectoryFactory().parse_options({"paths": ["routes"], "poll": "1s"}, str(self.home))
        self.assertEqual((options.poll, options.full_scan), (1, 1))
        provider = DirectoryFactory().create("files", options, ProviderContext(self.reactor))
        provider.start(self.sink)
        self.addCleanup(provider.stop)
        self.reactor.pass_time(3)
        self.assertIn(self.scans_within(20), range(18, 21))

    def test_a_file_system_without_events(self) -> None:
        """It is scanned with every poll."""
        self.reported = False
        self.begin_watched()
        self.assertGreaterEqual(self.scans_within(10), 15)

    def test_links(self) -> None:
        """The target of a link, and a file with a second name elsewhere, may change without an event."""
        elsewhere = self.home / "elsewhere"
        elsewhere.write_text(gateway("b"))
        for make in (os.symlink, os.link):
            make(elsewhere, self.folder / "b.yaml")
            self.begin_watched()
            self.assertGreaterEqual(self.scans_within(10), 15)
            elsewhere.write_text(gateway("b", 8443))
            self.reactor.pass_time(1)
            self.assertEqual(self.sink.ports["b"], 8443)
            elsewhere.write_text(gateway("b"))
            (self.folder / "b.yaml").unlink()

    async def test_a_link_that_comes_later(self) -> None:
        """Likewise, as soon as it is there."""
        self.begin_watched()
        elsewhere = self.home / "elsewhere"
        elsewhere.write_text(gateway("b"))
        (self.folder / "b.yaml").symlink_to(elsewhere)
        await self.until_ports(a=443, b=443)
        elsewhere.write_text(gateway("b", 8443))
        await self.until_ports(a=443, b=8443)

    async def test_a_path_that_leads_elsewhere(self) -> None:
        """A link in the path itself is put on another folder: nothing happens in the old one."""
        other = self.home / "other"
        other.mkdir()
        (other / "b.yaml").write_text(gateway("b"))
        current = self.home / "current"
        current.symlink_to(self.folder)
        self.begin_watched(current)
        self.assertEqual(self.scans_within(5), 0)
        fresh = self.home / "fresh"
        fresh.symlink_to(other)
        fresh.rename(current)
        await self.until_ports(b=443)

    async def test_a_folder_above_that_is_replaced(self) -> None:
        """Nothing happens in the folder that is watched, and in none beside it."""
        path = self.home / "up" / "down" / "routes"
        path.mkdir(parents=True)
        (path / "a.yaml").write_text(gateway("a"))
        self.begin_watched(path)
        self.assertEqual(self.scans_within(5), 0)
        (self.home / "up").rename(self.home / "away")
        path.mkdir(parents=True)
        (path / "b.yaml").write_text(gateway("b"))
        await self.until_ports(b=443)

    async def test_a_folder_that_cannot_be_watched(self) -> None:
        """When the system has no watch left for one of the folders, everything is scanned with every poll."""
        (self.folder / "inner").mkdir()
        self.write("inner/b.yaml", gateway("b"))
        follow = FolderWatch.follow

        def follow_others(watch: FolderWatch, folders: Mapping[str, Interest]) -> None:
            follow(watch, {path: interest for path, interest in folders.items() if not path.endswith("inner")})

        self.patch(FolderWatch, "follow", follow_others)
        self.patch(FolderWatch, "is_complete", False)
        self.begin_watched()
        self.write("inner/b.yaml", gateway("b", 8443))
        await self.until_ports(a=443, b=8443)
        self.assertGreaterEqual(self.scans_within(10), 15)

    async def test_a_lost_event(self) -> None:
        """A change without an event takes effect with the next scan."""
        self.begin_watched()
        self.patch(FolderWatch, "doRead", lambda watch: None)
        self.write("a.yaml", gateway("a", 8443))
        self.reactor.pass_time(FULL_SCAN + 1)
        self.assertEqual(self.sink.ports, {"a": 8443})
