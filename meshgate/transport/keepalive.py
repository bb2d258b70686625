"""
Keepalive: connections whose peer is gone without a FIN or a reset, since its host lost its power or its network.

The problem: on an idle connection, the kernel's probes find such a peer. But while bytes wait for an acknowledgement,
the kernel does not probe: it sends them again, for a quarter of an hour. TCP_USER_TIMEOUT would shorten that, but it
also ends connections whose peer lives and does not read for that long.

The approach: on Linux, a client's connection inherits the probes of its listening socket. A connection to an endpoint
gets its probes once it has lived some seconds, so that a short connection pays nothing for them. From then on, the
relay asks the kernel (TCP_INFO) now and then. A peer is dead if it has acknowledged nothing for as long as the probes
would have taken.

The invariant: a living peer is never given up. One that does not read still acknowledges each try, and at least
:data:`TRIES` tries in a row must be unanswered, whatever the time.
"""

from __future__ import annotations

import errno
import math
import socket
import struct
import sys
from typing import Any, Final

from twisted.internet.tcp import Connection

from meshgate.routing.connection_policy import Keepalive

INHERITED: Final = sys.platform == "linux"
"""True if accepted connections inherit the probes of the listening socket."""

_TCP_KEEPIDLE: Final = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))  # the latter on macOS
_TCP_KEEPINTVL: Final = getattr(socket, "TCP_KEEPINTVL", None)
_TCP_KEEPCNT: Final = getattr(socket, "TCP_KEEPCNT", None)
_OPTIONS: Final = ((_TCP_KEEPIDLE, "time"), (_TCP_KEEPINTVL, "interval"), (_TCP_KEEPCNT, "probes"))


def keep_alive(connection: Any, keepalive: Keepalive | None) -> None:
    """
    Set the probes of a connection, or of those that a listening socket will accept. Values that the system cannot set
    stay the system's.

    :param connection: a TCP socket; nothing is done if its connection is lost already.
    :param keepalive: None for no probes.
    """
    try:
        for option, field in _OPTIONS if keepalive is not None else ():
            value = getattr(keepalive, field)
            if value and option is not None:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
        # Last: probes that begin earlier wait for the system's interval first.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, keepalive is not None)
    except OSError:
        return


def patience(connection: Any, keepalive: Keepalive) -> float:
    """
    Return the seconds of silence after which probes give a connection up.

    :param connection: a socket with these probes; it tells the values that they leave to the system.
    """
    try:
        time, interval, probes = (
            getattr(keepalive, field)
            or (connection.getsockopt(socket.IPPROTO_TCP, option) if option is not None else 0)
            for option, field in _OPTIONS
        )
    except OSError:  # a Unix socket, whose peer cannot be lost in silence
        return math.inf
    return float(time + interval * probes)


TRIES: Final = 2
"""Unanswered tries in a row before a peer may count as dead; the answer to a single one may be on its way."""

SILENT: Final = frozenset({"ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN"})
"""
The errors with which the kernel gives up a silent peer. ETIMEDOUT is the kernel's own; it reports one of the others if
the network has sent an ICMP error meanwhile, or the next hop does not answer ARP.
"""

# struct tcp_info of linux/tcp.h: tcpi_retransmits, tcpi_probes, tcpi_backoff, tcpi_rto in microseconds, and
# tcpi_last_ack_recv in milliseconds.
_TCP_INFO: Final = struct.Struct("=2xBBB3xI44xI")
_HAS_TCP_INFO: Final = sys.platform == "linux"


def timed_out(transport: object) -> bool:
    """Return True if the kernel gave a lost transport's connection up because the peer answered nothing."""
    return bool(getattr(transport, "timed_out", False))


def unanswered_since(connection: Any, before: float | None, now: float) -> float | None:
    """
    Return since when a connection's peer has acknowledged nothing, in the clock's seconds.

    :param connection: the socket.
    :param before: the result of the last call for this connection; None for the first call.
    :param now: the clock's seconds.
    :return: None if no bytes wait for an acknowledgement, or there were fewer than :data:`TRIES`.
    """
    unanswered = _unanswered(connection)
    if unanswered is None:
        return None
    silence, trying = unanswered
    return max(now - trying if before is None else before, now - silence)


def _unanswered(connection: Any) -> tuple[float, float] | None:
    """
    Ask the kernel about unanswered tries.

    :return: the seconds since the last acknowledgement, and the least seconds since the first try; None if there were
        fewer than :data:`TRIES`.
    """
    if not _HAS_TCP_INFO:
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        retransmits, probes, doublings, pause, silence = _TCP_INFO.unpack(info)
    except (OSError, ValueError, struct.error):
        return None  # the connection is lost already
    if max(retransmits, probes) < TRIES:
        return None
    # Each try waits twice as long as the one before: this is how long all of them but the last have waited.
    return silence / 1000, pause / 1e6 * (1 - 0.5**doublings)


def note_errors(transport: Any) -> None:
    """
    Have one of Twisted's transports remember if it :func:`timed_out`: by itself, it forgets the errors of its socket.
    Other transports stay as they are.
    """
    if isinstance(transport, Connection) and transport.connected:
        any_transport: Any = transport
        any_transport.socket = _NotingSocket(transport)


class _NotingSocket:
    """The socket of one of Twisted's transports, with a note of its errors."""

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
        """As a socket's; note an error first that neither reading nor writing has met."""
        try:
            self._note(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except OSError:
            pass
        self._socket.close()

    def _note(self, number: int) -> None:
        if errno.errorcode.get(number) in SILENT:
            self._transport.timed_out = True
