"""
The metrics of a running gateway: the sources of the collector, and the server.

The sources are for connections, from the counts of all workers, for what is served (tables, providers, ports, problems,
endpoints that are left out), and for active health checks.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import add
from typing import Any, Final

from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall

from meshgate.health.health_checks import HealthChecks
from meshgate.metrics import metric_families as f
from meshgate.metrics.metric_families import GatewayCollector
from meshgate.metrics.metrics_server import MetricsServer
from meshgate.metrics.process_metrics import LagClock, process_metrics
from meshgate.metrics.readiness import Readiness
from meshgate.providers.compiling import CompileTimes
from meshgate.providers.feed import Feed
from meshgate.proxy import connection_counts as words
from meshgate.proxy.connection_counts import SeriesLabels
from meshgate.routing.table import RoutingTable
from meshgate.settings.service_sections import MetricsSettings
from meshgate.state.reporter import Reporter
from meshgate.transport.ports import Ports
from meshgate.workers.count_totals import Totals, is_listener
from meshgate.workers.pool import WorkerPool


class ConfigurationMetrics:
    """Makes these families; what costs a walk through the table is made once for each table."""

    def __init__(self, reporter: Reporter, feed: Feed, pool: WorkerPool, ports: Ports, times: CompileTimes) -> None:
        self._reporter = reporter
        self._feed = feed
        self._pool = pool
        self._ports = ports
        self._times = times
        self._table: RoutingTable | None = None
        self._routes: list[f.Row] = []

    def metrics(self) -> Iterator[f.FamilyMetric]:
        """The families."""
        pool, times = self._pool, self._times
        yield f.GENERATION.gauge(self._reporter.table.generation)
        yield f.LIVE_GENERATION.gauge(pool.live_generation)
        yield f.ROUTES.metric(self._routes_of(self._reporter.table))
        yield f.BOUND.metric(self._bound())
        yield f.PROBLEMS.metric(self._problems())
        yield f.COMPILING.summary(times.count, times.total)
        yield f.LAST_COMPILING.gauge(times.last)
        providers = self._feed.providers()
        yield f.SNAPSHOT_TIME.metric(((each.name,), each.published or 0.0) for each in providers)
        yield f.SNAPSHOT_OK.metric(
            ((each.name,), float(each.published is not None and each.failing_since is None)) for each in providers
        )
        yield f.PROVIDER_RESOURCES.metric(((each.name,), each.resources) for each in providers)
        yield f.LEFT_OUT.metric(
            ((each.destination, each.endpoint, each.state), each.workers) for each in pool.left_out()
        )
        names = pool.names().values()
        yield f.NAMES.gauge(len(names))
        yield f.NAMES_FAILING.gauge(sum(each.failing_since is not None for each in names))

    def _routes_of(self, table: RoutingTable) -> list[f.Row]:
        if self._table is not table:
            counts = ((str(each.address), sum(1 for _ in each.chains())) for each in table.listeners.values())
            self._table, self._routes = table, [((address,), count) for address, count in counts]
        return self._routes

    def _bound(self) -> Iterator[f.Row]:
        for address in self._reporter.bound_ports():
            yield (address,), 1
        for failure in self._ports.failures:
            yield (self._reporter.address_text(failure.key),), 0

    def _problems(self) -> Iterator[f.Row]:
        found = Counter((each.code, each.severity.value) for each in self._reporter.problems())
        yield from sorted(found.items())


_COUNTERS: Final = (
    (f.UPSTREAM_OPENED, words.OPENED),
    (f.UPSTREAM_OPEN, words.OPEN),
    (f.RECEIVED, words.BYTES_IN),
    (f.SENT, words.BYTES_OUT),
    (f.DIAL_FAILURES, words.DIAL_FAILURES),
    (f.EJECTIONS, words.EJECTIONS),
)
"""The families that have a word in each block; the listeners' own blocks are left out where that word is 0."""

_HISTOGRAMS: Final = (
    (f.DIAL, words.DIAL, words.SECONDS),
    (f.FIRST_BYTE, words.FIRST_BYTE, words.SECONDS),
    (f.DURATION, words.DURATION, words.DURATIONS),
)

