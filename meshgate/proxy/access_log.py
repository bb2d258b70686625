"""
The access log: one line for each connection, counted by its ending and written at its end, in batches.

The problem: a full disk, a slow reader or a rotated file must never delay a connection or stop the gateway, and other
processes may write to the same output.

The approach: lines are gathered and written once a second, or at 64 KiB. Before each write the kernel is asked if the
output takes anything; if not, the lines wait, up to :data:`MAX_PENDING` bytes, and later lines are dropped.

The invariants: no write blocks. An output gets whole lines, in order. Dropped lines are counted, and a line in their
place says how many there were.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from meshgate.proxy.endings import Ending
from meshgate.proxy.log_line import format_json, format_text, lost_json, lost_text
from meshgate.proxy.record import ConnectionRecord

Format = Literal["text", "json"]

FLUSH_AFTER: Final = 1.0
"""Seconds within which a line is written."""

FLUSH_AT: Final = 64 * 1024
"""Size in bytes at which gathered lines are written at once."""

RETRY_AFTER: Final = 0.1
"""Seconds after which the writing of waiting lines is tried again."""

MAX_PENDING: Final = 8 * 1024 * 1024
"""Size in bytes of the lines that are kept while they cannot be written; further lines are counted and dropped."""

CLOSE_WITHIN: Final = 2.0
"""Seconds that closing waits for a slow reader to take the last lines."""

# O_NONBLOCK for named pipes; O_NOCTTY so that no terminal becomes the daemon's controlling one.
_FILE_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY

_HINTS: Final = {
    errno.ENOENT: " (its folder has to exist)",
    errno.ENXIO: " (a named pipe needs its reader first)",
}

_log = Logger()

_FORMATS: Final = {"text": (format_text, lost_text), "json": (format_json, lost_json)}


class AccessLogError(Exception):
    """The access log cannot be opened. The text says which one and why."""


def open_access_log(path: str, format: Format, clock: IReactorTime) -> AccessLog:  # noqa: A002
    """
    Open the access log.

    :param path: a file, to be appended to and created with mode 0640; ``-`` for standard output. That is file
        descriptor 1 itself: under twistd, ``sys.stdout`` leads to the program's own log.
    :param format: the format of the lines.
    :param clock: provides the timers.
    :raises AccessLogError: if it cannot be opened.
    """
    return AccessLog(partial(_open_path, path), format, clock)


class AccessLog:
    """
    An open access log.

    :param open_output: opens the output and returns its file descriptor, which then belongs to the log.
    :param format: the format of the lines.
    :param clock: provides the timers.
    :ivar max_pending: size in bytes of the lines that are kept while they cannot be written.
    :raises AccessLogError: if ``open_output`` does.
    """

    def __init__(self, open_output: Callable[[], int], format: Format, clock: IReactorTime) -> None:  # noqa: A002
        self._open_output = open_output
        self._output = _Output(open_output())
        self._format_line, self._format_lost = _FORMATS[format]
        self._clock = clock
        self._lines: list[str] = []
        self._batches: deque[memoryview] = deque()
        self.max_pending = MAX_PENDING
        self._pending = 0
        self._unflushed = 0
        self._lost = 0
        self._faulty = False
        self._timer: IDelayedCall | None = None
        self._closed: Deferred[None] | None = None
        self._close_by = 0.0

    def write(self, record: ConnectionRecord) -> None:
        """Log a connection that has ended. Neither fails because of the output nor waits for it."""
        if self._output.closed:
            return
        line = self._format_line(record)
        length = len(line) + 1
        self._unflushed += length
        if self._pending + length > self.max_pending:
            self._lost += 1
            self._report_fault("its reader has stopped reading")
        else:
            if self._lost:
                self._add_lost_line()
            self._lines.append(line)
            self._pending += length
        if self._unflushed >= FLUSH_AT:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.callLater(FLUSH_AFTER, self.flush)

    def flush(self) -> None:
        """Write as much as the output takes now, and the rest later."""
        self._unflushed = 0
        self._cancel_timer()
        if self._output.closed:
            return
        broken = False
        try:
            self._write_out()
        except OSError as error:
            self._report_fault(os.strerror(error.errno or 0))
            broken = True
        if self._closed is not None and (not self._pending or broken or self._clock.seconds() >= self._close_by):
            self._end(self._closed)
        elif self._pending:
            self._timer = self._clock.callLater(FLUSH_AFTER if broken else RETRY_AFTER, self.flush)

    def reopen(self) -> None:
        """
        Open the output again, after a log rotation has renamed the file.

        :raises AccessLogError: if it cannot be opened. The old output stays in use.
        """
        self.flush()
        output = _Output(self._open_output())
        self._output.close()
        self._output = output
        self.flush()

    def close(self) -> Deferred[None]:
        """
        Write the last lines and close the output.

        :return: fires when everything is written, or after :data:`CLOSE_WITHIN` seconds.
        """
        if self._closed is None:
            self._closed = Deferred()
            self._close_by = self._clock.seconds() + CLOSE_WITHIN
            self.flush()
        return self._closed

    def _write_out(self) -> None:
        self._gather()
        while self._batches:
            taken = self._output.write(self._batches[0])
            if not taken:
                return
            self._pending -= taken
            rest = self._batches[0][taken:]
            if rest:
                self._batches[0] = rest
            else:
                self._batches.popleft()
            if self._lost and not self._batches:
                self._add_lost_line()
                self._gather()
        if self._faulty:
            self._faulty = False
            _log.info("the access log is being written again")

    def _gather(self) -> None:
        if self._lines:
            self._batches.append(memoryview("\n".join([*self._lines, ""]).encode("ascii")))
            self._lines.clear()

    def _add_lost_line(self) -> None:
        line = self._format_lost(self._lost, time.time())
        self._lost = 0
        self._lines.append(line)
        self._pending += len(line) + 1

    def _report_fault(self, reason: str) -> None:
        if not self._faulty:
            self._faulty = True
            _log.error(
                "the access log cannot be written: {reason}; {limit} MiB of lines are kept, more are dropped",
                reason=reason,
                limit=self.max_pending >> 20,
            )

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _end(self, closed: Deferred[None]) -> None:
        self._output.close()
        if self._pending or self._lost:
            _log.error("the last lines of the access log could not be written")
        closed.callback(None)


class _Output:
    """
    A descriptor that is written to only when that does not block, and by whole lines, since other processes may
    write to the same output.

    The descriptor is not made non-blocking: standard output is often shared, and the flag would hold for every process.
    Instead, the kernel is asked before each chunk, and a chunk is so short that a pipe with any room takes it in one go
    (pipe(7), PIPE_BUF). A file takes everything at once.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._chunk = MAX_PENDING if stat.S_ISREG(os.fstat(descriptor).st_mode) else select.PIPE_BUF

    @property
    def closed(self) -> bool:
        return self._descriptor < 0

    def write(self, data: memoryview) -> int:
        """
        Write as many whole lines as fit.

        :return: number of bytes written; 0 if writing would block.
        :raises OSError: if writing fails.
        """
        if not self._poll.poll(0):
            return 0
        chunk = data[: self._chunk]
        if len(chunk) < len(data):
            # A line that is longer than a chunk has to be cut.
            chunk = chunk[: bytes(chunk).rfind(b"\n") + 1] or chunk
        try:
            return os.write(self._descriptor, chunk)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
            self._descriptor = -1


