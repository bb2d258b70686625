"""
Joining: bytes of one lean transport moved to another, without calling a protocol for each read.

The problem: once a connection is routed, a protocol call for each read does nothing but pass bytes on, and copying bulk
data through our memory costs twice as much as leaving it in the kernel.

The approach: one :class:`Flow` for each direction gets the events of its transport. It copies through a buffer of ours,
or, after :data:`STREAK` reads that filled the buffer, splices through a pipe of the kernel, until little comes again.
What an end of stream or a lost connection means for the other side is decided by the subclass.

The invariants:

- While the sink cannot take what was read for it, the flow reads nothing more, so that no more bytes wait than one
  buffer or one pipe holds; bytes that come meanwhile cause no events.
- Bytes for a sink that nothing can be sent to any more are read and dropped, so that a peer that writes before it reads
  still gets to read what is on its way to it.
- A flow keeps a pipe only while bytes wait in it.
"""

from __future__ import annotations

import os
from typing import Any, Final

from meshgate.transport.lean.connected_socket import Inflow
from meshgate.transport.lean.events import Call
from meshgate.transport.lean.pipes import Pipe
from meshgate.transport.lean.poller import ENDING, ERROR, OUT
from meshgate.transport.lean.sockets import READ_SIZE, forward
from meshgate.transport.lean.transport import LeanTransport
from meshgate.transport.wheel import Wheel

STREAK: Final = 3
"""Reads in a row that filled the buffer, after which splicing pays."""

BUDGET: Final = 1024 * 1024
"""Bytes moved for one event before other sockets get their turn."""

_SPLICE: Final = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


class Flow(Inflow):
    """
    One direction of a join: bytes read from its transport are sent to the peer's transport, the sink.

    :ivar transport: the transport that it reads from.
    :ivar peer: the flow of the other direction.
    :ivar count: number of bytes read.
    :ivar first_at: the clock's seconds at the first read since the join; None before.
    :ivar seen: the clock's :attr:`~meshgate.transport.wheel.Wheel.now` at the last read.
    :ivar blocked: some bytes wait for the sink, and nothing more is read.
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
        """Act on the end of the stream: it was read, and all bytes before it were sent on."""
        raise NotImplementedError

    def pump(self, event: int) -> bool | None:
        """
        Copy what has come; the call for the transport's events while neither direction is blocked.

        :return: as :data:`meshgate.transport.lean.events.Call`: False if bytes were moved and nothing else happened.
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
                moved = forward(transport.socket, sink.socket)
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
                    sink.setTcpNoDelay(True)  # this also sends what the kernel has delayed
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
        """Keep the bytes that the sink did not take, or act on the error number that it gave."""
        if number:
            self.count -= count
            sink.reset_by_peer(OSError(number, os.strerror(number)))
            self.bytes_dropped(count)
        else:
            sink.keep(rest)

    def event_while_blocked(self, event: int) -> None:
        """Act on an event of the transport while this direction or the other one is blocked."""
        transport: LeanTransport = self.transport
        if event & OUT and self.peer.blocked:
            transport.flush()
        if transport.lost:
            return
        if self.blocked or transport.done_reading:
            if event & ERROR:
                transport.check_for_error()
        elif self._streak >= STREAK:
            self.splice(event)
        else:
            self.pump(event)

    def choose_call(self) -> None:
        """Choose the call for the transport's events that has the fewest conditions to check now."""
        transport: LeanTransport = self.transport
        peer: Flow = self.peer
        if self.blocked or transport.done_reading or peer.blocked:
            call: Call = self.event_while_blocked
        else:
            call = self.splice if self._streak >= STREAK else self.pump
        transport.send_events_to(call)

    def block(self) -> None:
        """Stop reading: the sink takes no more bytes for now."""
        if not self.blocked:
            self.blocked = True
            self.choose_call()
            self.peer.choose_call()
            # Each segment that comes meanwhile would be an event on which nothing can be done.
            self.transport.input_paused = True
            self.transport.rearm()

    def stop_reading(self) -> None:
        """Stop reading for good. Bytes that were read before are still sent on."""
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
        if event & ERROR and not transport.lost:
            transport.check_for_error()  # no other event will report it

    def _drop(self) -> None:
        """Read what has come and drop it: nothing can be sent to the sink any more."""
        transport: LeanTransport = self.transport
        left = BUDGET
        while left > 0 and not transport.lost:
            try:
                count = forward(transport.socket, None)
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
        """Count bytes that were read and dropped, since nothing can be sent to the sink any more."""
        raise NotImplementedError

    def peer_reset(self) -> None:
        """Act on a reset by this transport's peer; the bytes that it sent before are still being read."""
        raise NotImplementedError

    # Splicing.

    def splice(self, event: int) -> None:
        """Have the kernel move what has come, up to :data:`BUDGET` bytes."""
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
        """Send on what is in the pipe; return False if some bytes have to wait, or can never be sent."""
        sink, pipe = self.peer.transport, self._pipe
        assert pipe is not None  # noqa: S101 - the caller has borrowed one
        try:
            self._in_pipe -= os.splice(pipe.source, sink.descriptor, self._in_pipe, flags=_SPLICE)
        except BlockingIOError:
            pass
        except OSError as error:
            sink.reset_by_peer(error)
            return False
        if not self._in_pipe:
            return True
        # The sink took less than there is, so it is full. If it is not, an event comes at once.
        self.block()
        sink.rearm()
        return False

    def _return_pipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self.transport.poller.pipes.give_back(pipe, not self._in_pipe)

    # Inflow, for the sink.

    def unblock(self) -> bool:
        """
        Send on what waits in the pipe, then read again: the sink takes more bytes.

        :return: True if no bytes wait any more.
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
        """Drop what waits for the sink: nothing can be sent to it any more."""
        self._return_pipe()
        self._in_pipe = 0
        peer: Flow = self.peer
        if not self.transport.lost:
            if self.blocked:
                self.blocked = self.transport.input_paused = False
                self.choose_call()
                peer.choose_call()
            self.transport.rearm()  # bytes that have come meanwhile are dropped
        if not peer.transport.lost:
            peer.peer_reset()

    def waiting(self) -> int:
        """Count the bytes in the pipe."""
        return self._in_pipe

    def crashed(self) -> None:
        """Reset the connection: a call of this flow has raised an exception."""
        self.transport.abortConnection()


def join(one: Flow, other: Flow) -> bool:
    """
    Have two flows move bytes between their transports.

    :return: False, with nothing done, if a transport is not a lean one or is lost.
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
