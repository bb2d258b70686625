"""
The outputs of the access log: a file or standard output, syslog, and systemd's journal.

The problem: an output may take nothing for a while, or be gone, and no connection may wait for it.

The approach: an output is offered lines, takes as many whole ones as it can without blocking, and says how many bytes
of them that were. What it has not taken it is offered again. One that is gone raises an error, and the next offer
makes it try anew.

The invariants: no call blocks. A line is taken once, whole and in order; over TCP, a line that was cut off with its
connection is sent again on the next one. What a kernel has taken and then lost, nobody hears of.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import stat
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from meshgate.processes.journal import SOCKET, Journal
from meshgate.proxy.log_line import timestamp

SyslogServer = tuple[str, str, int]
"""``unix``, ``udp`` or ``tcp``; the path or the IP address; and the port, or 0."""

FILE: Final = "file"
SYSLOG: Final = "syslog"
JOURNAL: Final = "journal"

MOST_OF_FILE: Final = 1 << 40
MOST_OF_SOCKET: Final = 256 * 1024
"""Size in bytes of the lines that go to a socket at once, since each takes a system call: some 5 ms of them."""

STREAM_CHUNK: Final = 64 * 1024
"""Size in bytes of the lines that are made messages at a time."""

SILENT_FOR: Final = 10_000
"""Milliseconds without an acknowledgement after which a connection to a syslog server is given up."""

_INFO: Final = 6
"""The severity of the lines in syslog."""

# O_NONBLOCK for named pipes; O_NOCTTY so that no terminal becomes the daemon's controlling one.
_FILE_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY

_HINTS: Final = {
    errno.ENOENT: " (its folder has to exist)",
    errno.ENXIO: " (a named pipe needs its reader first)",
}


class AccessLogError(Exception):
    """The access log cannot be opened. The text says which one and why."""


class AccessLogChoice(NamedTuple):
    """
    The settings of the access log, as plain values.

    :ivar path: a file, to be appended to and created with mode 0640; ``-`` for standard output. That is file
        descriptor 1 itself: under twistd, ``sys.stdout`` leads to the program's own log.
    :ivar format: ``text``, ``json`` or ``template``.
    :ivar template: of :class:`~meshgate.proxy.log_template.Template`.
    :ivar to: :data:`FILE`, :data:`SYSLOG` or :data:`JOURNAL`.
    :ivar facility: the number of the facility in syslog.
    :ivar journal: the path of the journal's socket.
    :ivar only: the endings whose connections are logged; none for all of them.
    :ivar sample_ok: the share of connections with the ending ``ok`` that are logged.
    :ivar every: seconds after which a live connection has a line, again and again; 0 for no such lines.
    """

    path: str = "-"
    format: str = "text"
    template: str = ""
    to: str = FILE
    server: SyslogServer = ("unix", "/dev/log", 0)
    facility: int = 16
    journal: str = SOCKET
    only: tuple[str, ...] = ()
    sample_ok: float = 1.0
    every: float = 0.0

    def same_lines(self, other: AccessLogChoice) -> bool:
        """True if the other choice has the same output and form of lines."""
        chosen = self._replace(only=other.only, sample_ok=other.sample_ok, every=other.every)
        return chosen == other

    def output(self) -> LogOutput:
        """
        Open the output.

        :raises AccessLogError: if it cannot be opened.
        """
        if self.to == SYSLOG:
            kind, host, port = self.server
            make = SyslogStream if kind == "tcp" else SyslogDatagrams
            return make(kind, host, port, self.facility * 8 + _INFO)
        if self.to == JOURNAL:
            return JournalOutput(self.journal)
        return FileOutput(lambda: _open_path(self.path))


class LogOutput(Protocol):
    """
    An output of lines.

    :ivar most_at_once: size in bytes of the lines that it is to be offered without a pause.
    :ivar lost: number of lines that it has dropped, since it can never take them.
    """

    most_at_once: int
    lost: int

    def write(self, data: memoryview) -> int:
        """
        Write as many whole lines as go without blocking.

        :return: number of bytes of the lines that are written; 0 if none could be.
        :raises OSError: if writing fails.
        """

    def count(self, data: memoryview) -> int:
        """The number of lines in this."""

    def reopen(self) -> None:
        """
        Open the output again, after a log rotation has renamed the file.

        :raises AccessLogError: if it cannot be opened. The old output stays in use.
        """

    def close(self) -> None:
        """Close it."""


class FileOutput:
    """
    A descriptor that is written to only when that does not block, and by whole lines, since other processes may
    write to the same output.

    The descriptor is not made non-blocking: standard output is often shared, and the flag would hold for every process.
    Instead, the kernel is asked before each chunk, and a chunk is so short that a pipe with any room takes it in one go
    (pipe(7), PIPE_BUF). A file takes everything at once.

    :param open_output: opens the output and returns its descriptor, which then belongs to this object.
    :raises AccessLogError: if ``open_output`` does.
    """

    most_at_once = MOST_OF_FILE
    lost = 0

    def __init__(self, open_output: Callable[[], int]) -> None:
        self._open_output = open_output
        self._use(open_output())

    def _use(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._chunk = MOST_OF_FILE if is_file else select.PIPE_BUF

    def write(self, data: memoryview) -> int:
        """As :class:`LogOutput`."""
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

    def count(self, data: memoryview) -> int:
        """As :class:`LogOutput`."""
        return bytes(data).count(b"\n")

    def reopen(self) -> None:
        """As :class:`LogOutput`."""
        before, after = self._descriptor, self._open_output()
        self._use(after)
        os.close(before)

    def close(self) -> None:
        """As :class:`LogOutput`."""
        os.close(self._descriptor)


class _SocketOutput:
    """An output that is a socket: nobody renames it, so that there is nothing to reopen."""

    most_at_once = MOST_OF_SOCKET

    def __init__(self) -> None:
        self.lost = 0

    def count(self, data: memoryview) -> int:
        """As :class:`LogOutput`."""
        return bytes(data).count(b"\n")

    def reopen(self) -> None:
        """Do nothing."""


class _Syslog(_SocketOutput):
    """
    A syslog server (RFC 5424).

    :param kind: ``unix``, ``udp`` or ``tcp``.
    :param host: the path or the IP address.
    :param priority: that of every message.
    """

    def __init__(self, kind: str, host: str, port: int, priority: int) -> None:
        super().__init__()
        self._kind, self._host, self._port = kind, host, port
        name = re.sub("[^!-~]", "", socket.gethostname())[:255] or "-"
        self._before, self._after = f"<{priority}>1 ", f" {name} meshgate {os.getpid()} access - "
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """As :class:`LogOutput`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _header(self) -> bytes:
        """The head of a line that is written now."""
        return f"{self._before}{timestamp(time.time())}{self._after}".encode("ascii")

    def _connected(self) -> socket.socket:
        """The socket; a new one begins to connect, which takes its time over TCP."""
        if self._socket is not None:
            return self._socket
        kind = socket.SOCK_STREAM if self._kind == "tcp" else socket.SOCK_DGRAM
        if self._kind == "unix":
            family, address = socket.AF_UNIX, self._host
        else:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            address = (self._host, self._port)  # type: ignore[assignment]
        made = socket.socket(family, kind)
        made.setblocking(False)
        if kind == socket.SOCK_STREAM and hasattr(socket, "TCP_USER_TIMEOUT"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_FOR)
        try:
            made.connect(address)
        except BlockingIOError:
            pass
        except OSError:
            made.close()
            raise
        self._socket = made
        return made


