"""
The poller: many sockets behind one private epoll descriptor, edge-triggered.

The problem: a turn of Twisted's reactor takes as long as half a proxied connection.

The approach: the poller dispatches batches of events itself, each event by one call. Timers, name resolution and all
else stay on the reactor. On an epoll reactor, the poller waits in the reactor's place: it replaces ``doIteration`` and
watches the reactor's own epoll descriptor, so that the reactor gets its turn when something of its own is ready. On any
other reactor, or where another poller waits in its place already, the private descriptor is one reader of the reactor.

Three invariants, each of which edge-triggered events need:

- A socket that is closed while a batch is dispatched is really closed after the batch (:meth:`Poller.close_soon`).
  Otherwise the kernel would give its number to the next socket, which would get the events of the closed one.
- A socket on which work is left must be queued again by :meth:`Poller.rearm`: nothing else reports it again.
- An event is a hint. Only the calls on the socket itself decide what is the case.
"""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from meshgate.transport.lean.events import Call, Events
from meshgate.transport.lean.pipes import Pipes

ROUNDS: Final = 8
"""Batches dispatched before the reactor gets its turn."""

# Bits of <sys/epoll.h>. Systems without epoll import this module, too, and have no such names in select.
IN: Final = 0x1
OUT: Final = 0x4
ERROR: Final = 0x8
_HUP: Final = 0x10
_RDHUP: Final = 0x2000
_EXCLUSIVE: Final = 1 << 28
_ET: Final = 1 << 31

READ: Final = IN | _RDHUP | _ET
"""Incoming bytes and ends of streams; epoll reports errors and hang-ups in any case."""

ACCEPTABLE: Final = IN | _EXCLUSIVE
"""
Connections that wait to be accepted. Of the processes that share the socket and wait for an event, one is woken for
each; those that are busy see the connections later, if they are still there. Kernels before 4.5 wake all of them. Such
a descriptor cannot be modified, only dropped and watched again.
"""

READ_WRITE: Final = READ | OUT

NEITHER: Final = _ET
"""Errors and hang-ups only, while nothing is read from the socket."""

WRITE: Final = NEITHER | OUT

ENDING: Final = _RDHUP | _HUP | ERROR
"""Events that may hide an end of stream: after a short read, there may be more to read."""


class Closable(Protocol):
    """A socket's owner, which the poller closes after a batch."""

    def close_now(self) -> None:
        """Close the descriptor, and tell the protocol."""


