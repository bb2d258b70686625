"""The metrics of connections, from the counts of all workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import add
from typing import Final

from meshgate.metrics import metric_families as f
from meshgate.proxy import connection_counts as words
from meshgate.proxy.connection_counts import SeriesLabels
from meshgate.workers.count_totals import Totals, is_listener

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
