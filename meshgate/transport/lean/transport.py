"""
A lean transport: one connected socket on the poller, with as little Python as possible between kernel and protocol.

The problem: with Twisted's own transports, a proxied connection costs as much time in Python as in the kernel.

The approach: one slotted object for each socket. The poller calls :meth:`LeanTransport.ready` with edge-triggered
events; a write goes to the kernel at once, and asks for an event only when the kernel does not take all of it.

To a protocol, this is Twisted's TCP transport with four improvements, which are its invariants:

- bytes that are written leave at once if the kernel takes them;
- a reset is noticed even while nothing is read;
- an end of stream is reported once, whatever is resumed later;
- bytes that the peer sent before it reset the connection are read before the loss is reported, even if it was a write
  that failed. The kernel keeps those bytes until they are read.

Sending, addresses and socket options are in :mod:`meshgate.transport.lean.connected_socket`, two transports that feed
each other in :mod:`meshgate.transport.lean.joining`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import classImplements

from meshgate.transport.keepalive import SILENT
from meshgate.transport.lean.connected_socket import LeanSocket
from meshgate.transport.lean.events import Call
from meshgate.transport.lean.poller import ENDING, ERROR, NEITHER, OUT, READ, READ_WRITE, WRITE, Poller
from meshgate.transport.lean.sockets import READ_SIZE, Socket

BUDGET: Final = 4 * READ_SIZE
"""Bytes read for one event before other sockets get their turn."""

_DONTWAIT: Final = socket.MSG_DONTWAIT
_PEEK: Final = socket.MSG_DONTWAIT | socket.MSG_PEEK
_NO_LINGER: Final = struct.pack("ii", 1, 0)

# Making a Failure takes longer than moving a packet, and these two always hold the same.
DONE: Final = Failure(ConnectionDone())  # type: ignore[no-untyped-call]
_ABORTED: Final = Failure(ConnectionAborted())  # type: ignore[no-untyped-call]


class LeanTransport(LeanSocket):
    """
    The transport of one connected socket.

    :param sock: a connected socket. It may be a blocking one: every call asks the kernel not to wait.
    :param peer: the peer's address as the kernel gave it; None to ask the kernel once somebody wants it.
    :param blocking: True if the socket is a blocking one.
    :ivar done_reading: no more bytes are read: the end of the stream was read, or the transport is closing.
    :ivar input_paused: incoming bytes cause no event from the next :meth:`rearm` on; a reset still does.
    :ivar lost: the socket is closed or about to be; nothing can be read or written any more.
    """

    __slots__ = (
        "_blocking",
        "_events",
        "_reading",
        "_reason",
        "_watched",
        "done_reading",
        "input_paused",
        "lost",
        "poller",
    )

    def __init__(
        self,
        poller: Poller,
        sock: Socket,
        peer: tuple[Any, ...] | None = None,
        blocking: bool = True,
    ) -> None:
        super().__init__(sock, peer)
        self.poller = poller
        self.input_paused = False
        self.lost = False
        self._events: Call | None = None
        self._blocking = blocking
        self._reading = True
        self.done_reading = False
        self._watched = False
        self._reason: Failure | None = None

    # Events.

    def watch(self) -> None:
        """Get events from now on. Nothing is missed: the kernel reports what is ready already, too."""
        if self._watched:
            self.poller.change_call(self.descriptor, self._events or self.ready)
            self.rearm()
        elif not self.lost:
            self._watched = True
            self.poller.watch(self.descriptor, self._events or self.ready, self._wanted())

    def watch_for(self, call: Call) -> None:
        """Get events for now, writability among them, and pass them to another call."""
        self._watched = True
        self.poller.watch(self.descriptor, call, READ_WRITE)

    def send_events_to(self, call: Call) -> None:
        """Pass all events to another call from now on, as soon as the socket is watched."""
        self._events = call
        if self._watched and not self.lost:
            self.poller.change_call(self.descriptor, call)

    def be_non_blocking(self) -> None:
        """Make the socket non-blocking: splice has no flag by which a call could ask the socket not to wait."""
        if self._blocking:
            self._blocking = False
            os.set_blocking(self.descriptor, False)

    def ready(self, event: int) -> None:
        """Act on an event while the protocol gets the bytes."""
        if event & OUT and self._waits():
            self.flush()
        if event & ~OUT and not self.lost:
            if self._reading and not self.done_reading:
                self.read(event)
            elif event & ERROR:
                self.check_for_error()

    def read(self, event: int = 0) -> None:
        """
        Read what has come, up to :data:`BUDGET` bytes.

        :param event: the poller's event. If it may hide an end of stream, a short read does not end the reading.
        """
        left = BUDGET
        while True:
            try:
                data = self.socket.recv(READ_SIZE, _DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                self.fail(error)
                return
            if not data:
                self.end_of_stream()
                return
            self.protocol.dataReceived(data)
            if self.lost or not self._reading:
                return  # resumeProducing asks for the rest
            if len(data) < READ_SIZE and not event & ENDING:
                return
            left -= len(data)
            if left <= 0:
                self.rearm()
                return

    def rearm(self) -> None:
        """Have the kernel report again what is ready."""
        if self._watched and not self.lost:
            self.poller.rearm(self.descriptor, self._wanted())

    def _wanted(self) -> int:
        """The events to watch for, as epoll's bits."""
        if self.input_paused:
            return WRITE if self._waits() else NEITHER
        return READ_WRITE if self._waits() else READ

    def end_of_stream(self) -> None:
        """Tell the protocol that the peer has finished."""
        self.done_reading = True
        if self.unwritable:
            self.report_loss()
        elif IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self._lose(DONE)

    def check_for_error(self) -> None:
        """Notice a reset without reading: ask the kernel for the socket's error."""
        number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self.reset_by_peer(OSError(number, os.strerror(number)))

    def fail(self, error: OSError) -> None:
        """End the connection after a failed read: the kernel reports an error only once all bytes were read."""
        self._lose(self._reason if self.unwritable and self._reason is not None else _loss(error))

    def reset_by_peer(self, error: OSError) -> None:
        """
        Stop writing, since the peer has reset the connection. The bytes that it sent before are read first, as fast as
        the protocol takes them; then the loss is reported.

        :param error: the error of the write, or of the socket.
        """
        if self.unwritable:
            return
        reason = _loss(error)
        if self.done_reading or not self.has_unread():
            self._lose(reason)
            return
        self._unacknowledged_at_end = self.unacknowledged()
        self.unwritable = True
        self._reason = reason
        self.pending = None
        producer, self._producer = self._producer, None
        inflow, self.inflow = self.inflow, None
        if producer is not None:
            producer.stopProducing()
        if inflow is not None:
            inflow.abandon()
        self.rearm()

    def report_loss(self) -> None:
        """Report the loss, now that everything was read that the peer sent before it reset the connection."""
        self._lose(self._reason or DONE)

    def has_unread(self) -> bool:
        """Return True if there are bytes to read, even after a reset."""
        try:
            return bool(self.socket.recv(1, _PEEK))
        except OSError:
            return False

    @property
    def timed_out(self) -> bool:
        """True if the kernel gave the connection up because the peer acknowledged nothing any more."""
        value = None if self._reason is None else self._reason.value
        return value is not None and not SILENT.isdisjoint(value.args)

    def crashed(self) -> None:
        """Reset the connection: the protocol has raised an exception."""
        self.abortConnection()

    # ITransport and ITCPTransport: ending.

    @property
    def disconnecting(self) -> bool:
        """True once the transport was asked to close; Twisted's protocols check it before they send buffered data."""
        return self._closing

    def loseConnection(self) -> None:
        """Close once everything was sent."""
        if self.lost or self._closing:
            return
        self._closing = self.done_reading = True
        self._reading = False
        if self.unwritable:
            self.report_loss()
        elif self._producer is None and not self._full():
            self._lose(DONE)

    def abortConnection(self) -> None:
        """Reset the connection."""
        if self.lost:
            return
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        except OSError:
            pass  # the peer has reset it already
        self._lose(_ABORTED)

    def end_in_order(self) -> None:
        """Close, now that everything was sent."""
        self._lose(DONE)

    def _lose(self, reason: Failure) -> None:
        if not self.lost:
            if reason is not DONE and not self.unwritable:
                self._unacknowledged_at_end = self.unacknowledged()
            self.lost = self.unwritable = True
            self._reason = reason
            if self._watched:
                self.poller.change_call(self.descriptor, _ignore)
            self.poller.close_soon(self)

    def close_now(self) -> None:
        """Close the socket and tell the protocol; the poller calls this after a batch."""
        if self._watched:
            self.poller.forget(self.descriptor)
        self.socket.close()
        protocol, self.protocol = self.protocol, None
        producer, self._producer = self._producer, None
        inflow, self.inflow, self._events = self.inflow, None, None
        self.pending = None
        if producer is not None:
            producer.stopProducing()
        if inflow is not None:
            inflow.abandon()
        if protocol is not None:
            protocol.connectionLost(self._reason)

    # IPushProducer.

    def pauseProducing(self) -> None:
        """Stop reading for now."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Read again, with the next event."""
        if not self._closing and not self.lost and not self._reading:
            self._reading = True
            self.rearm()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()


classImplements(LeanTransport, ITCPTransport)


def _loss(error: OSError) -> Failure:
    return Failure(ConnectionLost(errno.errorcode.get(error.errno or 0, "")))  # type: ignore[no-untyped-call]


def _ignore(event: int) -> None:
    """Ignore an event of a socket that waits to be closed."""
