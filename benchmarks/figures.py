"""
What is measured, in which unit, and which bars it is held against.

Knows the figures as plain numbers only; must not know how they come about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Sample = Mapping[str, float]
"""What one round gave: ``cost`` is the figure itself; the others are told beside it."""

Series = Mapping[str, Sequence[Sample]]
"""The rounds of each subject of one figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One thing that is measured.

    :ivar work: the letter under which it is chosen.
    :ivar unit: of ``cost``.
    :ivar each: what the throughput counts, if there is any.
    """

    key: str
    work: str
    title: str
    unit: str
    each: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """
    What a figure has to be, as its ratio to another one of the same run.

    :ivar figure: its key.
    :ivar subject: whose cost it is.
    :ivar against: the subject that it is compared with; empty when the cost is a ratio already.
    :ivar most: what the ratio may be.
    :ivar aim: what it should be.
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

INTERPRETED = "interpreted"
GATEWAYS = ("meshgate", INTERPRETED)
"""Meshgate as it is installed where it can be compiled, and where it cannot."""

ONE_ROUTE, MANY_NAMES = "1 route", "100,000 names"
QUIET, CHANGING = "no change", "a change a second"
ONE_WORKER, TWO_WORKERS = "1 worker", "2 workers"

BARS = (
    *(Bar("connection", subject, "nginx", 1.30, 1.00) for subject in GATEWAYS),
    *(Bar("connection_full", subject, "nginx", 1.30, 1.00) for subject in GATEWAYS),
    Bar("names", MANY_NAMES, ONE_ROUTE, 1.10, 1.00),
    *(Bar("round_trip", subject, "nginx", 1.05, 0.95) for subject in GATEWAYS),
    *(Bar("round_trip_full", subject, "nginx", 1.05, 0.95) for subject in GATEWAYS),
    *(Bar("download", subject, "nginx", 0.55, 0.40) for subject in GATEWAYS),
    *(Bar("upload", subject, "nginx", 0.55, 0.40) for subject in GATEWAYS),
    *(Bar("memory", subject, "haproxy", 1.00, 0.50) for subject in GATEWAYS),
    Bar("change", CHANGING, QUIET, 2.00, 1.20),
    Bar("workers", TWO_WORKERS, ONE_WORKER, 1.10, 1.00),
    Bar("workers_each", TWO_WORKERS, ONE_WORKER, 1.10, 1.00),
    Bar("spread", TWO_WORKERS, "", 1.50, 1.00),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A bar, and the ratio that was measured."""

    bar: Bar
    ratio: float

    @property
    def verdict(self) -> str:
        """How it stands to its bar, in a word or two."""
        if self.ratio <= self.bar.aim:
            return "aim met"
        return "met" if self.ratio <= self.bar.most else "not met"


def medians(samples: Sequence[Sample]) -> dict[str, float]:
    """The median of everything that the rounds tell."""
    return {name: median(sample[name] for sample in samples) for name in samples[0]} if samples else {}


def compare(results: Mapping[str, Any]) -> list[Comparison]:
    """Hold the figures of a run against those bars for which both sides were measured."""
    comparisons = []
    for bar in BARS:
        series: Series = results["figures"].get(bar.figure, {})
        if bar.subject in series and (not bar.against or bar.against in series):
            cost = medians(series[bar.subject])["cost"]
            base = medians(series[bar.against])["cost"] if bar.against else 1.0
            comparisons.append(Comparison(bar, cost / base))
    return comparisons
