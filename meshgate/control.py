"""
The control process: settings in, a running gateway out.

:meth:`ControlProcess.startService` reads as the architecture. Providers publish snapshots of resources to the feed; its
state is compiled to a routing table; the table says which ports are open, and the workers carry the connections that
come in there. The reporter tells people about all of it. A change of the routes takes the same way in phases, so that
nothing holds this process for long; no connection of a client ever passes through it.
"""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from meshgate import __version__
from meshgate.compiled import compiled_text
from meshgate.health.health_checks import HealthChecks
from meshgate.lab.certificates import CertificatesError
from meshgate.lab.lab import Lab
from meshgate.lab.listening import WorkloadError
from meshgate.metrics.readiness import Readiness
from meshgate.processes.clock import Delay
from meshgate.processes.launch import Launch, StartError
from meshgate.processes.processors import give_way
from meshgate.processes.service_manager import ServiceManager
from meshgate.providers.compiling import Compiling
from meshgate.providers.feed import Feed, FeedState
from meshgate.providers.first_read import FILE_NAME as FIRST_READ
from meshgate.providers.first_read import FirstRead
from meshgate.providers.interfaces import ProviderContext
from meshgate.providers.registry import Registry
from meshgate.providers.running import Providers
from meshgate.proxy.log_outputs import FILE, AccessLogError
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.table import RoutingTable
from meshgate.routing.tell.generation_news import generation_news, listed
from meshgate.settings.load import Settings, SettingsError, load_settings
from meshgate.settings.log_sections import STANDARD_OUTPUT
from meshgate.settings.section import API_PROVIDER
from meshgate.state.folder import API_FOLDER, KUBECONFIG_NAME
from meshgate.state.reporter import Reporter
from meshgate.succession import Succession
from meshgate.transport.activation import activated_sockets
from meshgate.transport.binding import IN_USE, ipv6_exists
from meshgate.transport.descriptors import raise_limit
from meshgate.transport.network import chosen_transport
from meshgate.transport.ports import Ports
from meshgate.transport.unix_binding import UnixAccess
from meshgate.workers.pool import WorkerPool
from meshgate.workers.worker_settings import serving_settings

if TYPE_CHECKING:
    from meshgate.api.configuration_api import ConfigurationApi
    from meshgate.metrics.gateway_metrics import GatewayMetrics

Listen = Callable[..., IListeningPort]

PORTS_LOGGED = 20
"""The number of ports that the log names at the start; the others are counted."""

PORTS_FREE_WITHIN = 1.0
"""Seconds within which the workers of a gateway that was killed notice that, and close its ports."""

FAILURES = (StartError, AccessLogError, WorkloadError, CertificatesError)
"""Errors of a start or a reload whose messages are for people."""


