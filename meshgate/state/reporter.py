"""
The state of the running gateway, reported to people: in ``status.json``, in ``figures.json`` and in the log.

The reporter gathers what the feed, the compiler, the ports and the worker pool know. The figures change all the time
and are small; the status grows with the routes, so it is written only when a table, a problem or a port has changed.
Changes that come in crowds, such as names that fail, are gathered for :data:`STATUS_DELAY` seconds.

Problems of the gateway itself, those of its settings in force, stand beside those of its resources, ports and workers
(:class:`OwnProblems`). Each stays until the same subject is found in order, at a reload.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from meshgate import __version__
from meshgate.processes.clock import iso_time
from meshgate.processes.launch import StartError
from meshgate.processes.pidfile import own_identity
from meshgate.providers.feed import Feed
from meshgate.providers.problem_log import ProblemLog
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.table import ListenerKey, RoutingTable
from meshgate.routing.tell.generation_news import listed
from meshgate.state.figures import Figures, FiguresFile
from meshgate.state.folder import LOCK_NAME, FolderInUseError, StateFolder, WriteReport
from meshgate.state.status_file import StatusFile
from meshgate.state.status_text import StatusContent
from meshgate.transport.activation import ActivatedSocket
from meshgate.transport.own_sockets import is_local_address
from meshgate.transport.ports import PortFailure, Ports
from meshgate.workers.pool import WorkerPool


class OwnProblems:
    """At most one problem for each subject, as ``settings`` or ``access log``."""

    log = Logger()

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}

    def all(self) -> tuple[Problem, ...]:
        """The problems that exist now."""
        return tuple(self._problems.values())

    def settings_unusable(self, error: Exception) -> None:
        """Note that the settings cannot be reloaded."""
        self._problems["settings"] = _error("MG3005", f"the settings cannot be reloaded: {error}")

    def settings_usable(self) -> None:
        """Note that the settings have been reloaded."""
        self._problems.pop("settings", None)

    def check_workers(self, wanted: int, running: int) -> None:
        """Compare the number of workers in the settings with that of the start, which stays in force."""
        if wanted == running:
            self._problems.pop("workers", None)
        else:
            message = f"workers is now {wanted}, and {running} until the gateway is started again"
            self._problems["workers"] = Problem(Severity.WARNING, "MG3103", message, Phase.ANALYSIS)

    def check_unchanged(self, key: str, wanted: object, running: object) -> None:
        """Compare a section of the settings with that of the start, which stays in force."""
        if wanted == running:
            self._problems.pop(key, None)
        else:
            message = f"{key} has changed, which counts when the gateway is started again"
            self._problems[key] = Problem(Severity.WARNING, "MG3103", message, Phase.ANALYSIS)

    def check_source_addresses(self, addresses: Iterable[str]) -> None:
        """Find the addresses to dial from that this machine does not have: dials from them would only fail."""
        missing = [each for each in addresses if not is_local_address(ip_address(each))]
        if missing:
            message = f"upstream_source: {', '.join(missing)} is no address of this machine, and is passed over"
            self._problems["upstream_source"] = Problem(Severity.WARNING, "MG3104", message, Phase.ANALYSIS)
        else:
            self._problems.pop("upstream_source", None)

    def attempt(self, subject: str, action: Callable[[], None], *expected: type[Exception]) -> None:
        """
        Renew something at a reload. A failure becomes a problem, and the reload goes on.

        :param expected: the exceptions of a failure, whose messages are for people.
        """
        try:
            action()
        except expected as error:
            self._problems[subject] = _error("MG3006", f"the {subject} cannot be renewed: {error}")
        else:
            if self._problems.pop(subject, None) is not None:
                self.log.info("the {part} is renewed", part=subject)


def _error(code: str, message: str) -> Problem:
    return Problem(Severity.ERROR, code, message, Phase.ANALYSIS)


STATUS_DELAY: Final = 0.1
"""Seconds from a change that is no new table to the status that reports it."""

LOGGED_AS_EVENTS: Final = frozenset({"MG3005", "MG3102"})
"""Codes of problems that are logged where they arise, with more facts."""

RECOVERIES_LOGGED: Final = 10
"""The most names in the line of the log that tells what works again."""


class Reporter:
    """
    Reports the state of the gateway.

    :param reactor: provides IReactorTime and IReactorThreads.
    :ivar own_problems: the problems of the gateway itself.
    :ivar load_problems: the warnings of the settings in force, and the problems of plug-ins.
    :ivar table: the table in force; it is so before everything is known about it.
    :ivar compilation: the last result of compiling.
    """

    log = Logger()

    def __init__(self, reactor: Any, feed: Feed, pool: WorkerPool, ports: Ports) -> None:
        self._reactor = reactor
        self._feed = feed
        self._pool = pool
        self._ports = ports
        self.own_problems = OwnProblems()
        self.load_problems: tuple[Problem, ...] = ()
        self.table = RoutingTable()
        self.compilation = Compilation(RoutingTable(), ())
        self._worker_problems: tuple[Problem, ...] = ()
        self._process: dict[str, Any] = {}
        self._running = False
        self._stopped = False
        self._publishing: IDelayedCall | None = None
        self._problem_log = ProblemLog(self.log)
        self._bound = Recoveries(self.log, "listening at last on {things}")
        self._renewed = Recoveries(self.log, "{things} is renewed")
        self._resolved = Recoveries(self.log, "names of endpoints that resolve again: {things}")
        self._folder = StateFolder()
        self._write_report = WriteReport(self._folder)
        self._status = StatusFile(reactor, self._folder, self._write_report, self._gather_status)
        self._figures = FiguresFile(
            reactor, self._folder, self._write_report, self._gather_figures, self._status.write_soon
        )

    # The life of the gateway.

    def begin(self) -> None:
        """Note the facts of this process, for the status and for the lock of the state folder."""
        identity = own_identity()
        self._process = {
            "version": __version__,
            "pid": identity.pid,
            "boot_id": identity.boot_id,
            "process_start": identity.start,
            "started": iso_time(),
        }
        self._folder.note(**self._process)

    def open_folder(self, path: Path) -> None:
        """
        Hold a state folder from now on.

        :raises StartError: if it cannot be held or written.
        """
        try:
            self._folder.hold(path)
        except FolderInUseError as error:
            raise StartError(str(error)) from error
        except OSError as error:
            if self._folder.path != path or not path.is_dir():
                raise StartError(f"the state folder {path} cannot be made: {error.strerror}") from error
            self._write_report.failed(LOCK_NAME, error)  # the gateway serves all the same
        if not os.access(path, os.W_OK | os.X_OK):
            raise StartError(f"the state folder {path} cannot be written")

    def started(self) -> None:
        """Keep figures and status up to date from now on: the reactor runs."""
        self._running = True
        self._figures.start()

    def inherit(self, lock: int) -> None:
        """
        Share the state folder with the process before: write nothing until :meth:`speak`.

        :param lock: a descriptor that holds the lock of the folder; -1 if there is none.
        """
        self._folder.silent, self._folder.inherited = True, lock

    def silence(self) -> int:
        """Write nothing into the state folder any more; returns the descriptor of its lock."""
        self._folder.silent = True
        return self._folder.lock

    def speak(self) -> None:
        """Write into the state folder again: no other process does."""
        if self._folder.silent:
            self._folder.silent = False
            self._folder.note()
            self._figures.write_now()
            self.publish()

    def note(self, **facts: Any) -> None:
        """Add facts to the lock of the state folder, as :meth:`~meshgate.state.folder.StateFolder.note`."""
        self._folder.note(**facts)

    def failed(self, reason: str) -> None:
        """Note that the start has failed, and release the state folder."""
        self._folder.note(end=f"could not start: {reason}")
        self._folder.release()

    def stopping(self) -> None:
        """Report no more changes one by one; :meth:`stop` reports the end."""
        self._running = False
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None

    async def stop(self) -> None:
        """Write the last figures and the last status, and release the state folder."""
        await self._figures.stop()
        await self._status.stop()
        self._stopped = True
        self._write_now()
        self._folder.note(end="ended in order", ended=iso_time())
        self._folder.release()

    # Changes.

    def compiled(self, compilation: Compilation) -> None:
        """Report everything that is known about the table in force."""
        self.compilation = compilation
        self.publish()

    def workers_changed(self) -> None:
        """Report the problems of workers, if they have changed; the figures have a file of their own."""
        problems = self._pool.problems()
        if problems != self._worker_problems:
            self._worker_problems = problems
            not_renewed = any(problem.code == "MG3006" for problem in problems)
            self._renewed.follow(["the access log"] if not_renewed else [], lambda name: True)
            self.publish_soon()

    def publish_soon(self) -> None:
        """Report a change, together with those that come within :data:`STATUS_DELAY` seconds."""
        if self._running and self._publishing is None:
            self._publishing = self._reactor.callLater(STATUS_DELAY, self.publish)

    def publish(self) -> None:
        """Report a change: by a status that is written in phases, or before the reactor runs at once."""
        publishing, self._publishing = self._publishing, None
        if publishing is not None and publishing.active():
            publishing.cancel()
        if self._running:
            self._status.write_soon()
        else:
            self._write_now()

    def problems(self) -> list[Problem]:
        """Return every problem that exists now."""
        return [
            *self.load_problems,
            *self.own_problems.all(),
            *map(self._port_problem, self._ports.failures),
            *map(_unclaimed_problem, self._ports.unclaimed),
            *self._pool.problems(),
            *self.compilation.problems,
        ]

    def log_problems(self, problems: Iterable[Problem]) -> None:
        """Log problems without a status: those of a start that fails, since the status of the last one stays."""
        self._problem_log.report(problems)

    # Texts.

    def failure_text(self, failure: PortFailure) -> str:
        """A port that cannot be bound, with the reason."""
        return f"port {self.address_text(failure.key)} cannot be bound: {failure.reason}"

    def bound_ports(self) -> list[str]:
        """The addresses of the open ports, in their order."""
        return [self.address_text(key) for key in self._ports.listening]

    def address_text(self, key: ListenerKey) -> str:
        """The address of a port, as it is shown."""
        listener = self.table.listeners.get(key)
        return str(key if listener is None else listener.address)

    # Gathering.

    def _gather_status(self) -> StatusContent:
        failures = {failure.key: failure.reason for failure in self._ports.failures}
        problems = self.problems()
        self._problem_log.report([each for each in problems if each.code not in LOGGED_AS_EVENTS])
        self._bound.follow(map(self.address_text, failures), self.bound_ports().__contains__)
        process = {**self._process, "running": not self._stopped, "updated": iso_time()}
        compilation = self.compilation
        return StatusContent(self.table, failures, problems, process, compilation.statuses, compilation.counts)

    def _port_problem(self, failure: PortFailure) -> Problem:
        return Problem(Severity.ERROR, "MG3100", f"{self.failure_text(failure)}; trying again", Phase.ANALYSIS)

    def _gather_figures(self) -> Figures:
        names = self._pool.names()
        failing = [name for name, figures in names.items() if figures.failing_since is not None]
        self._resolved.follow(failing, names.__contains__)
        return Figures(
            {name: self._process[name] for name in ("pid", "started")},
            self.table.generation,
            self._pool.live_generation,
            self._pool.ended(),
            tuple(self._pool.workers()),
            tuple(self._pool.left_out()),
            self._feed.providers(),
            names,
        )

    def _write_now(self) -> None:
        """Write both files before anything else, the figures first: the status is not read without them."""
        self._figures.write_now()
        try:
            self._status.write_now()
        except OSError:
            if not self._stopped:
                self._status.write_soon()  # which tries again until it succeeds


def _unclaimed_problem(activated: ActivatedSocket) -> Problem:
    message = f"the activated socket {activated} has no listener: its connections are reset"
    return Problem(Severity.WARNING, "MG3105", message, Phase.ANALYSIS)


class Recoveries:
    """
    Tells in the log that things of one kind, which fail at times, work again, as it told that they failed.

    :param text: the line about those that work again, as ``{things} can be reached again``.
    """

    def __init__(self, log: Logger, text: str) -> None:
        self._log = log
        self._text = text
        self._failing: frozenset[str] = frozenset()

    def follow(self, failing: Iterable[str], exists: Callable[[str], bool]) -> None:
        """
        Log which of the things that failed at the last call do not fail now.

        :param exists: tells if a thing still exists: one that is gone has not recovered.
        """
        before, self._failing = self._failing, frozenset(failing)
        recovered = sorted(thing for thing in before - self._failing if exists(thing))
        if recovered:
            self._log.info(self._text, things=listed(recovered[:RECOVERIES_LOGGED], len(recovered)))
