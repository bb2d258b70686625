"""
A lean transport: one connected socket on the poller, with as little between the kernel and a protocol as there can be.

Knows one socket, its edge-triggered events and what Twisted's protocols expect of a transport; knows nothing of how
the connection came about, nor of its addresses and options (:mod:`meshgate.transport.lean.connected_socket`), nor of
two that are joined (:mod:`meshgate.transport.lean.joining`).

It is Twisted's TCP transport in all that a protocol can see, with four differences, all of them for the better: what
is written leaves at once if the kernel takes it; a reset is noticed even while nothing is read; an end of stream is
reported once, whatever is resumed later; and what the peer has sent before it reset the connection is read before the
loss is reported, even if a failed write was what told of the reset. The kernel keeps those bytes until they are read.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import classImplements

from meshgate.transport.lean.connected_socket import LeanSocket
from meshgate.transport.lean.events import Call
from meshgate.transport.lean.poller import ENDING, NEITHER, READ, READ_WRITE, WRITE, Poller
from meshgate.transport.lean.sockets import READ_SIZE, Socket, queued
from meshgate.transport.silence import SILENT

BUDGET: Final = 4 * READ_SIZE
"""Bytes read for one event before others get their turn."""

HIGH_WATER: Final = 64 * 1024
"""Bytes waiting to be sent at which a producer is paused."""

_DONTWAIT: Final = socket.MSG_DONTWAIT
_PEEK: Final = socket.MSG_DONTWAIT | socket.MSG_PEEK
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_OUT: Final = 4  # select.EPOLLOUT
_ERROR: Final = 8  # select.EPOLLERR

# Making a failure takes longer than moving a packet, and these carry nothing of their own.
DONE: Final = Failure(ConnectionDone())  # type: ignore[no-untyped-call]
_ABORTED: Final = Failure(ConnectionAborted())  # type: ignore[no-untyped-call]


class Inflow:
    """
    What sends to a transport past its protocol; :class:`meshgate.transport.lean.joining.Flow` does.

    :ivar blocked: something waits to be sent.
    """

    __slots__ = ("blocked",)

    def __init__(self) -> None:
        self.blocked = False

    def block(self) -> None:
        """The transport takes no more for now."""
        raise NotImplementedError

    def unblock(self) -> bool:
        """The transport takes more. Tells whether nothing waits any more."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Nothing can be sent to the transport any more."""
        raise NotImplementedError

    def waiting(self) -> int:
        """Count the bytes that were read for the transport and are neither sent nor pending in it."""
        raise NotImplementedError


