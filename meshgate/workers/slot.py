"""
One worker slot: its worker is started, kept up to date, watched, and replaced when it ends.

The problem: a worker may be slow, stuck or dead at any moment, and tables may change faster than it installs them.

The approach: the slot compares what its worker should have, which the pool says, with what was sent, and :meth:`update`
sends the rest. Each message that asks for an answer starts a timer. A worker that has not answered for
:data:`SLOW_AFTER` seconds becomes a problem; after :data:`STUCK_AFTER` seconds it is killed, and replaced as any
worker that ends.

The first replacement comes at once, since connections wait. If replacements end soon, too, the pauses double from
:data:`FIRST_PAUSE` to :data:`LAST_PAUSE`, so that a worker that cannot live does not use up a processor. A worker that
has lived for :data:`STEADY_AFTER` begins a new count.

The invariants:

- At most one table is under way: what changes meanwhile is sent in one go after the answer.
- A socket counts as held from its :class:`~meshgate.workers.messages.Listen` to the answer to its
  :class:`~meshgate.workers.messages.StopListening`, or to the end of the worker.
- Nothing of a worker outlives it here, except the number of restarts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from signal import Signals
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, LogLevel

from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.routing.table import RoutingTable
from meshgate.transport.dns.resolver import NameFigures
from meshgate.workers.messages import (
    ApplySettings,
    ConnectionFigures,
    CurrentProblems,
    Drain,
    Listen,
    LogLine,
    NameChanges,
    NewSeries,
    ReopenLog,
    SeriesEnded,
    SignalReceived,
    SocketId,
    StopListening,
    StoppedListening,
    TableChunk,
    TableInstalled,
)
from meshgate.workers.worker_process import WorkerProcess

if TYPE_CHECKING:
    from meshgate.workers.count_totals import CountTotals
    from meshgate.workers.pool import WorkerPool


FIRST_PAUSE: Final = 1.0
"""Seconds before the second replacement in a row; and before each, while no other worker serves."""

LAST_PAUSE: Final = 30.0
"""The longest pause, in seconds."""

STEADY_AFTER: Final = 30.0
"""Seconds that a worker has to live for its end to count as the first one again."""


class Restarts:
    """The replacements in one worker slot."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def pause(self, lived: float) -> float:
        """
        Count the end of a worker.

        :param lived: the seconds that the worker lived.
        :return: the seconds to wait before its replacement is started.
        """
        if lived >= STEADY_AFTER:
            self._in_a_row = 0
        self._in_a_row += 1
        if self._in_a_row == 1:
            return 0.0
        return float(min(LAST_PAUSE, FIRST_PAUSE * 2 ** min(self._in_a_row - 2, 16)))


SLOW_AFTER: Final = 10.0
"""Seconds without an answer after which a worker is reported as slow."""

STUCK_AFTER: Final = 30.0
"""Seconds without an answer after which a worker is killed: it serves nobody any more."""


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """
    Figures of one worker, for people.

    :ivar worker: the number of its slot, from 1.
    :ivar pid: its process; None while there is none.
    :ivar connections: the number of its live connections.
    :ivar restarts: how many times the slot's worker was replaced.
    """

    worker: int
    pid: int | None
    connections: int
    restarts: int = 0


