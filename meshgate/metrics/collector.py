"""
The collector: every metric of the gateway, made when somebody asks.

Nothing is kept for a scrape, and no worker is asked: each source reads what the control process and the memory shared
with the workers have. A source is a function that returns families of :mod:`meshgate.metrics.metric_families`; to add
one, pass it to :meth:`GatewayCollector.add`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.registry import Collector

from meshgate.metrics.metric_families import FamilyMetric

Source = Callable[[], Iterable[FamilyMetric]]
"""Makes some families."""


class GatewayCollector(Collector):
    """Every family of the gateway."""

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def add(self, source: Source) -> None:
        """Add a source of families."""
        self._sources.append(source)

    def collect(self) -> Iterator[FamilyMetric]:
        """Make all families; one without samples is left out."""
        for source in self._sources:
            for metric in source():
                if metric.lines:
                    yield metric

    def text(self, openmetrics: bool) -> str:
        """Return every family in OpenMetrics, or in Prometheus' own text format."""
        return "".join(metric.text(openmetrics) for metric in self.collect()) + ("# EOF\n" if openmetrics else "")