class SyslogDatagrams(_Syslog):
    """A syslog server that takes datagrams, over UDP (RFC 5426) or a Unix socket; each has a line."""

    def write(self, data: memoryview) -> int:
        """As :class:`LogOutput`. A line for which no datagram is large enough is lost."""
        connected, header, taken = self._connected(), self._header(), 0
        for line in _lines(data):
            try:
                connected.sendmsg((header, line))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    self.lost += 1
                elif error.errno == errno.ENOBUFS:
                    break
                else:
                    self.close()
                    if taken:
                        break
                    raise
            taken += len(line) + 1
        return taken


class SyslogStream(_Syslog):
    """A syslog server that takes a stream over TCP, in which each message has its length before it (RFC 6587)."""

    def __init__(self, kind: str, host: str, port: int, priority: int) -> None:
        super().__init__(kind, host, port, priority)
        self._messages = b""
        self._sent = 0
        self._length = 0

    def write(self, data: memoryview) -> int:
        """As :class:`LogOutput`. Lines count as written when the kernel has taken all that were sent together."""
        try:
            connected = self._connected()
            _require_open(connected)
            if not self._messages:
                self._make_messages(data)
            self._sent += connected.send(memoryview(self._messages)[self._sent :])
        except BlockingIOError:
            return 0
        except OSError:
            self.close()
            self._sent = _begin_of_message(self._messages, self._sent)
            raise
        if self._sent < len(self._messages):
            return 0
        self._messages, self._sent = b"", 0
        return self._length

    def _make_messages(self, data: memoryview) -> None:
        chunk = bytes(data[:STREAM_CHUNK])
        chunk = chunk[: chunk.rfind(b"\n") + 1]
        header = self._header()
        parts: list[bytes] = []
        for line in chunk.split(b"\n")[:-1]:
            parts += (b"%d " % (len(header) + len(line)), header, line)
        self._messages, self._length = b"".join(parts), len(chunk)


class JournalOutput(_SocketOutput):
    """
    systemd's journal. Its lines are entries of :mod:`meshgate.processes.journal` with an empty line after each; no
    value in them has a line end.

    :param path: of the journal's socket.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._journal = Journal(path)

    def write(self, data: memoryview) -> int:
        """As :class:`LogOutput`."""
        taken = 0
        for entry in _entries(data):
            try:
                self._journal.send(entry)
            except BlockingIOError:
                break
            except OSError:
                if taken:
                    break
                raise
            taken += len(entry) + 1
        return taken

    def count(self, data: memoryview) -> int:
        """As :class:`LogOutput`."""
        return bytes(data).count(b"\n\n")

    def close(self) -> None:
        """As :class:`LogOutput`."""
        self._journal.close()


def _lines(data: memoryview) -> Iterator[bytes]:
    return iter(bytes(data).split(b"\n")[:-1])


def _entries(data: memoryview) -> Iterator[bytes]:
    return (entry + b"\n" for entry in bytes(data).split(b"\n\n")[:-1])


def _require_open(connected: socket.socket) -> None:
    """
    Find out if a server has closed a connection: the kernel would still take bytes for it.

    :raises OSError: if so, or if connecting has failed.
    """
    try:
        if connected.recv(4096):
            return
    except BlockingIOError:
        return
    raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def _begin_of_message(messages: bytes, sent: int) -> int:
    """The place where the message begins of which not everything was sent."""
    begin = 0
    while begin < len(messages):
        digits = messages.index(b" ", begin)
        end = digits + 1 + int(messages[begin:digits])
        if end > sent:
            break
        begin = end
    return begin


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
