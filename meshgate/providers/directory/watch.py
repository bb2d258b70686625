"""
Hears from Linux that something happened in a folder. An event is a hint to look, nothing more.

Watches folders, never files: a watch on a file is lost when the file is replaced. Where there is no inotify,
or no more of it to be had, nothing is heard and whoever wants to know has to look now and then, which he
should do anyway, if more seldom: links may lead out of the watched folders, and not every file system tells.

Not :mod:`twisted.internet.inotify`, which closes itself, possibly twice, when a watched folder is removed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

# <sys/inotify.h>. Without IN_MODIFY: what is still open for writing is not ready to be read.
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


class Interest(NamedTuple):
    """
    What is wanted of one folder.

    :ivar identity: its device and inode; when they change, another folder has taken its place.
    :ivar names: the entries that matter, or None for all.
    """

    identity: tuple[int, int] | None = None
    names: frozenset[str] | None = None


@implementer(IReadDescriptor)
class FolderWatch:
    """
    Watches folders for as long as it is followed.

    :param reactor: watched only if it provides :class:`~twisted.internet.interfaces.IReactorFDSet`.
    :param on_event: called when something happened in a folder, once for many events: with the paths of the entries
        it happened to, or with None when it may be anything.
    """

    _log = Logger()

    def __init__(self, reactor: Any, on_event: Callable[[frozenset[str] | None], None]) -> None:
        self._reactor = reactor
        self._on_event = on_event
        self._watches: dict[str, tuple[int, Interest]] = {}
        self._wanted = 0
        self._complained = False
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = -1

    def start(self) -> None:
        """Begin to hear, where that is possible."""
        if IReactorFDSet.providedBy(self._reactor) and hasattr(self._libc, "inotify_init1"):
            self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.hears:
            self._reactor.addReader(self)

    @property
    def hears(self) -> bool:
        """Whether events can be heard at all."""
        return self._fd >= 0

    @property
    def is_complete(self) -> bool:
        """Whether all folders are watched that were to be followed last."""
        return self.hears and len(self._watches) == self._wanted

    def follow(self, folders: Mapping[str, Interest]) -> None:
        """
        Watch these folders and no others.

        :param folders: by absolute path.
        """
        if not self.hears:
            return
        self._wanted = len(folders)
        for path, (_, interest) in list(self._watches.items()):
            if folders.get(path) != interest:
                self._forget(path)
        for path, interest in folders.items():
            if path not in self._watches:
                self._watch(path, interest)

    def stop(self) -> None:
        """Let go of everything."""
        if self.hears:
            self._reactor.removeReader(self)
            os.close(self._fd)
            self._fd = -1
            self._watches.clear()

    def doRead(self) -> None:
        """Take the events that are there."""
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return
        places: dict[int, list[tuple[str, Interest]]] = {}
        for path, (watch, interest) in self._watches.items():
            places.setdefault(watch, []).append((path, interest))
        paths: set[str] = set()
        anything = False
        for watch, mask, name in _events(data):
            if mask & _IN_OVERFLOW:
                anything = True
            for folder, interest in places.get(watch, ()):
                if not name or interest.names is None or name in interest.names:
                    paths.add(os.path.join(folder, name))
                    anything = anything or not name or bool(mask & _IN_ISDIR)
        if paths or anything:
            self._on_event(None if anything else frozenset(paths))

    def fileno(self) -> int:
        """The descriptor of the queue of events, or -1."""
        return self._fd

    def logPrefix(self) -> str:
        """What the reactor calls it in the log."""
        return type(self).__name__

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave up reading: it is stopping, or the descriptor is broken."""
        self.stop()

    def _watch(self, path: str, interest: Interest) -> None:
        watch = self._libc.inotify_add_watch(self._fd, os.fsencode(path), _MASK)
        if watch >= 0:
            self._watches[path] = (watch, interest)
        elif ctypes.get_errno() not in (errno.ENOENT, errno.ENOTDIR) and not self._complained:
            self._complained = True
            why = os.strerror(ctypes.get_errno())
            self._log.info("cannot watch {path}: {why}; its changes take a moment longer", path=path, why=why)

    def _forget(self, path: str) -> None:
        watch, _ = self._watches.pop(path)
        # One folder under two paths has one watch.
        if all(watch != other for other, _ in self._watches.values()):
            self._libc.inotify_rm_watch(self._fd, watch)


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """The watch, the mask and the entry's name, or an empty name for the folder itself, of each event."""
    start = 0
    while start < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, start)
        start += _EVENT.size + length
        if not mask & _IN_IGNORED:  # which only confirms that a watch has been removed
            yield watch, mask, os.fsdecode(data[start - length : start].rstrip(b"\0"))
