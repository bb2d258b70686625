"""
The relay: two connections joined into one, in both directions alike.

The problem: an end of stream, a reset and silence have to pass from one side to the other without losing bytes that
are still on their way, and the record has to say truly how the connection ended and how much the client got.

The approach: each side reports four events, and the relay acts on them by this table.

=============  =============================================================================
finished       pass the end of stream on, after the last byte; after the second one, close
reset, lost    wind down: deliver what came before, then reset the other side
bytes dropped  bytes came for a side that is gone: wind down
silence        close, with the ending of the limit that has run out
=============  =============================================================================

Winding down takes its time because a reset throws away what is still queued for its receiver. The relay waits until
the other side has acknowledged all of it, or makes no progress any more, and resets it then. The record is completed
at that moment, so its count of bytes sent to the client is the count of bytes that the client has acknowledged.

A reset need not mean that anything was lost: a kernel turns a close into a reset if bytes are unread or come later. So
a TLS client that closes while the server's last record (close_notify) is under way resets. A side that lacks no more
than a last record has closed in order if the other side ends as well, within a moment.

The invariants: ``ended`` is called once, before ``gone``, which is called once, when both connections are lost. The
order of calls answers to four rules of Twisted's transports. A transport with a registered producer never sends its
end of stream nor closes, so the producer is unregistered first. Resuming a transport that has read its end of stream
reports that end again. After both ends of stream, a transport still waits for ``loseConnection``. Two transports that
are each other's producers close each other when one is lost, so the sides are the producers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import FIRST_PROBE_AGE, Limits
from meshgate.proxy.pacing import PacedSide, Pacing
from meshgate.proxy.sides import Side
from meshgate.routing.connection_policy import Keepalive
from meshgate.transport.keepalive import INHERITED, keep_alive, note_errors, patience, unanswered_since
from meshgate.transport.last_words import defer_reset
from meshgate.transport.lean.joining import join
from meshgate.transport.wheel import TICK, Timer, Wheel

LAST_RECORD: Final = 128
"""
Number of bytes that a side may leave unread when it closes. The record that ends TLS (close_notify) has 23 to 85 bytes,
and a last frame of HTTP/2 (GOAWAY) before it some 40.
"""

GRACE: Final = 1.0
"""Seconds that a side has to take what was written when the gateway closes, or to end when the other side is gone."""

POLL_OFTEN: Final = 1.0
"""Seconds without progress for which winding down checks for acknowledgements at every turn, and not at every tick."""

# Looking up a member of an enum takes longer than all the rest of a line.
_OK: Final = Ending.OK
_CLIENT_RESET: Final = Ending.CLIENT_RESET
_UPSTREAM_RESET: Final = Ending.UPSTREAM_RESET
_BY_RESET: Final = (Ending.DRAINED, Ending.ENDPOINT_UNHEALTHY, Ending.ENDPOINT_REMOVED)

_EPSILON: Final = 0.001
"""Seconds by which a timer may fire early, since floating-point sums are not exact."""


class Relay:
    """
    Two joined connections.

    :param clock: gives the time, and the timers of limits.
    :param client: the client's transport.
    :param upstream: the endpoint's transport.
    :param ended: called once, with the ending, as soon as it is certain.
    :param gone: called once, after ``ended``, when both connections are lost.
    :param left_early: called if the endpoint leaves before the client has sent anything: with True if it has ended its
        stream without sending anything itself, with False if it has reset the connection.
    :param pacing: the bandwidths of the connection; None for no limit.
    """

    # mypyc deletes no other attributes, and a None in their place would have to be checked at each use.
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
        pacing: Pacing | None = None,
    ) -> None:
        self.clock = clock
        if pacing is None:
            one, other = Side(client, _CLIENT_RESET, self), Side(upstream, _UPSTREAM_RESET, self)
        else:
            one = PacedSide(client, _CLIENT_RESET, self, pacing.reactor, pacing.inwards)
            other = PacedSide(upstream, _UPSTREAM_RESET, self, pacing.reactor, pacing.outwards)
        self.client: Side = one
        self.upstream: Side = other
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

        :param keepalive: the destination's keepalive for its endpoint; None for that of the limits.
        """
        self._joined = self.client.joins() and join(self.client, self.upstream)
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
        """Return the other side."""
        return self.upstream if side is self.client else self.client

    def release(self) -> None:
        """Break the reference cycles, so that the connection is freed without the garbage collector."""
        self.client.release()
        self.upstream.release()
        del self.client, self.upstream

    def close(self, ending: Ending, at_once: bool = False) -> None:
        """
        End the relay: read nothing more, send what was read for :data:`GRACE` seconds at most, and close both sides.
        If the gateway is stopping, or the endpoint is to be left, reset them instead, so that neither takes half a
        message for a whole one.

        :param at_once: wait for nothing.
        """
        if self._ending is None:
            self._by_reset = ending in _BY_RESET
        if not self._stopped:
            self._stopped = True
            self._stop_reading()
        self._wind_down(self._ending or ending, 0.0 if at_once else GRACE)

    def side_finished(self, side: Side) -> None:
        """Pass an end of stream on, after the last byte; after the second one, close."""
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
        Act on the loss of a connection, all bytes of which have been sent on. Unless the relay has closed it, it was
        reset, and the other side is to be reset as well, after what there is for it. After both ends of stream, a reset
        cuts nothing short.
        """
        peer = self.other(side)
        last = peer.gone  # read first: what follows may lose the peer, whose own call of this method then is the last
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
        """Act on a reset by a side; what it had sent before is still being read, as fast as the other side takes it."""
        if self._closing:
            return
        if self._may_have_closed(side):
            self._await_end(side)
        else:
            self._pass_reset_on(side)

    def cut_short(self, side: Side, count: int) -> None:
        """Act on bytes that came for a side to which nothing can be sent any more."""
        side.missed += count
        if not self._closing and not self._may_have_closed(side):
            self._wind_down(side.reset, self._limits.half_close)

    def _may_have_closed(self, side: Side) -> bool:
        """
        Tell if a side that has reset its connection, before everything was sent to it, may have just closed it: it
        lacks no more than a last record. A side that had finished lacks what came for it after the reset. A client that
        had not finished also lacks what it has not acknowledged, and it must have had an answer.
        """
        if side.fin_sent or side.missed > LAST_RECORD or side.timed_out:
            return False
        if side.finished:
            return True
        lacking: int = side.transport.unacknowledged() + side.missed
        return side is self.client and self.upstream.count > LAST_RECORD >= lacking

    def _await_end(self, side: Side) -> None:
        """
        Give the other side a moment to end, after a side has closed and its kernel has sent a reset. Nothing was cut
        short if the other side sends no more than a last record and its end of stream.
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
        """Reset the other side of one that has reset its connection, once it has taken what there is for it."""
        peer = self.other(side)
        if side is self.upstream and not peer.count and not peer.finished:
            self._left_early(False)
        if not self._joined and not peer.gone and not peer.finished:
            peer.transport.resumeProducing()  # it may have been paused for the side that is gone
        in_order = side is self.client and side.fin_sent and not side.timed_out
        self._wind_down(_OK if in_order else side.reset, self._limits.half_close)

    def _wind_down(self, ending: Ending, patience: float) -> None:
        """
        Close both sides, each as soon as it has acknowledged everything.

        :param patience: seconds without progress after which a side is not waited for any more; if the gateway has
            stopped reading, seconds in all.
        """
        self._closing = True
        self._cancel_timer()
        self._ending = ending
        self._stall_limit = patience
        self._progress = -1
        self._since = self.clock.seconds()
        self._check_progress()

    def _check_progress(self) -> None:
        """Close the sides that have taken everything or make no progress; check the others again."""
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
            # Most acknowledgements come within a moment; those of a slow reader come when it reads.
            later = (
                self.clock.call_soon(self._check_progress)
                if quiet < POLL_OFTEN
                else self.clock.callLater(TICK, self._check_progress)
            )
            self._timer = later
        # Both connections may be lost before this returns.
        for side in done:
            self._close_side(side)

    def _close_side(self, side: Side) -> None:
        """Close or reset the connection of a side; if it is the client's, report the ending first."""
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
                side.flush()
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
        """Return the seconds that silence may last now, 0 for no limit, and the ending after that."""
        half_closed = self.client.finished or self.upstream.finished
        if half_closed and not 0 < self._limits.idle < self._limits.half_close:
            return self._limits.half_close, Ending.HALF_CLOSE_TIMEOUT
        return self._limits.idle, Ending.IDLE

    def _check(self) -> None:
        """
        Check the limit of silence, and if both sides live. A byte counts as having come at the end of its tick, so that
        the check is never early. The next check comes within the limit of half-closed connections, so that a side that
        finishes in between needs no timer of its own.
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
        Abort the connection of a side that acknowledges nothing any more.

        :return: the clock's seconds of the next check.
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
