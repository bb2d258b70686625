"""
The relay: two connections joined into one, in both directions alike.

Knows two transports, when to stop reading (backpressure), how an end of stream, a reset and silence pass from
one side to the other, and how that makes the connection end. Knows neither why these two were joined nor how
they came about, nor how bytes move between lean transports (:mod:`meshgate.transport.lean.joining`).

A side that resets, or whom the gateway cuts off, is not followed at once by a reset of the other side: a reset throws
away what is still queued for whom it is sent to. The relay *parts* first. It passes on what had arrived before, waits
until the other side has acknowledged all of it or makes no progress any more, and resets then. Whoever has closed has
its ending told, so that the count of bytes sent to the client is what the client has acknowledged.

Rules of Twisted's transports that the order of calls here answers to: a transport with a registered producer
may never send its FIN nor close, so the producer is unregistered first; resuming one that has read its end of
stream reports that end again; after both ends of stream a transport still waits for ``loseConnection``; and
two transports that are each other's producers close each other when one is lost, so each side is the producer.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import classImplements

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import FIRST_PROBE_AGE, Limits
from meshgate.routing.connection_policy import Keepalive
from meshgate.transport.keepalive import INHERITED, keep_alive, patience
from meshgate.transport.last_words import defer_reset
from meshgate.transport.lean.joining import Flow, join
from meshgate.transport.silence import note_errors, timed_out, unanswered_since
from meshgate.transport.wheel import TICK, Timer, Wheel

#: Bytes that a side may leave unread when it closes. The record that ends TLS (close_notify) has 23 to 85 bytes, and a
#: last frame of HTTP/2 (GOAWAY) before it some 40.
LAST_RECORD: Final = 128

#: Seconds for what has been written to leave, when the gateway itself closes; then the connection is aborted.
GRACE: Final = 1.0

#: Seconds without progress during which a side that is to be closed from is looked at often.
POLL_OFTEN: Final = 1.0

# Looking up a member of an enum takes longer than all the rest of a line.
_OK: Final = Ending.OK
_CLIENT_RESET: Final = Ending.CLIENT_RESET
_UPSTREAM_RESET: Final = Ending.UPSTREAM_RESET
_CLIENT_TIMED_OUT: Final = Ending.CLIENT_TIMED_OUT
_UPSTREAM_TIMED_OUT: Final = Ending.UPSTREAM_TIMED_OUT
_DRAINED: Final = Ending.DRAINED

#: Seconds by which a time may be early, by the way floating-point numbers are added.
_EPSILON: Final = 0.001


class Side(Flow):
    """
    One side of a relay: what is read from it is sent to its peer. The flow does that by itself between lean
    transports; between others, a protocol hands over what it reads, and the side is the producer of its peer's
    transport: when the peer cannot take any more, this side stops reading.

    :ivar finished: its end of stream has been read.
    :ivar fin_sent: all that its peer had to say has been sent to it, the end of stream included.
    :ivar gone: its connection is lost.
    :ivar dead: it has answered nothing for so long that its connection was given up here.
    :ivar closed: we have closed or reset its connection.
    :ivar missed: bytes that were read for it after nothing could be sent to it any more.
    :ivar unanswered_since: since when it has been tried without an answer, as of the last look.
    """

    __slots__ = ("_relay", "_reset", "closed", "dead", "fin_sent", "finished", "gone", "missed", "unanswered_since")

    def __init__(self, transport: Any, reset: Ending, relay: Relay) -> None:
        # All in one place, since two are made for every connection.
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
        """Whether its connection was given up, here or by the kernel, since it answered nothing any more."""
        return self.dead or timed_out(self.transport)

    @property
    def reset(self) -> Ending:
        """How the connection ends when this side is lost."""
        if not self.timed_out:
            return self._reset
        return _CLIENT_TIMED_OUT if self._reset is _CLIENT_RESET else _UPSTREAM_TIMED_OUT

    def received(self, data: bytes) -> None:
        """Bytes were read from this side."""
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
        """Bytes were read for a peer that nothing can be sent to any more."""
        self._relay.cut_short(self._relay.other(self), count)

    def peer_reset(self) -> None:
        """It has reset the connection; what it had said before is still being read."""
        self._relay.side_reset(self)

    def read_finished(self) -> None:
        """The end of its stream was read."""
        self.finished = True
        self._relay.side_finished(self)

    def write_finished(self) -> None:
        """Our end of stream was sent to it."""
        self.fin_sent = True

    def lost(self) -> None:
        """Its connection is gone."""
        self.gone = True
        self._relay.side_lost(self)

    def release(self) -> None:
        """It is over, on both sides."""
        self.peer = None

    def pauseProducing(self) -> None:
        """The peer has enough to write."""
        self.blocked = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The peer has written it."""
        self.blocked = False
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The peer's connection is gone; how this side follows is up to the relay."""


