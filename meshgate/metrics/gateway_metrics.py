"""The metrics of a running gateway: the sources of the collector, and the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from twisted.internet.task import LoopingCall

from meshgate.metrics import metric_families as f
from meshgate.metrics.collector import GatewayCollector
from meshgate.metrics.configuration_metrics import ConfigurationMetrics
from meshgate.metrics.connection_metrics import connection_metrics
from meshgate.metrics.metrics_server import MetricsServer
from meshgate.metrics.process_metrics import LagClock, process_metrics
from meshgate.metrics.readiness import Readiness
from meshgate.providers.compiling import CompileTimes
from meshgate.providers.feed import Feed
from meshgate.settings.service_sections import MetricsSettings
from meshgate.state.reporter import Reporter
from meshgate.transport.ports import Ports
from meshgate.workers.pool import WorkerPool

REVIEW_EVERY: Final = 60.0
"""Seconds between two looks for series that are gone from the routing table."""


class GatewayMetrics:
    """
    All metrics of the gateway.

    :param reactor: provides IReactorTCP and IReactorTime.
    :param pool: counts its connections.
    :ivar collector: further sources can be added to it.
    """

    def __init__(
        self,
        reactor: Any,
        reporter: Reporter,
        feed: Feed,
        pool: WorkerPool,
        ports: Ports,
        times: CompileTimes,
        readiness: Readiness,
    ) -> None:
        self._pool = pool
        self._readiness = readiness
        self._lag = LagClock(reactor)
        self._review = LoopingCall(pool.end_series)
        self._review.clock = reactor
        self.collector = GatewayCollector()
        self.collector.add(self._counted)
        self.collector.add(ConfigurationMetrics(reporter, feed, pool, ports, times).metrics)
        self._server = MetricsServer(reactor, self.collector, readiness.checks)

    def describe(self, version: str, compiled: str, transport: str) -> None:
        """Add what does not change."""
        started = time.time()

        def unchanging() -> Iterator[f.FamilyMetric]:
            yield f.BUILD.metric([((version, compiled, transport), 1)])
            yield f.STARTED.gauge(started)

        self.collector.add(unchanging)

    def add_api(self, answers: Callable[[], Mapping[int, int]]) -> None:
        """
        Add the answers of the Kubernetes API.

        :param answers: returns their numbers by status.
        """

        def answered() -> Iterator[f.FamilyMetric]:
            yield f.API_ANSWERS.metric(((str(code),), count) for code, count in sorted(answers().items()))

        self.collector.add(answered)

    def start(self, settings: MetricsSettings) -> None:
        """
        Serve them.

        :raises StartError: if the port cannot be bound.
        """
        self._server.start(settings)
        self._lag.start()
        self._review.start(REVIEW_EVERY, now=False)

    async def stop(self) -> None:
        """Serve them no more."""
        self._lag.stop()
        if self._review.running:
            self._review.stop()
        await self._server.stop()

    @property
    def port(self) -> int:
        """The port that they are served on."""
        return self._server.port

    def _counted(self) -> Iterator[f.FamilyMetric]:
        counts = self._pool.metrics
        if counts is not None:
            totals = counts.totals()
            yield from connection_metrics(totals)
            yield from process_metrics(self._pool.workers(), self._pool.serving, totals, self._lag.words)
        yield f.READY.gauge(float(self._readiness.ready()))