class Poller:
    """
    Watches descriptors in the reactor's place.

    :param reactor: provides IReactorFDSet and IReactorTime.
    :ivar pipes: the pipes through which flows splice.
    :ivar batch_size: number of events in the batch that is being dispatched.
    :ivar to_close: what will be closed after the batch.
    """

    _log: ClassVar = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._calls: dict[int, Call] = {}
        self.to_close: list[Closable] = []
        self._events = Events(self._calls, self)
        self._closed = False
        self._dispatching = False
        self._closing_soon: IDelayedCall | None = None
        #: The reactor's epoll descriptor while the poller waits in its place, else -1.
        self._outer = -1
        self.batch_size = 0
        self.pipes = Pipes()
        #: Called for each connection, so without a method in between.
        self.modify = self._events.modify

    # For the reactor.

    def fileno(self) -> int:
        """The private epoll descriptor; -1 once closed."""
        return -1 if self._closed else self._events.fileno()

    def logPrefix(self) -> str:
        """The poller's name in the reactor's log lines."""
        return "poller"

    def doRead(self) -> None:
        """Dispatch what is ready."""
        self._dispatching = True
        try:
            for _ in range(ROUNDS):
                # A call may have closed the poller.
                if not self._events.dispatch() or self._closed:
                    return
        finally:
            self._dispatching = False

    def iterate(self, delay: float | None) -> None:
        """
        Wait and dispatch in the reactor's place, until the reactor has something to do; its ``doIteration``.

        :param delay: seconds until the reactor's next timed call; None if there is none.
        """
        self._dispatching = True
        try:
            if delay or delay is None:
                self._events.serve(inf if delay is None else delay, vars(self._reactor))
            else:
                self._events.dispatch()
        finally:
            self._dispatching = False

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: the reactor stops reading, as nothing is watched any more."""

    # For owners of sockets.

    def watch(self, descriptor: int, call: Call, events: int) -> None:
        """
        Watch a descriptor from now on.

        :param call: a method that gets the events, as epoll's bits. If it raises, ``crashed`` of its object is called.
        :param events: the events to watch for.
        """
        if not self._calls:
            self._begin()
        self._events.register(descriptor, events)
        self._calls[descriptor] = call

    def change_call(self, descriptor: int, call: Call) -> None:
        """Have another call get the events of a watched descriptor."""
        self._calls[descriptor] = call

    def rearm(self, descriptor: int, events: int) -> None:
        """Have epoll report a descriptor again, if any of these events is ready."""
        self.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Stop watching a descriptor; call this before it is closed, or right after."""
        calls = self._calls
        if descriptor in calls:
            del calls[descriptor]
            if len(calls) == (self._outer >= 0):
                self._end()

    def drop(self, descriptor: int) -> None:
        """Stop watching a descriptor that another process may share: closing it would not take it out of epoll."""
        self._events.unregister(descriptor)
        self.forget(descriptor)

    def close_soon(self, dead: Closable) -> None:
        """Close something after the batch that is being dispatched."""
        self.to_close.append(dead)
        if not self._dispatching and self._closing_soon is None:
            self._closing_soon = self._reactor.callLater(0, self._close_soon)

    def close(self) -> None:
        """Close the private descriptor. Nothing may be watched any more."""
        if self._closing_soon is not None:
            self._closing_soon.cancel()
            self._close_soon()
        self._closed = True
        self._events.close()
        self.pipes.close()

    def _begin(self) -> None:
        """Begin to wait in the reactor's place, or as its reader, as something is watched now."""
        from twisted.internet.epollreactor import EPollReactor  # only where there is epoll

        reactor = self._reactor
        if not isinstance(reactor, EPollReactor) or "doIteration" in vars(reactor):
            reactor.addReader(self)
            return
        self._outer = reactor._poller.fileno()
        self._events.register(self._outer, IN)
        self._calls[self._outer] = self._iterate_reactor
        vars(reactor)["doIteration"] = self.iterate

    def _end(self) -> None:
        """Let the reactor wait by itself again, as nothing is watched any more."""
        outer, self._outer = self._outer, -1
        if outer < 0:
            self._reactor.removeReader(self)
            return
        del vars(self._reactor)["doIteration"], self._calls[outer]
        self._events.unregister(outer)

    def _iterate_reactor(self, event: int) -> bool:
        """Let the reactor do what is ready of its own."""
        type(self._reactor).doIteration(self._reactor, 0)
        return True

    def _close_soon(self) -> None:
        self._closing_soon = None
        self.close_waiting()

    def close_waiting(self) -> None:
        """Close everything in :attr:`to_close`, and what closing adds to it."""
        dispatching, self._dispatching = self._dispatching, True
        while self.to_close:
            dead = self.to_close.copy()
            self.to_close.clear()
            for each in dead:
                try:
                    each.close_now()
                except Exception:
                    self._log.failure("the end of a connection could not be acted on")
        self._dispatching = dispatching

    def call_failed(self, descriptor: int, error: Exception) -> None:
        """Log the exception that a call raised, and call ``crashed`` of the object it belongs to."""
        call = self._calls.get(descriptor)
        if call is None:
            return  # the call forgot its descriptor before it raised
        self._log.failure("a connection could not be served", Failure(error))  # type: ignore[no-untyped-call]
        # The ``__self__`` of a compiled function is its module, and the poller's own calls have no ``crashed``.
        crashed = getattr(getattr(call, "__self__", None), "crashed", None)
        if crashed is not None:
            crashed()


classImplements(Poller, IReadDescriptor)
