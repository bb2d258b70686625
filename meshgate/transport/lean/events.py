"""
Waiting for events and handing them out: by the standard library's epoll, or, where meshgate was compiled, by a faster
one that does the same.

Knows epoll, and whom to call for a descriptor; knows nothing of what is read or written.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

BATCH: Final = 256
"""Events taken from the kernel at once."""

LONGEST_WAIT: Final = 86400.0
"""Seconds of a single wait, which the kernel takes as an int of milliseconds."""

Call = Callable[[int], bool | None]
"""
Gets the events of one descriptor. True means that somebody else has to go on after this batch, and False that nothing
has happened but bytes that were moved.
"""


class Told(Protocol):
    """
    Who is told of what comes of the events.

    :ivar crowd: how many events are being handed out; set before anybody is called.
    :ivar dead: what has to be done after a batch; always the same list.
    """

    crowd: int
    dead: list[Any]

    def failed(self, descriptor: int, error: Exception) -> None:
        """What was called for an event has failed."""

    def batch_done(self) -> None:
        """The batch is through, and :attr:`dead` is not empty."""


class Events:
    """
    An epoll descriptor.

    :param calls: by descriptor. Events of others are for nobody, who was there when they came.
    """

    def __init__(self, calls: dict[int, Call], told: Told) -> None:
        self._epoll = select.epoll()
        self._calls = calls
        self._told = told
        self.fileno = self._epoll.fileno
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister
        self.close = self._epoll.close

    def hand_out(self) -> int:
        """
        Call for each event that there is now whoever it is for.

        :return: how many there were.
        """
        count, _ = self._batch(0)
        return count

    def serve(self, seconds: float, reactor: dict[str, Any]) -> None:
        """
        Wait for events and hand them out until there is something to do for the reactor: one of those called says so,
        there is another timed call, it is to end, or it is to wait by itself again.

        :param seconds: after which it has to go on in any case, whatever the wall clock does meanwhile.
        :param reactor: its attributes, with a ``doIteration`` for as long as it does not.
        """
        left = seconds
        until = monotonic() + seconds
        while True:
            _, happened = self._batch(min(max(0.0, left), LONGEST_WAIT))
            if happened and (True in happened or self._epoll.closed or _is_due(reactor)):
                return
            left = until - monotonic()
            if left <= 0:
                return

    def _batch(self, timeout: float) -> tuple[int, set[bool | None]]:
        """How many events there were, and what calls gave besides False."""
        happened: set[bool | None] = set()
        events = self._epoll.poll(timeout, BATCH)
        self._told.crowd = len(events)
        for descriptor, event in events:
            call = self._calls.get(descriptor)
            if call is not None:
                try:
                    result = call(event)
                    if result is not False:
                        happened.add(result)
                except Exception as error:
                    happened.add(None)
                    self._told.failed(descriptor, error)
        if self._told.dead:
            self._told.batch_done()
        return len(events), happened


def _is_due(reactor: dict[str, Any]) -> bool:
    waits = "doIteration" not in reactor
    return bool(waits or reactor["_newTimedCalls"] or reactor["_justStopped"] or not reactor["_started"])


if not TYPE_CHECKING:
    try:
        from meshgate.transport.lean._events import Events  # noqa: F401 - for those who import it from here
    except ImportError:
        pass