def _open_path(path: str) -> int:
    try:
        return _open_stdout() if path == "-" else os.open(path, _FILE_FLAGS, 0o640)
    except OSError as error:
        name = "on standard output" if path == "-" else path
        hint = _HINTS.get(error.errno or 0, "")
        raise AccessLogError(f"the access log {name} cannot be opened: {error.strerror}{hint}") from None


def _open_stdout() -> int:
    # A descriptor that is opened again may be non-blocking: a terminal stopped by Ctrl-S polls as writable, and another
    # process may fill a pipe between the poll and the write. A file must not be opened again: its offset would be lost.
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        return os.open("/proc/self/fd/1" if stat.S_ISFIFO(os.fstat(1).st_mode) else os.ttyname(1), flags)
    except OSError:
        return os.dup(1)


class EndedConnections:
    """
    The ended connections of one worker.

    :ivar counts: number of connections for each ending.
    :ivar access_log: the log for a line of each connection; None until it is open.
    """

    def __init__(self) -> None:
        self.counts: dict[Ending, int] = {}
        self.access_log: AccessLog | None = None

    def add(self, record: ConnectionRecord) -> None:
        """Count and log a connection; its record is complete."""
        ending = record.ending
        if ending is not None:
            self.counts[ending] = self.counts.get(ending, 0) + 1
        if self.access_log is not None:
            self.access_log.write(record)
