"""
The worker pool: serves one routing table in N worker processes.

The problem: workers come and go, and no connection that waits in a listening queue may be lost with them.

The approach: the kernel spreads the connections of a port over one socket for each worker (SO_REUSEPORT). The control
process opens all of these sockets and keeps them, and each :class:`~meshgate.workers.slot.WorkerSlot` passes its own on
to its worker, so that a replacement inherits the queue of the worker before it.

The invariants:

- While a slot has no worker that serves, the first slot whose worker does accepts on its sockets, too.
- A worker gets a socket only after the table that has the socket's listener.
- A port is closed only when no worker holds one of its sockets any more.
- A table is live when every worker that runs has installed it.
- Counts of ended connections never go down: those of a worker that is gone are added up here.
"""

from __future__ import annotations

import mmap
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from signal import Signals
from socket import socket
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from meshgate.proxy.serving import ServingSettings
from meshgate.proxy.shared_counts import SharedCounts, bytes_for, new_seed
from meshgate.resources.problem import Problem
from meshgate.routing.connection_policy import HealthCheck, Keepalive
from meshgate.routing.failing_endpoints import LeftOut
from meshgate.routing.table import ListenerKey, RoutingTable
from meshgate.transport.binding import defer_accept
from meshgate.transport.dns.resolver import NameFigures
from meshgate.transport.keepalive import keep_alive
from meshgate.transport.network import chosen_transport
from meshgate.workers.count_totals import CountTotals, shared_memory
from meshgate.workers.messages import (
    Begin,
    EndpointHealth,
    NewSeries,
    PackedTables,
    SeriesEnded,
    SocketId,
)
from meshgate.workers.slot import WorkerFigures, WorkerSlot

IDS_PER_WORKER: Final = 1_000_000_000
"""The distance between the first connection numbers of two workers."""

END_WITHIN: Final = 10.0
"""Seconds that the workers have to end before they are killed, on top of the time of the drain."""

END_AT_ONCE_WITHIN: Final = 3.0
"""The same for workers that are not to wait for connections; a slow reader of the access log gets two of them."""

_EMPTY: Final = RoutingTable()


