"""
Everything that a worker needs to carry connections: the data plane, its resolver, its access log and its network.

Settings, tables and sockets come from the control process; :mod:`meshgate.workers.worker` passes them on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

from twisted.internet.defer import Deferred

from meshgate.processes.service_log import DEFAULT_LEVELS, LevelChoice
from meshgate.proxy.access_log import EndedConnections, Format, open_access_log
from meshgate.proxy.connection_counts import ConnectionCounts
from meshgate.proxy.dataplane import Dataplane
from meshgate.proxy.endpoint_endings import EndpointEndings
from meshgate.proxy.limits import Limits
from meshgate.proxy.shared_counts import SharedCounts
from meshgate.resources.problem import Problem
from meshgate.routing.connection_policy import HealthCheck
from meshgate.routing.failing_endpoints import LeftOut
from meshgate.routing.table import ClusterKey, EndpointAddress, RoutingTable
from meshgate.transport.dns.question import Server
from meshgate.transport.dns.resolver import NameFigures, Resolver
from meshgate.transport.network import AUTO, make_network
from meshgate.transport.ports import accept_here


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """
    The settings of a worker: plain values, since a worker that imported the models would be 6 MiB larger.

    :ivar dns_servers: the name servers to ask; none for those of ``/etc/resolv.conf``.
    :ivar access_log: the absolute path of the access log, or ``-`` for standard output.
    :ivar transport: a choice of :func:`~meshgate.transport.network.make_network`.
    :ivar upstream_source: the local addresses from which endpoints are dialed; none leaves the choice to the kernel.
    :ivar drain_removed: seconds in which the connections of removed listeners and routes are ended; None to keep them.
    :ivar end_removed: end the connections of endpoints that their destination has lost.
    :ivar log_levels: which events of the worker are logged.
    :ivar end_within: seconds over which the connections of an endpoint are ended, where they are.
    """

    limits: Limits
    dns_servers: tuple[Server, ...]
    access_log: str
    access_log_format: Format
    transport: str = AUTO
    upstream_source: tuple[str, ...] = ()
    drain_removed: float | None = None
    end_removed: bool = False
    end_within: float = 0.0
    log_levels: LevelChoice = DEFAULT_LEVELS


NOTHING_GONE: Final[Mapping[ClusterKey, frozenset[EndpointAddress]]] = {}


class Serving:
    """
    The connections of a worker.

    :param reactor: provides sockets and times.
    :param on_change: called when :meth:`problems` may have changed.
    :param counts: the counts of connections that all workers share, by which connections are limited.
    :param first_id: the number of the first connection.
    :param metrics: the counts of this worker's connections for metrics; None to count none.
    :ivar serve: accepts the connections of a listener, on one socket.
    """

    def __init__(
        self,
        reactor: Any,
        settings: ServingSettings,
        on_change: Callable[[], None],
        counts: SharedCounts,
        first_id: int,
        metrics: ConnectionCounts | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._on_change = on_change
        self._ended = EndedConnections()
        self._output = ("", "")
        self._resolver = self._make_resolver()
        self._network = make_network(settings.transport, reactor)
        self._network.sources.follow(settings.upstream_source)
        self._dataplane = Dataplane(
            reactor,
            limits=settings.limits,
            resolver=self._resolver,
            rng=random.Random(),  # noqa: S311 -- shares of traffic, not secrets
            ended=self._ended.add,
            wall_clock=time.time,
            network=self._network,
            counts=counts,
            metrics=metrics,
        )
        self._dataplane.ids = count(first_id)
        self._dataplane.removed_routes.time = settings.drain_removed
        self._endpoints = EndpointEndings(self._dataplane, reactor)
        self._set_endpoint_endings(settings)
        self.serve = accept_here(self._network, self._dataplane.factory)

    @property
    def connections(self) -> int:
        """The number of live connections."""
        return self._dataplane.count

    def count_progress(self, most: int) -> bool:
        """As :meth:`meshgate.proxy.dataplane.Dataplane.count_progress`."""
        return self._dataplane.count_progress(most)

    def ended(self) -> Mapping[str, int]:
        """The number of ended connections for each ending."""
        return {ending.value: number for ending, number in self._ended.counts.items()}

    def left_out(self) -> list[LeftOut]:
        """The endpoints that get no connections for a time; their times are whole seconds since the epoch."""
        now = self._reactor.seconds()
        epoch, found = time.time() - now, self._dataplane.clusters.left_out(now)
        return [replace(each, until=float(round(epoch + each.until))) for each in found]

    def name_news(self) -> Mapping[str, NameFigures | None]:
        """As :meth:`meshgate.transport.dns.resolver.Resolver.news`."""
        return self._resolver.news()

    def start(self) -> None:
        """
        Open the access log.

        :raises AccessLogError: if it cannot be opened.
        """
        self._open_or_reopen_log()

    def apply_settings(self, settings: ServingSettings) -> None:
        """
        Apply new settings, and reopen the file of the access log in any case: it may have been rotated.

        :raises AccessLogError: if the access log cannot be opened. The old one stays in use; the other settings are
            in force.
        """
        before, self._settings = self._settings, settings
        self._dataplane.limits = settings.limits
        self._dataplane.removed_routes.time = settings.drain_removed
        self._network.sources.follow(settings.upstream_source)
        self._set_endpoint_endings(settings)
        if settings.dns_servers != before.dns_servers:
            self._resolver.stop()
            self._resolver = self._dataplane.resolver = self._make_resolver()
            self._resolver.watch(self._dataplane.table.dns_names())
        self._open_or_reopen_log()

    def reopen_log(self) -> None:
        """
        Reopen the file of the access log, which may have been rotated.

        :raises AccessLogError: if it cannot be opened. The old one stays in use.
        """
        if self._ended.access_log is not None:
            self._ended.access_log.reopen()

    def end_at_once(self) -> None:
        """End the live connections; :meth:`stop` then waits for none of them."""
        self._dataplane.end_at_once()

    def install(
        self,
        table: RoutingTable,
        dns_names: frozenset[str] | None,
        gone_clusters: Iterable[ClusterKey] = (),
        gone_endpoints: Mapping[ClusterKey, frozenset[EndpointAddress]] = NOTHING_GONE,
    ) -> None:
        """
        Serve a new table. This takes time for what has changed, and not for all routes: connections wait meanwhile.

        :param dns_names: the DNS names among its endpoints, which are resolved from now on; None if they are those of
            the table before.
        :param gone_clusters: the clusters that the table before has, and this one has not.
        :param gone_endpoints: the endpoints that clusters of both tables have lost.
        """
        self._dataplane.table = table
        self._endpoints.removed(gone_endpoints)
        self._dataplane.clusters.table_installed(gone_clusters)
        if dns_names is not None:
            self._resolver.watch(dns_names)

    def follow_health(self, unhealthy: Mapping[HealthCheck, frozenset[str]]) -> None:
        """Follow the health of endpoints; see :class:`~meshgate.workers.messages.EndpointHealth`."""
        self._endpoints.follow_health(unhealthy)

    def problems(self) -> tuple[Problem, ...]:
        """The problems of resolving endpoints, as far as they still exist."""
        return self._resolver.problems()

    def stop(self, drain_time: float = 0.0) -> Deferred[None]:
        """
        Drain the live connections, and write the last lines of the access log. The caller has closed the ports before.

        :param drain_time: seconds until the last connection is closed.
        :return: fires when everything is written.
        """
        return Deferred.fromCoroutine(self._stop(drain_time))

    async def _stop(self, drain_time: float) -> None:
        await self._dataplane.drain(drain_time)
        self._network.close()
        await self._resolver.stop()
        if self._ended.access_log is not None:
            await self._ended.access_log.close()

    def _set_endpoint_endings(self, settings: ServingSettings) -> None:
        self._endpoints.on_removed, self._endpoints.spread = settings.end_removed, settings.end_within

    def _open_or_reopen_log(self) -> None:
        """Open the access log of the settings; if it is open already, reopen its file."""
        path, form, before = self._settings.access_log, self._settings.access_log_format, self._ended.access_log
        if before is not None and self._output == (path, form):
            before.reopen()
            return
        self._ended.access_log = open_access_log(path, form, self._reactor)
        self._output = (path, form)
        if before is not None:
            before.close()

    def _make_resolver(self) -> Resolver:
        return Resolver(self._reactor, self._settings.dns_servers, on_change=self._on_change)