class LeanTransport(LeanSocket):
    """
    One connected socket.

    :param sock: connected. Need not be non-blocking: every call says that it will not wait.
    :param peer: the other side's address as the kernel gave it, if it is known already.
    :param blocking: the socket is a blocking one.
    :ivar protocol: who hears of what happens; assign another one at any time.
    :ivar pending: bytes that the kernel has not taken yet.
    :ivar inflow: what else is to be sent, from where it comes, while this transport is joined to another.
    :ivar deaf: nothing is read from it any more: its end of stream was read, or it is being closed.
    :ivar held: what comes to it is no event, a reset is; as of the next :meth:`rearm`.
    :ivar lost: it is closed, or about to be; nothing can be read from it or written to it any more.
    :ivar mute: nothing can be written to it any more. Unless it is lost, the peer has reset the connection, and what
        it had sent before is still being read.
    """

    __slots__ = (
        "_blocking",
        "_closing",
        "_events",
        "_finishing",
        "_left",
        "_producer",
        "_producer_paused",
        "_reading",
        "_reason",
        "_served",
        "_streaming",
        "_watched",
        "deaf",
        "descriptor",
        "held",
        "inflow",
        "lost",
        "mute",
        "pending",
        "poller",
        "protocol",
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
        self.descriptor = sock.fileno()
        self.protocol: Any = None
        self.pending: bytearray | None = None
        self.inflow: Inflow | None = None
        self.held = False
        self.lost = False
        self.mute = False
        self._left = 0
        self._events: Call | None = None
        self._blocking = blocking
        self._reading = True
        self.deaf = False
        self._finishing = False
        self._served = False
        self._closing = False
        self._watched = False
        self._reason: Failure | None = None
        self._producer: Any = None
        self._producer_paused = False
        self._streaming = False

    # Events.

    def watch(self) -> None:
        """Be told of events from now on. Nothing is missed: what is the case already is an event, too."""
        if self._watched:
            self.poller.pass_to(self.descriptor, self._events or self.ready)
            self.rearm()
        elif not self.lost:
            self._watched = True
            self.poller.watch(self.descriptor, self._events or self.ready, self._wanted())

    def watched_by(self, call: Call) -> None:
        """Have somebody else get the events for now, writability among them."""
        self._watched = True
        self.poller.watch(self.descriptor, call, READ_WRITE)

    def pass_events(self, call: Call) -> None:
        """Have somebody else get the events from now on."""
        self._events = call
        if self._watched and not self.lost:
            self.poller.pass_to(self.descriptor, call)

    def be_non_blocking(self) -> None:
        """Splicing knows no other way of saying that it will not wait."""
        if self._blocking:
            self._blocking = False
            os.set_blocking(self.descriptor, False)

    def ready(self, event: int) -> None:
        """Act on an event, as long as a protocol reads what comes."""
        if event & _OUT and self._waits():
            self.flush()
        if event & ~_OUT and not self.lost:
            if self._reading and not self.deaf:
                self.read(event)
            elif event & _ERROR:
                self.look_for_error()

    def read(self, event: int = 0) -> None:
        """
        Read what is there, up to :data:`BUDGET` bytes.

        :param event: what the poller said. With the end of the stream in it, a short read is not the last one.
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
                return  # whoever resumes it asks for the rest
            if len(data) < READ_SIZE and not event & ENDING:
                return
            left -= len(data)
            if left <= 0:
                self.rearm()
                return

    def rearm(self) -> None:
        """Ask for an event again, if there is anything to read or to write for."""
        if self._watched and not self.lost:
            self.poller.rearm(self.descriptor, self._wanted())

    def _wanted(self) -> int:
        """What to be told of, in epoll's terms."""
        if self.held:
            return WRITE if self._waits() else NEITHER
        return READ_WRITE if self._waits() else READ

    def end_of_stream(self) -> None:
        """The peer has finished; tell the protocol."""
        self.deaf = True
        if self.mute:
            self.heard_out()
        elif IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self._die(DONE)

    def look_for_error(self) -> None:
        """Notice a reset without reading."""
        number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self.break_off(OSError(number, os.strerror(number)))

    def fail(self, error: OSError) -> None:
        """End: reading fails, so that everything that came before was read."""
        self._die(self._reason if self.mute and self._reason is not None else _loss(error))

    def break_off(self, error: OSError) -> None:
        """
        Write no more, since the peer has reset the connection. What it had sent before is read first, as fast as it is
        taken; then the loss is reported.
        """
        if self.mute:
            return
        reason = _loss(error)
        if self.deaf or not self.has_unread():
            self._die(reason)
            return
        self._left = self.unacknowledged()
        self.mute = True
        self._reason = reason
        self.pending = None
        producer, self._producer = self._producer, None
        inflow, self.inflow = self.inflow, None
        if producer is not None:
            producer.stopProducing()
        if inflow is not None:
            inflow.abandon()
        self.rearm()

    def heard_out(self) -> None:
        """End: everything was read that the peer had sent before it reset the connection."""
        self._die(self._reason or DONE)

    def has_unread(self) -> bool:
        """Tell whether there is anything to read, even after a reset."""
        try:
            return bool(self.socket.recv(1, _PEEK))
        except OSError:
            return False

    @property
    def timed_out(self) -> bool:
        """Whether the kernel has given it up since the peer answered nothing any more."""
        value = None if self._reason is None else self._reason.value
        return value is not None and not SILENT.isdisjoint(value.args)

    def crashed(self) -> None:
        """Whoever it was handed to has failed."""
        self.abortConnection()

    # ITransport: writing.

    def write(self, data: bytes) -> None:
        """Send, now or as soon as the kernel takes it."""
        if self.mute or self._served:
            return
        if self.pending:
            self.pending += data
        else:
            try:
                sent = self.socket.send(data, _DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self.break_off(error)
                return
            if sent == len(data):
                return
            self.keep(memoryview(data)[sent:])
        self._pause_producer()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send all of it."""
        self.write(b"".join(iovec))

    def keep(self, data: memoryview | bytes) -> None:
        """Keep what the kernel does not take now, and ask to be told when it does."""
        self.pending = bytearray(data)
        if self.inflow is not None:
            self.inflow.block()
        self.rearm()

    def flush(self) -> None:
        """Send what was kept, as much as the kernel takes."""
        pending = self.pending
        if pending:
            try:
                sent = self.socket.send(pending, _DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                self.break_off(error)
                return
            if sent < len(pending):
                del pending[:sent]
                return  # the kernel is full, and will tell when it is not
            self.pending = None
        if self.inflow is None or self.inflow.unblock():
            self.rearm()
            self.drained()

    def drained(self) -> None:
        """Everything was sent: let more come, or do what was waiting for that."""
        if self._producer is not None:
            if self._producer_paused or not self._streaming:
                self._producer_paused = False
                self._produce()
        elif self._closing:
            self._die(DONE)
        elif self._finishing:
            self._finish()

    def unsent(self) -> int:
        """Count the bytes for the peer that the kernel has not taken yet."""
        if self.mute:
            return 0
        return len(self.pending or b"") + (self.inflow.waiting() if self.inflow is not None else 0)

    def unacknowledged(self) -> int:
        """Count the bytes for the peer that it has not acknowledged; had not, once nothing can be sent any more."""
        if self.mute:
            return self._left
        return self.unsent() + queued(self.descriptor, self._served)

    def _full(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self.pending) or (self.inflow is not None and self.inflow.blocked)

    def _waits(self) -> bool:
        """Whether anybody is to be told when the kernel takes more."""
        return self._full() or (self._producer is not None and not self._streaming)

    # ITransport and ITCPTransport: ending.

    @property
    def disconnecting(self) -> bool:
        """Whether it was told to close; Twisted's protocols ask before they go on with what they hold."""
        return self._closing

    def loseConnection(self) -> None:
        """Close once everything was sent."""
        if self.lost or self._closing:
            return
        self._closing = self.deaf = True
        self._reading = False
        if self.mute:
            self.heard_out()
        elif self._producer is None and not self._full():
            self._die(DONE)

    def loseWriteConnection(self) -> None:
        """Send our end of stream once everything was sent."""
        if self.mute or self._finishing:
            return
        self._finishing = True
        if self._producer is None and not self._full():
            self._finish()

    def abortConnection(self) -> None:
        """Reset the connection."""
        if self.lost:
            return
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        except OSError:
            pass  # it is reset already
        self._die(_ABORTED)

    def _finish(self) -> None:
        if self._served:
            return
        self._served = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            self.look_for_error()  # a reset was faster
            return
        if self.inflow is not None or IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.writeConnectionLost()

    def _die(self, reason: Failure) -> None:
        if not self.lost:
            if reason is not DONE and not self.mute:
                self._left = self.unacknowledged()
            self.lost = self.mute = True
            self._reason = reason
            if self._watched:
                self.poller.pass_to(self.descriptor, _IGNORE)
            self.poller.bury_soon(self)

    def bury(self) -> None:
        """Close the socket and tell the protocol, for the poller."""
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
        """Read nothing more for now."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Read again; what is there comes with the next event."""
        if not self._closing and not self.lost and not self._reading:
            self._reading = True
            self.rearm()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause the producer while there is much to send."""
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        if self.mute:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            self._produce()

    def unregisterProducer(self) -> None:
        """The producer has said all it had to say."""
        self._producer = None
        if not self.mute and not self._full():
            if self._closing:
                self._die(DONE)
            elif self._finishing:
                self._finish()

    def _produce(self) -> None:
        self._producer.resumeProducing()
        if not self._streaming and self._producer is not None:
            self.rearm()  # for the next piece, even if this one has left at once

    def _pause_producer(self) -> None:
        if self._producer is not None and len(self.pending or b"") > HIGH_WATER and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()


classImplements(LeanTransport, ITCPTransport)


def _loss(error: OSError) -> Failure:
    return Failure(ConnectionLost(errno.errorcode.get(error.errno or 0, "")))  # type: ignore[no-untyped-call]


def _ignore(event: int) -> None:
    """What happens to a socket that is only waiting to be closed is of no interest."""


# Compiled, a function is looked up by its name each time, and a constant is not.
_IGNORE: Final[Call] = _ignore
