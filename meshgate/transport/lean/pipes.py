"""
Pipes for the kernel to move bytes through: a few of them, borrowed and given back.

Knows how large a pipe may be and how many there are; knows nothing of what goes through them, except that a pipe with
bytes in it is never lent again, or bytes would cross from one connection to another.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final, NamedTuple

LARGEST: Final = 1024 * 1024
"""Bytes asked for: what the kernel allows anybody (fs.pipe-max-size)."""

SMALLEST: Final = 256 * 1024
"""Bytes below which a pipe is not worth it. The kernel gives less to a user who has many (fs.pipe-user-pages-soft)."""

MOST: Final = 64
"""Pipes lent at once. A direction that gets none is copied instead."""

SPARE: Final = 8
"""Pipes kept for the next who asks."""


class Pipe(NamedTuple):
    """
    Two non-blocking ends.

    :ivar size: bytes that fit in at best.
    """

    source: int
    sink: int
    size: int


class Pipes:
    """The pipes of a process."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lent = 0
        self._spare: list[Pipe] = []

    @property
    def lent(self) -> int:
        """How many are in use."""
        return self._lent

    def borrow(self) -> Pipe | None:
        """An empty pipe; None when there are enough, or the kernel gives no more."""
        if self._lent >= self._most:
            return None
        pipe = self._spare.pop() if self._spare else _make()
        if pipe is not None:
            self._lent += 1
        return pipe

    def give_back(self, pipe: Pipe, empty: bool) -> None:
        """
        Take a pipe back.

        :param empty: everything that went in has come out.
        """
        self._lent -= 1
        if empty and len(self._spare) < SPARE:
            self._spare.append(pipe)
        else:
            _close(pipe)

    def close(self) -> None:
        """Close those that nobody uses."""
        while self._spare:
            _close(self._spare.pop())


def _make() -> Pipe | None:
    try:
        source, sink = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        size = fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, LARGEST)
    except OSError:
        size = fcntl.fcntl(sink, fcntl.F_GETPIPE_SZ)
    pipe = Pipe(source, sink, size)
    if size < SMALLEST:
        _close(pipe)
        return None
    return pipe


def _close(pipe: Pipe) -> None:
    os.close(pipe.source)
    os.close(pipe.sink)
