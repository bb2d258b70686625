"""
The sockets of lean transports: the standard library's, or, where meshgate is compiled, those of ``_sockets.c``, which
answer alike and are faster.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import termios
from fcntl import ioctl
from typing import TYPE_CHECKING, Any, Final

from meshgate.compiled import c_form
from meshgate.transport.dialing import BIND_ADDRESS_NO_PORT

if TYPE_CHECKING:
    Socket = socket.SocketType

READ_SIZE: Final = 64 * 1024
"""Bytes read at once."""

UNIX_HOST: Final = "unix"
"""The host of both ends of a connection over a Unix socket; the port is 0."""

_STREAM: Final = socket.SOCK_STREAM
_STREAM_AT_ONCE: Final = _STREAM | getattr(socket, "SOCK_NONBLOCK", 0)
_DONTWAIT: Final = socket.MSG_DONTWAIT

# Bytes are sent on or copied before anything else is read, so all sockets share one buffer.
_BUFFER: Final = bytearray(READ_SIZE)
_VIEW: Final = memoryview(_BUFFER)

_INT: Final = struct.Struct("i")
_NO_INT: Final = bytes(_INT.size)


def accept(listening: socket.socket) -> tuple[socket.SocketType, tuple[Any, ...]] | None:
    """
    Accept a connection from the queue of a non-blocking socket.

    :return: its socket and the peer's address; None if the queue is empty.
    :raises OSError: when the kernel gives none, for one since descriptors have run out.
    """
    try:
        # The standard library's accept makes a socket.socket, whose Python part costs more than the system call.
        descriptor, peer = listening._accept()  # type: ignore[attr-defined]
    except BlockingIOError:
        return None
    return socket.SocketType(listening.family, _STREAM, 0, descriptor), peer


def accept_unix(listening: socket.socket) -> tuple[Socket, tuple[Any, ...]] | None:
    """As :func:`accept`, from a Unix socket. Its clients have no address."""
    try:
        descriptor, _ = listening._accept()  # type: ignore[attr-defined]
    except BlockingIOError:
        return None
    return Socket(socket.AF_UNIX, _STREAM, 0, descriptor), (UNIX_HOST, 0)


def connect(
    family: int, name: tuple[Any, ...], first: bytes, source: tuple[str, int] | None = None
) -> tuple[Socket, int, int]:
    """
    Begin a connection, and try to send the first bytes at once: to a near peer, it is often established by then.

    :param name: the peer's address as the kernel takes it, with an IP address.
    :param first: the bytes to send first; may be empty.
    :param source: our own address, with port 0 if the kernel shall choose the port; None if it shall choose both.
    :return: the socket, which is non-blocking; the error number, or 0; and how many bytes the kernel has taken, 0 while
        the connection is being established.
    :raises OSError: when the kernel gives no socket.
    """
    made = Socket(family, _STREAM_AT_ONCE)
    if source is not None:
        try:
            with contextlib.suppress(OSError):  # older kernels do without
                made.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
            made.bind(source)
        except OSError as error:
            return made, error.errno or errno.EIO, 0
    number = made.connect_ex(name)
    if number not in (0, errno.EINPROGRESS) or not first:
        return made, 0 if number == errno.EINPROGRESS else number, 0
    try:
        return made, 0, made.send(first)
    except BlockingIOError:
        return made, 0, 0
    except OSError as error:
        return made, error.errno or errno.EIO, 0


def forward(source: Socket, sink: Socket | None) -> int | tuple[int, bytes, int]:
    """
    Move bytes from one socket to another, as many as fit in one read.

    :param sink: None to drop the bytes.
    :return: the number of bytes read; 0 for an end of stream, -1 if nothing has come. If the sink did not take all of
        them: the number of bytes read, the bytes that were not taken, and the error number or 0.
    :raises OSError: when the source cannot be read.
    """
    try:
        count = source.recv_into(_BUFFER, READ_SIZE, _DONTWAIT)
    except BlockingIOError:
        return -1
    if not count or sink is None:
        return count
    try:
        sent = sink.send(_VIEW[:count], _DONTWAIT)
    except BlockingIOError:
        sent = 0
    except OSError as error:
        return count, b"", error.errno or errno.EIO
    return count if sent == count else (count, bytes(_VIEW[sent:count]), 0)


def queued(descriptor: int, finished: bool) -> int:
    """
    Count the bytes in the kernel that the peer has not acknowledged, or had not at its reset; 0 where it cannot tell.

    :param finished: True if our end of stream was sent, which the kernel counts as one more byte.
    """
    try:
        (count,) = _INT.unpack(ioctl(descriptor, termios.TIOCOUTQ, _NO_INT))
    except OSError:
        return 0
    return int(count) - 1 if finished and count else int(count)


if not TYPE_CHECKING:
    _IN_C: Final = "meshgate.transport.lean._sockets"
    Socket = c_form(_IN_C, "Socket") or socket.SocketType
    accept = c_form(_IN_C, "accept") or accept
    connect = c_form(_IN_C, "connect") or connect
    forward = c_form(_IN_C, "forward") or forward