classImplements(Side, IPushProducer)


class Upstream:
    """
    The connection with the endpoint.

    :ivar side: its side of the relay, given to it as soon as it is connected.
    """

    side: Side
    transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        """It is connected."""
        self.transport = transport

    def connectionMade(self) -> None:
        """Nothing is done before its side of the relay is there."""

    def dataReceived(self, data: bytes) -> None:
        """The endpoint said something."""
        self.side.received(data)

    def readConnectionLost(self) -> None:
        """The endpoint has finished."""
        self.side.read_finished()

    def writeConnectionLost(self) -> None:
        """The endpoint has been sent everything."""
        self.side.write_finished()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection with the endpoint is gone."""
        self.side.lost()


classImplements(Upstream, IProtocol, IHalfCloseableProtocol)


class Relay:
    """
    Two joined connections.

    :param clock: for time limits, and the time.
    :param client: the client's transport.
    :param upstream: the endpoint's transport.
    :param ended: called once, with the ending, as soon as it is certain.
    :param gone: called once, after that, when both connections are lost.
    :param left_early: called if the endpoint leaves before the client has sent anything: with True if it has ended its
        stream without sending anything itself, with False if it has reset the connection.
    """

    __deletable__ = ("client", "upstream")
    __slots__ = (
        "_by_reset",
        "_closing",
        "_ended",
        "_ending",
        "_gone",
        "_joined",
        "_keepalive",
        "_left_early",
        "_limits",
        "_probed",
        "_progress",
        "_since",
        "_stall_limit",
        "_stopped",
        "_timer",
        "client",
        "clock",
        "upstream",
    )

    def __init__(
        self,
        clock: Wheel,
        limits: Limits,
        client: Any,
        upstream: Any,
        ended: Callable[[Ending], None],
        gone: Callable[[], None],
        left_early: Callable[[bool], None],
    ) -> None:
        self.clock = clock
        one = self.client = Side(client, _CLIENT_RESET, self)
        other = self.upstream = Side(upstream, _UPSTREAM_RESET, self)
        one.peer, other.peer = other, one
        self._limits = limits
        self._ended = ended
        self._gone = gone
        self._left_early = left_early
        self._closing = False
        self._by_reset = True
        self._ending: Ending | None = None
        self._stopped = False
        self._joined = False
        self._since = clock.seconds()
        self._timer: Timer | None = None
        self._keepalive: Keepalive | None = None
        self._probed = False

    def start(self, keepalive: Keepalive | None = None) -> None:
        """
        Begin to relay.

        :param keepalive: the probes that the destination wants for its endpoint, if it has a wish.
        """
        self._joined = join(self.client, self.upstream)
        if not self._joined:
            for side in (self.client, self.upstream):
                note_errors(side.transport)
                defer_reset(side.transport, side)
                self.other(side).transport.registerProducer(side, True)
        first_check: float = self._limits.first_check
        if keepalive is not None:
            self._keepalive = keepalive
            first_check = min(first_check or FIRST_PROBE_AGE, FIRST_PROBE_AGE)
        if first_check:
            self._timer = self.clock.callLater(first_check, self._check)

    def other(self, side: Side) -> Side:
        """The side across."""
        return self.upstream if side is self.client else self.client

    def release(self) -> None:
        """Let go of everything, so that nothing has to look for what only holds itself."""
        self.client.release()
        self.upstream.release()
        del self.client, self.upstream

    def close(self, ending: Ending, at_once: bool = False) -> None:
        """
        End the relay from here: nothing more is read, and what was read may still leave, for :data:`GRACE` seconds.
        A connection that ends because the gateway stops is reset then, so that nobody takes what has come for all
        there is; any other one is closed.

        :param at_once: do not wait for anything.
        """
        if self._ending is None:
            self._by_reset = ending is _DRAINED
        if not self._stopped:
            self._stopped = True
            self._stop_reading()
        self._wind_down(self._ending or ending, 0.0 if at_once else GRACE)

    def side_finished(self, side: Side) -> None:
        """An end of stream was read: pass it on after the last byte; after the second one, close."""
        if self._closing:
            return
        peer = self.other(side)
        if not side.count and not peer.count and side is self.upstream and not peer.finished:
            self._left_early(True)
        if not self._joined:
            peer.transport.unregisterProducer()
        if peer.finished:
            self._lose_both()
        elif peer.transport.unwritable and self._may_have_closed(peer):
            self._wind_down(_OK, self._limits.half_close)
        else:
            peer.transport.loseWriteConnection()
            self._since = self.clock.seconds()
            if self._timer is None:
                self._schedule(self._since + self._limits.half_close)

    def side_lost(self, side: Side) -> None:
        """
        A connection is gone, and all that was read from it has been sent on. If nobody asked for that, it was reset,
        and the other side is reset as well, once it has taken what there is for it; but once both sides have finished,
        there is nothing left that a reset could cut short.

        A client that has been sent everything and then resets has simply closed: its kernel turns a close into a reset
        if bytes are left unread or come later, as a TLS client leaves the server's last record (close_notify).
        """
        peer = self.other(side)
        last = peer.gone  # what follows may lose the other one as well, and that comes here by itself
        if self._closing:
            self._check_progress()
        elif side.finished and peer.finished:
            if last:
                self._closing = True
                self._cancel_timer()
                self._ended(_OK)
        elif not last and self._may_have_closed(side):
            self._await_end(side)
            return
        else:
            self._pass_reset_on(peer if last and not peer.finished else side)
        if last:
            self._cancel_timer()
            self._gone()

    def side_reset(self, side: Side) -> None:
        """A side has reset its connection, and what it had said before is still being read, as fast as it is taken."""
        if self._closing:
            return
        if self._may_have_closed(side):
            self._await_end(side)
        else:
            self._pass_reset_on(side)

    def cut_short(self, side: Side, count: int) -> None:
        """A side is gone, and the other one has more to say to it."""
        side.missed += count
        if not self._closing and not self._may_have_closed(side):
            self._wind_down(side.reset, self._limits.half_close)

    def _may_have_closed(self, side: Side) -> bool:
        """
        Tell whether a side that has reset its connection may have done no more than close it, before it had been sent
        everything: it lacks a last record at most. A side that had finished before lacks what came for it since; a
        client that had not, all that it has not acknowledged, and it must have been answered at all.
        """
        if side.fin_sent or side.missed > LAST_RECORD or side.timed_out:
            return False
        if side.finished:
            return True
        lacking: int = side.transport.unacknowledged() + side.missed
        return side is self.client and self.upstream.count > LAST_RECORD >= lacking

    def _await_end(self, side: Side) -> None:
        """
        A side has closed, and its kernel has answered by a reset what came for it. Whether that cut anything short
        shows in a moment: not if the other side has nothing left to send but a last record and its own end. So a TLS
        client that closes after its answer, while the server's last record is under way, ends as it should.
        """
        peer = self.other(side)
        if peer.finished:
            self._wind_down(_OK, self._limits.half_close)
            return
        self._cancel_timer()
        self._timer = self.clock.callLater(GRACE, self._end_overdue, side)
        peer.transport.resumeProducing()

    def _end_overdue(self, side: Side) -> None:
        self._timer = None
        self._wind_down(side.reset, self._limits.half_close)

    def _pass_reset_on(self, side: Side) -> None:
        """A side has reset its connection; so is the other one, once it has taken what there is for it."""
        peer = self.other(side)
        if side is self.upstream and not peer.count and not peer.finished:
            self._left_early(False)
        if not self._joined and not peer.gone and not peer.finished:
            peer.transport.resumeProducing()  # it may have been paused for the one that is gone
        in_order = side is self.client and side.fin_sent and not side.timed_out
        self._wind_down(_OK if in_order else side.reset, self._limits.half_close)

    def _wind_down(self, ending: Ending, patience: float) -> None:
        """
        Part from both sides.

        :param patience: how many seconds a side may take nothing; at all, if it is us who stop.
        """
        self._closing = True
        self._cancel_timer()
        self._ending = ending
        self._stall_limit = patience
        self._progress = -1
        self._since = self.clock.seconds()
        self._check_progress()

    def _check_progress(self) -> None:
        """Part from whoever has taken all, or takes nothing any more; look again for the others."""
        self._cancel_timer()
        now, progress = self.clock.seconds(), self.client.count + self.upstream.count
        done: list[Side] = []
        waiting: list[Side] = []
        for side in (self.client, self.upstream):
            if side.closed:
                continue
            left = 0 if side.transport.unwritable else side.transport.unacknowledged()
            progress -= left
            nothing_to_come = self._stopped or self.other(side).gone
            (done if side.gone or (nothing_to_come and not left) else waiting).append(side)
        if progress > self._progress and not self._stopped:
            self._since = now
        self._progress = progress
        quiet = now - self._since
        if quiet >= self._stall_limit - _EPSILON:
            done += waiting
        elif waiting:
            # What is on its way arrives within a moment, or when somebody who is slow has read what came before.
            later = (
                self.clock.call_soon(self._check_progress)
                if quiet < POLL_OFTEN
                else self.clock.callLater(TICK, self._check_progress)
            )
            self._timer = later
        # By this, both may be lost before it returns.
        for side in done:
            self._close_side(side)

    def _close_side(self, side: Side) -> None:
        """Close or reset the connection of a side, and have the ending told if it is the client's."""
        if side.closed:
            return
        side.closed = True
        ending = self._ending
        if side is self.client and ending is not None:
            self._ended(ending)
        transport = side.transport
        if side.gone:
            return
        if self._by_reset or transport.unwritable or transport.unsent():
            transport.abortConnection()
        else:
            transport.loseConnection()

    def _stop_reading(self) -> None:
        for side in (self.client, self.upstream):
            if side.gone:
                continue
            if self._joined:
                side.stop_reading()
            else:
                side.transport.unregisterProducer()
                side.transport.pauseProducing()

    def _lose_both(self) -> None:
        client, upstream = self.client.transport, self.upstream.transport
        if not self._joined:
            client.unregisterProducer()
            upstream.unregisterProducer()
        client.loseConnection()
        upstream.loseConnection()

    def _silence_limit(self) -> tuple[float, Ending]:
        """How long silence may last now, and what it ends in; 0 for ever."""
        half_closed = self.client.finished or self.upstream.finished
        if half_closed and not 0 < self._limits.idle < self._limits.half_close:
            return self._limits.half_close, Ending.HALF_CLOSE_TIMEOUT
        return self._limits.idle, Ending.IDLE

    def _check(self) -> None:
        """
        Look whether silence has lasted too long, and whether both sides live. Not to be early, a byte counts as having
        come at the end of its tick. The next look is near enough that a side that finishes meanwhile needs no timer of
        its own.
        """
        self._timer = None
        now = self.clock.seconds()
        limit, ending = self._silence_limit()
        due = inf
        if limit:
            due = max(self._since, self.client.seen + TICK, self.upstream.seen + TICK) + limit
        if due - now < _EPSILON:
            self.close(ending)
            return
        due = min(due, now + self._limits.half_close, self._abort_dead(now))
        if not self._closing:
            self._schedule(due)

    def _abort_dead(self, now: float) -> float:
        """
        Give up a side that is dead.

        :return: when to look again.
        """
        limits = self._limits
        probed, self._probed = self._probed, True
        when = inf
        for side, keepalive in (
            (self.client, limits.client_keepalive),
            (self.upstream, self._keepalive or limits.upstream_keepalive),
        ):
            if keepalive is None or side.gone or side.dead:
                continue
            connection = side.transport.getHandle()
            if not (probed or (INHERITED and side is self.client)):
                keep_alive(connection, keepalive)
            wait = patience(connection, keepalive)
            since = side.unanswered_since = unanswered_since(connection, side.unanswered_since, now)
            if since is None:
                when = min(when, now + wait / 2)
            elif since + wait > now:
                when = min(when, since + wait)
            else:
                side.dead = True
                side.transport.abortConnection()
        return when

    def _schedule(self, when: float) -> None:
        self._timer = self.clock.call_at(when, self._check)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
