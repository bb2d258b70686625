"""
What serves connections in one process: the data plane with its resolver, its access log and the ports it accepts on.

Knows what it is told of limits, tables and sockets. Must not know where they come from, nor whether this process is
the whole gateway or one worker of several.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred

from meshgate.proxy.accesslog import AccessLog, Format, open_access_log
from meshgate.proxy.dataplane import Dataplane
from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.proxy.record import ConnectionRecord
from meshgate.resources.problem import Problem
from meshgate.routing.table import RoutingTable
from meshgate.transport.dns_question import Server
from meshgate.transport.listening import accept_here
from meshgate.transport.network import AUTO, make_network
from meshgate.transport.resolver import Resolver


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """
    The settings that matter to connections. Picklable.

    :ivar dns_servers: as :class:`~meshgate.transport.resolver.Resolver` takes them.
    :ivar access_log: the path, absolute, or ``-`` for standard output.
    """

    limits: Limits
    dns_servers: tuple[Server, ...]
    access_log: str
    access_log_format: Format


class Serving:
    """
    Serves the connections of one process.

    :param reactor: provides all that sockets and times need.
    :param on_change: called when :meth:`problems` may have changed.
    :param first_id: the number of the first connection.
    :ivar serve: accepts the connections of a listener, on one socket.
    :ivar endings: how many connections have ended, by how they did.
    """

    def __init__(
        self, reactor: Any, settings: ServingSettings, on_change: Callable[[], None], first_id: int = 1
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._on_change = on_change
        self._access_log: AccessLog | None = None
        self._output = ("", "")
        self._resolver = self._make_resolver()
        self._network = make_network(AUTO, reactor)
        self._dataplane = Dataplane(
            reactor,
            limits=settings.limits,
            resolver=self._resolver,
            rng=random.Random(),  # noqa: S311 -- shares of traffic, not secrets
            ended=self._ended,
            wall_clock=time.time,
            network=self._network,
        )
        self._dataplane.ids = count(first_id)
        self.serve = accept_here(self._network, self._dataplane.factory)
        self.endings: Counter[Ending] = Counter()

    @property
    def connections(self) -> int:
        """How many connections live."""
        return self._dataplane.count

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
        if settings.dns_servers != before.dns_servers:
            self._resolver.stop()
            self._resolver = self._dataplane.resolver = self._make_resolver()
            self._resolver.watch(self._dataplane.table.dns_names())
        self._renew_access_log()

    def install(self, table: RoutingTable) -> None:
        """A new table is in force."""
        self._dataplane.table = table
        self._dataplane.clusters.forget_all_but(table.destinations())
        self._resolver.watch(table.dns_names())

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
        if self._access_log is not None:
            await self._access_log.close()

    def _renew_access_log(self) -> None:
        """Open it, or open its file anew."""
        path, form, before = self._settings.access_log, self._settings.access_log_format, self._access_log
        if before is not None and self._output == (path, form):
            before.reopen()
            return
        self._access_log = open_access_log(path, form, self._reactor)
        self._output = (path, form)
        if before is not None:
            before.close()

    def _make_resolver(self) -> Resolver:
        return Resolver(self._reactor, self._settings.dns_servers, on_change=lambda name, addresses: self._on_change())

    def _ended(self, record: ConnectionRecord) -> None:
        if record.ending is not None:
            self.endings[record.ending] += 1
        if self._access_log is not None:
            self._access_log.write(record)
