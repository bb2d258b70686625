"""
A worker process from within: serves what its parent tells it to, and ends with it.

Knows the messages and the process's own signals. Must not know other workers.
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
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, eventAsText, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from meshgate.processes.children import HELD_BACK
from meshgate.processes.clock import follow_monotonic_clock
from meshgate.processes.processors import take_turns
from meshgate.processes.signals import PASSED_ON
from meshgate.proxy.access_log import AccessLogError
from meshgate.proxy.serving import Serving
from meshgate.proxy.shared_counts import SharedCounts, bytes_for
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.routing.table import RoutingTable
from meshgate.routing.table_edits import Draft
from meshgate.transport.descriptors import raise_limit
from meshgate.transport.network import Port
from meshgate.workers.channel import open_channel
from meshgate.workers.messages import (
    Begin,
    Drain,
    Figures,
    Installed,
    Listen,
    NameNews,
    Renew,
    ReopenLog,
    Said,
    Signalled,
    SocketId,
    TableComplete,
    TablePart,
    Troubles,
    Unlisten,
    Unlistened,
)
from meshgate.workers.table_chunks import Unpacker
from meshgate.workers.worker_process import CHANNEL

COUNT_EVERY: Final = 0.25
"""Seconds between two looks at the figures, which are sent if they have changed."""

TELL_AFTER: Final = 0.1
"""Seconds from a change of what is wrong to the message about it: names change many at a time."""

COLLECTOR_THRESHOLDS: Final = (10_000, 20, 10)
"""New objects before the youngest are looked at, and how many such looks come before one at the older."""

END_WITHIN: Final = 10.0
"""Seconds that connections may take to end once the parent is gone."""


class Worker:
    """
    The process.

    :param reactor: not running yet.
    :param channel: our end of it, a descriptor.
    :ivar status: the exit status.
    """

    log = Logger()

    def __init__(self, reactor: Any, channel: int) -> None:
        self._reactor = reactor
        self.status = 0
        self._serving: Serving | None = None
        self._table = RoutingTable()
        self._draft: Draft | None = None
        self._unpacker = Unpacker()
        self._dns_names: frozenset[str] = frozenset()
        self._ports: dict[SocketId, Port] = {}
        self._figures = Figures()
        self._troubles: tuple[Problem, ...] = ()
        self._log_trouble: tuple[Problem, ...] = ()
        self._telling = False
        self._ending = False
        self._reactions: dict[type, Callable[..., None]] = {
            Begin: self._begin,
            TablePart: self._take_part,
            TableComplete: self._install,
            Listen: self._listen,
            Unlisten: self._unlisten,
            Renew: self._renew,
            ReopenLog: self._reopen_log,
            Drain: self._drain,
        }
        self._channel = open_channel(reactor, socket.socket(fileno=channel), self._received, self._left_alone)

    def say(self, level: LogLevel, text: str) -> None:
        """Have the parent log something."""
        self._channel.send(Said(level.name, text))

    def pass_on(self, number: int, when: float) -> None:
        """Have the parent act on a signal."""
        self._channel.send(Signalled(number, when))

    def end(self) -> None:
        """Stop accepting, end all connections as drained, and then the process."""
        if not self._ending:
            self._ending = True
            self._reactor.callLater(END_WITHIN, self._stop)
            Deferred.fromCoroutine(self._end()).addErrback(self._fail)

    # What the parent says.

    def _received(self, message: object, descriptors: list[int]) -> None:
        try:
            self._reactions[type(message)](message, *descriptors)
        except Exception:
            # A fresh worker with everything sent anew is better off than one that has missed something.
            self.log.failure("{message} could not be followed", message=type(message).__name__)
            self.status = 1
            self._ending = True
            self._channel.close()

    def _begin(self, message: Begin, memory: int) -> None:
        shared = mmap.mmap(memory, bytes_for(message.places))
        os.close(memory)
        counts = SharedCounts(shared, message.place, message.seed)
        raise_limit()
        self._serving = serving = Serving(
            self._reactor, message.settings, self._tell_soon, counts=counts, first_id=message.first_id
        )
        self._attempt_log(serving.start)
        self._count_on()

    def _take_part(self, message: TablePart) -> None:
        if self._draft is None:
            self._draft, self._unpacker = Draft(self._table), Unpacker()
        self._draft.take(self._unpacker.unpack(message.edits))

    def _install(self, message: TableComplete) -> None:
        if self._draft is not None:
            self._table, self._draft = self._draft.table(), None
        if message.dns_names is not None:
            self._dns_names = message.dns_names
        self._its_serving.install(self._table, self._dns_names)
        if not gc.isenabled():
            _freeze()
        self._channel.send(Installed(self._table.generation))
        self._tell_soon()

    def _listen(self, message: Listen, descriptor: int) -> None:
        listening = socket.socket(fileno=descriptor)
        if self._ending:
            listening.close()  # here only: what waits in it is somebody else's now
        else:
            self._ports[message.id] = self._its_serving.serve(message.key, [listening])

    def _unlisten(self, message: Unlisten) -> None:
        port = self._ports.pop(message.id, None)
        if port is None:
            self._channel.send(Unlistened(message.id))
        else:
            stopped = port.finish() if message.for_good else port.stop()
            stopped.addCallback(lambda _: self._channel.send(Unlistened(message.id)))

    def _renew(self, message: Renew) -> None:
        serving = self._its_serving
        self._attempt_log(lambda: serving.renew(message.settings))

    def _reopen_log(self, message: ReopenLog) -> None:
        self._attempt_log(self._its_serving.reopen_log)

    def _drain(self, message: Drain) -> None:
        if message.at_once and self._serving is not None:
            self._serving.end_at_once()
        self.end()

    @property
    def _its_serving(self) -> Serving:
        if self._serving is None:
            raise RuntimeError("the parent has not begun")
        return self._serving

    def _attempt_log(self, action: Callable[[], None]) -> None:
        try:
            action()
        except AccessLogError as error:
            message = f"the access log cannot be renewed: {error}"
            self._log_trouble = (Problem(Severity.ERROR, "MG3006", message, Phase.ANALYSIS),)
        else:
            self._log_trouble = ()
        self._tell_soon()

    # What it says.

    def _tell_soon(self) -> None:
        if not self._telling:
            self._telling = True
            self._reactor.callLater(TELL_AFTER, self._tell)

    def _tell(self) -> None:
        self._telling = False
        troubles = (*self._its_serving.problems(), *self._log_trouble)
        if troubles != self._troubles:
            self._troubles = troubles
            self._channel.send(Troubles(troubles))

    def _count_on(self) -> None:
        self._count()
        self._reactor.callLater(COUNT_EVERY, self._count_on)

    def _count(self) -> None:
        serving = self._its_serving
        figures = Figures(serving.connections, serving.ended(), tuple(serving.left_out()))
        if figures != self._figures:
            self._figures = figures
            self._channel.send(figures)
        news = serving.name_news()
        if news:
            self._channel.send(NameNews(news))

    # The end.

    async def _end(self) -> None:
        ports, self._ports = self._ports, {}
        await DeferredList([port.stop() for port in ports.values()])
        if self._serving is not None:
            await self._serving.stop()
            self._count()
        if self._channel.connected:
            self._channel.close()
        else:
            self._stop()

    def _fail(self, failure: Failure) -> None:
        self.log.failure("the worker could not end in order", failure=failure)
        self.status = 1
        self._channel.close()

    def _left_alone(self) -> None:
        """The channel is closed: by us at the end, or because the parent is gone."""
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
    Have the garbage collector walk what exists now, modules and the first table among it, never again, and the rest
    seldom: a connection takes itself apart at its end, so that next to nothing is left to be found, and everybody would
    wait for each look.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    gc.enable()


@implementer(ILogObserver)
class _ParentsLog:
    """Sends what is worth knowing to the parent; what Twisted says of its everyday life is not."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level", LogLevel.info)
        least = LogLevel.info if event.get("log_namespace", "").startswith("meshgate") else LogLevel.warn
        if level >= least:
            self._worker.say(level, eventAsText(event, includeTimestamp=False, includeSystem=False))


def main() -> None:
    """The whole life of the process."""
    from twisted.internet import reactor

    any_reactor: Any = reactor
    follow_monotonic_clock(any_reactor)
    take_turns()  # the parent gives way to connections
    gc.disable()  # until the first table is there
    worker = Worker(any_reactor, CHANNEL)
    globalLogBeginner.beginLoggingTo([_ParentsLog(worker)], redirectStandardIO=False)

    def end(*_: object) -> None:
        any_reactor.callFromThread(worker.end)

    def pass_on(number: int, _: object) -> None:
        any_reactor.callFromThread(worker.pass_on, number, time.monotonic())

    # A terminal sends it to us and to the parent, which is the one to act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGTERM, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    any_reactor.run(installSignalHandlers=False)
    sys.exit(worker.status)
