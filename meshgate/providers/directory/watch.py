"""
Events of folders, by Linux's inotify, and the file systems on which it reports every change.

An event is a hint to look, and nothing more.

Folders are watched, and never files: the watch of a file is lost when the file is replaced. Where there is no inotify,
or where the system's limit of watches is reached, there are no events, and :attr:`FolderWatch.is_complete` says so.
Even a complete watch misses changes behind links that lead out of the watched folders. And Linux reports what this
machine does: changes that another machine makes on a network file system, or that a host makes in a folder that it
shares with a virtual machine, come without an event (:func:`reports_every_change`).

:mod:`twisted.internet.inotify` does not serve: it closes itself, possibly twice, when a watched folder is removed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

# <sys/inotify.h>. Without IN_MODIFY: a file that is still open for writing is not ready to be read.
_IN_ATTRIB = 0x4
_IN_CLOSE_WRITE = 0x8
_IN_MOVED = 0xC0
_IN_CREATE = 0x100
_IN_DELETE = 0x200
_IN_SELF = 0xC00
_IN_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_IN_ONLYDIR = 0x1000000
_IN_ISDIR = 0x40000000
_MASK = _IN_ATTRIB | _IN_CLOSE_WRITE | _IN_MOVED | _IN_CREATE | _IN_DELETE | _IN_SELF | _IN_ONLYDIR

_EVENT = struct.Struct("iIII")
_READ_SIZE = 65536

LOCAL_TYPES: Final = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"}
)
"""Types of file systems that only this machine's kernel changes."""

MOUNTS: Final = Path("/proc/self/mountinfo")

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


class Interest(NamedTuple):
    """
    What to watch in one folder.

    :ivar identity: device and inode of the folder; they change when it is replaced by another one.
    :ivar names: the entries to report events of; None for all.
    """

    identity: tuple[int, int] | None = None
    names: frozenset[str] | None = None


@implementer(IReadDescriptor)
class FolderWatch:
    """
    Reports the events of some folders.

    :param reactor: there are no events unless it provides :class:`~twisted.internet.interfaces.IReactorFDSet`.
    :param on_event: called once for all events that are there, with the paths of the entries that may have changed, or
        with None if anything may have.
    """

    _log = Logger()

    def __init__(self, reactor: Any, on_event: Callable[[frozenset[str] | None], None]) -> None:
        self._reactor = reactor
        self._on_event = on_event
        self._watches: dict[str, tuple[int, Interest]] = {}
        self._followed = 0
        self._is_reported = False
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = -1

    def start(self) -> None:
        """Begin to report events, where the system has them."""
        if IReactorFDSet.providedBy(self._reactor) and hasattr(self._libc, "inotify_init1"):
            self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.is_open:
            self._reactor.addReader(self)

    @property
    def is_open(self) -> bool:
        """True if the system reports events at all."""
        return self._fd >= 0

    @property
    def is_complete(self) -> bool:
        """True if every folder of the last :meth:`follow` is watched."""
        return self.is_open and len(self._watches) == self._followed

    def follow(self, folders: Mapping[str, Interest]) -> None:
        """
        Watch these folders and no others.

        :param folders: by absolute path.
        """
        if not self.is_open:
            return
        self._followed = len(folders)
        for path, (_, interest) in list(self._watches.items()):
            if folders.get(path) != interest:
                self._unwatch(path)
        for path, interest in folders.items():
            if path not in self._watches:
                self._watch(path, interest)

    def stop(self) -> None:
        """Close the descriptor, and with it all watches."""
        if self.is_open:
            self._reactor.removeReader(self)
            os.close(self._fd)
            self._fd = -1
            self._watches.clear()

    def doRead(self) -> None:
        """Read the events that are there, and report them."""
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return
        folders: dict[int, list[tuple[str, Interest]]] = {}
        for path, (watch, interest) in self._watches.items():
            folders.setdefault(watch, []).append((path, interest))
        paths: set[str] = set()
        anything = False
        for watch, mask, name in _events(data):
            if mask & _IN_OVERFLOW:
                anything = True
            for folder, interest in folders.get(watch, ()):
                if not name or interest.names is None or name in interest.names:
                    paths.add(os.path.join(folder, name))
                    anything = anything or not name or bool(mask & _IN_ISDIR)
        if paths or anything:
            self._on_event(None if anything else frozenset(paths))

    def fileno(self) -> int:
        """Return the descriptor of the event queue, or -1."""
        return self._fd

    def logPrefix(self) -> str:
        """Return the name for the reactor's log messages."""
        return type(self).__name__

    def connectionLost(self, reason: Failure) -> None:
        """Stop: the reactor is stopping, or the descriptor is broken."""
        self.stop()

    def _watch(self, path: str, interest: Interest) -> None:
        watch = self._libc.inotify_add_watch(self._fd, os.fsencode(path), _MASK)
        if watch >= 0:
            self._watches[path] = (watch, interest)
        elif ctypes.get_errno() not in (errno.ENOENT, errno.ENOTDIR) and not self._is_reported:
            self._is_reported = True
            why = os.strerror(ctypes.get_errno())
            self._log.info(
                "the folder {path} cannot be watched: {why}; its changes wait for the next poll",
                path=path,
                why=why,
            )

    def _unwatch(self, path: str) -> None:
        watch, _ = self._watches.pop(path)
        # One folder under two paths has one watch.
        if all(watch != other for other, _ in self._watches.values()):
            self._libc.inotify_rm_watch(self._fd, watch)


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Yield the watch, the mask and the entry's name of each event; the name is empty for the folder itself."""
    start = 0
    while start < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, start)
        start += _EVENT.size + length
        if not mask & _IN_IGNORED:  # confirms that a watch has been removed
            yield watch, mask, os.fsdecode(data[start - length : start].rstrip(b"\0"))


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
