"""
All workers together, as the rest of the gateway knows them: one thing that serves a table.

Knows what every worker has to have. Must not know how the workers come by it, which is
:mod:`meshgate.workers.slot`'s business.

Each port has one socket for each worker, among which the kernel spreads the connections. The parent keeps them all, so
that a replacement inherits what waits in the queue of its predecessor's; until it serves, another worker does.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from signal import Signals
from socket import socket
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from meshgate.proxy.access_log import open_access_log
from meshgate.proxy.serving import ServingSettings, WorkerFigures
from meshgate.proxy.shared_counts import SharedCounts, bytes_for, new_seed
from meshgate.resources.problem import Problem
from meshgate.routing.connection_policy import Keepalive
from meshgate.routing.outliers import LeftOut
from meshgate.routing.table import ListenerKey, RoutingTable
from meshgate.routing.table_edits import difference
from meshgate.transport.binding import defer_accept
from meshgate.transport.dns.name_cache import NameFigures
from meshgate.transport.keepalive import keep_alive
from meshgate.transport.network import chosen_transport
from meshgate.workers.messages import Begin, SocketId
from meshgate.workers.slot import Place
from meshgate.workers.table_chunks import packed

IDS_PER_WORKER: Final = 1_000_000_000
"""How far the numbers of the connections of two workers are apart."""

END_WITHIN: Final = 10.0
"""Seconds that the workers have to drain and end, before they are killed."""

END_AT_ONCE_WITHIN: Final = 3.0
"""The same where they are not to wait for connections: a slow reader of the access log has two of them."""

_EMPTY: Final = RoutingTable()


class Crew:
    """
    Serves connections in worker processes.

    :param reactor: provides IReactorProcess, IReactorSocket and IReactorTime.
    :param size: how many workers.
    :param on_change: called when :meth:`problems`, :attr:`live_generation` or the workers may have changed.
    :param passed_on: called with each signal that a worker passes on, and when it came.
    :raises NoSuchTransport: when the settings ask for a transport that does not exist here.
    :ivar settings: those in force.
    :ivar table: the one to be served.
    :ivar live_generation: the latest table that every worker serves that there is; 0 before the first.
    :ivar stopping: the workers are ending, and are not replaced.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        size: int,
        settings: ServingSettings,
        on_change: Callable[[], None],
        passed_on: Callable[[Signals, float], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._on_change = on_change
        self.passed_on = passed_on or (lambda number, when: None)
        self.settings = settings
        self.table = _EMPTY
        self.stopping = False
        self._at_once = False
        self.live_generation = 0
        self._ended: Counter[str] = Counter()
        self._names: dict[str, NameFigures] = {}
        self._seed = new_seed()
        chosen_transport(settings.transport, reactor)
        self._memory = _shared_memory(bytes_for(size))
        self._counts = SharedCounts(mmap.mmap(self._memory, bytes_for(size)), 0, self._seed)
        self._first_ids = count(1, IDS_PER_WORKER)
        self._port_numbers = count()
        self._ports: dict[int, _Port] = {}
        self._closing: list[_Port] = []
        self._last_change: _Change | None = None
        self._places = [Place(self, reactor, index) for index in range(size)]
        self._stopped: Deferred[None] | None = None
        self._killing: IDelayedCall | None = None

    @property
    def sockets(self) -> int:
        """How many sockets :attr:`serve` has to be given for each port."""
        return len(self._places)

    def start(self) -> None:
        """
        Have the workers started as soon as the reactor runs.

        :raises AccessLogError: when they could not open the access log.
        """
        open_access_log(self.settings.access_log, self.settings.access_log_format, self._reactor).close()
        for place in self._places:
            self._reactor.callWhenRunning(place.fill)

    def renew(self, settings: ServingSettings) -> None:
        """Take new settings, and open the access log's file anew. What cannot be had becomes a problem."""
        self.settings = settings
        for place in self._places:
            place.renew()

    def reopen_log(self) -> None:
        """Have every worker open the access log's file anew. What cannot be had becomes a problem."""
        for place in self._places:
            place.reopen_log()

    def end_at_once(self) -> None:
        """Have the workers end their connections and themselves, and wait for nothing."""
        self.stopping = self._at_once = True
        if self._killing is not None:
            self._killing.reset(END_AT_ONCE_WITHIN)
        for place in self._places:
            place.end(at_once=True)

    def install(self, table: RoutingTable) -> None:
        """A new table is in force; :attr:`live_generation` tells when every worker serves it."""
        self.table = table
        self._follow()

    def serve(self, key: ListenerKey, sockets: Sequence[socket]) -> _Port:
        """
        Accept the connections of a listener.

        :param sockets: one for each worker.
        """
        number = next(self._port_numbers)
        port = self._ports[number] = _Port(self, number, key, sockets)
        self._follow()
        return port

    def workers(self) -> list[WorkerFigures]:
        """The figures of each worker."""
        return [
            WorkerFigures(place.index + 1, place.pid, place.figures.connections, place.restarts)
            for place in self._places
        ]

    def ended(self) -> Mapping[str, int]:
        """How many connections have ended, by the word for how, those of former workers among them."""
        return sum((Counter(place.figures.endings) for place in self._places), self._ended)

    def left_out(self) -> list[LeftOut]:
        """The endpoints that get no connections for a time, each with how many workers leave it out."""
        found: dict[tuple[str, str, str], LeftOut] = {}
        for each in (each for place in self._places for each in place.figures.left_out):
            key = each.destination, each.endpoint, each.state
            before = found.get(key)
            if before is not None:
                each = replace(each, until=max(each.until, before.until), workers=before.workers + 1)
            found[key] = each
        return list(found.values())

    def names(self) -> Mapping[str, NameFigures]:
        """The names of endpoints: the latest answer that a worker had, and whether any gets none now."""
        return self._names

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now with workers, or with what they need; once if several say so."""
        said: dict[tuple[str, str], Problem] = {}
        for place in self._places:
            for problem in place.problems():
                # Each has found it out at another moment, which does not make it another problem.
                said.setdefault((problem.code, problem.message.partition(" since ")[0]), problem)
        return tuple(said.values())

    def stop(self) -> Deferred[None]:
        """
        Have the workers end their connections as drained, and then themselves.

        :return: fires when all processes are gone.
        """
        self.stopping = True
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        within = END_AT_ONCE_WITHIN if self._at_once else END_WITHIN
        self._killing = self._reactor.callLater(within, self._kill_all)
        for place in self._places:
            place.end()
        self._end_when_gone()
        return stopped

    # For the places.

    def beginning(self, index: int) -> tuple[Begin, int]:
        """The first message to a worker, and the descriptor that goes with it."""
        return Begin(self.settings, index, len(self._places), next(self._first_ids), self._seed), self._memory

    def change(self, before: RoutingTable | None, after: RoutingTable) -> tuple[Sequence[bytes], frozenset[str] | None]:
        """What a worker is sent that has one table and is to have another: parts, and names if they are others."""
        last = self._last_change
        if last is None or last.before is not before or last.after is not after:
            names = after.dns_names()
            same = before is not None and before.dns_names() == names
            parts = list(packed(difference(before or _EMPTY, after)))
            last = self._last_change = _Change(before, after, parts, None if same else names)
        return last.parts, last.names

    def sockets_for(self, place: Place) -> dict[SocketId, tuple[ListenerKey, socket]]:
        """What a worker has to listen on: its own, and one of them also on those of the workers that are missing."""
        indices = [place.index]
        if place is next((one for one in self._places if one.has is not None), None):
            indices += [other.index for other in self._places if other.has is None]
        return {
            (port.number, index): (port.key, port.sockets[index]) for port in self._ports.values() for index in indices
        }

    def changed(self) -> None:
        """What a worker has, or says, is not what it was."""
        self._follow()
        there = [place for place in self._places if place.pid is not None]
        if there and all(place.has is self.table for place in there) and self.live_generation < self.table.generation:
            if not self.live_generation:
                self.log.info("all {count} workers serve", count=len(there))
            self.live_generation = self.table.generation
        self._on_change()

    def named(self, names: Iterable[str]) -> None:
        """What is known of some names may have changed."""
        for name in names:
            known = [place.names[name] for place in self._places if name in place.names]
            if known:
                self._names[name] = _together(known)
            else:
                self._names.pop(name, None)

    def emptied(self, place: Place) -> None:
        """A worker is gone, and its connections with it. Called while its figures are still there."""
        self._ended.update(place.figures.endings)
        self._counts.clear(place.index)

    def hurry(self) -> None:
        """Long pauses are for when others serve meanwhile."""
        if all(place.pid is None for place in self._places):
            for place in self._places:
                place.hurry()

    def let_go(self) -> None:
        """Some worker does not hold a socket any more that it held."""
        for port in tuple(self._closing):
            ids = [(port.number, index) for index in range(len(self._places))]
            if not any(place.holds(id) for place in self._places for id in ids):  # noqa: A001
                self._closing.remove(port)
                port.closed()
        self._end_when_gone()

    def closes(self, id: SocketId) -> bool:  # noqa: A002
        """True if the port of a socket is closed, and not just served by another worker."""
        return id[0] not in self._ports

    def close_port(self, port: _Port) -> None:
        """Have all workers let go of its sockets."""
        del self._ports[port.number]
        self._closing.append(port)
        self._follow()
        self.let_go()

    def _follow(self) -> None:
        for place in self._places:
            place.follow()

    def _kill_all(self) -> None:
        self._killing = None
        within = END_AT_ONCE_WITHIN if self._at_once else END_WITHIN
        self.log.error("workers that have not ended within {seconds:g} s are killed", seconds=within)
        for place in self._places:
            place.kill()

    def _end_when_gone(self) -> None:
        stopped = self._stopped
        if stopped is not None and all(place.pid is None for place in self._places):
            self._stopped = None
            if self._killing is not None:
                self._killing.cancel()
            os.close(self._memory)
            stopped.callback(None)


def _together(known: Sequence[NameFigures]) -> NameFigures:
    """What several workers know of a name, as one."""
    latest = max(known, key=lambda each: each.answered or 0.0)
    failing = [each for each in known if each.failing_since is not None]
    if not failing:
        return latest
    first = min(failing, key=lambda each: each.failing_since or 0.0)
    return replace(latest, failing_since=first.failing_since, reason=first.reason)


def _shared_memory(size: int) -> int:
    """So many bytes of zeros that other processes can be handed, as a descriptor: a file without a name."""
    if hasattr(os, "memfd_create"):
        memory: int = os.memfd_create("meshgate-counts")
    else:
        with tempfile.TemporaryFile(prefix="meshgate-counts-") as file:
            memory = os.dup(file.fileno())
    os.ftruncate(memory, size)
    return memory


@dataclass(frozen=True, slots=True)
class _Change:
    """What was sent last: most workers have the same table, and are to have the same one."""

    before: RoutingTable | None
    after: RoutingTable
    parts: Sequence[bytes]
    names: frozenset[str] | None


class _Port:
    """
    One listening port, served by all workers.

    :ivar sockets: one for each worker.
    """

    def __init__(self, crew: Crew, number: int, key: ListenerKey, sockets: Sequence[socket]) -> None:
        self.number = number
        self.key = key
        self.sockets = sockets
        self._crew = crew
        self._closed: Deferred[object] = Deferred()

    def defer_accept(self, wanted: bool) -> None:
        """As :class:`~meshgate.transport.network.Port`; the workers' sockets are these."""
        for listening in self.sockets:
            defer_accept(listening, wanted)

    def keep_alive(self, keepalive: Keepalive | None) -> None:
        """As :class:`~meshgate.transport.network.Port`; the workers' sockets are these."""
        for listening in self.sockets:
            keep_alive(listening, keepalive)

    def stop(self) -> Deferred[object]:
        """Stop listening; fires when no worker accepts any more."""
        self._crew.close_port(self)
        return self._closed

    finish = stop
    """What workers hold when they are told to let go, they take in first."""

    def closed(self) -> None:
        """All workers have let go."""
        for listening in self.sockets:
            listening.close()
        self._closed.callback(None)