class ControlProcess(Service):
    """
    The gateway, except for its connections.

    :param settings: the settings of the start; :meth:`reload` reads the same file again.
    :param registry: the available provider types.
    :param launch: the start of this process by twistd: workers pass its signals on, and its log is rotated as the
        settings say.
    :raises NoSuchTransport: if the settings ask for a transport that does not exist on this system.
    :ivar succession: the upgrades of this process.
    """

    log = Logger()

    def __init__(self, settings: Settings, registry: Registry, reactor: Any, launch: Launch | None = None) -> None:
        self._settings = settings
        self._registry = registry
        self._reactor = reactor
        self._launch = launch
        self._configure_log(settings)
        self._manager = ServiceManager(reactor, os.environ)
        content, workers = settings.content, settings.workers
        self._at_start = content
        self._transport = chosen_transport(content.transport, reactor)
        self._feed = Feed(reactor, self._compile_soon)
        self._providers = Providers(self._feed)
        self._compiling = Compiling(reactor, self._install, self._compiled)
        signals = launch.signals.passed_on if launch is not None else None
        counting = content.metrics is not None
        self._pool = WorkerPool(
            reactor, workers, serving_settings(content), self._workers_changed, signals, metrics=counting
        )
        self._ports = Ports(
            reactor,
            self._pool.serve,
            self._ports_changed,
            self._pool.sockets,
            content.listening.backlog,
            content.listening.defer_accept,
            content.keepalive.client.keepalive(),
            _unix_access(settings),
            activated_sockets(launch.passed_on if launch is not None else ()),
        )
        self._health = HealthChecks(
            reactor,
            random.Random(),  # noqa: S311 -- times of checks, not secrets
            self._pool.names,
            self._pool.apply_health,
            lambda: self._settings.content.upstream_source,
        )
        self._reporter = Reporter(reactor, self._feed, self._pool, self._ports)
        self.succession = Succession(
            reactor, launch, self._manager, self._reporter, self._ports, self._health, self._compiling.idle, self.reload
        )
        self.succession.go_on = lambda: self._compile_soon(self._feed.flush())
        listen = self.succession.services.listen
        self._lab = Lab(reactor, listen)
        self._api = self.succession.api = self._new_api(listen) if content.api else None
        self._first_read: FirstRead | None = None
        self._drain_delay = Delay(reactor)
        self.readiness = Readiness(self._reporter, self._feed, self._pool, self._ports)
        self._metrics = self._make_metrics(listen) if counting else None

    def startService(self) -> None:
        """
        Start everything. Nothing can fail later in a way that ends the process.

        :raises StartError: if a port, a file or a folder of the settings cannot be used.
        """
        settings, reporter = self._settings, self._reporter
        try:
            # Who we are: the process' facts, its log and its folder.
            reporter.begin()
            self._apply_to_process(settings)
            self._log_start(settings)

            # Providers publish what they find; the feed's state is compiled to a table.
            self._providers.apply(settings.providers, _context(settings, self._reactor))
            self.succession.take(lambda: self._compiling.compile_now(self._feed.flush(), _proxy(settings)))
            reporter.open_folder(settings.state_dir)
            raise_limit()
            give_way()

            # The workers start as soon as the reactor runs; the lab is a target for routes, like any other.
            self._pool.start()
            self._lab.start(settings.content.lab, settings.state_dir)

            self._start_api(settings)
            if self._metrics is not None and settings.content.metrics is not None:
                self._metrics.start(settings.content.metrics)
            compilation = self._compiling.compile_now(self._dated(self._feed.flush()), _proxy(settings))

            # The table goes to the workers, and its ports are bound.
            self._install(compilation.table)
            self._wait_for_workers_of_before()
            self._refuse_failed_ports(compilation)

            # People are told.
            ports = reporter.bound_ports()
            self.log.info("listening on {ports}", ports=listed(ports[:PORTS_LOGGED], len(ports)) or "no port")
            self._compiled(compilation)
            if settings.content.lab is not None and settings.content.log.format == "text":
                certificates = settings.state_dir / settings.content.lab.certificates
                kubeconfig = settings.state_dir / KUBECONFIG_NAME if self._api is not None else None
                self._lab.announce(compilation.table, certificates, settings.route_paths(), kubeconfig)
        except FAILURES as error:
            reporter.failed(str(error))
            raise StartError(str(error)) from None
        super().startService()  # type: ignore[no-untyped-call]
        reporter.started()
        self._tell_if_ready()
        if self._launch is not None:
            # No later collection of garbage looks at what the start has made. With thousands of resources that takes
            # longer than anything may hold this process, and each list of all objects of the API causes one.
            gc.collect()
            gc.freeze()

    def stopService(self) -> Deferred[None]:
        """Wait as the settings say, close the ports, drain the connections, and write the last figures and status."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.succession.abandon()
        self.readiness.draining = "the gateway is stopping"
        self._manager.stopping()
        drain, replaced = self._settings.content.drain, self.succession.is_over
        if not replaced:
            await self._drain_delay.pass_time(drain.delay)
        elif self._metrics is not None:
            await self._metrics.stop()
        self._reporter.stopping()
        self._feed.stop()
        self._compiling.stop()
        self._health.stop()
        await self._providers.stop()
        if self._api is not None:
            await self._api.stop()
        if replaced:
            await self.succession.leave_ports()
        closed = self._lab.drain(drain.time) if replaced else self._ports.close()
        await self._pool.stop(drain.time)
        await closed
        await self._lab.stop()
        if self._metrics is not None:
            await self._metrics.stop()
        await self._reporter.stop()

    def end_at_once(self) -> None:
        """End every connection without waiting for its last bytes; the stop of this service then takes no time."""
        self._drain_delay.end()
        self._pool.end_at_once()

    def reopen_logs(self) -> None:
        """Reopen the file of the access log, which may have been rotated."""
        if self.running:
            self._pool.reopen_log()
            self.succession.reopened_logs()

    def reload(self) -> None:
        """Read everything again: settings, routes, and the file of the access log. Broken settings change nothing."""
        if not self.running or self.succession.postpones_reload():
            return
        self._manager.reloading()
        problems = self._reporter.own_problems
        try:
            settings = load_settings(self._settings.file, self._registry)
        except SettingsError as error:
            self.log.error("the settings stay as they were:\n{error}", error=error, code="MG3005")
            problems.settings_unusable(error)
            self._reporter.publish()
            self._manager.read_again("serves; the settings cannot be read again, and stay as they were")
            return
        problems.settings_usable()
        before, self._settings = self._settings, settings
        content = settings.content
        problems.check_workers(settings.workers, self._pool.sockets)
        problems.check_unchanged("metrics", content.metrics, self._at_start.metrics)
        problems.check_unchanged("api", content.api, self._at_start.api)
        self._apply_to_process(settings)
        self._ports.backlog, self._ports.deferring = content.listening.backlog, content.listening.defer_accept
        self._ports.keepalive = content.keepalive.client.keepalive()
        self._ports.unix_access = _unix_access(settings)
        self._attempt("state folder", lambda: self._reporter.open_folder(settings.state_dir))
        self._pool.apply_settings(serving_settings(content))
        if content.lab != before.content.lab:
            self._lab.stop().addCallback(self._restart_lab)
        self._providers.apply(settings.providers, _context(settings, self._reactor))
        self._providers.reload()
        done = self._compiling.compile_soon(self._dated(self._feed.flush()), _proxy(settings))
        done.addCallback(self._read_again)

    def _read_again(self, _: object) -> None:
        self.log.info("everything was read again")
        self._manager.read_again()
        self._tell_if_ready()

    # A change of the routes.

    def _compile_soon(self, state: FeedState) -> None:
        if not self.succession.frozen:
            self._compiling.compile_soon(self._dated(state), _proxy(self._settings))

    def _dated(self, state: FeedState) -> FeedState:
        """A state whose resources all have an age, where the API may create others; the API shows them, too."""
        if self._api is None or self._first_read is None:
            return state
        return replace(state, resources=self._api.show_resources(self._first_read.dated(state.resources)))

    def _new_api(self, listen: Listen) -> ConfigurationApi:
        # Imported here, since a gateway without the API has no use for its modules and the web server.
        from meshgate.api.configuration_api import ConfigurationApi

        return ConfigurationApi(self._reactor, self._feed.sink(API_PROVIDER), self._serves, listen)

    def _start_api(self, settings: Settings) -> None:
        content = settings.content
        if self._api is not None and content.api is not None:
            self._api.start(content.api, settings.state_dir, content.default_namespace, content.gateway.namespace)
            self.succession.api_started()
            self._first_read = FirstRead(settings.state_dir / API_FOLDER / FIRST_READ, time.time)

    def _make_metrics(self, listen: Listen) -> GatewayMetrics:
        from meshgate.metrics.gateway_metrics import GatewayMetrics, HealthMetrics

        reporter, feed, pool, ports, times = self._reporter, self._feed, self._pool, self._ports, self._compiling.times
        metrics = GatewayMetrics(self._reactor, reporter, feed, pool, ports, times, self.readiness, listen)
        metrics.describe(__version__, compiled_text(), self._transport)
        metrics.collector.add(HealthMetrics(self._health).metrics)
        if self._api is not None:
            metrics.add_api(self._api.answers)
        return metrics

    def _serves(self) -> bool:
        """True if all workers serve the latest table."""
        return bool(self.running) and self._pool.live_generation >= self._reporter.table.generation > 0

    def _install(self, table: RoutingTable) -> None:
        """Have the workers serve a new table on its ports."""
        before, self._reporter.table = self._reporter.table, table
        if before.generation:
            news = generation_news(before, table)
            if news:
                self.log.info("generation {generation}: {news}", generation=table.generation, news=news)
        self._health.follow(table)
        self._pool.install(table)
        self._ports.reconcile(table.listeners.values())
        self._show_ports()

    def _compiled(self, compilation: Compilation) -> None:
        self._reporter.compiled(compilation)
        if self._api is not None:
            self._api.compiled(compilation)

    def _tell_if_ready(self) -> None:
        """Tell the process before and the service manager once all workers serve the latest table."""
        if self._serves() and self.succession.settle(self._tell_if_ready):
            self._manager.ready(f"serves generation {self._reporter.table.generation}")

    def _workers_changed(self) -> None:
        self._reporter.workers_changed()
        self._tell_if_ready()
        if self._api is not None:
            self._api.live(self._pool.live_generation)

    def _ports_changed(self) -> None:
        self._reporter.publish_soon()
        self._show_ports()

    def _show_ports(self) -> None:
        if self._api is not None:
            self._api.ports_changed(self._ports.listening, {each.key: each.reason for each in self._ports.failures})

    # The start.

    def _log_start(self, settings: Settings) -> None:
        workers = self._pool.sockets
        self.log.info(
            "meshgate {version} starts with {file}: {workers}, {transport} transport, {compiled}",
            version=__version__,
            file=settings.file,
            workers="1 worker" if workers == 1 else f"{workers} workers",
            transport=self._transport,
            compiled=compiled_text(),
        )

    def _wait_for_workers_of_before(self) -> None:
        """
        Try ports that are in use again for :data:`PORTS_FREE_WITHIN` seconds: the workers of a gateway that was killed
        hold its ports for the moment until they notice. The reactor does not run yet, so nobody waits for this.
        """
        deadline = time.monotonic() + PORTS_FREE_WITHIN
        while any(failure.reason == IN_USE for failure in self._ports.failures) and time.monotonic() < deadline:
            time.sleep(0.05)
            self._ports.reconcile(self._reporter.table.listeners.values())

    def _refuse_failed_ports(self, compilation: Compilation) -> None:
        """Fail the start if a port cannot be bound, unless the settings have the gateway wait for its address."""
        waits = self._settings.content.listening.wait_for_addresses
        fatal = [failure for failure in self._ports.failures if not (waits and failure.is_missing)]
        if fatal:
            # The status of the last gateway stays: the routes of this one are in force nowhere.
            self._reporter.log_problems([*self._settings.warnings, *compilation.problems])
            reasons = list(map(self._reporter.failure_text, fatal))
            if all(failure.is_missing for failure in fatal):
                reasons.append("if the address comes later, set listening.wait_for_addresses")
            raise StartError("; ".join(reasons))

    # The settings.

    def _apply_to_process(self, settings: Settings) -> None:
        """Apply the settings that are checked or used by this process itself."""
        content, launch = settings.content, self._launch
        self._reporter.load_problems = (*self._registry.problems, *settings.warnings)
        self._reporter.own_problems.check_source_addresses(content.upstream_source)
        if launch is None:
            return
        self._configure_log(settings)
        if launch.log_file is not None:
            launch.log_file.rotate_at, launch.log_file.keep = content.log.rotate, content.log.keep
        access_log = content.access_log
        if launch.background and (access_log.to, access_log.path) == (FILE, STANDARD_OUTPUT):
            self.log.warn(
                "no line of the access log is kept: there is no standard output in the background; name a file in "
                "access_log.path"
            )

    def _configure_log(self, settings: Settings) -> None:
        log = settings.content.log
        if self._launch is not None and self._launch.log is not None:
            self._launch.log.configure(log.choice(), log.format == "json", log.journal)

    def _attempt(self, subject: str, action: Callable[[], None]) -> None:
        self._reporter.own_problems.attempt(subject, action, *FAILURES)

    def _restart_lab(self, _: object) -> None:
        content, state_dir = self._settings.content, self._settings.state_dir
        self._attempt("lab", lambda: self._lab.start(content.lab, state_dir))
        self._reporter.publish()


def _proxy(settings: Settings) -> Proxy:
    return settings.proxy(ipv6=ipv6_exists())


def _unix_access(settings: Settings) -> UnixAccess:
    unix = settings.content.listening.unix_sockets
    return UnixAccess(unix.mode, unix.group)


def _context(settings: Settings, reactor: Any) -> ProviderContext:
    return ProviderContext(reactor, settings.content.default_namespace)
