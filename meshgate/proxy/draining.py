"""
The end of many connections over a time, so that their clients do not come back all at once.

The problem: a gateway that stops, or loses a route, has to end connections that may last for days. If it ended all of
them in one moment, all clients would connect to other gateways in the next.

The approach: a drain has two parts. In the first, connections end by themselves, as most do. In the last part,
:data:`SPREAD` of the whole, those that are left are ended one after the other, at equal distances.

The invariant: a connection that ends by itself, or that is not to end any more, keeps its turn in the plan, so that the
distances between the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from meshgate.proxy.endings import Ending

if TYPE_CHECKING:
    from meshgate.proxy.connection import Inbound

SPREAD: Final = 0.5
"""The last part of a drain, in which the connections that are left are ended, as a share of the whole."""

SHORTEST_PAUSE: Final = 0.02
"""The least number of seconds between two turns; with more connections, each turn ends several of them."""

CHECKED_AT_ONCE: Final = 500
"""The number of connections that are compared with a new table at a time, in about a millisecond."""


class Turn(NamedTuple):
    """
    The next connections to end.

    :ivar pause: seconds until then.
    :ivar size: number of connections.
    """

    pause: float
    size: int


def next_turn(remaining: int, left: float) -> Turn:
    """
    Plan the end of the next connections.

    :param remaining: the number of connections to end, at least 1.
    :param left: seconds in which to end all of them; the last one ends with the last second.
    """
    if left <= SHORTEST_PAUSE:
        return Turn(max(0.0, left), remaining)
    size = min(remaining, ceil(remaining * SHORTEST_PAUSE / left))
    return Turn(left * size / remaining, size)


class Drain:
    """
    The drain of some connections. It begins at once.

    :param clock: provides IReactorTime.
    :param time: seconds until the last one is ended.
    :param connections: called when the spreading begins; returns those to end.
    :param is_due: tells, when a connection's turn has come, if it is still to be ended.
    """

    def __init__(
        self,
        clock: Any,
        time: float,
        connections: Callable[[], Iterable[Inbound]],
        is_due: Callable[[Inbound], bool],
    ) -> None:
        self._clock = clock
        self._connections = connections
        self._is_due = is_due
        self._waiting: list[Inbound] = []
        self._ends = clock.seconds() + time
        self._call = clock.callLater(time * (1 - SPREAD), self._begin_spreading)

    def stop(self) -> None:
        """End no more connections."""
        self._waiting = []
        if self._call.active():
            self._call.cancel()

    def _begin_spreading(self) -> None:
        self._waiting = list(self._connections())
        self._plan()

    def _plan(self) -> None:
        if self._waiting:
            pause, size = next_turn(len(self._waiting), self._ends - self._clock.seconds())
            self._call = self._clock.callLater(pause, self._end, size)

    def _end(self, size: int) -> None:
        while size and self._waiting:
            size -= 1
            connection = self._waiting.pop()
            if connection.record.ending is None and self._is_due(connection):
                connection.close(Ending.DRAINED)
        self._plan()


class RemovedRoutes:
    """
    Drains the connections whose listener or route a new table does not have any more.

    :param clock: provides IReactorTime.
    :param live: returns all live connections.
    :ivar time: seconds that such a connection has; None to keep it until it ends by itself.
    :ivar draining: the connections whose time runs.
    """

    def __init__(self, clock: Any, live: Callable[[], Iterable[Inbound]]) -> None:
        self.time: float | None = None
        self._clock = clock
        self._live = live
        self.draining: set[Inbound] = set()
        self._unchecked: list[Inbound] = []
        self._found: list[Inbound] = []
        self._checking: Any = None

    def table_changed(self) -> None:
        """Look for connections without a route, some at a time; a change during the look begins another one."""
        if self.time is None:
            return
        self._unchecked = list(self._live())
        if self._checking is None and self._unchecked:
            self._checking = self._clock.callLater(0, self._check_some)

    def stop(self) -> None:
        """Look no longer: all connections are being drained."""
        self.time = None
        if self._checking is not None:
            self._checking.cancel()
            self._checking = None

    def _check_some(self) -> None:
        self._checking = None
        if self.time is None:
            return
        chunk, self._unchecked = self._unchecked[-CHECKED_AT_ONCE:], self._unchecked[:-CHECKED_AT_ONCE]
        self._found += (each for each in chunk if each not in self.draining and has_lost_route(each))
        if self._unchecked:
            self._checking = self._clock.callLater(0, self._check_some)
            return
        found, self._found = self._found, []
        if found:
            self.draining.update(found)
            self.draining = {each for each in self.draining if each.record.ending is None}
            Drain(self._clock, self.time, lambda: found, self._is_due)

    def _is_due(self, connection: Inbound) -> bool:
        """True if the route has not come back meanwhile, and the settings have not changed."""
        self.draining.discard(connection)
        return self.time is not None and has_lost_route(connection)


def has_lost_route(connection: Inbound) -> bool:
    """
    Tell if the table in force has lost the way that a connection has taken: its listener is gone, or a new connection
    like it would not be routed by the same VirtualService.
    """
    listener, record = connection.listener, connection.record
    if listener.in_table is None:
        return True
    if record.ending is not None or not record.virtual_service:
        return False  # its route is not chosen yet, or it ends already
    chain = connection.match_by_address(record.sni)[1] if listener.by_address else listener.chain(record.sni)
    return chain is None or (chain.gateway, chain.virtual_service) != (record.gateway, record.virtual_service)