class WorkerSlot:
    """
    One of the pool's slots.

    :param index: its index, from 0.
    :ivar restarts: how many workers have been replaced.
    :ivar figures: the latest figures of the worker.
    :ivar names: the endpoint names that the worker resolves, with their figures.
    :ivar installed: the table that the worker serves; None while it serves none.
    """

    log = Logger()

    def __init__(self, pool: WorkerPool, reactor: Any, index: int) -> None:
        self._pool = pool
        self._reactor = reactor
        self.index = index
        self.restarts = 0
        self.figures = ConnectionFigures()
        self.names: dict[str, NameFigures] = {}
        self.installed: RoutingTable | None = None
        self._installing: RoutingTable | None = None
        self._process: WorkerProcess | None = None
        self._worker_problems: tuple[Problem, ...] = ()
        self._listening: set[SocketId] = set()
        self._releasing: Counter[SocketId] = Counter()
        self._restarts = Restarts()
        self._restart: IDelayedCall | None = None
        self._answer_timer: IDelayedCall | None = None
        self._fault = ""

    @property
    def pid(self) -> int | None:
        """The worker's process; None while there is none."""
        return self._process.pid if self._process is not None else None

    def worker_figures(self) -> WorkerFigures:
        """Figures of the worker, for people."""
        return WorkerFigures(self.index + 1, self.pid, self.figures.connections, self.restarts)

    def problems(self) -> tuple[Problem, ...]:
        """The problems that the worker reports, and that of the worker itself, if there is one."""
        if not self._fault:
            return self._worker_problems
        message = f"worker {self.index + 1} {self._fault}"
        return (*self._worker_problems, Problem(Severity.ERROR, "MG3102", message, Phase.ANALYSIS))

    def holds(self, id: SocketId) -> bool:  # noqa: A002
        """True if the worker has a copy of this socket."""
        return id in self._listening or id in self._releasing

    def start_worker(self) -> None:
        """Start a worker, and send it all it needs."""
        self._restart = None
        try:
            self._process = WorkerProcess(self._reactor, self.index + 1, self._received, self._ended)
        except OSError as error:
            self._ended(f"could not be started ({error.strerror})", 0.0)
            return
        self._process.send(*self._pool.first_message(self.index))
        if self._pool.health.unhealthy:
            self.send_health()
        self.update()

    def shorten_pause(self) -> None:
        """Start a worker that waits for its restart within :data:`FIRST_PAUSE` seconds."""
        restart = self._restart
        if restart is not None and restart.getTime() > self._reactor.seconds() + FIRST_PAUSE:
            restart.reset(FIRST_PAUSE)

    def update(self) -> None:
        """Send what the worker lacks: the table first, then the sockets on which it has to accept."""
        if self._process is None:
            return
        wanted = self._pool.sockets_for(self)
        for gone in self._listening - wanted.keys():
            self._listening.discard(gone)
            self._releasing[gone] += 1
            self._process.send(StopListening(gone, self._pool.port_is_closed(gone)))
        table = self._pool.table
        if self._installing is None and self.installed is not table:
            chunks, complete = self._pool.packed.between(self.installed, table)
            for chunk in chunks:
                self._process.send(TableChunk(chunk))
            self._process.send(complete)
            self._installing = table
        if table is self._installing or table is self.installed:
            for new in wanted.keys() - self._listening:
                self._listening.add(new)
                key, listening = wanted[new]
                self._process.send(Listen(new, key), listening.fileno())
        self._expect_answer()

    def apply_settings(self) -> None:
        """Send the pool's settings to the worker."""
        if self._process is not None:
            self._process.send(ApplySettings(self._pool.settings))

    def send_health(self) -> None:
        """Send the health of endpoints to the worker."""
        if self._process is not None:
            self._process.send(self._pool.health)

    def end_series(self, totals: CountTotals) -> None:
        """Have the worker give up the series that no connection by its table can have, if it has the latest table."""
        if self._process is not None and self.installed is self._pool.table:
            message = totals.series_to_end(self.index)
            if message is not None:
                self._process.send(message)

    def reopen_log(self) -> None:
        """Have the worker reopen the file of the access log."""
        if self._process is not None:
            self._process.send(ReopenLog())

    def drain(self, at_once: bool = False, time: float = 0.0) -> None:
        """
        Have the worker drain and end; there will be no other.

        :param time: seconds until the last connection is closed.
        """
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self._process is not None and self.installed is not None:
            self._process.send(Drain(at_once, time))
        else:
            self.kill()

    def kill(self) -> None:
        """End the worker without asking."""
        if self._process is not None:
            self._process.kill()

    # Messages of the worker, and its end.

    def _received(self, message: object, descriptors: list[int]) -> None:
        if isinstance(message, ConnectionFigures):
            self.figures = message
        elif isinstance(message, NameChanges):
            self._update_names(message)
        elif isinstance(message, NewSeries):
            self._pool.new_series(self, message)
        elif isinstance(message, SeriesEnded):
            self._pool.series_ended(self, message)
        elif isinstance(message, TableInstalled):
            self.installed, self._installing = self._installing, None
            self._answered()
            self._pool.slot_changed()
        elif isinstance(message, StoppedListening):
            self._releasing[message.id] -= 1
            self._releasing += Counter()  # which drops the sockets that have come to 0
            self._answered()
            self._pool.socket_released()
        elif isinstance(message, CurrentProblems):
            self._worker_problems = message.problems
            self._pool.slot_changed()
        elif isinstance(message, SignalReceived):
            self._pool.passed_on(Signals(message.number), message.when)
        elif isinstance(message, LogLine):
            self._log_line(message)

    def _log_line(self, line: LogLine) -> None:
        level, facts = LogLevel.lookupByName(line.level), {**line.facts, "worker": self.index + 1}
        log = Logger(namespace=line.namespace, source=self)
        log.emit(level, "worker {worker}: {text}", text=line.text, log_place=line.place, **facts)

    def _update_names(self, message: NameChanges) -> None:
        for name, figures in message.names.items():
            if figures is None:
                self.names.pop(name, None)
            else:
                self.names[name] = figures
        self._pool.names_changed(message.names)

    def _ended(self, fate: str, lived: float) -> None:
        process, self._process = self._process, None
        connections, pid = self.figures.connections, process.pid if process is not None else None
        self._pool.worker_ended(self)
        self._forget_worker()
        if not self._pool.stopping:
            pause = self._restarts.pause(lived)
            self._fault = f"{fate}; it is started again in {pause:g} s" if pause else ""
            self.log.error(
                "worker {worker} (process {process}) {fate} after {lived:.1f} s, with {connections} connections as "
                "last counted; it is started again {when}",
                worker=self.index + 1,
                code="MG3102",
                process=pid,
                fate=fate,
                lived=lived,
                connections=connections,
                when=f"in {pause:g} s" if pause else "at once",
            )
            self.restarts += 1
            self._restart = self._reactor.callLater(pause, self.start_worker)
        self._pool.shorten_pauses()
        self._pool.slot_changed()
        self._pool.socket_released()

    def _forget_worker(self) -> None:
        self.figures, self.installed, self._installing = ConnectionFigures(), None, None
        self._worker_problems = ()
        names, self.names = self.names, {}
        self._pool.names_changed(names)
        self._listening.clear()
        self._releasing.clear()
        self._stop_timer()

    # Answers that are late.

    def _expect_answer(self) -> None:
        if self._answer_timer is None and (self._installing is not None or self._releasing):
            self._answer_timer = self._reactor.callLater(SLOW_AFTER, self._report_slow)

    def _answered(self) -> None:
        self._stop_timer()
        if self._fault:
            self._fault = ""
            self.log.info("worker {worker} serves again", worker=self.index + 1)
            self._pool.slot_changed()
        self._expect_answer()

    def _stop_timer(self) -> None:
        timer, self._answer_timer = self._answer_timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _report_slow(self) -> None:
        self._fault = f"(process {self.pid}) does not follow: it has not answered for {SLOW_AFTER:g} s"
        self.log.error("worker {worker} {fault}", worker=self.index + 1, fault=self._fault, code="MG3102")
        self._answer_timer = self._reactor.callLater(STUCK_AFTER - SLOW_AFTER, self._kill_stuck)
        self._pool.slot_changed()

    def _kill_stuck(self) -> None:
        self.log.error("worker {worker} is stuck, and is killed", worker=self.index + 1)
        self.kill()
