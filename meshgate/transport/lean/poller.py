"""
The poller: many sockets behind one descriptor of the reactor.

A private epoll descriptor, edge-triggered, hands out the events of many sockets at once. Timers, name resolution and
everything else stay on the reactor. To a reactor that waits by epoll, the poller stands in for its waiting: the
reactor's own descriptor is one of those watched, and gets its turn when there is something for it. So an event of a
socket is a call, and not one of Twisted's loops. To any other reactor, and where another poller stands in already, the
private descriptor is a single thing to read from.

Knows descriptors and whom to call for them; knows nothing of what is read or written.

Three rules that an edge-triggered poll needs are kept here. A socket that is closed while a batch is handed out is
really closed after it, since its number would be given to the next one, and that one handed the events of the first.
Whoever stops with something left is queued again by :meth:`Poller.rearm`; nothing else does that. And an event is no
more than a hint: only the calls on the socket itself tell what is the case.
"""

from __future__ import annotations

import select
from math import inf
from typing import Any, ClassVar, Final, Protocol

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from meshgate.transport.lean.events import Call, Events
from meshgate.transport.lean.pipes import Pipes

ROUNDS: Final = 8
"""Batches handed out before the reactor gets its turn."""

READ: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
"""What a socket is watched for; errors and hang-ups are reported in any case."""

READ_WRITE: Final = READ | select.EPOLLOUT

NEITHER: Final = select.EPOLLET
"""Only errors and hang-ups: nothing is read from the socket for now, however much comes."""

WRITE: Final = NEITHER | select.EPOLLOUT

ENDING: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
"""Events behind which there may be an end of stream: a short read does not mean then that all was read."""


class Mortal(Protocol):
    """What the poller closes: a socket, or what stands for one."""

    def bury(self) -> None:
        """Close the descriptor, and tell who has to know."""


class Poller:
    """
    Watches descriptors, for the reactor.

    :param reactor: provides IReactorFDSet and IReactorTime.
    :ivar pipes: for those who splice.
    :ivar crowd: how many events came with the one that is being handed out, itself among them.
    :ivar dead: what is to be closed once they are.
    """

    _log: ClassVar = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._calls: dict[int, Call] = {}
        self.dead: list[Mortal] = []
        self._events = Events(self._calls, self)
        self._closed = False
        self._dispatching = False
        self._settling: IDelayedCall | None = None
        #: Where it stands in: the descriptor that the reactor would wait for.
        self._outer = -1
        self.crowd = 0
        self.pipes = Pipes()
        #: For calls per connection, without a detour.
        self.modify = self._events.modify

    # For the reactor.

    def fileno(self) -> int:
        """The private epoll descriptor; -1 once closed."""
        return -1 if self._closed else self._events.fileno()

    def logPrefix(self) -> str:
        """How the reactor calls it."""
        return "poller"

    def doRead(self) -> None:
        """Hand out what has happened."""
        self._dispatching = True
        try:
            for _ in range(ROUNDS):
                # After the last connection, all may be over.
                if not self._events.hand_out() or self._closed:
                    return
        finally:
            self._dispatching = False

    def iterate(self, delay: float | None) -> None:
        """
        Wait, and hand out what happens, in place of the reactor, until there is something for it to do: a turn of
        its own takes as long as half a connection.

        :param delay: seconds after which the reactor has something to do; None for never.
        """
        self._dispatching = True
        try:
            if delay or delay is None:
                self._events.serve(inf if delay is None else delay, vars(self._reactor))
            else:
                self._events.hand_out()
        finally:
            self._dispatching = False

    def connectionLost(self, reason: Failure) -> None:
        """The reactor lets go of it: nothing is watched any more."""

    # For those watched.

    def watch(self, descriptor: int, call: Call, events: int) -> None:
        """
        Watch a descriptor from now on.

        :param call: a method that gets the events, in epoll's terms. Should it raise, ``crashed`` of the same object
            is called.
        """
        if not self._calls:
            self._begin()
        self._events.register(descriptor, events)
        self._calls[descriptor] = call

    def pass_to(self, descriptor: int, call: Call) -> None:
        """Have another call get the events of a descriptor that is watched."""
        self._calls[descriptor] = call

    def rearm(self, descriptor: int, events: int) -> None:
        """Queue a descriptor again, if there is anything left to do with it."""
        self.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Stop watching a descriptor. To be called before it is closed, or right after."""
        calls = self._calls
        if descriptor in calls:
            del calls[descriptor]
            if len(calls) == (self._outer >= 0):
                self._end()

    def drop(self, descriptor: int) -> None:
        """Stop watching a descriptor whose socket another process may hold too: closing it would not be the end."""
        self._events.unregister(descriptor)
        self.forget(descriptor)

    def bury_soon(self, dead: Mortal) -> None:
        """Have something closed once the batch that is being handed out is through."""
        self.dead.append(dead)
        if not self._dispatching and self._settling is None:
            self._settling = self._reactor.callLater(0, self._settle)

    def close(self) -> None:
        """Close the private descriptor; nothing may be watched any more."""
        if self._settling is not None:
            self._settling.cancel()
            self._settle()
        self._closed = True
        self._events.close()
        self.pipes.close()

    def _begin(self) -> None:
        """Something is watched: from now on, the events have to reach us."""
        reactor = self._reactor
        if not isinstance(reactor, EPollReactor) or "doIteration" in vars(reactor):
            reactor.addReader(self)
            return
        self._outer = reactor._poller.fileno()
        self._events.register(self._outer, select.EPOLLIN)
        self._calls[self._outer] = self._let_reactor
        vars(reactor)["doIteration"] = self.iterate

    def _end(self) -> None:
        """Nothing is watched any more."""
        outer, self._outer = self._outer, -1
        if outer < 0:
            self._reactor.removeReader(self)
            return
        del vars(self._reactor)["doIteration"], self._calls[outer]
        self._events.unregister(outer)

    def _let_reactor(self, event: int) -> bool:
        """Let the reactor do what there is for it to do."""
        type(self._reactor).doIteration(self._reactor, 0)
        return True

    def _settle(self) -> None:
        self._settling = None
        self.batch_done()

    def batch_done(self) -> None:
        """Close what is to be closed, and what comes to be closed by that."""
        dispatching, self._dispatching = self._dispatching, True
        while self.dead:
            dead = self.dead.copy()
            self.dead.clear()
            for each in dead:
                try:
                    each.bury()
                except Exception:
                    self._log.failure("the end of a connection could not be acted on")
        self._dispatching = dispatching

    def failed(self, descriptor: int, error: Exception) -> None:
        """Whoever fails on its own events gets none any more; see :class:`~meshgate.transport.lean.events.Told`."""
        call = self._calls.get(descriptor)
        if call is None:
            return  # it was dropped by what failed
        self._log.failure("a connection could not be served", Failure(error))  # type: ignore[no-untyped-call]
        # A compiled function has a module for its self, and the poller's own calls nobody to be told.
        crashed = getattr(getattr(call, "__self__", None), "crashed", None)
        if crashed is not None:
            crashed()


# No decorator: a decorated class is never compiled to a native one.
classImplements(Poller, IReadDescriptor)
