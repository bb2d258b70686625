"""Tests of :mod:`meshgate.providers.directory.watch`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from unittest import skipUnless

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.providers.directory.watch import FolderWatch, Interest
from tests.support import new_folder, reactor, wait_for


def identity(path: Path) -> tuple[int, int]:
    """Device and inode."""
    status = path.stat()
    return (status.st_dev, status.st_ino)


@skipUnless(os.path.exists("/proc/sys/fs/inotify"), "inotify is part of Linux")
class FolderWatchTests(TestCase):
    """:class:`FolderWatch`, on the real reactor and real folders."""

    def setUp(self) -> None:
        """A watch on an empty folder, with events counted."""
        self.folder = new_folder(self)
        self.events = 0
        self.watch = FolderWatch(reactor, self.count)
        self.watch.start()
        self.addCleanup(self.watch.stop)
        self.follow(self.folder)

    def count(self, paths: frozenset[str] | None) -> None:
        """Something happened."""
        self.events += 1
        self.paths = paths

    def follow(self, *folders: Path) -> None:
        """Watch these folders, all their entries."""
        self.watch.follow({str(folder): Interest(identity(folder)) for folder in folders})

    async def event(self) -> None:
        """Wait for an event, and clear the count."""
        await wait_for(lambda: self.events, "an event")
        self.events = 0

    def assert_silence(self) -> None:
        """Nothing of interest is in the queue: the kernel fills it before the change itself returns."""
        self.watch.doRead()
        self.assertEqual(self.events, 0)

    async def test_changes_are_reported(self) -> None:
        """Writing, replacing, removing, linking and re-permitting a file are events."""
        path = self.folder / "a.yaml"
        path.write_text("a: 1\n")
        await self.event()
        path.write_text("a: 2\n")
        await self.event()
        other = self.folder / "b"
        other.write_text("a: 3\n")
        await self.event()
        other.rename(path)
        await self.event()
        path.chmod(0o600)
        await self.event()
        os.symlink("a.yaml", self.folder / "link")
        await self.event()
        path.unlink()
        await self.event()

    async def test_a_file_still_open_is_not_reported(self) -> None:
        """A file that is being written causes no event until it is closed."""
        path = self.folder / "a.yaml"
        with path.open("w") as file:
            await self.event()
            file.write("a: 1\n")
            file.flush()
            self.assert_silence()
        await self.event()

    async def test_only_the_wanted_names_are_reported(self) -> None:
        """Changes beside a named file are no events."""
        self.watch.follow({str(self.folder): Interest(names=frozenset({"a.yaml"}))})
        (self.folder / "noise").write_text("x")
        self.assert_silence()
        (self.folder / "a.yaml").write_text("x")
        await self.event()

    async def test_one_folder_under_two_paths(self) -> None:
        """Both interests count, and when one ends the other one stays."""
        link = new_folder(self) / "link"
        link.symlink_to(self.folder)
        named = Interest(names=frozenset({"a.yaml"}))
        self.watch.follow({str(self.folder): named, str(link): Interest()})
        (self.folder / "other").write_text("x")
        await self.event()
        self.watch.follow({str(self.folder): named})
        (self.folder / "a.yaml").write_text("x")
        await self.event()

    async def test_a_folder_no_longer_followed_is_silent(self) -> None:
        """Its changes are no events any more."""
        other = new_folder(self)
        self.follow(other)
        (self.folder / "a.yaml").write_text("x")
        self.assert_silence()
        (other / "a.yaml").write_text("x")
        await self.event()

    async def test_removed_folders_do_not_end_it(self) -> None:
        """Several watched folders may vanish at once; the others are still watched, and so is a successor."""
        inner = [self.folder / "one", self.folder / "one" / "two"]
        for folder in inner:
            folder.mkdir()
        self.follow(self.folder, *inner)
        shutil.rmtree(inner[0])
        await self.event()
        self.follow(self.folder)
        inner[0].mkdir()
        await self.event()
        self.follow(self.folder, inner[0])
        (inner[0] / "a.yaml").write_text("x")
        await self.event()

    async def test_a_replaced_folder_is_watched_anew(self) -> None:
        """Another folder of the same name is another folder."""
        path = self.folder / "routes"
        path.mkdir()
        self.follow(path)
        path.rename(self.folder / "old")
        path.mkdir()
        await self.event()
        self.follow(path)
        (path / "a.yaml").write_text("x")
        await self.event()

    async def test_a_folder_that_cannot_be_watched(self) -> None:
        """One that vanished meanwhile is skipped, and the others are watched."""
        self.assertTrue(self.watch.is_complete)
        self.watch.follow({str(self.folder / "gone"): Interest(), str(self.folder): Interest()})
        self.assertFalse(self.watch.is_complete)
        (self.folder / "a.yaml").write_text("x")
        await self.event()

    async def test_an_overflow_is_an_event(self) -> None:
        """The kernel reports that it has dropped events; then anything may have changed."""
        self.watch.follow({})
        read = os.read
        overflow = b"\xff\xff\xff\xff\x00\x40\x00\x00" + bytes(8)
        self.patch(os, "read", lambda fd, size: overflow if fd == self.watch.fileno() else read(fd, size))
        self.watch.doRead()
        self.assertEqual((self.events, self.paths), (1, None))

    async def test_it_leaves_no_descriptor(self) -> None:
        """A stopped watch has closed its descriptor, and may be stopped twice."""
        descriptor = self.watch.fileno()
        self.watch.stop()
        self.watch.stop()
        self.assertRaises(OSError, os.fstat, descriptor)


class WithoutInotifyTests(SynchronousTestCase):
    """A system without inotify."""

    def test_a_reactor_without_descriptors(self) -> None:
        """There are no events, and everything else works."""
        watch = FolderWatch(Clock(), lambda paths: None)
        watch.start()
        watch.follow({"/": Interest()})
        self.assertFalse(watch.is_open or watch.is_complete)
        watch.stop()
