"""
What lies in files and folders at one moment: which route files there are, and the signature of each.

Looks, and never reads a file's bytes. Knows nothing of time, of YAML, or of what was there before.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple

SUFFIXES = (".yaml", ".yml", ".json")
"""What the name of a route file ends in. A file that the user named himself may end in anything."""

BATCH = 8
"""Entries of one folder between two rests of :func:`look`; one takes about 3 microseconds."""


class Signature(NamedTuple):
    """
    What changes when a file does. The inode tells of a replaced file, the time of the last status change of
    one that was made readable, or rewritten under its old modification time.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


Sight = Signature | str
"""How a file looks: its signature, or in words why it cannot be looked at."""


@dataclass(slots=True)
class Tree:
    """
    One look at the paths.

    :ivar files: how each route file looks.
    :ivar folders: the real identity of each folder visited, for whoever watches them.
    :ivar missing: paths named by the user where nothing is.
    :ivar closed: paths that cannot be looked into, with the reason: what is there is unknown, not gone.
    :ivar linked: something in a folder has another place, too, and may change there.
    """

    files: dict[str, Sight] = field(default_factory=dict)
    folders: dict[str, tuple[int, int]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    closed: dict[str, str] = field(default_factory=dict)
    linked: bool = False

    def hides(self, path: str) -> bool:
        """Whether the file may well be there, but cannot be seen now."""
        return any(path == folder or path.startswith(folder + os.sep) for folder in self.closed)


NOTHING_SEEN: Final = Tree()


def look(paths: Iterable[str], before: Tree = NOTHING_SEEN) -> Tree:
    """
    Look at files, and at folders with all that is below them.

    Names that begin with a dot are passed over: editors' swap files, and the ``..data`` folders of a mounted
    ConfigMap, whose visible entries are links into them. A folder that is reached by several ways is visited
    by the first one only, so links that lead in a circle end.

    :param paths: absolute.
    :param before: an earlier look, whose signatures are taken over where they are equal.
    """
    tree = Tree()
    folders = []
    for path in sorted(paths):
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            tree.missing.add(path)
        except OSError as error:
            tree.closed[path] = _reason(error)
        else:
            if stat.S_ISDIR(status.st_mode):
                folders.append((path, status))
            else:
                tree.files[path] = _sight(status)
    visited: set[tuple[int, int]] = set()
    folders.reverse()
    while folders:
        path, status = folders.pop()
        identity = (status.st_dev, status.st_ino)
        if identity not in visited:
            visited.add(identity)
            tree.folders[path] = identity
            inner = _list(path, tree, before)
            folders.extend(reversed(inner))
    return tree


def glance(paths: Collection[str], tree: Tree) -> Set[str] | None:
    """
    Bring a look up to date in some entries of folders that were visited, and look at nothing else.

    :param paths: where something is said to have happened.
    :param tree: the look.
    :return: those of the paths that look otherwise now; None, and nothing is done, where it takes a look at everything
        to know: what begins with a dot may be what visible links lead to, and a folder is more than its entry.
    """
    found: dict[str, Sight | None] = {}
    linked = tree.linked
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in tree.folders or name.startswith("."):
            return None
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            if path in tree.folders or os.path.islink(path):
                return None
            found[path] = None
            continue
        except OSError:
            return None
        if stat.S_ISDIR(status.st_mode):
            return None
        if name.endswith(SUFFIXES):
            found[path] = _sight(status)
            linked = linked or status.st_nlink > 1 or os.path.islink(path)
    changed = {path for path, sight in found.items() if tree.files.get(path) != sight}
    for path in changed:
        if (sight := found[path]) is None:
            del tree.files[path]
        else:
            tree.files[path] = sight
    tree.linked = linked
    return changed


def is_in_place(paths: Iterable[str], last: Tree) -> bool:
    """
    Whether the paths lead to what they led to: a file that looks the same, or the same folder, whatever is in it.

    :param paths: those that were looked at.
    """
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            return False
        if stat.S_ISDIR(status.st_mode):
            if last.folders.get(path) != (status.st_dev, status.st_ino):
                return False
        elif last.files.get(path) != _sight(status):
            return False
    return True


def _list(folder: str, tree: Tree, before: Tree) -> list[tuple[str, os.stat_result]]:
    """
    Look at one folder's entries.

    :return: the folders among them, by name.
    """
    inner: list[tuple[str, os.stat_result]] = []
    try:
        with os.scandir(folder) as listing:
            for entry in listing:
                _look_at(entry, tree, before, inner)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        tree.closed[folder] = _reason(error)
        return []
    return sorted(inner)


def _look_at(entry: os.DirEntry[str], tree: Tree, before: Tree, inner: list[tuple[str, os.stat_result]]) -> None:
    if entry.name.startswith("."):
        return
    try:
        tree.linked = tree.linked or entry.is_symlink()
        if entry.is_dir():
            inner.append((entry.path, entry.stat()))
        elif entry.name.endswith(SUFFIXES):
            status = entry.stat()
            tree.linked = tree.linked or status.st_nlink > 1
            sight, known = _sight(status), before.files.get(entry.path)
            tree.files[entry.path] = known if known is not None and known == sight else sight
    except FileNotFoundError:
        if entry.is_symlink() and entry.name.endswith(SUFFIXES):
            tree.files[entry.path] = "a symbolic link that leads nowhere"
    except OSError as error:
        unseen = tree.files if entry.name.endswith(SUFFIXES) else tree.closed
        unseen[entry.path] = _reason(error)


def _sight(status: os.stat_result) -> Sight:
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
