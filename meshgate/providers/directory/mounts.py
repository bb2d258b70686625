"""
The file systems on which inotify reports every change.

Linux reports what this machine does. Changes that another machine makes on a network file system, or that a host makes
in a folder that it shares with a virtual machine, come without an event.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

LOCAL_TYPES: Final = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"}
)
"""Types of file systems that only this machine's kernel changes."""

MOUNTS: Final = Path("/proc/self/mountinfo")

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def reports_every_change(paths: Iterable[str], source: Path = MOUNTS) -> bool:
    """
    Return true if inotify reports every change below some paths.

    :param paths: absolute.
    :param source: the kernel's list of mounts; if it cannot be read, the answer is no.
    """
    try:
        mounts = list(read_mounts(source.read_text(errors="surrogateescape")))
    except OSError:
        return False
    return all(is_local(os.path.realpath(path), mounts) for path in paths)


def read_mounts(text: str) -> Iterator[tuple[str, str]]:
    """
    Yield the mount point and the type of each file system, in the order of mounting.

    :param text: as ``proc_pid_mountinfo(5)`` has it.
    """
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields, file_system = before.split(" "), after.partition(" ")[0]
        if separator and len(fields) > 4:
            yield _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4]), file_system


def is_local(path: str, mounts: Iterable[tuple[str, str]]) -> bool:
    """
    Return true if a path lies on a local file system, with nothing mounted below it.

    :param path: absolute, without links.
    """
    nearest, type_there = "", ""
    inside = path.rstrip("/") + "/"
    for mount_point, file_system in mounts:
        if mount_point.startswith(inside) and mount_point != path:
            return False
        above = mount_point.rstrip("/") + "/"
        # Of two file systems at one mount point, the later one hides the earlier one.
        if inside.startswith(above) and len(above) >= len(nearest):
            nearest, type_there = above, file_system
    return type_there in LOCAL_TYPES
