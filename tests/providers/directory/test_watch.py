"""Tests of :mod:`meshgate.providers.directory.watch`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from unittest import skipUnless

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.providers.directory.watch import (
    LOCAL_TYPES,
    MOUNTS,
    FolderWatch,
    Interest,
    is_local,
    read_mounts,
    reports_every_change,
)
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


LIST = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
24 22 0:40 / /srv/with\040space rw shared:5 master:2 - nfs4 server:/share rw
25 22 0:41 / /srv/local rw - tmpfs tmpfs rw
26 25 0:42 / /srv/local/lent/deep rw - fuse.sshfs host: rw
"""

PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map(lambda names: "/" + "/".join(names))


def slow_is_local(path: str, mounts: list[tuple[str, str]]) -> bool:
    """Answer like :func:`is_local`, by going up from the path until something is mounted there."""

    def names(path: str) -> list[str]:
        return [name for name in path.split("/") if name]

    own = names(path)
    if any(len(names(point)) > len(own) and names(point)[: len(own)] == own for point, _ in mounts):
        return False
    for length in range(len(own), -1, -1):
        types = [file_system for point, file_system in mounts if names(point) == own[:length]]
        if types:
            return types[-1] in LOCAL_TYPES
    return False


class MountsTests(SynchronousTestCase):
    """The paths on which inotify reports every change."""

    def test_by_the_nearest_mount(self) -> None:
        """The file system that a path lies on decides; a name that only begins alike does not."""
        mounts = list(read_mounts(LIST))
        for path, local in (
            ("/etc/meshgate", True),
            ("/", False),  # much is mounted below
            ("/srv/with space/routes", False),
            ("/srv/with space", False),
            ("/srv/with spaces", True),
            ("/srv/local", False),
            ("/srv/local/routes", True),
            ("/srv/local/lent", False),
            ("/proc/self", False),
        ):
            self.assertEqual(is_local(path, mounts), local, path)

    def test_what_is_mounted_later_hides(self) -> None:
        """Of two file systems at one mount point, the later one counts."""
        mounts = [("/", "ext4"), ("/a", "nfs4"), ("/a", "tmpfs")]
        self.assertTrue(is_local("/a/b", mounts))
        self.assertFalse(is_local("/a/b", [*mounts, ("/a", "cifs")]))

    def test_what_is_no_list_of_mounts(self) -> None:
        """Without a list, no path counts as local, and nothing fails."""
        for text in ("", "\n\n", "nonsense", "1 2 3 - ext4", " - "):
            self.assertEqual(list(read_mounts(text)), [], text)
        source = Path(new_folder(self), "mounts")
        self.assertFalse(reports_every_change(["/"], source))

    def test_links_in_a_path(self) -> None:
        """The file system behind the links counts."""
        home = Path(new_folder(self))
        (home / "link").symlink_to("/srv/local/routes")
        source = home / "mounts"
        source.write_text(LIST + f"27 22 0:43 / {home} rw - cifs //host/share rw\n")
        self.assertTrue(reports_every_change([str(home / "link")], source))
        self.assertFalse(reports_every_change([str(home / "link"), str(home)], source))

    @skipUnless(MOUNTS.exists(), "the list of mounts is part of Linux")
    def test_of_this_machine(self) -> None:
        """The kernel's list can be read; it has /proc, and the file system of the tests' folder."""
        mounts = list(read_mounts(MOUNTS.read_text()))
        self.assertIn(("/proc", "proc"), mounts)
        self.assertFalse(reports_every_change(["/proc/sys"]))
        folder = os.path.realpath(new_folder(self))
        self.assertTrue(any(folder.startswith(mount_point) for mount_point, _ in mounts))

    @given(PATHS, st.lists(st.tuples(PATHS, st.sampled_from(["ext4", "nfs4", "tmpfs"])), max_size=6))
    def test_like_the_slow_one(self, path: str, mounts: list[tuple[str, str]]) -> None:
        """Whatever is mounted where."""
        self.assertEqual(is_local(path, mounts), slow_is_local(path, mounts))

    @given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=60))
    def test_any_line(self, line: str) -> None:
        """No line of any list fails."""
        self.assertLessEqual(len(list(read_mounts(line))), max(1, len(line.splitlines())))
