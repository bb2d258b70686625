"""
A pool of pipes through which the kernel moves bytes from one socket to another.

The problem: splice needs a pipe between two sockets. A large one costs two descriptors and up to 1 MiB of the kernel's
memory, and making one costs more than a small transfer.

The approach: a flow borrows a pipe for each run of splices and gives it back; a few are kept for the next flow.

The invariant: a pipe that holds bytes is closed and never lent again, or those bytes would go to another connection.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final, NamedTuple

LARGEST: Final = 1024 * 1024
"""Bytes of a pipe: the most that the kernel allows any user (fs.pipe-max-size)."""

SMALLEST: Final = 256 * 1024
"""Bytes below which copying is cheaper. The kernel gives less to a user of many pipes (fs.pipe-user-pages-soft)."""

MOST: Final = 64
"""Pipes lent at once. A flow that gets none copies instead."""

SPARE: Final = 8
"""Empty pipes kept for the next flow."""


class Pipe(NamedTuple):
    """
    A pipe with two non-blocking ends.

    :ivar source: descriptor of the end to read from.
    :ivar sink: descriptor of the end to write to.
    :ivar size: bytes that it can hold if they come in full pages.
    """

    source: int
    sink: int
    size: int


class Pipes:
    """
    The pipes of a poller.

    :param most: how many may be lent at once.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lent = 0
        self._spare: list[Pipe] = []

    def borrow(self) -> Pipe | None:
        """Lend an empty pipe; None if too many are lent, or the kernel gives no large one."""
        if self._lent >= self._most:
            return None
        pipe = self._spare.pop() if self._spare else _make()
        if pipe is not None:
            self._lent += 1
        return pipe

    def give_back(self, pipe: Pipe, empty: bool) -> None:
        """
        Take a pipe back.

        :param empty: True if the pipe holds no bytes.
        """
        self._lent -= 1
        if empty and len(self._spare) < SPARE:
            self._spare.append(pipe)
        else:
            _close(pipe)

    def close(self) -> None:
        """Close the spare pipes."""
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
