"""
The assembly: settings in, a running gateway out. Everything meets here, and nothing is decided here.

The parts know nothing of each other: providers publish to the feed, the feed's state is compiled to a table, the
table says which ports are open and where their connections go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from meshgate import __version__
from meshgate.compiled import compiled_text
from meshgate.lab.banner import banner
from meshgate.lab.certificates import CertificatesError
from meshgate.lab.echo import Greeting
from meshgate.lab.listening import WorkloadError
from meshgate.lab.workloads import EchoWorkload, HttpsWorkload, make_lab
from meshgate.processes.identity import own_identity
from meshgate.processes.launch import Launch, StartError
from meshgate.processes.processors import give_way
from meshgate.processes.wall_time import iso_time
from meshgate.providers.compiling import CompilerState, Compiling, compile_state
from meshgate.providers.context import ProviderContext
from meshgate.providers.feed import Feed, FeedState
from meshgate.providers.problem_log import ProblemLog
from meshgate.providers.registry import Registry, find_factories
from meshgate.providers.running import Providers
from meshgate.proxy.access_log import AccessLogError
from meshgate.proxy.limits import Limits
from meshgate.proxy.serving import ServingSettings
from meshgate.recoveries import Recoveries
from meshgate.resources.phases import at_once
from meshgate.resources.problem import Phase, Problem, Severity, has_errors
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.compile.servers import Proxy
from meshgate.routing.connection_policy import Keepalive
from meshgate.routing.generation_news import generation_news, listed
from meshgate.routing.table import ListenerKey, RoutingTable
from meshgate.settings.load import Settings, SettingsError, load_settings
from meshgate.settings.schema import EXTENDED, STANDARD_OUTPUT, LabSettings, ProbeSettings
from meshgate.settings.values import UNUSABLE
from meshgate.state.figures import Figures, FiguresFile
from meshgate.state.folder import LOCK_NAME, FolderInUseError, StateFolder
from meshgate.state.status_file import StatusFile
from meshgate.state.status_text import StatusContent
from meshgate.state.writing import WriteReport
from meshgate.transport.binding import IN_USE, ipv6_exists
from meshgate.transport.descriptors import raise_limit
from meshgate.transport.network import NoSuchTransport, chosen_transport
from meshgate.transport.own_sockets import is_local_address
from meshgate.transport.ports import PortFailure, Ports
from meshgate.workers.pool import WorkerPool

PORTS_LOGGED = 20
"""How many ports the log names at the start; the others are counted."""

PORTS_FREE_WITHIN = 1.0
"""Seconds in which the workers of a gateway that was killed let go of its ports."""

STATUS_DELAY = 0.1
"""Seconds from a change that is no new table to the status that tells of it."""


def make_gateway(path: Path, reactor: Any, launch: Launch | None = None) -> GatewayService:
    """
    The gateway for a settings file.

    :param launch: the start of the process that it is the program of.
    :raises SettingsError: when the settings cannot be used.
    """
    registry = find_factories()
    settings = load_settings(path, registry)
    try:
        return GatewayService(settings, registry, reactor, launch)
    except NoSuchTransport as error:
        problem = Problem(Severity.ERROR, UNUSABLE, str(error), Phase.VALIDATION, str(path), path="transport")
        raise SettingsError([problem]) from None


def validate(path: Path, reactor: Any) -> int:
    """
    Load everything the gateway would load, open no port, and print the problems as ``meshgate check`` does.

    :return: an exit status: 1 when there is an error.
    :raises SettingsError: when the settings cannot be used.
    """
    from meshgate.report import print_problems  # here, as a running gateway has no use for tables and colors

    registry = find_factories()
    settings = load_settings(path, registry)
    feed = Feed(reactor, lambda state: None)
    providers = Providers(feed)
    providers.apply(settings.providers, _context(settings, reactor))
    state = feed.flush()
    feed.stop()
    providers.stop()
    compilation = at_once(compile_state(state, _proxy(settings), 1, CompilerState()))
    problems = (*registry.problems, *settings.warnings, *compilation.problems)
    print_problems(problems, len(state.resources))
    return 1 if has_errors(problems) else 0


class GatewayService(Service):
    """
    One running gateway.

    :param settings: as loaded; read again from the same file at :meth:`reload`.
    :param registry: the provider types there are.
    :param launch: the start of this process, if it is the program there: its log's rotation is among the settings, and
        its signals reach workers, too.
    """

    log = Logger()

    def __init__(self, settings: Settings, registry: Registry, reactor: Any, launch: Launch | None = None) -> None:
        self._settings = settings
        self._registry = registry
        self._reactor = reactor
        self._launch = launch
        self._compiled = Compilation(RoutingTable(), ())
        self._own_problems: dict[str, Problem] = {}
        self._worker_problems: tuple[Problem, ...] = ()
        self._problem_log = ProblemLog(self.log)
        self._process: dict[str, Any] = {}
        self._stopped = False
        self._state = StateFolder()
        self._renewed = Recoveries(self.log, "{things} is renewed")
        self._bound = Recoveries(self.log, "listening at last on {things}")
        self._resolved = Recoveries(self.log, "names of endpoints that resolve again: {things}")
        self._report = report = WriteReport(self._state)
        self._status = StatusFile(reactor, self._state, report, self._gather_status)
        self._figures = FiguresFile(reactor, self._state, report, self._gather_figures, self._status.write_soon)
        self._lab: IService | None = None
        self._publishing: IDelayedCall | None = None
        self._workers = settings.workers
        self._transport = chosen_transport(settings.transport, reactor)
        self._compiling = Compiling(reactor, self._install, self._compiled_all)
        self._feed = Feed(reactor, self._take)
        self._providers = Providers(self._feed)
        self._table = RoutingTable()
        self._serving = self._make_workers()
        self._ports = Ports(
            reactor,
            self._serving.serve,
            self._publish_soon,
            self._serving.sockets,
            settings.listening.backlog,
            settings.listening.defer_accept,
            _keepalive(settings.keepalive.client),
        )

    def startService(self) -> None:
        """
        Load, bind and serve.

        :raises StartError: when a port or a file of the settings cannot be had. Once the reactor runs there is no exit
            status any more.
        """
        try:
            self._start()
        except (StartError, AccessLogError, WorkloadError, CertificatesError) as error:
            self._state.tell(end=f"could not start: {error}")
            self._state.release()
            raise StartError(str(error)) from None
        super().startService()  # type: ignore[no-untyped-call]
        self._figures.start()

    def stopService(self) -> Deferred[None]:
        """Close the ports, end the live connections as drained, and write what is still to be written."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    def end_at_once(self) -> None:
        """End every connection without waiting for it to be taken; the stop of this service then takes no time."""
        self._serving.end_at_once()

    def reopen_logs(self) -> None:
        """Open the access log's file anew: it may have been rotated."""
        if self.running:
            self._attempt("access log", self._serving.reopen_log)
            self._publish_soon()

    def reload(self) -> None:
        """Read everything again: settings, routes, and the access log's file. Broken settings change nothing."""
        if not self.running:
            return
        try:
            settings = load_settings(self._settings.file, self._registry)
        except SettingsError as error:
            self.log.error("the settings stay as they were:\n{error}", error=error)
            self._own_problems["settings"] = _problem("MG3005", f"the settings cannot be reloaded: {error}")
            self._publish_status()
            return
        self._own_problems.pop("settings", None)
        before, self._settings = self._settings, settings
        self._compare_workers()
        self._compare_sources()
        self._ports.backlog, self._ports.deferring = settings.listening.backlog, settings.listening.defer_accept
        self._follow_log_settings()
        self._ports.keepalive = _keepalive(settings.keepalive.client)
        self._attempt("state folder", self._open_state_dir)
        self._attempt("access log", lambda: self._serving.apply_settings(_serving_settings(settings)))
        if settings.lab != before.lab:
            self._restart_lab()
        self._providers.apply(settings.providers, _context(settings, self._reactor))
        self._providers.reload()
        done = self._compiling.compile_soon(self._feed.flush(), _proxy(settings))
        done.addCallback(lambda _: self.log.info("everything was read again"))

    def _start(self) -> None:
        self._compare_sources()
        self._follow_log_settings()
        identity = own_identity()
        self._process = {
            "version": __version__,
            "pid": identity.pid,
            "boot_id": identity.boot_id,
            "process_start": identity.start,
            "started": iso_time(),
        }
        self._state.tell(**self._process)
        self.log.info(
            "meshgate {version} starts with {file}: {workers} {transport} transport, {compiled}",
            version=__version__,
            file=self._settings.file,
            workers="1 worker," if self._workers == 1 else f"{self._workers} workers,",
            transport=self._transport,
            compiled=compiled_text(),
        )
        self._open_state_dir()
        raise_limit()
        give_way()
        self._serving.start()
        self._start_lab()
        self._providers.apply(self._settings.providers, _context(self._settings, self._reactor))
        compilation = self._compiling.compile_now(self._feed.flush(), _proxy(self._settings))
        self._install(compilation.table)
        self._wait_for_workers_of_before()
        self._refuse_failed_ports(compilation)
        ports = self._bound_ports()
        self.log.info("listening on {ports}", ports=listed(ports[:PORTS_LOGGED], len(ports)) or "no port")
        self._compiled_all(compilation)
        if self._settings.lab is not None:
            certificates = self._settings.state_dir / self._settings.lab.certificates
            text = banner(self._table, _shown(certificates), map(_shown, self._settings.route_paths()))
            self._reactor.callWhenRunning(os.write, 2, text.encode())

    def _wait_for_workers_of_before(self) -> None:
        """
        Try ports that are in use once more within a second. The workers of a gateway that was killed hold its ports for
        the moment until they notice; the reactor does not run yet, so that nobody waits for this.
        """
        deadline = time.monotonic() + PORTS_FREE_WITHIN
        while any(failure.reason == IN_USE for failure in self._ports.failures) and time.monotonic() < deadline:
            time.sleep(0.05)
            self._ports.reconcile(self._table.listeners.values())

    def _refuse_failed_ports(self, compilation: Compilation) -> None:
        """Have the start fail where a port cannot be bound, unless its address is one that is waited for."""
        waits = self._settings.listening.wait_for_addresses
        fatal = [failure for failure in self._ports.failures if not (waits and failure.is_missing)]
        if fatal:
            # The status stays that of the gateway before: what this one would have served is in force nowhere.
            self._problem_log.report([*self._settings.warnings, *compilation.problems])
            reasons = [self._unbound(failure) for failure in fatal]
            if all(failure.is_missing for failure in fatal):
                reasons.append("if the address comes later, set listening.wait_for_addresses")
            raise StartError("; ".join(reasons))

    async def _stop(self) -> None:
        if self._publishing is not None:
            self._publishing.cancel()
        self._feed.stop()
        self._compiling.stop()
        await self._providers.stop()
        closed = self._ports.close()
        await self._serving.stop()
        await closed
        if self._lab is not None:
            await maybeDeferred(self._lab.stopService)
        await self._figures.stop()
        await self._status.stop()
        self._stopped = True
        self._write_status()
        self._state.tell(end="ended in order", ended=iso_time())
        self._state.release()

    def _take(self, state: FeedState) -> None:
        self._compiling.compile_soon(state, _proxy(self._settings))

    def _install(self, table: RoutingTable) -> None:
        """A new table is in force."""
        before, self._table = self._table, table
        if before.generation:
            news = generation_news(before, table)
            if news:
                self.log.info("generation {generation}: {news}", generation=table.generation, news=news)
        self._serving.install(table)
        self._ports.reconcile(table.listeners.values())

    def _compiled_all(self, compilation: Compilation) -> None:
        """Everything is known about the table in force."""
        self._compiled = compilation
        self._publish_status()

    def _unbound(self, failure: PortFailure) -> str:
        """A port that is not open, with the reason."""
        return f"port {self._shown_address(failure.key)} cannot be bound: {failure.reason}"

    def _bound_ports(self) -> list[str]:
        """The ports that are open, in their order."""
        return [self._shown_address(key) for key in self._ports.listening]

    def _shown_address(self, key: ListenerKey) -> str:
        """What a listener listens on, as people are told."""
        listener = self._table.listeners.get(key)
        return str(key if listener is None else listener.address)

    def _gather_status(self) -> StatusContent:
        failures = {failure.key: failure.reason for failure in self._ports.failures}
        own = [
            *self._registry.problems,
            *self._settings.warnings,
            *self._own_problems.values(),
            *(_problem("MG3100", f"{self._unbound(one)}; trying again") for one in self._ports.failures),
            *self._serving.problems(),
        ]
        # The table is in force before everything is known about it.
        table, compiled = self._table, self._compiled
        problems = [*own, *compiled.problems]
        self._problem_log.report(problems)
        self._bound.follow(map(self._shown_address, failures), self._bound_ports().__contains__)
        process = {
            **self._process,
            "running": not self._stopped,
            "updated": iso_time(),
        }
        return StatusContent(table, failures, problems, process, compiled.statuses)

    def _gather_figures(self) -> Figures:
        serving, names = self._serving, self._serving.names()
        failing = [name for name, figures in names.items() if figures.failing_since is not None]
        self._resolved.follow(failing, names.__contains__)
        return Figures(
            {name: self._process[name] for name in ("pid", "started")},
            self._table.generation,
            serving.live_generation,
            serving.ended(),
            tuple(serving.workers()),
            tuple(serving.left_out()),
            self._feed.providers(),
            names,
        )

    def _publish_status(self) -> None:
        publishing, self._publishing = self._publishing, None
        if publishing is not None and publishing.active():
            publishing.cancel()
        if self.running:
            self._status.write_soon()
        else:
            self._write_status()

    def _write_status(self) -> None:
        """Write everything before anything else, the figures first: the status is not read without them."""
        self._figures.write_now()
        try:
            self._status.write_now()
        except OSError:
            if not self._stopped:
                self._status.write_soon()  # which goes on trying

    def _publish_soon(self) -> None:
        """Names and ports may change many at a time; one status for all of them is enough."""
        if self.running and self._publishing is None:
            self._publishing = self._reactor.callLater(STATUS_DELAY, self._publish_status)

    def _follow_workers(self) -> None:
        """Tell what is wrong with workers, if that has changed; their figures have a file of their own."""
        problems = self._serving.problems()
        if problems != self._worker_problems:
            self._worker_problems = problems
            not_renewed = any(problem.code == "MG3006" for problem in problems)
            self._renewed.follow(["the access log"] if not_renewed else [], lambda part: True)
            self._publish_soon()

    def _make_workers(self) -> WorkerPool:
        passed_on = self._launch.signals.passed_on if self._launch is not None else None
        settings = _serving_settings(self._settings)
        return WorkerPool(self._reactor, self._workers, settings, self._follow_workers, passed_on)

    def _follow_log_settings(self) -> None:
        launch, settings = self._launch, self._settings
        if launch is None:
            return
        if launch.log_file is not None:
            launch.log_file.rotate_at, launch.log_file.keep = settings.log.rotate, settings.log.keep
        if launch.background and settings.access_log.path == STANDARD_OUTPUT:
            self.log.warn(
                "no line of the access log is kept: there is no standard output in the background; name a file in "
                "access_log.path"
            )

    def _compare_workers(self) -> None:
        """Another number of processes is for another start."""
        wanted = self._settings.workers
        if wanted == self._workers:
            self._own_problems.pop("workers", None)
        else:
            message = f"workers is now {wanted}, and {self._workers} until the gateway is started again"
            self._own_problems["workers"] = Problem(Severity.WARNING, "MG3103", message, Phase.ANALYSIS)

    def _compare_sources(self) -> None:
        """Dials from an address that is not there would only fail."""
        missing = [one for one in self._settings.upstream_source if not is_local_address(ip_address(one))]
        if missing:
            message = f"upstream_source: {', '.join(missing)} is no address of this machine, and is passed over"
            self._own_problems["upstream_source"] = Problem(Severity.WARNING, "MG3104", message, Phase.ANALYSIS)
        else:
            self._own_problems.pop("upstream_source", None)

    def _start_lab(self) -> None:
        lab = self._settings.lab
        if lab is not None:
            self._lab = make_lab(*_workloads(lab), self._settings.state_dir / lab.certificates, self._reactor)
            self._lab.startService()  # type: ignore[no-untyped-call]

    def _restart_lab(self) -> None:
        def start(_: object) -> None:
            self._attempt("lab", self._start_lab)
            self._publish_status()

        before, self._lab = self._lab, None
        stopped = maybeDeferred(before.stopService) if before is not None else succeed(None)
        stopped.addCallback(start)

    def _attempt(self, part: str, action: Callable[[], None]) -> None:
        """At a reload a part that cannot be renewed is a problem, and the rest goes on."""
        try:
            action()
        except (StartError, AccessLogError, WorkloadError, CertificatesError) as error:
            self._own_problems[part] = _problem("MG3006", f"the {part} cannot be renewed: {error}")
        else:
            if self._own_problems.pop(part, None) is not None:
                self.log.info("the {part} is renewed", part=part)

    def _open_state_dir(self) -> None:
        folder = self._settings.state_dir
        try:
            self._state.hold(folder)
        except FolderInUseError as error:
            raise StartError(str(error)) from error
        except OSError as error:
            if self._state.path != folder or not folder.is_dir():
                raise StartError(f"the state folder {folder} cannot be made: {error.strerror}") from error
            self._report.failed(LOCK_NAME, error)  # which is no reason not to serve
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StartError(f"the state folder {folder} cannot be written")