_WORKER_COUNTERS: Final = (
    (f.OTHER, ((("series",), words.OTHER), (("pattern",), words.OTHER_PATTERNS))),
    (
        f.WOULD_REFUSE,
        tuple(((ending.value,), words.WOULD_REFUSE + index) for index, ending in enumerate(words.DRY_ENDINGS)),
    ),
)
"""The families that are summed up over the heads of all workers: for each, its labels and their words."""

_ENDINGS: Final = [(words.ENDED + index, ending.value) for index, ending in enumerate(words.ENDINGS)]


def connection_metrics(totals: Totals) -> Iterator[f.FamilyMetric]:
    """The families of connections."""
    series = totals.series.items()
    listeners = [(labels[0], block) for labels, block in series if is_listener(labels)]
    routed = [(labels, block) for labels, block in series if not is_listener(labels)]
    yield f.OPENED.metric(((listener,), block[words.OPENED]) for listener, block in listeners)
    yield f.OPEN.metric(
        ((listener,), count) for listener, count in totals.open.items() if listener != words.OTHER_LABEL
    )
    yield f.ENDED.metric(
        ((*labels, ending), block[word]) for labels, block in series for word, ending in _ENDINGS if block[word]
    )
    for family, word in _COUNTERS:
        yield family.metric((labels, block[word]) for labels, block in routed)
    yield f.HELLO.histogram(words.SECONDS, _hello(series))
    for family, first, bounds in _HISTOGRAMS:
        last = first + 2 + len(bounds)
        yield family.histogram(
            bounds, [(labels, block[first:last]) for labels, block in series if any(block[first + 1 : last])]
        )
    yield f.PATTERN_CONNECTIONS.metric(totals.patterns.items())
    for family, rows in _WORKER_COUNTERS:
        yield family.metric((labels, sum(head[word] for head in totals.workers)) for labels, word in rows)


def _hello(series: Iterable[tuple[SeriesLabels, list[int]]]) -> Iterator[f.HistogramRow]:
    """The times of hellos, which have nothing to do with routes and endpoints, by listener alone."""
    found: dict[str, list[int]] = {}
    for labels, block in series:
        own = block[words.HELLO : words.DIAL]
        if any(own[1:]):
            before = found.get(labels[0])
            found[labels[0]] = own if before is None else list(map(add, before, own))
    for listener, counts in found.items():
        yield (listener,), counts


class HealthMetrics:
    """Makes these families. An endpoint that has several checks counts once, and as unhealthy if one of them fails."""

    def __init__(self, checks: HealthChecks) -> None:
        self._checks = checks

    def metrics(self) -> Iterator[f.FamilyMetric]:
        """The families."""
        healthy: dict[f.LabelValues, bool] = {}
        made: dict[f.LabelValues, int] = {}
        for each in self._checks.counts():
            labels = each.destination, each.endpoint
            healthy[labels] = healthy.get(labels, True) and each.healthy
            for result, count in (("success", each.succeeded), ("failure", each.failed)):
                made[*labels, result] = made.get((*labels, result), 0) + count
        yield f.HEALTHY.metric((labels, float(each)) for labels, each in healthy.items())
        yield f.HEALTH_CHECKS.metric(made.items())


REVIEW_EVERY: Final = 60.0
"""Seconds between two looks for series that are gone from the routing table."""


class GatewayMetrics:
    """
    All metrics of the gateway.

    :param reactor: provides IReactorTCP and IReactorTime.
    :param pool: counts its connections.
    :param listen: opens the port, as IReactorTCP.listenTCP does.
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
        listen: Callable[..., IListeningPort],
    ) -> None:
        self._pool = pool
        self._readiness = readiness
        self._lag = LagClock(reactor)
        self._review = LoopingCall(pool.end_series)
        self._review.clock = reactor
        self.collector = GatewayCollector()
        self.collector.add(self._counted)
        self.collector.add(ConfigurationMetrics(reporter, feed, pool, ports, times).metrics)
        self._server = MetricsServer(reactor, self.collector, readiness.checks, listen)

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
        yield f.LOST_LINES.gauge(self._pool.lost_lines())
        yield f.READY.gauge(float(self._readiness.ready()))
