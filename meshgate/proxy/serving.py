"""
What serves connections in one process: the data plane with its resolver, its access log and the ports it accepts on.

Knows what it is told of limits, tables and sockets. Must not know where they come from, nor whether this process is
the whole gateway or one worker of several.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

from twisted.internet.defer import Deferred

from meshgate.proxy.access_log import Format, open_access_log
from meshgate.proxy.dataplane import Dataplane
from meshgate.proxy.ended import Ended
from meshgate.proxy.limits import Limits
from meshgate.proxy.shared_counts import SharedCounts, bytes_for, new_seed
from meshgate.resources.problem import Problem
from meshgate.routing.outliers import LeftOut
from meshgate.routing.table import RoutingTable
from meshgate.transport.dns.name_cache import NameFigures
from meshgate.transport.dns.question import Server
from meshgate.transport.dns.resolver import Resolver
from meshgate.transport.network import AUTO, make_network
from meshgate.transport.ports import accept_here


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """
    The settings that matter to connections. Picklable.

    :ivar dns_servers: as :class:`~meshgate.transport.dns.resolver.Resolver` takes them.
    :ivar transport: as :func:`~meshgate.transport.network.make_network` takes it.
    :ivar upstream_source: the addresses that endpoints are dialed from; none leaves the choice to the kernel.
    :ivar access_log: the path, absolute, or ``-`` for standard output.
    """

    limits: Limits
    dns_servers: tuple[Server, ...]
    access_log: str
    access_log_format: Format
    transport: str = AUTO
    upstream_source: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """
    What one worker does, be it a process of its own or not.

    :ivar worker: its number, from 1.
    :ivar pid: None while there is no process.
    :ivar connections: how many live.
    :ivar restarts: how many times it had to be replaced.
    """

    worker: int
    pid: int | None
    connections: int
    restarts: int = 0


def update_names(names: MutableMapping[str, NameFigures], news: Mapping[str, NameFigures | None]) -> None:
    """Follow what is new of names; None for those that are gone."""
    for name, figures in news.items():
        if figures is None:
            names.pop(name, None)
        else:
            names[name] = figures


class Serving:
    """
    Serves the connections of one process.

    :param reactor: provides all that sockets and times need.
    :param on_change: called when :meth:`problems` may have changed.
    :param counts: shared with the other workers; of one's own unless given.
    :param first_id: the number of the first connection.
    :ivar counts: what limits over all connections go by.
    :ivar serve: accepts the connections of a listener, on one socket.
    :ivar sockets: how many sockets :attr:`serve` has to be given for each port.
    """

    def __init__(
        self,
        reactor: Any,
        settings: ServingSettings,
        on_change: Callable[[], None],
        counts: SharedCounts | None = None,
        first_id: int = 1,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._on_change = on_change
        self.counts = counts or SharedCounts(bytearray(bytes_for(1)), 0, new_seed())
        self._ended = Ended()
        self._output = ("", "")
        self._names: dict[str, NameFigures] = {}
        self._resolver = self._make_resolver()
        self._network = make_network(settings.transport, reactor)
        self._network.sources.follow(settings.upstream_source)
        self._dataplane = Dataplane(
            reactor,
            limits=settings.limits,
            resolver=self._resolver,
            rng=random.Random(),  # noqa: S311 -- shares of traffic, not secrets
            ended=self._ended.note,
            wall_clock=time.time,
            network=self._network,
            counts=self.counts,
        )
        self._dataplane.ids = count(first_id)
        self.serve = accept_here(self._network, self._dataplane.factory)

    sockets: Final = 1

    @property
    def live_generation(self) -> int:
        """The table that is served."""
        return self._dataplane.table.generation

    @property
    def connections(self) -> int:
        """How many connections live."""
        return self._dataplane.count

    def ended(self) -> Mapping[str, int]:
        """How many connections have ended, by the word for how."""
        return {ending.value: number for ending, number in self._ended.counts.items()}

    def workers(self) -> list[WorkerFigures]:
        """The figures of this process."""
        return [WorkerFigures(1, os.getpid(), self.connections)]

    def left_out(self) -> list[LeftOut]:
        """The endpoints that get no connections for a time, with whole seconds since the epoch."""
        now = self._reactor.seconds()
        epoch, found = time.time() - now, self._dataplane.clusters.left_out(now)
        return [replace(each, until=float(round(epoch + each.until))) for each in found]

    def name_news(self) -> Mapping[str, NameFigures | None]:
        """As :meth:`meshgate.transport.dns.resolver.Resolver.news`."""
        return self._resolver.news()

    def names(self) -> Mapping[str, NameFigures]:
        """The names of endpoints, with what is known of them. Not for those who ask :meth:`name_news`."""
        update_names(self._names, self.name_news())
        return self._names

    def start(self) -> None:
        """
        Open what is written to.

        :raises AccessLogError: when the access log cannot be opened.
        """
        self._renew_access_log()

    def renew(self, settings: ServingSettings) -> None:
        """
        Take new settings, and open the access log's file anew in any case: it may have been rotated.

        :raises AccessLogError: when the access log cannot be opened. The old one stays in use; the rest is in force.
        """
        before, self._settings = self._settings, settings
        self._dataplane.limits = settings.limits
        self._network.sources.follow(settings.upstream_source)
        if settings.dns_servers != before.dns_servers:
            self._resolver.stop()
            self._resolver = self._dataplane.resolver = self._make_resolver()
            self._resolver.watch(self._dataplane.table.dns_names())
        self._renew_access_log()

    def reopen_log(self) -> None:
        """
        Open the access log's file anew, since it may have been rotated.

        :raises AccessLogError: when it cannot be opened. The old one stays in use.
        """
        if self._ended.access_log is not None:
            self._ended.access_log.reopen()

    def end_at_once(self) -> None:
        """End the live connections, and wait for none of them when stopped."""
        self._dataplane.end_at_once()

    def install(self, table: RoutingTable, dns_names: frozenset[str] | None = None) -> None:
        """
        A new table is in force.

        :param dns_names: the names of its endpoints, if somebody has looked for them already.
        """
        self._dataplane.table = table
        self._dataplane.clusters.forget_all_but(table.destinations())
        self._resolver.watch(table.dns_names() if dns_names is None else dns_names)

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now with what connections need."""
        return self._resolver.problems()

    def stop(self) -> Deferred[None]:
        """
        End the live connections as drained, and write what is still to be written. Ports are closed by whoever had
        them opened, before.

        :return: fires when all is done.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._dataplane.drain()
        self._network.close()
        await self._resolver.stop()
        if self._ended.access_log is not None:
            await self._ended.access_log.close()

    def _renew_access_log(self) -> None:
        """Open it, or open its file anew."""
        path, form, before = self._settings.access_log, self._settings.access_log_format, self._ended.access_log
        if before is not None and self._output == (path, form):
            before.reopen()
            return
        self._ended.access_log = open_access_log(path, form, self._reactor)
        self._output = (path, form)
        if before is not None:
            before.close()

    def _make_resolver(self) -> Resolver:
        return Resolver(self._reactor, self._settings.dns_servers, on_change=lambda name, addresses: self._on_change())
