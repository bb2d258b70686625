"""
Dialing on the poller: a connection to an IP address that gets a lean transport.

A connection to a near endpoint is often established before connect returns, although it says EINPROGRESS.
So the first bytes are sent at once: if the kernel takes them, the dial is over and needs no event. Otherwise an attempt
waits for writability, an error or its time limit.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from typing import Any

from twisted.internet.error import ConnectError, getConnectError
from twisted.internet.error import TimeoutError as ConnectTimeout

from meshgate.transport.dialing import (
    NO_LOCAL_PORT,
    Attempt,
    Dialer,
    SourceAddresses,
    dial_error,
    loop_error,
    unix_name,
    unmapped,
)
from meshgate.transport.lean.poller import Poller
from meshgate.transport.lean.sockets import Socket, connect
from meshgate.transport.lean.transport import LeanTransport
from meshgate.transport.lean.unix_connecting import connect_unix
from meshgate.transport.own_sockets import OwnSockets
from meshgate.transport.wheel import Timer, Wheel


def dial(
    poller: Poller,
    wheel: Wheel,
    own: OwnSockets,
    sources: SourceAddresses,
    address: str,
    port: int,
    protocol: Any,
    timeout: float,
    first: bytes,
    dialer: Dialer,
) -> Attempt | None:
    """
    Connect a protocol to an IP address; see :meth:`meshgate.transport.network.Network.dial`.

    :return: the attempt under way; None if the dialer has got the outcome already.
    """
    if not port:
        if os.fsencode(unix_name(address)) in own.names:
            dialer.dial_failed(loop_error(address, port))
        else:
            _dial_unix(poller, address, protocol, first, dialer)
        return None
    if port in own.ports and own.would_accept(address, port):
        dialer.dial_failed(loop_error(address, port))
        return None
    try:
        family, name = _socket_address(address, port)
        if sources.given:
            sock, number, sent = _connect_from(sources.order(family), family, name, first)
        else:
            sock, number, sent = connect(family, name, first)
    except OSError as error:
        dialer.dial_failed(dial_error(address, port, error))
        return None
    if number:
        sock.close()
        dialer.dial_failed(dial_error(address, port, _connect_error(number)))
        return None
    transport = LeanTransport(poller, sock, name, blocking=False)
    # Nagle's algorithm never delays the first write; the flow switches it off before the second one.
    transport.nagle = True
    if sent:
        if sent < len(first):
            transport.pending = bytearray(memoryview(first)[sent:])
        _establish(transport, protocol, dialer)
        return None
    return _DialAttempt(transport, wheel, (address, port), protocol, timeout, first, dialer)


def _dial_unix(poller: Poller, address: str, protocol: Any, first: bytes, dialer: Dialer) -> None:
    """Connect to a Unix socket; the dialer gets the outcome at once."""
    try:
        sock, number, sent = connect_unix(address, first)
    except OSError as error:
        dialer.dial_failed(dial_error(address, 0, error))
        return
    if number:
        sock.close()
        dialer.dial_failed(dial_error(address, 0, _connect_error(number)))
        return
    transport = LeanTransport(poller, sock, None, blocking=False)
    if sent < len(first):
        transport.pending = bytearray(memoryview(first)[sent:])
    _establish(transport, protocol, dialer)


def _connect_from(
    sources: tuple[str, ...], family: int, name: tuple[Any, ...], first: bytes
) -> tuple[Socket, int, int]:
    """As :func:`~meshgate.transport.lean.sockets.connect`, from the first source address that has a port left."""
    outcome: tuple[Socket, int, int] | None = None
    for source in sources:
        if outcome is not None:
            outcome[0].close()
        outcome = connect(family, name, first, (source, 0))
        if outcome[1] not in NO_LOCAL_PORT:
            break
    return outcome or connect(family, name, first)


def _establish(transport: LeanTransport, protocol: Any, dialer: Dialer) -> None:
    transport.protocol = protocol
    try:
        protocol.makeConnection(transport)
        dialer.dialed(protocol)
    except Exception:
        transport.abortConnection()
        raise
    transport.watch()


class _DialAttempt:
    """An attempt that the endpoint has not answered yet."""

    def __init__(
        self,
        transport: LeanTransport,
        wheel: Wheel,
        address: tuple[str, int],
        protocol: Any,
        timeout: float,
        first: bytes,
        dialer: Dialer,
    ) -> None:
        self._transport = transport
        self._address = address
        self._protocol = protocol
        self._first = first
        self._dialer = dialer
        self._over = False
        self._timer: Timer = wheel.callLater(timeout, self._timed_out)
        transport.watch_for(self._ready)

    def cancel(self) -> None:
        """Give the attempt up."""
        self._end()
        self._transport.abortConnection()

    def crashed(self) -> None:
        """Give the attempt up: a call of it has raised an exception."""
        self.cancel()

    def _ready(self, event: int) -> None:
        if self._over:
            return
        number = self._transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            if self._transport.has_unread():
                # The endpoint accepted, sent bytes and reset the connection: those bytes count.
                self._end()
                _establish(self._transport, self._protocol, self._dialer)
                self._transport.reset_by_peer(OSError(number, os.strerror(number)))
            else:
                self._fail(_connect_error(number))
            return
        try:
            self._transport.socket.getpeername()
        except OSError:
            return  # not connected yet
        self._end()
        if self._first:
            self._transport.write(self._first)
        _establish(self._transport, self._protocol, self._dialer)

    def _timed_out(self) -> None:
        self._fail(ConnectTimeout())  # type: ignore[no-untyped-call]

    def _fail(self, error: ConnectError) -> None:
        self._end()
        self._transport.abortConnection()
        self._dialer.dial_failed(dial_error(*self._address, error))

    def _end(self) -> None:
        self._over = True
        self._timer.cancel()


def _connect_error(number: int) -> ConnectError:
    error: ConnectError = getConnectError((number, os.strerror(number)))  # type: ignore[no-untyped-call]
    return error


@lru_cache(4096)
def _socket_address(address: str, port: int) -> tuple[int, tuple[Any, ...]]:
    """
    Return the address family, and the address as the kernel takes it.

    :raises OSError: when it is no IP address, or names a zone that does not exist.
    """
    address = unmapped(address)
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    family, _, _, _, name = socket.getaddrinfo(address, port, 0, socket.SOCK_STREAM, 0, numeric)[0]
    return family, name
