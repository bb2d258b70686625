"""Tests of :mod:`meshgate.providers.directory.provider` where every change is told, so that it looks at little."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from meshgate.providers.context import ProviderContext
from meshgate.providers.directory import provider as directory
from meshgate.providers.directory.provider import SELDOM, DirectoryFactory
from meshgate.providers.directory.tree import Tree, look
from meshgate.providers.directory.watch import FolderWatch
from tests.providers.directory.test_provider import Scenarios
from tests.route_files import gateway


@implementer(IReactorFDSet)
class HearingClock(Clock):
    """A clock, and a reactor that reads its readers whenever time passes."""

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
class ToldTests(Scenarios, TestCase):
    """Within a second by the clock, though everything is looked at only every ten."""

    poll = 0.5

    def setUp(self) -> None:
        """Count the looks at everything; what file system the tests run on does not matter."""
        self.reactor = HearingClock()
        self.telling = True
        self.patch(directory, "tells_of_changes", lambda paths: self.telling)
        self.looks: list[float] = []

        def counted(*arguments: Any) -> Tree:
            self.looks.append(self.reactor.seconds())
            return look(*arguments)

        self.patch(directory, "look", counted)
        super().setUp()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Let up to a second pass."""
        for _ in range(100):
            self.reactor.pass_time(0.01)
            if condition():
                return
        raise AssertionError(f"a second has passed without {what}")

    def begin_to_hear(self, *paths: Path) -> None:
        """Start, and let it find out that everything is told."""
        self.begin(*paths)
        self.reactor.pass_time(3)
        self.looks.clear()

    def looks_within(self, seconds: float) -> int:
        """How many looks at everything there are in a time."""
        self.looks.clear()
        self.reactor.pass_time(seconds)
        return len(self.looks)

    def test_everything_is_looked_at_seldom(self) -> None:
        """In case of what nobody thought of, but not twice a second."""
        self.begin_to_hear()
        self.assertEqual(self.looks_within(10 * SELDOM), 10)

    async def test_also_while_something_changes(self) -> None:
        """A file that changes all the time is looked at alone, and still everything now and then."""
        self.begin_to_hear()
        for port in range(8000, 8040):
            self.write("a.yaml", gateway("a", port))
            await self.until_ports(a=port)
            self.reactor.pass_time(0.9)
        self.assertLessEqual(len(self.looks), self.reactor.seconds() / SELDOM + 1)
        self.assertGreaterEqual(len(self.looks), 3)

    def test_as_often_as_the_user_wants(self) -> None:
        """Who says how often means it."""
        options = DirectoryFactory().parse_options({"paths": ["routes"], "poll": "1s"}, str(self.home))
        self.assertEqual((options.poll, options.seldom), (1, 1))
        provider = DirectoryFactory().create("files", options, ProviderContext(self.reactor))
        provider.start(self.sink)
        self.addCleanup(provider.stop)
        self.reactor.pass_time(3)
        self.assertIn(self.looks_within(20), range(18, 21))

    def test_a_file_system_that_does_not_tell(self) -> None:
        """It is looked at as if nothing could be heard."""
        self.telling = False
        self.begin_to_hear()
        self.assertGreaterEqual(self.looks_within(10), 15)

    def test_links(self) -> None:
        """What a link leads to, and a file with another name elsewhere, may change where nobody hears it."""
        elsewhere = self.home / "elsewhere"
        elsewhere.write_text(gateway("b"))
        for make in (os.symlink, os.link):
            make(elsewhere, self.folder / "b.yaml")
            self.begin_to_hear()
            self.assertGreaterEqual(self.looks_within(10), 15)
            elsewhere.write_text(gateway("b", 8443))
            self.reactor.pass_time(1)
            self.assertEqual(self.sink.ports["b"], 8443)
            elsewhere.write_text(gateway("b"))
            (self.folder / "b.yaml").unlink()

    async def test_a_link_that_comes_later(self) -> None:
        """Likewise, as soon as it is there."""
        self.begin_to_hear()
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
        self.begin_to_hear(current)
        self.assertEqual(self.looks_within(5), 0)
        fresh = self.home / "fresh"
        fresh.symlink_to(other)
        fresh.rename(current)
        await self.until_ports(b=443)

    async def test_a_folder_above_that_is_replaced(self) -> None:
        """Nothing happens in the folder that is watched, and in none beside it."""
        path = self.home / "up" / "down" / "routes"
        path.mkdir(parents=True)
        (path / "a.yaml").write_text(gateway("a"))
        self.begin_to_hear(path)
        self.assertEqual(self.looks_within(5), 0)
        (self.home / "up").rename(self.home / "away")
        path.mkdir(parents=True)
        (path / "b.yaml").write_text(gateway("b"))
        await self.until_ports(b=443)

    async def test_a_folder_that_cannot_be_watched(self) -> None:
        """Where there are no watches left, one is looked at as if nothing could be heard."""
        (self.folder / "inner").mkdir()
        self.write("inner/b.yaml", gateway("b"))
        add = FolderWatch._watch

        def refuse(watch: FolderWatch, path: str, interest: Any) -> None:
            if not path.endswith("inner"):
                add(watch, path, interest)

        self.patch(FolderWatch, "_watch", refuse)
        self.begin_to_hear()
        self.write("inner/b.yaml", gateway("b", 8443))
        await self.until_ports(a=443, b=8443)
        self.assertGreaterEqual(self.looks_within(10), 15)

    async def test_what_nobody_told(self) -> None:
        """Should it happen all the same, it takes effect with the next look at everything."""
        self.begin_to_hear()
        self.patch(FolderWatch, "doRead", lambda watch: None)
        self.write("a.yaml", gateway("a", 8443))
        self.reactor.pass_time(SELDOM + 1)
        self.assertEqual(self.sink.ports, {"a": 8443})