class WorkerPool:
    """
    All workers of the gateway.

    :param reactor: provides IReactorProcess, IReactorSocket and IReactorTime.
    :param size: the number of workers.
    :param on_change: called when :meth:`problems`, :attr:`live_generation` or the workers may have changed.
    :param passed_on: called with each signal that a worker passes on, and the moment when it came, in seconds of the
        monotonic clock.
    :param metrics: have the workers count their connections for metrics.
    :raises NoSuchTransport: if the settings ask for a transport that does not exist on this system.
    :ivar settings: the settings in force.
    :ivar table: the table that the workers have to serve.
    :ivar health: the health of endpoints that the workers have to follow.
    :ivar metrics: the counts for metrics; None if the workers count none.
    :ivar packed: the edits between the tables of workers.
    :ivar live_generation: the generation of the latest table that all running workers serve; 0 before the first.
    :ivar stopping: True if the workers are ending, and are not replaced.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        size: int,
        settings: ServingSettings,
        on_change: Callable[[], None],
        passed_on: Callable[[Signals, float], None] | None = None,
        *,
        metrics: bool = False,
    ) -> None:
        self._reactor = reactor
        self._on_change = on_change
        self.passed_on = passed_on or (lambda number, when: None)
        self.settings = settings
        self.table = _EMPTY
        self.stopping = False
        self._at_once = False
        self._drain_time = 0.0
        self.health = EndpointHealth({})
        self._unhealthy_rows: tuple[LeftOut, ...] = ()
        self.live_generation = 0
        self._ended: Counter[str] = Counter()
        self._lost_lines = 0
        self._names: dict[str, NameFigures] = {}
        self._seed = new_seed()
        chosen_transport(settings.transport, reactor)
        self._memory = shared_memory(bytes_for(size))
        self.metrics = CountTotals(size) if metrics else None
        self._counts = SharedCounts(mmap.mmap(self._memory, bytes_for(size)), 0, self._seed)
        self._first_ids = count(1, IDS_PER_WORKER)
        self._port_numbers = count()
        self._ports: dict[int, _Port] = {}
        self._closing: list[_Port] = []
        self.packed = PackedTables()
        self._slots = [WorkerSlot(self, reactor, index) for index in range(size)]
        self._stopped: Deferred[None] | None = None
        self._killing: IDelayedCall | None = None

    @property
    def sockets(self) -> int:
        """The number of sockets that :meth:`serve` needs for each port: one a worker."""
        return len(self._slots)

    def start(self) -> None:
        """
        Start the workers as soon as the reactor runs.

        :raises AccessLogError: if the access log cannot be opened.
        """
        self.settings.access_log.output().close()
        for slot in self._slots:
            self._reactor.callWhenRunning(slot.start_worker)

    def apply_settings(self, settings: ServingSettings) -> None:
        """Send new settings to every worker, which also reopens the access log. A failure becomes a problem."""
        self.settings = settings
        for slot in self._slots:
            slot.apply_settings()

    def reopen_log(self) -> None:
        """Have every worker reopen the file of the access log. A failure becomes a problem."""
        for slot in self._slots:
            slot.reopen_log()

    def end_at_once(self) -> None:
        """Have the workers end their connections and themselves without waiting for anything."""
        self.stopping = self._at_once = True
        if self._killing is not None:
            self._killing.reset(END_AT_ONCE_WITHIN)
        for slot in self._slots:
            slot.drain(at_once=True)

    def install(self, table: RoutingTable) -> None:
        """Send a new table to the workers; :attr:`live_generation` tells when all of them serve it."""
        self.table = table
        self._update_slots()

    def apply_health(self, unhealthy: Mapping[HealthCheck, frozenset[str]], rows: Sequence[LeftOut]) -> None:
        """
        Tell the workers which endpoints their health checks have found unhealthy.

        :param unhealthy: as :class:`~meshgate.workers.messages.EndpointHealth` has them.
        :param rows: the same for :meth:`left_out`.
        """
        self.health, self._unhealthy_rows = EndpointHealth(unhealthy), tuple(rows)
        for slot in self._slots:
            slot.send_health()

    def end_series(self) -> None:
        """Have the workers give up the series for metrics that are gone from the table."""
        if self.metrics is not None and not self.stopping:
            self.metrics.review(self.table, self._names, self._reactor.seconds())
            for slot in self._slots:
                slot.end_series(self.metrics)

    def serve(self, key: ListenerKey, sockets: Sequence[socket]) -> _Port:
        """
        Accept the connections of a listener.

        :param sockets: its sockets, one for each worker.
        """
        number = next(self._port_numbers)
        port = self._ports[number] = _Port(self, number, key, sockets)
        self._update_slots()
        return port

    def workers(self) -> list[WorkerFigures]:
        """Figures of each worker."""
        return [slot.worker_figures() for slot in self._slots]

    @property
    def _ends_within(self) -> float:
        """Seconds within which workers that are asked to end have to be gone."""
        return END_AT_ONCE_WITHIN if self._at_once else END_WITHIN + self._drain_time

    @property
    def serving(self) -> int:
        """The number of workers that serve a table."""
        return sum(slot.installed is not None for slot in self._slots)

    def ended(self) -> Mapping[str, int]:
        """The number of ended connections for each ending, including those of workers that are gone."""
        return sum((Counter(slot.figures.endings) for slot in self._slots), self._ended)

    def lost_lines(self) -> int:
        """The number of lines of the access log that were lost, including those of workers that are gone."""
        return sum((slot.figures.lost_lines for slot in self._slots), self._lost_lines)

    def left_out(self) -> list[LeftOut]:
        """The endpoints that get no connections for a time, each with the number of workers that leave it out."""
        found: dict[tuple[str, str, str], LeftOut] = {}
        for each in (each for slot in self._slots for each in slot.figures.left_out):
            key = each.destination, each.endpoint, each.state
            before = found.get(key)
            if before is not None:
                until = max(filter(None, (each.until, before.until)), default=None)
                each = replace(each, until=until, workers=before.workers + 1)
            found[key] = each
        return [*found.values(), *(replace(each, workers=len(self._slots)) for each in self._unhealthy_rows)]

    def names(self) -> Mapping[str, NameFigures]:
        """The figures of each endpoint name: the latest answer of any worker, and the first failure of any."""
        return self._names

    def problems(self) -> tuple[Problem, ...]:
        """The problems of all workers; one that several workers report is listed once."""
        found: dict[tuple[str, str], Problem] = {}
        for slot in self._slots:
            for problem in slot.problems():
                # Each worker has found the problem at another moment, but it is one problem.
                found.setdefault((problem.code, problem.message.partition(" since ")[0]), problem)
        return tuple(found.values())

    def stop(self, drain_time: float = 0.0) -> Deferred[None]:
        """
        Have the workers drain their connections, and then end.

        :param drain_time: seconds until the last connection is closed.
        :return: fires when all processes are gone.
        """
        self.stopping = True
        self._drain_time = drain_time
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        self._killing = self._reactor.callLater(self._ends_within, self._kill_all)
        for slot in self._slots:
            slot.drain(self._at_once, drain_time)
        self._end_when_gone()
        return stopped

    # Called by the slots.

    def first_message(self, index: int) -> tuple[Begin, *tuple[int, ...]]:
        """The first message to a worker, and the descriptors of the shared memory, which go with it."""
        begin = Begin(self.settings, index, len(self._slots), next(self._first_ids), self._seed)
        if self.metrics is None:
            return begin, self._memory
        return begin, self._memory, self.metrics.memory

    def sockets_for(self, slot: WorkerSlot) -> dict[SocketId, tuple[ListenerKey, socket]]:
        """The sockets on which a slot's worker has to accept: its own, and for one worker those of empty slots."""
        indices = [slot.index]
        if slot is next((one for one in self._slots if one.installed is not None), None):
            indices += [other.index for other in self._slots if other.installed is None]
        return {
            (port.number, index): (port.key, port.sockets[index]) for port in self._ports.values() for index in indices
        }

    def slot_changed(self) -> None:
        """Act on a change of a worker: of its table, of its problems, or of its being there."""
        self._update_slots()
        running = [slot for slot in self._slots if slot.pid is not None]
        is_live = bool(running) and all(slot.installed is self.table for slot in running)
        if is_live and self.live_generation < self.table.generation:
            if not self.live_generation:
                generation = self.table.generation
                self.log.info("{workers}", workers=_all_serve(len(running)), generation=generation)
            self.live_generation = self.table.generation
        self._on_change()

    def names_changed(self, names: Iterable[str]) -> None:
        """Merge the figures of names that have changed in a worker."""
        for name in names:
            figures = [slot.names[name] for slot in self._slots if name in slot.names]
            if figures:
                self._names[name] = _merged(figures)
            else:
                self._names.pop(name, None)

    def new_series(self, slot: WorkerSlot, message: NewSeries) -> None:
        """Note whose counts a worker has begun to keep."""
        if self.metrics is not None:
            self.metrics.add_series(slot.index, message.blocks, message.patterns)

    def series_ended(self, slot: WorkerSlot, message: SeriesEnded) -> None:
        """Note which counts a worker has given up."""
        if self.metrics is not None:
            self.metrics.series_ended(slot.index, message.blocks, message.words)

    def worker_ended(self, slot: WorkerSlot) -> None:
        """Add up the counts of a worker that is gone. Called while the slot still has its figures."""
        self._ended.update(slot.figures.endings)
        self._lost_lines += slot.figures.lost_lines
        self._counts.clear(slot.index)
        if self.metrics is not None:
            self.metrics.worker_ended(slot.index)

    def shorten_pauses(self) -> None:
        """If no worker runs, shorten the pauses before replacements: long ones are for when others serve meanwhile."""
        if all(slot.pid is None for slot in self._slots):
            for slot in self._slots:
                slot.shorten_pause()

    def socket_released(self) -> None:
        """Close the ports of which no worker holds a socket any more."""
        for port in tuple(self._closing):
            ids = [(port.number, index) for index in range(len(self._slots))]
            if not any(slot.holds(id) for slot in self._slots for id in ids):  # noqa: A001
                self._closing.remove(port)
                port.closed()
        self._end_when_gone()

    def port_is_closed(self, id: SocketId) -> bool:  # noqa: A002
        """True if nobody accepts on a socket any more; False if another worker or process goes on with it."""
        return any(port.number == id[0] and port.finishing for port in self._closing)

    def close_port(self, port: _Port) -> None:
        """Have all workers release the sockets of a port."""
        del self._ports[port.number]
        self._closing.append(port)
        self._update_slots()
        self.socket_released()

    def _update_slots(self) -> None:
        for slot in self._slots:
            slot.update()

    def _kill_all(self) -> None:
        self._killing = None
        seconds = self._ends_within
        self.log.error("killing the workers that have not ended within {seconds:g} s", seconds=seconds)
        for slot in self._slots:
            slot.kill()

    def _end_when_gone(self) -> None:
        stopped = self._stopped
        if stopped is not None and all(slot.pid is None for slot in self._slots):
            self._stopped = None
            if self._killing is not None:
                self._killing.cancel()
            os.close(self._memory)
            if self.metrics is not None:
                self.metrics.close()
            stopped.callback(None)


