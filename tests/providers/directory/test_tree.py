"""Tests of :mod:`meshgate.providers.directory.tree`."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Set
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.directory.tree import Tree, lead_to, recheck, scan
from tests.support import new_folder


def seen(*paths: Path) -> Tree:
    """Scan the paths."""
    return scan(map(str, paths))


class ScanTests(SynchronousTestCase):
    """:func:`scan`, over real folders."""

    def setUp(self) -> None:
        """An empty folder."""
        self.folder = new_folder(self)

    def write(self, name: str, text: str = "a: 1\n") -> Path:
        """A file in the folder, its parents made as needed."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def found(self, *paths: Path) -> list[str]:
        """The route files found, relative to the folder."""
        return sorted(os.path.relpath(path, self.folder) for path in seen(*(paths or [self.folder])).files)

    def test_route_files_are_found(self) -> None:
        """YAML and JSON files are, by their suffix, in sub-folders too."""
        for name in ("b.yaml", "a.yml", "c.json", "deep/er/d.yaml"):
            self.write(name)
        self.assertEqual(self.found(), ["a.yml", "b.yaml", "c.json", "deep/er/d.yaml"])

    def test_other_files_are_not(self) -> None:
        """Notes, backups and editors' swap files are passed over, and whole hidden folders."""
        for name in ("README.md", "a.yaml~", ".a.yaml.swp", ".a.yaml", "#a.yaml#", ".git/a.yaml", "a.yaml.bak"):
            self.write(name)
        self.assertEqual(self.found(), [])

    def test_a_named_file_needs_no_suffix(self) -> None:
        """A file that the user names is a route file whatever its name."""
        self.assertEqual(self.found(self.write("routes.conf")), ["routes.conf"])

    def test_a_file_named_twice_is_there_once(self) -> None:
        """A file in a named folder may be named as well."""
        path = self.write("a.yaml")
        self.assertEqual(self.found(self.folder, path, path), ["a.yaml"])

    def test_a_mounted_config_map(self) -> None:
        """The visible links of a ConfigMap's mount are found, the hidden folders behind them are not."""
        self.write("..2026_01_01/a.yaml")
        os.symlink("..2026_01_01", self.folder / "..data")
        os.symlink("..data/a.yaml", self.folder / "a.yaml")
        self.assertEqual(self.found(), ["a.yaml"])

    def test_circles_of_links_end(self) -> None:
        """Links that lead back up are followed no further than once."""
        self.write("deep/a.yaml")
        os.symlink("..", self.folder / "deep" / "up")
        os.symlink(".", self.folder / "deep" / "self")
        self.assertEqual(self.found(), ["deep/a.yaml"])

    def test_a_folder_under_two_names_is_there_once(self) -> None:
        """A link beside a folder does not double its routes; the first name stays."""
        self.write("one/a.yaml")
        os.symlink("one", self.folder / "two")
        self.assertEqual(self.found(), ["one/a.yaml"])

    def test_changes_show_in_the_signature(self) -> None:
        """A rewritten, a replaced and a re-permitted file all have another signature."""
        path = self.write("a.yaml")
        before = seen(self.folder).files[str(path)]
        assert isinstance(before, tuple)
        os.utime(path, ns=(1, 1))
        after = seen(self.folder).files[str(path)]
        assert isinstance(after, tuple)
        self.assertEqual(after[:4], (*before[:3], 1))
        replacement = self.write("new")
        os.utime(replacement, ns=(1, 1))
        replacement.rename(path)
        self.assertNotEqual(seen(self.folder).files[str(path)], after)

    def test_a_link_is_followed(self) -> None:
        """The signature is that of the file behind the link, wherever that is."""
        target = new_folder(self) / "target"
        target.write_text("a: 1\n")
        os.symlink(target, self.folder / "a.yaml")
        (state,) = seen(self.folder).files.values()
        assert isinstance(state, tuple)
        self.assertIn(target.stat().st_ino, state)

    def test_a_link_to_nowhere(self) -> None:
        """It is a file without a signature, and not a missing one."""
        os.symlink("gone.yaml", self.folder / "a.yaml")
        self.assertEqual(list(seen(self.folder).files.values()), ["a symbolic link that leads nowhere"])

    def test_a_link_to_itself(self) -> None:
        """It has the system's own reason."""
        os.symlink("a.yaml", self.folder / "a.yaml")
        self.assertEqual(list(seen(self.folder).files.values()), ["Too many levels of symbolic links"])

    def test_a_socket_is_no_file(self) -> None:
        """Something that cannot be read like a file is not opened, which could take for ever."""
        with socket.socket(socket.AF_UNIX) as unix:
            here = os.getcwd()
            os.chdir(self.folder)  # the path of a socket is short
            self.addCleanup(os.chdir, here)
            unix.bind("a.yaml")
        self.assertEqual(list(seen(self.folder).files.values()), ["not a regular file"])

    def test_a_missing_path(self) -> None:
        """A named path that is not there is missing, and so is one below a file."""
        path = self.write("a.yaml")
        tree = seen(self.folder / "b", path / "c")
        self.assertEqual(tree.missing, {str(self.folder / "b"), str(path / "c")})

    def test_a_folder_that_cannot_be_listed_hides(self) -> None:
        """The content of such a folder is unknown, which is not the same as gone."""
        path = self.write("deep/a.yaml")
        real = os.scandir

        def scandir(folder: str) -> Iterator[os.DirEntry[str]]:
            if folder.endswith("deep"):
                raise PermissionError(13, "Permission denied")
            return real(folder)

        self.patch(os, "scandir", scandir)
        tree = seen(self.folder)
        self.assertEqual(tree.unreadable, {str(path.parent): "Permission denied"})
        self.assertEqual((tree.files, tree.hides(str(path)), tree.hides(str(self.folder))), ({}, True, False))

    def test_a_path_that_cannot_be_examined_hides(self) -> None:
        """A named path behind a circle of links is unknown as well."""
        os.symlink("loop", self.folder / "loop")
        tree = seen(self.folder / "loop")
        self.assertTrue(tree.hides(str(self.folder / "loop")))

    def test_scans_are_equal_while_nothing_changes(self) -> None:
        """Two scans of the same files are equal, and differ when a file has changed."""
        path = self.write("a.yaml")
        before = seen(self.folder)
        self.assertEqual(before, seen(self.folder))
        path.write_text("a: 22\n")
        after = seen(self.folder)
        self.assertNotEqual(before, after)
        self.assertEqual((after.differing(before), after.differing(after)), ({str(path)}, set()))

    def test_differing_files(self) -> None:
        """Files that came, went or changed differ."""
        same, gone, changed = (self.write(f"{name}.yaml") for name in ("same", "gone", "changed"))
        before = seen(self.folder)
        gone.unlink()
        changed.write_text("a: 22\n")
        new = self.write("new.yaml")
        self.assertEqual(seen(self.folder).differing(before), {str(path) for path in (gone, changed, new)})
        self.assertNotIn(str(same), seen(self.folder).differing(before))

    def test_paths_lead_to_what_they_led_to(self) -> None:
        """Until a named file changes, or a named folder is replaced or removed; the folder's entries do not count."""
        folder, file = self.folder / "routes", self.write("a.yaml")
        folder.mkdir()
        paths = [str(folder), str(file)]
        tree = seen(folder, file)
        (folder / "b.yaml").touch()
        self.assertTrue(lead_to(paths, tree))
        folder.rename(self.folder / "old")
        self.assertFalse(lead_to(paths, tree))
        folder.mkdir()
        self.assertFalse(lead_to(paths, tree))
        file.write_text("a: 22\n")
        self.assertFalse(lead_to([str(file)], tree))


