"""
The sending half of a lean transport, and its socket's addresses and options, by Twisted's names.

The problem: most writes are taken by the kernel at once, and must cost no more than the system call; the others must
neither be lost nor fill the memory.

The approach: what the kernel does not take waits in one buffer, and an event is asked for. Whoever sends meanwhile is
asked to stop: a flow that is joined to the transport at once, a producer above :data:`HIGH_WATER` bytes.

The invariants: bytes leave in the order in which they were written, and our end of stream after them. Reading, and the
end of the connection, are the transport's (:mod:`meshgate.transport.lean.transport`).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_NODELAY
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHalfCloseableProtocol

from meshgate.transport.lean.sockets import UNIX_HOST, Socket, queued

HIGH_WATER: Final = 64 * 1024
"""Bytes that may wait to be sent before a producer is paused."""

_DONTWAIT: Final = socket.MSG_DONTWAIT


class Inflow:
    """
    A source of bytes that sends to a transport without its protocol, as :class:`meshgate.transport.lean.joining.Flow`.

    :ivar blocked: some bytes wait to be sent, and the source reads no more until they are.
    """

    __slots__ = ("blocked",)

    def __init__(self) -> None:
        self.blocked = False

    def block(self) -> None:
        """Stop reading: the transport takes no more bytes for now."""
        raise NotImplementedError

    def unblock(self) -> bool:
        """
        Send what waits, and read again: the transport takes more bytes.

        :return: True if no bytes wait any more.
        """
        raise NotImplementedError

    def abandon(self) -> None:
        """Drop what waits: the transport takes no bytes any more."""
        raise NotImplementedError

    def waiting(self) -> int:
        """Count the bytes that were read for the transport and are neither sent nor in its :attr:`pending` buffer."""
        raise NotImplementedError


class LeanSocket:
    """
    The half of a transport that sends.

    :ivar protocol: the protocol that is called; another one may be assigned at any time.
    :ivar pending: bytes that the kernel has not taken yet.
    :ivar inflow: the flow that sends to this transport while it is joined to another one.
    :ivar unwritable: nothing can be written any more. If the transport is not lost either, the peer has reset the
        connection, and the bytes that it sent before are still being read.
    :ivar nagle: the kernel may delay small writes (Nagle's algorithm, RFC 896).
    """

    __slots__ = (
        "_closing",
        "_end_sent",
        "_finishing",
        "_peer",
        "_producer",
        "_producer_paused",
        "_streaming",
        "_unacknowledged_at_end",
        "descriptor",
        "inflow",
        "nagle",
        "pending",
        "protocol",
        "socket",
        "unwritable",
    )

    def __init__(self, sock: Socket, peer: tuple[Any, ...] | None) -> None:
        self.socket = sock
        self.nagle = False
        self._peer = peer
        self.descriptor = sock.fileno()
        self.protocol: Any = None
        self.pending: bytearray | None = None
        self.inflow: Inflow | None = None
        self.unwritable = False
        self._unacknowledged_at_end = 0
        self._finishing = False
        self._end_sent = False
        self._closing = False
        self._producer: Any = None
        self._producer_paused = False
        self._streaming = False

    def getHost(self) -> IPv4Address | IPv6Address:
        """Our own address."""
        return _address(self.socket.getsockname())

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The peer's address."""
        if self._peer is None:
            self._peer = self.socket.getpeername()
        return _address(self._peer)

    def getTcpNoDelay(self) -> bool:
        """Return True if the kernel sends small writes at once."""
        return bool(self.socket.getsockopt(IPPROTO_TCP, TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Have the kernel send small writes at once, or not."""
        self.nagle = not enabled
        self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """Return True if the kernel probes a silent peer."""
        return bool(self.socket.getsockopt(SOL_SOCKET, SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Have the kernel probe a silent peer, or not."""
        self.socket.setsockopt(SOL_SOCKET, SO_KEEPALIVE, enabled)

    def getHandle(self) -> Socket:
        """The socket."""
        return self.socket

    # ITransport: writing.

    def write(self, data: bytes) -> None:
        """Send bytes now, or as soon as the kernel takes them."""
        if self.unwritable or self._end_sent:
            return
        if self.pending:
            self.pending += data
        else:
            try:
                sent = self.socket.send(data, _DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self.reset_by_peer(error)
                return
            if sent == len(data):
                return
            self.keep(memoryview(data)[sent:])
        self._pause_producer()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send all chunks as one."""
        self.write(b"".join(iovec))

    def keep(self, data: memoryview | bytes) -> None:
        """Keep bytes that the kernel does not take now, and ask for an event when it does."""
        self.pending = bytearray(data)
        if self.inflow is not None:
            self.inflow.block()
        self.rearm()

    def flush(self) -> None:
        """Send pending bytes, as many as the kernel takes."""
        pending = self.pending
        if pending:
            try:
                sent = self.socket.send(pending, _DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                self.reset_by_peer(error)
                return
            if sent < len(pending):
                del pending[:sent]
                return  # the kernel's buffer is full; an event comes when it is not
            self.pending = None
        if self.inflow is None or self.inflow.unblock():
            self.rearm()
            self.drained()

    def drained(self) -> None:
        """Let the producer go on, or close, now that everything was sent."""
        if self._producer is not None:
            if self._producer_paused or not self._streaming:
                self._producer_paused = False
                self._produce()
        elif self._closing:
            self.end_in_order()
        elif self._finishing:
            self._finish()

    def unsent(self) -> int:
        """Count the bytes for the peer that the kernel has not taken yet."""
        if self.unwritable:
            return 0
        return len(self.pending or b"") + (self.inflow.waiting() if self.inflow is not None else 0)

    def unacknowledged(self) -> int:
        """Count the bytes that the peer has not acknowledged; those at the reset, once nothing can be sent."""
        if self.unwritable:
            return self._unacknowledged_at_end
        return self.unsent() + queued(self.descriptor, self._end_sent)

    def _full(self) -> bool:
        """Return True if any bytes wait to be sent."""
        return bool(self.pending) or (self.inflow is not None and self.inflow.blocked)

    def _waits(self) -> bool:
        """Return True if an event is wanted when the kernel takes more bytes."""
        return self._full() or (self._producer is not None and not self._streaming)

    def loseWriteConnection(self) -> None:
        """Send our end of stream once everything was sent."""
        if self.unwritable or self._finishing:
            return
        self._finishing = True
        if self._producer is None and not self._full():
            self._finish()

    def _finish(self) -> None:
        if self._end_sent:
            return
        self._end_sent = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            self.check_for_error()  # a reset was faster
            return
        if self.inflow is not None or IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.writeConnectionLost()

    # IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause the producer while more than :data:`HIGH_WATER` bytes wait to be sent."""
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        if self.unwritable:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            self._produce()

    def unregisterProducer(self) -> None:
        """Forget the producer: it has written everything."""
        self._producer = None
        if not self.unwritable and not self._full():
            if self._closing:
                self.end_in_order()
            elif self._finishing:
                self._finish()

    def _produce(self) -> None:
        self._producer.resumeProducing()
        if not self._streaming and self._producer is not None:
            self.rearm()  # for the next chunk, even if this one has left at once

    def _pause_producer(self) -> None:
        if self._producer is not None and len(self.pending or b"") > HIGH_WATER and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    # What the other half does.

    def rearm(self) -> None:
        """Have the kernel report again what is ready."""
        raise NotImplementedError

    def check_for_error(self) -> None:
        """Notice a reset without reading."""
        raise NotImplementedError

    def reset_by_peer(self, error: OSError) -> None:
        """Stop writing, since the peer has reset the connection."""
        raise NotImplementedError

    def end_in_order(self) -> None:
        """Close, now that everything was sent."""
        raise NotImplementedError


def _address(name: tuple[Any, ...] | str | bytes) -> IPv4Address | IPv6Address:
    if isinstance(name, str | bytes):
        return IPv4Address("TCP", UNIX_HOST, 0)  # a Unix socket, of which nobody asks for more
    return IPv6Address("TCP", *name) if len(name) > 2 else IPv4Address("TCP", *name)