def _proxy(settings: Settings) -> Proxy:
    gateway = settings.gateway
    extended = settings.semantics == EXTENDED
    return Proxy(gateway.labels, gateway.namespace, settings.domain_suffix, extended, ipv6=ipv6_exists())


def _context(settings: Settings, reactor: Any) -> ProviderContext:
    return ProviderContext(reactor, settings.default_namespace)


def _serving_settings(settings: Settings) -> ServingSettings:
    limits = Limits(
        hello_timeout=settings.timeouts.hello,
        hello_bytes=settings.limits.hello_bytes,
        connect_timeout=settings.timeouts.connect,
        dial_attempts=settings.limits.dial_attempts,
        idle=settings.timeouts.idle,
        half_close=settings.timeouts.half_close,
        connections=settings.limits.connections,
        connections_per_listener=settings.limits.connections_per_listener,
        connections_per_client=settings.limits.connections_per_client,
        unknown_sni_alert=settings.unknown_sni == "alert",
        client_keepalive=_keepalive(settings.keepalive.client),
        upstream_keepalive=_keepalive(settings.keepalive.upstream),
    )
    return ServingSettings(
        limits,
        settings.dns.servers,
        settings.access_log.path,
        settings.access_log.format,
        settings.transport,
        settings.upstream_source,
    )


def _keepalive(probes: ProbeSettings) -> Keepalive | None:
    return Keepalive(probes.count, probes.idle, probes.interval) if probes.idle else None


def _workloads(lab: LabSettings) -> tuple[list[EchoWorkload], list[HttpsWorkload]]:
    echo = [
        EchoWorkload(one.port, one.bind, Greeting(one.node, one.pod, one.namespace, one.address, one.service))
        for one in lab.echo
    ]
    https = [HttpsWorkload(one.name, one.hosts, one.port, one.bind, one.message) for one in lab.https]
    return echo, https


def _problem(code: str, message: str) -> Problem:
    return Problem(Severity.ERROR, code, message, Phase.ANALYSIS)


def _shown(path: str | Path) -> str:
    """A path as short as it can be typed here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
