"""
The sockets that lean transports are made of: the standard library's, or, where meshgate was compiled, faster ones that
answer alike.

Knows how a socket is accepted, and how bytes get from one to another; knows nothing of what that is for.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import termios
from fcntl import ioctl
from typing import TYPE_CHECKING, Any, Final

from meshgate.transport.source_addresses import BIND_ADDRESS_NO_PORT

if TYPE_CHECKING:
    Socket = socket.SocketType

READ_SIZE: Final = 64 * 1024
"""Bytes read at once."""

_STREAM: Final = socket.SOCK_STREAM
_STREAM_AT_ONCE: Final = _STREAM | getattr(socket, "SOCK_NONBLOCK", 0)
_DONTWAIT: Final = socket.MSG_DONTWAIT

# What is read is sent before anything else is read: one buffer serves everybody.
_BUFFER: Final = bytearray(READ_SIZE)
_VIEW: Final = memoryview(_BUFFER)

_INT: Final = struct.Struct("i")
_NO_INT: Final = bytes(_INT.size)


def accept(listening: socket.socket) -> tuple[socket.SocketType, tuple[Any, ...]] | None:
    """
    Take a connection from the queue of a non-blocking socket.

    :return: its socket and the peer's name; None if nobody waits.
    :raises OSError: when there is none to be had.
    """
    try:
        # Socket objects of the standard library's, made in Python, do more than is needed for every connection.
        descriptor, peer = listening._accept()  # type: ignore[attr-defined]
    except BlockingIOError:
        return None
    return socket.SocketType(listening.family, _STREAM, 0, descriptor), peer


def connect(
    family: int, name: tuple[Any, ...], first: bytes, source: tuple[str, int] | None = None
) -> tuple[Socket, int, int]:
    """
    Begin a connection, and send at once what is to be sent first: to a near peer, it often is there already.

    :param name: the peer's, an IP address in it.
    :param first: may be empty.
    :param source: our own address, with port 0 for one that the kernel chooses; None leaves the address to it, too.
    :return: the socket, which is non-blocking; the error's number, 0 if there is none; and how many bytes the kernel
        has taken, 0 while the connection is under way.
    :raises OSError: when there is no socket to be had.
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
    Move what has come to one socket to another, as much as fits in one read.

    :param sink: None to read only, and to let go of what was read.
    :return: how many bytes came; 0 for an end of stream, -1 if nothing came. If not all of them were taken: how many
        came, those that were not taken, and the error's number or 0.
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
    Count the bytes in the kernel that the peer has not acknowledged; had not, after a reset. 0 where it cannot be told.

    :param finished: our end of stream was sent, which the kernel counts as one more.
    """
    try:
        (count,) = _INT.unpack(ioctl(descriptor, termios.TIOCOUTQ, _NO_INT))
    except OSError:
        return 0
    return int(count) - 1 if finished and count else int(count)


if not TYPE_CHECKING:
    try:
        from meshgate.transport.lean._sockets import Socket, accept, connect, forward  # noqa: F401 - for those who import it from here
    except ImportError:
        Socket = socket.SocketType
