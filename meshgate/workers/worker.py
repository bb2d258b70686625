"""
A worker process: carries the connections of the table that the control process sends it, and ends with that process.

Each message of the control process has a method of :class:`Worker`. Reports go the other way when something changes:
figures at most every :data:`COUNT_EVERY` seconds, problems :data:`REPORT_AFTER` seconds after a change. A worker that
fails at a message ends itself: a fresh one with everything sent anew is better off than one that has missed something.
If the channel closes, the control process is gone, and the worker drains and ends.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from meshgate.processes.clock import follow_monotonic_clock
from meshgate.processes.processors import take_turns
from meshgate.processes.service_log import DEFAULT_LEVELS, facts_of, message_of, place_of
from meshgate.processes.signals import HANDLED, PASSED_ON
from meshgate.proxy.connection_counts import ConnectionCounts, region_bytes
from meshgate.proxy.log_outputs import AccessLogError
from meshgate.proxy.serving import Serving
from meshgate.proxy.shared_counts import SharedCounts, bytes_for
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.routing.table import RoutingTable
from meshgate.routing.table_edits import Draft
from meshgate.transport.descriptors import raise_limit
from meshgate.transport.network import Port
from meshgate.workers.channel import open_channel
from meshgate.workers.messages import (
    ApplySettings,
    Begin,
    ConnectionFigures,
    CurrentProblems,
    Drain,
    EndpointHealth,
    EndSeries,
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
    TableComplete,
    TableInstalled,
    Unpacker,
)
from meshgate.workers.worker_process import CHANNEL

COUNT_EVERY: Final = 0.25
"""Seconds between two counts of the figures, which are sent if they have changed."""

PROGRESS_AT_ONCE: Final = 500
"""The number of live connections whose bytes so far are counted at a time, in some 0.2 ms."""

REPORT_AFTER: Final = 0.1
"""Seconds from a change of the problems to the message about it: many names change at the same time."""

COLLECTOR_THRESHOLDS: Final = (10_000, 20, 10)
"""Thresholds of :func:`gc.set_threshold`, for the time after the freeze."""

END_WITHIN: Final = 10.0
"""Seconds within which the process ends after the time of its drain, whatever its connections do."""


class Worker:
    """
    The worker of this process.

    :param reactor: not running yet.
    :param channel: the descriptor of the worker's end of the channel.
    :ivar status: the exit status of the process.
    :ivar levels: which events the control process logs.
    """

    log = Logger()

    def __init__(self, reactor: Any, channel: int) -> None:
        self._reactor = reactor
        self.status = 0
        self.levels = DEFAULT_LEVELS
        self._serving: Serving | None = None
        self._metrics: ConnectionCounts | None = None
        self._table = RoutingTable()
        self._draft: Draft | None = None
        self._unpacker = Unpacker()
        self._ports: dict[SocketId, Port] = {}
        self._figures = ConnectionFigures()
        self._problems: tuple[Problem, ...] = ()
        self._log_problem: tuple[Problem, ...] = ()
        self._report_is_due = False
        self._ending = False
        self._methods: dict[type, Callable[..., None]] = {
            Begin: self._begin,
            TableChunk: self._add_chunk,
            TableComplete: self._install,
            Listen: self._listen,
            StopListening: self._stop_listening,
            ApplySettings: self._apply_settings,
            EndpointHealth: self._follow_health,
            EndSeries: self._end_series,
            ReopenLog: self._reopen_log,
            Drain: self._drain,
        }
        self._channel = open_channel(reactor, socket.socket(fileno=channel), self._received, self._channel_lost)

    def send_log_line(self, line: LogLine) -> None:
        """Have the control process log a line."""
        self._channel.send(line)

    def pass_on(self, number: int, when: float) -> None:
        """Have the control process act on a signal."""
        self._channel.send(SignalReceived(number, when))

    def end(self, drain_time: float = 0.0) -> None:
        """
        Stop accepting, drain the connections, and end the process.

        :param drain_time: seconds until the last connection is closed.
        """
        if not self._ending:
            self._ending = True
            self._reactor.callLater(END_WITHIN + drain_time, self._stop)
            Deferred.fromCoroutine(self._end(drain_time)).addErrback(self._fail)

    # Messages of the control process.

    def _received(self, message: object, descriptors: list[int]) -> None:
        try:
            self._methods[type(message)](message, *descriptors)
        except Exception:
            self.log.failure("{message} could not be followed", message=type(message).__name__)
            self.status = 1
            self._ending = True
            self._channel.close()

    def _begin(self, message: Begin, memory: int, regions: int | None = None) -> None:
        self.levels = message.settings.log_levels
        shared = mmap.mmap(memory, bytes_for(message.slots))
        os.close(memory)
        counts = SharedCounts(shared, message.slot, message.seed)
        if regions is not None:
            own = slice(message.slot * region_bytes(), (message.slot + 1) * region_bytes())
            self._metrics = ConnectionCounts(memoryview(mmap.mmap(regions, message.slots * region_bytes()))[own])
            os.close(regions)
        raise_limit()
        self._serving = serving = Serving(
            self._reactor,
            message.settings,
            self._report_soon,
            counts=counts,
            first_id=message.first_id,
            metrics=self._metrics,
        )
        self._try_log(serving.start)
        self._count_regularly(self._reactor.seconds())

    def _add_chunk(self, message: TableChunk) -> None:
        if self._draft is None:
            self._draft, self._unpacker = Draft(self._table), Unpacker()
        self._draft.apply(self._unpacker.unpack(message.edits))

    def _install(self, message: TableComplete) -> None:
        if self._draft is not None:
            self._table, self._draft = self._draft.table(), None
        self._running_serving.install(self._table, message.dns_names, message.gone_clusters, message.gone_endpoints)
        if not gc.isenabled():
            _freeze()
        self._channel.send(TableInstalled(self._table.generation))
        self._report_soon()

    def _listen(self, message: Listen, descriptor: int) -> None:
        listening = socket.socket(fileno=descriptor)
        if self._ending:
            listening.close()  # this copy only: another worker accepts what waits in its queue
        else:
            self._ports[message.id] = self._running_serving.serve(message.key, [listening])

    def _stop_listening(self, message: StopListening) -> None:
        port = self._ports.pop(message.id, None)
        if port is None:
            self._channel.send(StoppedListening(message.id))
        else:
            stopped = port.finish() if message.port_closes else port.stop()
            stopped.addCallback(lambda _: self._channel.send(StoppedListening(message.id)))

    def _apply_settings(self, message: ApplySettings) -> None:
        serving = self._running_serving
        self.levels = message.settings.log_levels
        self._try_log(lambda: serving.apply_settings(message.settings))

    def _follow_health(self, message: EndpointHealth) -> None:
        self._running_serving.follow_health(message.unhealthy)

    def _end_series(self, message: EndSeries) -> None:
        counts = self._metrics
        if counts is not None:
            counts.take_back(message.free_blocks, message.free_words)
            self._report_series(counts)
            self._channel.send(SeriesEnded(*counts.end_series(message.series, message.patterns)))

    def _reopen_log(self, message: ReopenLog) -> None:
        self._try_log(self._running_serving.reopen_log)

    def _drain(self, message: Drain) -> None:
        if message.at_once and self._serving is not None:
            self._serving.end_at_once()
        self.end(message.time)

    @property
    def _running_serving(self) -> Serving:
        if self._serving is None:
            raise RuntimeError("no Begin message has come yet")
        return self._serving

    def _try_log(self, action: Callable[[], None]) -> None:
        try:
            action()
        except AccessLogError as error:
            message = f"the access log cannot be renewed: {error}"
            self._log_problem = (Problem(Severity.ERROR, "MG3006", message, Phase.ANALYSIS),)
        else:
            self._log_problem = ()
        self._report_soon()

    # Reports.

    def _report_soon(self) -> None:
        if not self._report_is_due:
            self._report_is_due = True
            self._reactor.callLater(REPORT_AFTER, self._report)

    def _report(self) -> None:
        self._report_is_due = False
        problems = (*self._running_serving.problems(), *self._log_problem)
        if problems != self._problems:
            self._problems = problems
            self._channel.send(CurrentProblems(problems))

    def _count_regularly(self, due: float) -> None:
        if self._metrics is not None:
            self._metrics.late(max(0.0, self._reactor.seconds() - due))
        self._count()
        self._reactor.callLater(COUNT_EVERY, self._count_regularly, self._reactor.seconds() + COUNT_EVERY)

    def _count(self) -> None:
        serving = self._running_serving
        left_out = tuple(serving.left_out())
        figures = ConnectionFigures(serving.connections, serving.ended(), left_out, serving.lost_lines)
        if figures != self._figures:
            self._figures = figures
            self._channel.send(figures)
        if self._metrics is not None:
            serving.count_progress(PROGRESS_AT_ONCE)
            self._report_series(self._metrics)
        names = serving.name_news()
        if names:
            self._channel.send(NameChanges(names))

    def _report_series(self, counts: ConnectionCounts) -> None:
        blocks, patterns = counts.news()
        if blocks or patterns:
            self._channel.send(NewSeries(blocks, patterns))

    # The end.

    async def _end(self, drain_time: float) -> None:
        ports, self._ports = self._ports, {}
        await DeferredList([port.stop() for port in ports.values()])
        if self._serving is not None:
            await self._serving.stop(drain_time)
            self._count()
        if self._channel.connected:
            self._channel.close()
        else:
            self._stop()

    def _fail(self, failure: Failure) -> None:
        self.log.failure("the worker could not end in order", failure=failure)
        self.status = 1
        self._channel.close()

    def _channel_lost(self) -> None:
        """The channel is closed: by this worker at its end, or because the control process is gone."""
        if self._ending:
            self._stop()
        else:
            self.end()

    def _stop(self) -> None:
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            pass


def _freeze() -> None:
    """
    Have the garbage collector never again look at the objects that exist now, modules and the first table among them,
    and seldom at the others. A connection breaks its reference cycles at its end, so that next to nothing is left to be
    found, and all connections wait for each collection.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    gc.enable()


