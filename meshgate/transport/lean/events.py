"""
Waiting for events and dispatching them to a call for each descriptor: by the standard library's epoll, or, where
meshgate is compiled, by ``_events.c``, which does the same faster.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from meshgate.compiled import c_form

BATCH: Final = 256
"""Events taken from the kernel in one batch."""

LONGEST_WAIT: Final = 86400.0
"""Seconds of the longest single wait: the kernel takes milliseconds as a C int."""

Call = Callable[[int], bool | None]
"""
Gets the events of one descriptor, as epoll's bits.

It returns True if the reactor must have its turn after this batch, and False if it did nothing but move bytes, so that
the reactor cannot have anything new to do. None leaves that open: the reactor's attributes are checked.
"""


class EventsOwner(Protocol):
    """
    The owner of :class:`Events`, which is the poller.

    :ivar batch_size: number of events in the batch that is being dispatched; set before the first call.
    :ivar to_close: what has to be closed after the batch; always the same list.
    """

    batch_size: int
    to_close: list[Any]

    def call_failed(self, descriptor: int, error: Exception) -> None:
        """Act on an exception that the call for an event has raised."""

    def close_waiting(self) -> None:
        """Close everything in :attr:`to_close`; called after a batch unless the list is empty."""


class Events:
    """
    An epoll descriptor.

    :param calls: the call for each descriptor. An event of a descriptor that has none is dropped: the descriptor was
        forgotten within the same batch.
    :param owner: notified about each batch.
    """

    def __init__(self, calls: dict[int, Call], owner: EventsOwner) -> None:
        self._epoll = select.epoll()
        self._calls = calls
        self._owner = owner
        self.fileno = self._epoll.fileno
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister
        self.close = self._epoll.close

    def dispatch(self) -> int:
        """
        Dispatch the events that are ready, without waiting.

        :return: their number.
        """
        count, _ = self._batch(0)
        return count

    def serve(self, seconds: float, reactor: dict[str, Any]) -> None:
        """
        Wait for events and dispatch them until the reactor has something to do: a call says so by True, the reactor
        has a new timed call, it stops, or it shall wait by itself again.

        :param seconds: the longest time to stay here, by the monotonic clock.
        :param reactor: the reactor's attributes; they hold a ``doIteration`` as long as the poller waits in its place.
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
        """Wait once and dispatch a batch; return the number of events, and what the calls returned besides False."""
        happened: set[bool | None] = set()
        events = self._epoll.poll(timeout, BATCH)
        self._owner.batch_size = len(events)
        for descriptor, event in events:
            call = self._calls.get(descriptor)
            if call is not None:
                try:
                    result = call(event)
                    if result is not False:
                        happened.add(result)
                except Exception as error:
                    happened.add(None)
                    self._owner.call_failed(descriptor, error)
        if self._owner.to_close:
            self._owner.close_waiting()
        return len(events), happened


def _is_due(reactor: dict[str, Any]) -> bool:
    waits = "doIteration" not in reactor
    return bool(waits or reactor["_newTimedCalls"] or reactor["_justStopped"] or not reactor["_started"])


if not TYPE_CHECKING:
    Events = c_form("meshgate.transport.lean._events", "Events") or Events
