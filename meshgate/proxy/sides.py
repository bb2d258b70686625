"""
The two sides of a relay: the client's connection and the endpoint's, alike in all but their endings.

A side is the flow of bytes that it reads (:class:`~meshgate.transport.lean.joining.Flow`), and the state of its
connection. It decides nothing: what an end of stream, a reset or a loss means is up to the relay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import classImplements

from meshgate.proxy.endings import Ending
from meshgate.transport.keepalive import timed_out
from meshgate.transport.lean.joining import Flow

if TYPE_CHECKING:
    from meshgate.proxy.relay import Relay

# Looking up a member of an enum takes longer than all the rest of a line.
_CLIENT_RESET: Final = Ending.CLIENT_RESET
_CLIENT_TIMED_OUT: Final = Ending.CLIENT_TIMED_OUT
_UPSTREAM_TIMED_OUT: Final = Ending.UPSTREAM_TIMED_OUT


class Side(Flow):
    """
    One side of a relay: bytes read from it are sent to its peer.

    The flow moves bytes between lean transports by itself. Between other transports, a protocol passes on what it
    reads, and the side is the producer of its peer's transport: it stops reading while the peer cannot take more.

    :param reset: the ending of the connection if this side resets it.
    :ivar finished: its end of stream was read.
    :ivar fin_sent: all bytes of its peer were sent to it, and the end of stream after them.
    :ivar gone: its connection is lost.
    :ivar dead: the gateway has aborted its connection because it acknowledged nothing any more.
    :ivar closed: the relay has closed or reset its connection.
    :ivar missed: number of bytes that were read for it when nothing could be sent to it any more.
    :ivar unanswered_since: the clock's seconds since which it has acknowledged nothing, as of the last check.
    """

    __slots__ = ("_relay", "_reset", "closed", "dead", "fin_sent", "finished", "gone", "missed", "unanswered_since")

    def __init__(self, transport: Any, reset: Ending, relay: Relay) -> None:
        # The attributes of the base classes are set here as well: every connection makes two sides.
        self.transport = transport
        self.clock = clock = relay.clock
        self.count = self._streak = self._in_pipe = 0
        self.first_at = self._pipe = None
        self.seen = clock.now
        self.blocked = False
        self._reset = reset
        self.dead = False
        self.unanswered_since: float | None = None
        self.finished = False
        self.fin_sent = False
        self.gone = False
        self.closed = False
        self.missed = 0
        self._relay = relay

    @property
    def timed_out(self) -> bool:
        """True if the gateway or the kernel has given up the connection because nothing was acknowledged."""
        return self.dead or timed_out(self.transport)

    @property
    def reset(self) -> Ending:
        """The ending of the connection if this side is lost."""
        if not self.timed_out:
            return self._reset
        return _CLIENT_TIMED_OUT if self._reset is _CLIENT_RESET else _UPSTREAM_TIMED_OUT

    def joins(self) -> bool:
        """Return True if bytes may be moved without calling :meth:`received`."""
        return True

    def flush(self) -> None:
        """Send what was read and not yet sent, of which there is nothing here."""

    def received(self, data: bytes) -> None:
        """Send bytes that were read from this side to its peer."""
        peer = self._relay.other(self)
        if peer.transport.unwritable:
            self.bytes_dropped(len(data))
            return
        if self.first_at is None:
            self.first_at = self.clock.seconds()
        self.count += len(data)
        self.seen = self.clock.now
        peer.transport.write(data)

    def bytes_dropped(self, count: int) -> None:
        """Tell the relay of bytes that were read for a peer to which nothing can be sent any more."""
        self._relay.cut_short(self._relay.other(self), count)

    def peer_reset(self) -> None:
        """Tell the relay that this side has reset the connection; what it had sent before is still being read."""
        self._relay.side_reset(self)

    def read_finished(self) -> None:
        """Tell the relay that the end of this side's stream was read."""
        self.finished = True
        self._relay.side_finished(self)

    def write_finished(self) -> None:
        """Note that our end of stream was sent to this side."""
        self.fin_sent = True

    def lost(self) -> None:
        """Tell the relay that the connection is lost."""
        self.gone = True
        self._relay.side_lost(self)

    def release(self) -> None:
        """Drop the reference to the peer, once both connections are lost."""
        self.peer = None

    def pauseProducing(self) -> None:
        """Stop reading: the peer has enough to write."""
        self.blocked = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again: the peer has written what it had."""
        self.blocked = False
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Do nothing: the peer's connection is lost, and the relay decides how this side follows."""


classImplements(Side, IPushProducer)


class Upstream:
    """
    The protocol of the connection to the endpoint.

    :ivar side: the endpoint's side of the relay; set as soon as the endpoint is connected.
    """

    side: Side
    transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        """Keep the transport of the connected endpoint."""
        self.transport = transport

    def connectionMade(self) -> None:
        """Do nothing: the relay starts when its side is set."""

    def dataReceived(self, data: bytes) -> None:
        """Pass on what the endpoint has sent."""
        self.side.received(data)

    def readConnectionLost(self) -> None:
        """Pass on the end of the endpoint's stream."""
        self.side.read_finished()

    def writeConnectionLost(self) -> None:
        """Note that the client's end of stream was sent to the endpoint."""
        self.side.write_finished()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the relay that the endpoint's connection is lost."""
        self.side.lost()


classImplements(Upstream, IProtocol, IHalfCloseableProtocol)