@implementer(ILogObserver)
class _RemoteLog:
    """Sends log events to the control process: those it logs, but of libraries at least warnings."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __call__(self, event: LogEvent) -> None:
        level, namespace = event.get("log_level", LogLevel.info), event.get("log_namespace") or ""
        if (namespace.startswith("meshgate.") or level >= LogLevel.warn) and self._worker.levels.takes(event):
            line = LogLine(level.name, namespace, message_of(event), facts_of(event), place_of(event))
            self._worker.send_log_line(line)


def main() -> None:
    """Run the worker of this process until its end."""
    from twisted.internet import reactor

    any_reactor: Any = reactor
    follow_monotonic_clock(any_reactor)
    take_turns()  # the control process, which gives way, is the parent
    gc.disable()  # until the first table is installed
    worker = Worker(any_reactor, CHANNEL)
    globalLogBeginner.beginLoggingTo([_RemoteLog(worker)], redirectStandardIO=False)

    def end(*_: object) -> None:
        any_reactor.callFromThread(worker.end)

    def pass_on(number: int, _: object) -> None:
        any_reactor.callFromThread(worker.pass_on, number, time.monotonic())

    # A terminal sends SIGINT to all processes; the control process acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGTERM, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    any_reactor.run(installSignalHandlers=False)
    sys.exit(worker.status)
