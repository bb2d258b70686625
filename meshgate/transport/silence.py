"""
Connections whose other side is dead without a word: its host has lost its power, its network or its memory of them.

While nothing is said, the kernel's probes find out (:mod:`meshgate.transport.keepalive`). While something is under way
to the dead side, the kernel does not probe: it sends that again, for a quarter of an hour. TCP_USER_TIMEOUT would be
its shorter way, but it also ends connections with a living side that just does not read for so long. So the kernel is
asked now and then, once a connection has lived some seconds: a side is dead if it has acknowledged nothing for as long
as probes would have taken, though at least two tries waited for that. One that does not read still acknowledges that
it is tried.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import Any, Final

from twisted.internet.tcp import Connection

TRIES: Final = 2
"""Unanswered tries in a row without which nobody is dead; a single one may be under way."""

SILENT: Final = frozenset({"ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN"})
"""
The errors by which the kernel gives up a side that answers nothing. Only ETIMEDOUT is its own word; the others are what
it has heard from the network meanwhile, the neighbour that does not resolve an address among them.
"""

# struct tcp_info of linux/tcp.h: tcpi_retransmits, tcpi_probes, tcpi_backoff, tcpi_rto in microseconds, and
# tcpi_last_ack_recv in milliseconds.
_TCP_INFO: Final = struct.Struct("=2xBBB3xI44xI")
_HAS_TCP_INFO: Final = sys.platform == "linux"


def timed_out(transport: object) -> bool:
    """Tell whether a transport that is lost was given up by the kernel since the other side answered nothing."""
    return bool(getattr(transport, "timed_out", False))


def unanswered_since(connection: Any, before: float | None, now: float) -> float | None:
    """
    Look whether the other side of a connection acknowledges what it is sent.

    :param connection: the socket.
    :param before: what the last look gave; None for the first one.
    :param now: the clock's seconds.
    :return: since when it has been tried without an answer, in the clock's seconds; None if nothing is under way, or
        not for long.
    """
    unanswered = _unanswered(connection)
    if unanswered is None:
        return None
    silence, trying = unanswered
    return max(now - trying if before is None else before, now - silence)


def _unanswered(connection: Any) -> tuple[float, float] | None:
    """
    Ask the kernel about tries without an answer.

    :return: the seconds since the last acknowledgement, and those that it has been trying for at least; None if there
        have not been :data:`TRIES`.
    """
    if not _HAS_TCP_INFO:
        return None
    try:
        info = _tcp_info(connection)
        retransmits, probes, doublings, pause, silence = _TCP_INFO.unpack(info)
    except (OSError, ValueError, struct.error):
        return None  # it is lost already
    if max(retransmits, probes) < TRIES:
        return None
    # Each try waits twice as long as the one before: all of them but the last have waited for this long.
    return silence / 1000, pause / 1e6 * (1 - 0.5**doublings)


def _tcp_info(connection: Any) -> bytes:
    options = (socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    try:
        info: bytes = connection.getsockopt(*options)
    except TypeError:
        # The sockets of compiled transports know only options that are numbers; one of the library's borrows theirs.
        borrowed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, connection.fileno())
        try:
            return borrowed.getsockopt(*options)
        finally:
            borrowed.detach()
    return info


def note_errors(transport: Any) -> None:
    """
    Have one of Twisted's transports tell, once it is lost, whether it :func:`timed_out`; it forgets the errors that it
    meets. Other transports stay as they are.
    """
    if isinstance(transport, Connection) and transport.connected:
        any_transport: Any = transport
        any_transport.socket = _Noting(transport)


class _Noting:
    """The socket of one of Twisted's transports, which lets go of it once it is lost."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._socket = transport.socket

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def recv(self, *arguments: int) -> bytes:
        """As a socket's."""
        try:
            received: bytes = self._socket.recv(*arguments)
        except OSError as error:
            self._note(error.errno or 0)
            raise
        return received

    def send(self, data: bytes) -> int:
        """As a socket's."""
        try:
            sent: int = self._socket.send(data)
        except OSError as error:
            self._note(error.errno or 0)
            raise
        return sent

    def close(self) -> None:
        """As a socket's; an error that neither reading nor writing has met is noted before."""
        try:
            self._note(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except OSError:
            pass
        self._socket.close()

    def _note(self, number: int) -> None:
        if errno.errorcode.get(number) in SILENT:
            self._transport.timed_out = True
