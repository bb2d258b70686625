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
from twisted.internet.interfaces import IDelayedCall

from meshgate.processes.service_log import DEFAULT_LEVELS, LevelChoice
from meshgate.proxy.access_log import AccessLog, EndedConnections, open_access_log
from meshgate.proxy.connection import Inbound
from meshgate.proxy.connection_counts import ConnectionCounts
from meshgate.proxy.dataplane import Dataplane
from meshgate.proxy.endpoint_endings import EndpointEndings
from meshgate.proxy.limits import Limits
from meshgate.proxy.log_outputs import AccessLogChoice
from meshgate.proxy.shared_counts import SharedCounts
from meshgate.resources.problem import Problem
from meshgate.routing.connection_policy import HealthCheck
from meshgate.routing.failing_endpoints import LeftOut
from meshgate.routing.table import ClusterKey, EndpointAddress, RoutingTable
from meshgate.transport.dns.question import Server
from meshgate.transport.dns.resolver import NameFigures, Resolver
from meshgate.transport.network import AUTO, make_network
from meshgate.transport.ports import accept_here
from meshgate.transport.wheel import Timer


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """
    The settings of a worker: plain values, since a worker that imported the models would be 6 MiB larger.

    :ivar dns_servers: the name servers to ask; none for those of ``/etc/resolv.conf``.
    :ivar transport: a choice of :func:`~meshgate.transport.network.make_network`.
    :ivar upstream_source: the local addresses from which endpoints are dialed; none leaves the choice to the kernel.
    :ivar drain_removed: seconds in which the connections of removed listeners and routes are ended; None to keep them.
    :ivar end_removed: end the connections of endpoints that their destination has lost.
    :ivar log_levels: which events of the worker are logged.
    :ivar end_within: seconds over which the connections of an endpoint are ended, where they are.
    """

    limits: Limits
    dns_servers: tuple[Server, ...]
    access_log: AccessLogChoice
    transport: str = AUTO
    upstream_source: tuple[str, ...] = ()
    drain_removed: float | None = None
    end_removed: bool = False
    end_within: float = 0.0
    log_levels: LevelChoice = DEFAULT_LEVELS


LOOKS: Final = 20
"""How many times the live connections are looked at, within the time after which they have a line."""

LOOKED_AT_ONCE: Final = 500
"""The number of live connections that are looked at before others get their turn."""


class OpenLines:
    """
    Lines for connections that live long: one each time that a certain time has passed since the accept.

    A connection knows nothing of it. All of them are looked at :data:`LOOKS` times in that time, and those that have
    passed a multiple of it since the last look have a line, which is late by a twentieth at the most (and, with times
    below 20 seconds, by a second).

    :param clock: provides the timers.
    """

    def __init__(self, dataplane: Dataplane, ended: EndedConnections, clock: Any) -> None:
        self._dataplane = dataplane
        self._ended = ended
        self._clock = clock
        self._every = 0.0
        self._from = self._to = 0.0
        self._in_turn: list[Inbound] = []
        self._timer: Timer | None = None
        self._going_on: IDelayedCall | None = None

    def follow(self, every: float) -> None:
        """
        Begin anew with another time.

        :param every: in seconds; 0 for no lines.
        """
        if every == self._every:
            return
        self._every, self._in_turn = every, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._going_on is not None and self._going_on.active():
            self._going_on.cancel()
        if every:
            self._to = self._clock.seconds()
            self._wait()

    def _wait(self) -> None:
        self._timer = self._dataplane.wheel.callLater(self._every / LOOKS, self._look)

    def _look(self) -> None:
        self._from, self._to = self._to, self._clock.seconds()
        self._in_turn = list(self._dataplane.connections)
        self._look_at_some()

    def _look_at_some(self) -> None:
        log, every = self._ended.access_log, self._every
        for _ in range(min(LOOKED_AT_ONCE, len(self._in_turn))):
            connection = self._in_turn.pop()
            record = connection.record
            accepted = record.accepted
            is_due = (self._to - accepted) // every > (self._from - accepted) // every
            if is_due and self._to - accepted >= every and record.ending is None and log is not None:
                connection.update_counts()
                record.duration = self._clock.seconds() - accepted
                log.write(record)
        if self._in_turn:
            self._going_on = self._clock.callLater(0, self._look_at_some)
        else:
            self._wait()


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
        rng = random.Random()  # noqa: S311 -- shares of traffic, not secrets
        self._ended = EndedConnections(rng)
        self._logged_by: AccessLogChoice | None = None
        self._lost_before = 0
        self._resolver = self._make_resolver()
        self._network = make_network(settings.transport, reactor)
        self._network.sources.follow(settings.upstream_source)
        self._dataplane = Dataplane(
            reactor,
            limits=settings.limits,
            resolver=self._resolver,
            rng=rng,
            ended=self._ended.add,
            wall_clock=time.time,
            network=self._network,
            counts=counts,
            metrics=metrics,
        )
        self._dataplane.ids = count(first_id)
        self._dataplane.removed_routes.time = settings.drain_removed
        self._endpoints = EndpointEndings(self._dataplane, reactor)
        self._open_lines = OpenLines(self._dataplane, self._ended, reactor)
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

    @property
    def lost_lines(self) -> int:
        """The number of lines of the access log that were lost."""
        log = self._ended.access_log
        return self._lost_before + (log.lost if log is not None else 0)

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
        self._open_lines.follow(0.0)
        self._network.close()
        await self._resolver.stop()
        if self._ended.access_log is not None:
            await self._ended.access_log.close()

    def _set_endpoint_endings(self, settings: ServingSettings) -> None:
        self._endpoints.on_removed, self._endpoints.spread = settings.end_removed, settings.end_within

    def _open_or_reopen_log(self) -> None:
        """Open the access log of the settings; if it is open already, reopen its file."""
        choice, before = self._settings.access_log, self._ended.access_log
        self._ended.choose(choice.only, choice.sample_ok)
        self._open_lines.follow(choice.every)
        if before is not None and self._logged_by is not None and choice.same_lines(self._logged_by):
            before.reopen()
            return
        self._ended.access_log = open_access_log(choice, self._reactor)
        self._logged_by = choice
        if before is not None:
            before.close().addCallback(lambda _: self._add_lost(before))

    def _add_lost(self, log: AccessLog) -> None:
        self._lost_before += log.lost

    def _make_resolver(self) -> Resolver:
        return Resolver(self._reactor, self._settings.dns_servers, on_change=self._on_change)