def _all_serve(count: int) -> str:
    return "the worker serves" if count == 1 else f"all {count} workers serve"


def _merged(figures: Sequence[NameFigures]) -> NameFigures:
    """One record for a name that several workers have resolved."""
    latest = max(figures, key=lambda each: each.answered or 0.0)
    failing = [each for each in figures if each.failing_since is not None]
    if not failing:
        return latest
    first = min(failing, key=lambda each: each.failing_since or 0.0)
    return replace(latest, failing_since=first.failing_since, reason=first.reason)


class _Port:
    """
    One listening port, on which all workers accept.

    :ivar sockets: the sockets, one for each slot. The workers have copies of them, which share their options.
    :ivar finishing: workers that release a socket accept first what waits in its queue, and shut it down.
    """

    def __init__(self, pool: WorkerPool, number: int, key: ListenerKey, sockets: Sequence[socket]) -> None:
        self.number = number
        self.key = key
        self.sockets = sockets
        self.finishing = False
        self._pool = pool
        self._closed: Deferred[object] = Deferred()

    def defer_accept(self, wanted: bool) -> None:
        """As :class:`~meshgate.transport.network.Port`."""
        for listening in self.sockets:
            defer_accept(listening, wanted)

    def keep_alive(self, keepalive: Keepalive | None) -> None:
        """As :class:`~meshgate.transport.network.Port`."""
        for listening in self.sockets:
            keep_alive(listening, keepalive)

    def stop(self) -> Deferred[object]:
        """As :class:`~meshgate.transport.network.Port`. The result fires when no worker accepts any more."""
        self._pool.close_port(self)
        return self._closed

    def finish(self) -> Deferred[object]:
        """As :class:`~meshgate.transport.network.Port`: workers accept first what waits in the queues."""
        self.finishing = True
        return self.stop()

    def closed(self) -> None:
        """Close the sockets: no worker holds a copy any more."""
        for listening in self.sockets:
            listening.close()
        self._closed.callback(None)
