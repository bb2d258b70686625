"""The metrics of what is served: tables, providers, ports, problems, endpoints that are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from meshgate.metrics import metric_families as f
from meshgate.providers.compiling import CompileTimes
from meshgate.providers.feed import Feed
from meshgate.routing.table import RoutingTable
from meshgate.state.reporter import Reporter
from meshgate.transport.ports import Ports
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
