"""
Joining: bytes of one connection moved to another, without a protocol called for each read.

Knows two lean transports, backpressure, and the two ways of moving: copied through a buffer of ours, or, where so much
comes that each read fills it, spliced through a pipe within the kernel. Knows neither what an end of stream nor what a
lost connection means for the other side.

What comes for a transport that nothing can be sent to any more is read and dropped, so that a peer that writes before
it reads gets to read what is still on its way to it.

While a transport cannot take what came for it, nothing more is read for it, so that no more waits than one buffer or
one pipe holds; and what comes meanwhile wakes nobody.
"""

from __future__ import annotations

import os
from typing import Any, Final

from meshgate.transport.lean.events import Call
from meshgate.transport.lean.pipes import Pipe
from meshgate.transport.lean.poller import ENDING
from meshgate.transport.lean.sockets import READ_SIZE, forward
from meshgate.transport.lean.transport import Inflow, LeanTransport
from meshgate.transport.wheel import Wheel

STREAK: Final = 3
"""Reads in a row that fill the buffer, after which splicing pays."""

BUDGET: Final = 1024 * 1024
"""Bytes moved for one event before others get their turn."""

# Compiled, a name of another module is looked up each time, and a constant is not.
_forward: Final = forward

_SPLICE: Final = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)
_OUT: Final = 4  # select.EPOLLOUT
_ERROR: Final = 8  # select.EPOLLERR


