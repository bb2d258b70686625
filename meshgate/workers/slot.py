"""
The place of one worker: whoever fills it is kept up to date, watched, and replaced when it ends.

Knows what a worker has, what it should have, and what it has not answered yet. Must not know the other places; what is
wanted is the crew's to say.
"""

from __future__ import annotations

from collections import Counter
from signal import Signals
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, LogLevel

from meshgate.proxy.serving import update_names
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.routing.table import RoutingTable
from meshgate.transport.dns.name_cache import NameFigures
from meshgate.workers.messages import (
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
from meshgate.workers.restarts import FIRST_PAUSE, Restarts
from meshgate.workers.worker_process import WorkerProcess

if TYPE_CHECKING:
    from meshgate.workers.pool import Crew

SLOW_AFTER: Final = 10.0
"""Seconds without an answer after which it is said that a worker does not follow."""

STUCK_AFTER: Final = 30.0
"""Seconds without an answer after which a worker is killed: it serves nobody any more."""


class Place:
    """
    One place.

    :param index: which one, from 0.
    :ivar restarts: how many workers have been replaced.
    :ivar figures: of the worker that is there.
    :ivar names: of endpoints, as that worker knows them.
    :ivar has: the table that the worker serves; None while there is none that serves.
    """

    log = Logger()

    def __init__(self, crew: Crew, reactor: Any, index: int) -> None:
        self._crew = crew
        self._reactor = reactor
        self.index = index
        self.restarts = 0
        self.figures = Figures()
        self.names: dict[str, NameFigures] = {}
        self.has: RoutingTable | None = None
        self._sent: RoutingTable | None = None
        self._process: WorkerProcess | None = None
        self._troubles: tuple[Problem, ...] = ()
        self._listening: set[SocketId] = set()
        self._letting_go: Counter[SocketId] = Counter()
        self._restarts = Restarts()
        self._restart: IDelayedCall | None = None
        self._waiting: IDelayedCall | None = None
        self._fault = ""

    @property
    def pid(self) -> int | None:
        """The worker's process; None while there is none."""
        return self._process.pid if self._process is not None else None

    def problems(self) -> tuple[Problem, ...]:
        """What the worker says is wrong, and what is wrong with itself."""
        if not self._fault:
            return self._troubles
        message = f"worker {self.index + 1} {self._fault}"
        return (*self._troubles, Problem(Severity.ERROR, "MG3102", message, Phase.ANALYSIS))

    def holds(self, id: SocketId) -> bool:  # noqa: A002
        """Whether the worker listens on this socket, or has not let go of it yet."""
        return id in self._listening or id in self._letting_go

    def fill(self) -> None:
        """Start a worker."""
        self._restart = None
        try:
            self._process = WorkerProcess(self._reactor, self.index + 1, self._received, self._ended)
        except OSError as error:
            self._ended(f"could not be started ({error.strerror})", 0.0)
            return
        self._process.send(*self._crew.beginning(self.index))
        self.follow()

    def hurry(self) -> None:
        """Nobody serves: do not wait for long with a worker that is waited with."""
        restart = self._restart
        if restart is not None and restart.getTime() > self._reactor.seconds() + FIRST_PAUSE:
            restart.reset(FIRST_PAUSE)

    def follow(self) -> None:
        """Send what the worker does not have yet: the table first, then the sockets that it has to be there for."""
        if self._process is None:
            return
        wanted = self._crew.sockets_for(self)
        for gone in self._listening - wanted.keys():
            self._listening.discard(gone)
            self._letting_go[gone] += 1
            self._process.send(Unlisten(gone, self._crew.closes(gone)))
        table = self._crew.table
        if self._sent is None and self.has is not table:
            parts, names = self._crew.change(self.has, table)
            for part in parts:
                self._process.send(TablePart(part))
            self._process.send(TableComplete(names))
            self._sent = table
        if table is self._sent or table is self.has:
            for new in wanted.keys() - self._listening:
                self._listening.add(new)
                key, listening = wanted[new]
                self._process.send(Listen(new, key), listening.fileno())
        self._wait()

    def renew(self) -> None:
        """Tell the worker the new settings."""
        if self._process is not None:
            self._process.send(Renew(self._crew.settings))

    def reopen_log(self) -> None:
        """Have the worker open the access log's file anew."""
        if self._process is not None:
            self._process.send(ReopenLog())

    def end(self, at_once: bool = False) -> None:
        """Have the worker drain and end; there will be no other."""
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self._process is not None and self.has is not None:
            self._process.send(Drain(at_once))
        else:
            self.kill()

    def kill(self) -> None:
        """End the worker without asking."""
        if self._process is not None:
            self._process.kill()

    # What the worker says.

    def _received(self, message: object, descriptors: list[int]) -> None:
        if isinstance(message, Figures):
            self.figures = message
        elif isinstance(message, NameNews):
            update_names(self.names, message.names)
            self._crew.named(message.names)
        elif isinstance(message, Installed):
            self.has, self._sent = self._sent, None
            self._answered()
            self._crew.changed()
        elif isinstance(message, Unlistened):
            self._letting_go[message.id] -= 1
            self._letting_go += Counter()  # which drops what has come to 0
            self._answered()
            self._crew.let_go()
        elif isinstance(message, Troubles):
            self._troubles = message.problems
            self._crew.changed()
        elif isinstance(message, Signalled):
            self._crew.passed_on(Signals(message.number), message.when)
        elif isinstance(message, Said):
            level = LogLevel.lookupByName(message.level)
            self.log.emit(level, "worker {number}: {text}", number=self.index + 1, text=message.text)

    def _ended(self, fate: str, lived: float) -> None:
        process, self._process = self._process, None
        connections, pid = self.figures.connections, process.pid if process is not None else None
        self._crew.emptied(self)
        self.figures, self.has, self._sent, self._troubles = Figures(), None, None, ()
        gone, self.names = self.names, {}
        self._crew.named(gone)
        self._listening.clear()
        self._letting_go.clear()
        self._stop_waiting()
        if not self._crew.stopping:
            pause = self._restarts.pause(lived)
            self._fault = f"{fate}; it is started again in {pause:g} s" if pause else ""
            self.log.error(
                "worker {number} (process {pid}) {fate} after {lived:.1f} s, with {connections} connections as last "
                "counted; it is started again {when}",
                number=self.index + 1,
                pid=pid,
                fate=fate,
                lived=lived,
                connections=connections,
                when=f"in {pause:g} s" if pause else "at once",
            )
            self.restarts += 1
            self._restart = self._reactor.callLater(pause, self.fill)
        self._crew.hurry()
        self._crew.changed()
        self._crew.let_go()

    # How long it takes.

    def _unanswered(self) -> bool:
        return self._sent is not None or bool(self._letting_go)

    def _wait(self) -> None:
        if self._waiting is None and self._unanswered():
            self._waiting = self._reactor.callLater(SLOW_AFTER, self._slow)

    def _answered(self) -> None:
        self._stop_waiting()
        if self._fault:
            self._fault = ""
            self.log.info("worker {number} serves again", number=self.index + 1)
            self._crew.changed()
        self._wait()

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting.active():
            waiting.cancel()

    def _slow(self) -> None:
        self._fault = f"(process {self.pid}) does not follow: it has not answered for {SLOW_AFTER:g} s"
        self.log.error("worker {number} {fault}", number=self.index + 1, fault=self._fault)
        self._waiting = self._reactor.callLater(STUCK_AFTER - SLOW_AFTER, self._stuck)
        self._crew.changed()

    def _stuck(self) -> None:
        self.log.error("worker {number} is stuck, and is killed", number=self.index + 1)
        self.kill()
