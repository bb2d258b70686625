"""
Last words on Twisted's transports: the bytes that a peer sent before it reset the connection.

The problem: Twisted's transport closes its socket as soon as a write fails or the poll reports a reset, and loses what
is unread in it. A server that answers "too large" and resets would never be heard.

The approach: one object replaces ``connectionLost`` and ``readConnectionLost`` of the transport, and defers the loss
until everything was read, as fast as the reader takes it. Lean transports do the same by themselves
(:mod:`meshgate.transport.lean.transport`); Twisted's get the same attributes here: ``unwritable``, ``unsent`` and
``unacknowledged``.

The invariant: the loss is reported once, and with the reason that came first.
"""

from __future__ import annotations

import socket
from typing import Any, Final, Protocol

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from meshgate.transport.lean.sockets import queued

_PEEK: Final = socket.MSG_DONTWAIT | socket.MSG_PEEK


class Reader(Protocol):
    """
    The side of a relay that reads from the transport.

    :ivar finished: the end of the stream was read.
    :ivar blocked: nothing shall be read for now.
    """

    finished: bool
    blocked: bool

    def peer_reset(self) -> None:
        """Act on a reset; the bytes that came before are still being read."""


def defer_reset(transport: Any, reader: Reader) -> None:
    """Have one of Twisted's transports read everything before it reports a reset. Other transports do so anyway."""
    if isinstance(transport, Connection):
        _LastWords(transport, reader)


class _LastWords:
    """Takes the reactor's reports of the end of one transport's connection."""

    def __init__(self, transport: Any, reader: Reader) -> None:
        self._transport = transport
        self._reader = reader
        self._unacknowledged_at_end = 0
        self._reason: Failure | None = None
        transport.unwritable = not transport.connected
        if transport.connected:
            transport.connectionLost = self._lost
            transport.readConnectionLost = self._read_finished
        transport.unsent = self._unsent
        transport.unacknowledged = self._unacknowledged

    def _lost(self, reason: Failure) -> None:
        transport = self._transport
        if not transport.unwritable:
            self._unacknowledged_at_end = self._unacknowledged()
            transport.unwritable = True
            was_reset = reason.check(ConnectionLost) and not reason.check(ConnectionAborted)  # type: ignore[no-untyped-call]
            if was_reset and not self._reader.finished and self._has_unread():
                self._defer(reason)
                return
        del transport.connectionLost, transport.readConnectionLost
        transport.connectionLost(self._reason or reason)

    def _defer(self, reason: Failure) -> None:
        transport = self._transport
        self._reason = reason
        transport.stopWriting()
        transport.dataBuffer, transport.offset = b"", 0
        transport._tempDataBuffer, transport._tempDataLen = [], 0
        if self._reader.blocked:
            transport.stopReading()
        else:
            transport.startReading()
        self._reader.peer_reset()

    def _read_finished(self, reason: Failure) -> None:
        transport = self._transport
        if transport.unwritable:
            transport.connectionLost(reason)
        else:
            type(transport).readConnectionLost(transport, reason)

    def _has_unread(self) -> bool:
        try:
            return bool(self._transport.socket.recv(1, _PEEK))
        except OSError:
            return False

    def _unsent(self) -> int:
        transport = self._transport
        return 0 if transport.unwritable else len(transport.dataBuffer) - transport.offset + transport._tempDataLen

    def _unacknowledged(self) -> int:
        transport = self._transport
        if transport.unwritable:
            return self._unacknowledged_at_end
        return self._unsent() + queued(transport.fileno(), transport._writeDisconnected)