class RecheckTests(SynchronousTestCase):
    """:func:`recheck`, over real folders."""

    def setUp(self) -> None:
        """A folder with three files, scanned."""
        self.folder = new_folder(self)
        for name in "abc":
            self.path(name).write_text("a: 1\n")
        self.tree = seen(self.folder)

    def path(self, name: str) -> Path:
        """A file of the folder."""
        return self.folder / f"{name}.yaml"

    def recheck(self, *paths: Path) -> Set[str] | None:
        """Examine these only."""
        return recheck(list(map(str, paths)), self.tree)

    def test_nothing_has_changed(self) -> None:
        """A file with the same signature is not among the changed ones, whatever the event was."""
        self.assertEqual(self.recheck(self.path("a"), self.folder / "notes.txt"), set())
        self.assertEqual(self.tree, seen(self.folder))

    def test_what_has_changed(self) -> None:
        """New, removed and rewritten files have changed, and the tree is as a new scan would make it."""
        self.path("a").write_text("a: 22\n")
        self.path("b").unlink()
        self.path("new").write_text("a: 1\n")
        changed = [self.path(name) for name in ("a", "b", "new")]
        self.assertEqual(self.recheck(*changed, self.path("c")), set(map(str, changed)))
        self.assertEqual(self.tree, seen(self.folder))
        self.assertEqual(self.recheck(*changed), set())

    def test_nothing_else_is_examined(self) -> None:
        """A file that has changed elsewhere stays as it was."""
        self.path("a").unlink()
        self.assertEqual(self.recheck(self.path("b")), set())
        self.assertIn(str(self.path("a")), self.tree.files)

    def test_another_name_is_noted(self) -> None:
        """A file with a second name may change under that one."""
        self.path("d").hardlink_to(self.folder / "a.yaml")
        self.assertEqual(self.recheck(self.path("d")), {str(self.path("d"))})
        self.assertTrue(self.tree.has_links)

    def test_when_it_takes_a_scan(self) -> None:
        """For a folder, a hidden name, or a folder that was not scanned, there is no answer, and the tree stays."""
        self.path("a").unlink()
        (self.folder / "deep").mkdir()
        before = seen(self.folder)
        self.tree = seen(self.folder)
        self.path("a").write_text("a: 1\n")
        for path in (self.folder / "deep", self.folder / ".a.yaml", self.folder / "far" / "a.yaml", self.folder):
            self.assertIsNone(self.recheck(self.path("a"), path))
            self.assertEqual(self.tree, before)
