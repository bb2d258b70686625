"""
Which file systems tell of every change to a file.

Linux tells (inotify) of what is done through this machine's own file systems. What another machine does on a network
file system, or a host in a folder that it lends to a virtual machine, changes files without a word. Knows the list of
mounts; looks at no file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

TELLING: Final = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"}
)
"""Types of file systems that nobody changes behind the kernel's back."""

MOUNTS: Final = Path("/proc/self/mountinfo")

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def tells_of_changes(paths: Iterable[str], source: Path = MOUNTS) -> bool:
    """
    Whether every change to files is told, wherever they are below some paths.

    :param paths: absolute.
    :param source: the kernel's list of mounts; where it cannot be read, nothing is known, and so nothing is told.
    """
    try:
        mounts = list(read_mounts(source.read_text(errors="surrogateescape")))
    except OSError:
        return False
    return all(tells(os.path.realpath(path), mounts) for path in paths)


def read_mounts(text: str) -> Iterator[tuple[str, str]]:
    """
    Where something is mounted, and the type of its file system, in the order of mounting.

    :param text: as ``proc_pid_mountinfo(5)`` has it.
    """
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(" "), after.partition(" ")[0]
        if separator and len(fields) > 4:
            yield _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4]), kind


def tells(path: str, mounts: Iterable[tuple[str, str]]) -> bool:
    """
    Whether a path lies on a file system that tells, with nothing mounted below it.

    :param path: absolute, without links.
    """
    best, kind = "", ""
    inside = path.rstrip("/") + "/"
    for place, its_kind in mounts:
        if place.startswith(inside) and place != path:
            return False
        over = place.rstrip("/") + "/"
        # What is mounted later on the same place hides what was there.
        if inside.startswith(over) and len(over) >= len(best):
            best, kind = over, its_kind
    return kind in TELLING
