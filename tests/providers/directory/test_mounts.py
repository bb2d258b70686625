"""Tests of :mod:`meshgate.providers.directory.mounts`."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import skipUnless

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.directory.mounts import LOCAL_TYPES, MOUNTS, is_local, read_mounts, reports_every_change
from tests.support import new_folder

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
