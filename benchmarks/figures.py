"""The figures, their units, and the bars that they are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Sample = Mapping[str, float]
"""The result of one round: ``cost`` is the figure itself, the other numbers stand beside it."""

Series = Mapping[str, Sequence[Sample]]
"""The rounds of each subject of one figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One measured quantity.

    :ivar work: the letter of the work that measures it.
    :ivar unit: the unit of ``cost``.
    :ivar each: the unit of work that the throughput counts, empty without a throughput.
    """

    key: str
    work: str
    title: str
    unit: str
    each: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """
    An upper limit for the ratio of two subjects' costs in one run.

    :ivar figure: the key of the figure.
    :ivar subject: the subject whose cost is divided.
    :ivar against: the subject whose cost it is divided by; empty if the cost is a ratio already.
    :ivar most: the limit.
    :ivar aim: the ratio that would be good.
    """

    figure: str
    subject: str
    against: str
    most: float
    aim: float


FIGURES = {
    figure.key: figure
    for figure in (
        Figure("connection", "a", "A connection by server name", "µs CPU", "connections"),
        Figure("connection_full", "a", "A connection under full load", "µs CPU", "connections"),
        Figure("names", "b", "A connection among 100,000 names", "µs CPU", "connections"),
        Figure("round_trip", "c", "A 64-byte round trip", "µs CPU", "round trips"),
        Figure("round_trip_full", "c", "A round trip under full load", "µs CPU", "round trips"),
        Figure("download", "d", "Bulk download", "µs CPU per MB", "MB"),
        Figure("upload", "d", "Bulk upload", "µs CPU per MB", "MB"),
        Figure("memory", "e", "Memory of an idle connection", "kB"),
        Figure("change", "f", "A connection while routes change, p99", "ms"),
        Figure("workers", "g", "A connection, two workers share the load", "µs CPU", "connections"),
        Figure("workers_each", "g", "A connection, two workers at twice the load", "µs CPU", "connections"),
        Figure("spread", "g", "Connections, busiest to idlest worker", "ratio"),
    )
}

MESHGATE, INTERPRETED, JSON_LOG = "meshgate", "interpreted", "meshgate, JSON log"
"""meshgate compiled, not compiled, and compiled with ``access_log.format: json``."""
ENVOY, NGINX = "envoy", "nginx"
GATEWAYS = (MESHGATE, INTERPRETED)
"""The forms of meshgate that do every work; the JSON log is measured by work a alone."""

ONE_ROUTE, MANY_NAMES = "1 route", "100,000 names"
QUIET, CHANGING = "no change", "a change a second"
ONE_WORKER, TWO_WORKERS = "1 worker", "2 workers"

BARS = (
    *(
        bar
        for figure in ("connection", "connection_full")
        for bar in (
            Bar(figure, MESHGATE, NGINX, 1.10, 1.00),
            Bar(figure, JSON_LOG, NGINX, 1.10, 1.00),
            Bar(figure, INTERPRETED, NGINX, 1.30, 1.00),
            Bar(figure, MESHGATE, ENVOY, 0.50, 0.50),
            Bar(figure, JSON_LOG, ENVOY, 0.50, 0.50),
        )
    ),
    Bar("names", MANY_NAMES, ONE_ROUTE, 1.10, 1.00),
    *(Bar("round_trip", subject, NGINX, 1.05, 0.95) for subject in GATEWAYS),
    *(Bar("round_trip_full", subject, NGINX, 1.05, 0.95) for subject in GATEWAYS),
    *(Bar("download", subject, NGINX, 0.55, 0.40) for subject in GATEWAYS),
    *(Bar("upload", subject, NGINX, 0.55, 0.40) for subject in GATEWAYS),
    *(Bar("memory", subject, "haproxy", 1.00, 0.50) for subject in GATEWAYS),
    Bar("change", CHANGING, QUIET, 2.00, 1.20),
    Bar("workers", TWO_WORKERS, ONE_WORKER, 1.10, 1.00),
    Bar("workers_each", TWO_WORKERS, ONE_WORKER, 1.10, 1.00),
    Bar("spread", TWO_WORKERS, "", 1.50, 1.00),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A bar and the measured ratio."""

    bar: Bar
    ratio: float

    @property
    def verdict(self) -> str:
        """The ratio against its bar, in a word or two."""
        if self.ratio <= self.bar.aim:
            return "aim met"
        return "met" if self.ratio <= self.bar.most else "not met"


def medians(samples: Sequence[Sample]) -> dict[str, float]:
    """The median of every number of the rounds."""
    return {name: median(sample[name] for sample in samples) for name in samples[0]} if samples else {}


def compare(results: Mapping[str, Any]) -> list[Comparison]:
    """Compare the figures of a run with those bars of which both sides were measured."""
    comparisons = []
    for bar in BARS:
        series: Series = results["figures"].get(bar.figure, {})
        if bar.subject in series and (not bar.against or bar.against in series):
            cost = medians(series[bar.subject])["cost"]
            base = medians(series[bar.against])["cost"] if bar.against else 1.0
            comparisons.append(Comparison(bar, cost / base))
    return comparisons