class Flow(Inflow):
    """
    One direction of a join: what is read from its transport is sent to that of its peer.

    :ivar transport: what it reads from.
    :ivar peer: the other direction.
    :ivar count: bytes read.
    :ivar first_at: the clock's seconds at the first read from here on, or None.
    :ivar seen: the clock's :attr:`~meshgate.transport.wheel.Wheel.now` at the last read.
    :ivar blocked: the peer's transport has not taken all yet, and nothing more is read.
    """

    __slots__ = ("_in_pipe", "_pipe", "_streak", "clock", "count", "first_at", "peer", "seen", "transport")

    peer: Any

    def __init__(self, transport: Any, clock: Any) -> None:
        super().__init__()
        self.transport = transport
        self.clock: Wheel = clock
        self.count = 0
        self.first_at: float | None = None
        self.seen: float = clock.now
        self._streak = 0
        self._pipe: Pipe | None = None
        self._in_pipe = 0

    def read_finished(self) -> None:
        """The end of the stream was read, and all before it has been sent on."""
        raise NotImplementedError

    def pump(self, event: int) -> bool | None:
        """
        Copy what has come. Called for an event of the transport while nothing stands in the way.

        :return: False if nothing else has happened; see :data:`meshgate.transport.lean.events.Call`.
        """
        transport: LeanTransport = self.transport
        if transport.done_reading:
            self.event_while_blocked(event)
            return None
        peer: Flow = self.peer
        sink: LeanTransport = peer.transport
        while True:
            if sink.unwritable:
                self._drop()
                return None
            try:
                moved = _forward(transport.socket, sink.socket)
            except OSError as error:
                transport.fail(error)
                return None
            count = moved if isinstance(moved, int) else moved[0]
            if count < 0:
                return False
            if not count:
                self._finish(event)
                return None
            if self.first_at is None:
                self.first_at = self.clock.seconds()
                if sink.nagle:
                    sink.setTcpNoDelay(True)  # and whatever the kernel has held back leaves
            self.count += count
            self.seen = self.clock.now
            if not isinstance(moved, int):
                self._keep_rest(sink, count, moved[1], moved[2])
                return None
            if count < READ_SIZE:
                self._streak = 0
                if not event & ENDING:
                    return False
            else:
                self._streak += 1
                if self._streak >= STREAK:
                    transport.be_non_blocking()
                    sink.be_non_blocking()
                    self.choose_call()
                    self.splice(event)
                    return None

    def _keep_rest(self, sink: LeanTransport, count: int, rest: bytes, number: int) -> None:
        """The peer's transport has not taken all."""
        if number:
            self.count -= count
            sink.reset_by_peer(OSError(number, os.strerror(number)))
            self.bytes_dropped(count)
        else:
            sink.keep(rest)

    def event_while_blocked(self, event: int) -> None:
        """Act on an event of the transport while this direction or the other one has to wait."""
        transport: LeanTransport = self.transport
        if event & _OUT and self.peer.blocked:
            transport.flush()
        if transport.lost:
            return
        if self.blocked or transport.done_reading:
            if event & _ERROR:
                transport.check_for_error()
        elif self._streak >= STREAK:
            self.splice(event)
        else:
            self.pump(event)

    def choose_call(self) -> None:
        """Have the events of the transport go where they can be acted on with the least to be asked before."""
        transport: LeanTransport = self.transport
        peer: Flow = self.peer
        if self.blocked or transport.done_reading or peer.blocked:
            call: Call = self.event_while_blocked
        else:
            call = self.splice if self._streak >= STREAK else self.pump
        transport.send_events_to(call)

    def block(self) -> None:
        """The peer's transport takes no more for now."""
        if not self.blocked:
            self.blocked = True
            self.choose_call()
            self.peer.choose_call()
            # More comes in many segments, each of which would be an event that nothing can be done for.
            self.transport.input_paused = True
            self.transport.rearm()

    def stop_reading(self) -> None:
        """Read nothing more, for good. What was read before is still sent on."""
        transport: LeanTransport = self.transport
        transport.done_reading = True
        self.choose_call()

    def _finish(self, event: int) -> None:
        transport: LeanTransport = self.transport
        if transport.unwritable:
            transport.report_loss()
            return
        transport.done_reading = True
        self.read_finished()
        if event & _ERROR and not transport.lost:
            transport.check_for_error()  # no other event will tell of it

    def _drop(self) -> None:
        """Read what has come, and let go of it: nothing can be sent to the peer any more."""
        transport: LeanTransport = self.transport
        left = BUDGET
        while left > 0 and not transport.lost:
            try:
                count = _forward(transport.socket, None)
            except OSError as error:
                transport.fail(error)
                return
            if not isinstance(count, int) or count < 0:
                return
            if not count:
                self._finish(0)
                return
            left -= count
            self.bytes_dropped(count)
        transport.rearm()

    def bytes_dropped(self, count: int) -> None:
        """Bytes were read for a peer that nothing can be sent to any more; count them."""
        raise NotImplementedError

    def peer_reset(self) -> None:
        """The peer of this transport has reset the connection; what it had sent before is still being read."""
        raise NotImplementedError

    # Splicing.

    def splice(self, event: int) -> None:
        """Move by the kernel what has come, up to :data:`BUDGET` bytes."""
        transport: LeanTransport = self.transport
        if transport.done_reading:
            self.event_while_blocked(event)
            return
        sink: LeanTransport = self.peer.transport
        if sink.unwritable:
            self._drop()
            return
        pipe = self._pipe = transport.poller.pipes.borrow()
        if pipe is None:
            self._streak = 0
            self.choose_call()
            transport.rearm()
            return
        moved = 0
        while moved < BUDGET:
            try:
                count = os.splice(transport.descriptor, pipe.sink, pipe.size, flags=_SPLICE)
            except BlockingIOError:
                break
            except OSError as error:
                self._return_pipe()
                transport.fail(error)
                return
            if not count:
                self._return_pipe()
                self._finish(event)
                return
            moved += count
            self.count += count
            self._in_pipe = count
            if not self._empty_pipe():
                self.seen = self.clock.now
                return
        self.seen = self.clock.now
        self._return_pipe()
        if moved < READ_SIZE:
            self._streak = 0
            self.choose_call()
        if moved >= BUDGET:
            transport.rearm()

    def _empty_pipe(self) -> bool:
        """Send on what is in the pipe; False if some of it has to wait, or can never be sent."""
        sink, pipe = self.peer.transport, self._pipe
        assert pipe is not None  # noqa: S101 - whoever calls has borrowed one
        try:
            self._in_pipe -= os.splice(pipe.source, sink.descriptor, self._in_pipe, flags=_SPLICE)
        except BlockingIOError:
            pass
        except OSError as error:
            sink.reset_by_peer(error)
            return False
        if not self._in_pipe:
            return True
        # Less than there is: it is full. Should it not be, the event comes at once.
        self.block()
        sink.rearm()
        return False

    def _return_pipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self.transport.poller.pipes.give_back(pipe, not self._in_pipe)

    # For the transport that it sends to.

    def unblock(self) -> bool:
        """
        The peer's transport takes more: send on what waits in a pipe, then read again.

        :return: whether nothing waits any more.
        """
        if self._in_pipe and not self._empty_pipe():
            return False
        self._return_pipe()
        if self.blocked:
            self.blocked = self.transport.input_paused = False
            self.choose_call()
            self.peer.choose_call()
            self.transport.rearm()
        return True

    def abandon(self) -> None:
        """Nothing can be sent to the peer's transport any more: let go of what waited for it."""
        self._return_pipe()
        self._in_pipe = 0
        peer: Flow = self.peer
        if not self.transport.lost:
            if self.blocked:
                self.blocked = self.transport.input_paused = False
                self.choose_call()
                peer.choose_call()
            self.transport.rearm()  # what has come meanwhile is dropped
        if not peer.transport.lost:
            peer.peer_reset()

    def waiting(self) -> int:
        """Count the bytes in the pipe."""
        return self._in_pipe

    def crashed(self) -> None:
        """Something failed that should not have."""
        self.transport.abortConnection()


def join(one: Flow, other: Flow) -> bool:
    """
    Have two flows move bytes between their transports by themselves.

    :return: False, and nothing done, if they are no lean ones, or one of them is lost.
    """
    one.peer, other.peer = other, one
    if not (isinstance(one.transport, LeanTransport) and isinstance(other.transport, LeanTransport)):
        return False
    if one.transport.lost or other.transport.lost:
        return False
    one.transport.inflow, other.transport.inflow = other, one
    one.blocked, other.blocked = bool(other.transport.pending), bool(one.transport.pending)
    one.choose_call()
    other.choose_call()
    return True
