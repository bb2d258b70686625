"""
The counts of all workers' connections, added up for metrics.

The control process reads what the workers write (:mod:`meshgate.proxy.connection_counts`): no worker is asked for
anything. When a worker ends, its last values stay here, and its region is cleared for the next worker of its slot; so
the sum of a counter never goes down. What counts open connections ends with its worker.

The number of series is bounded here as in a worker: all of them together are no more than one worker may have.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import add
from typing import Final, TypeVar

from meshgate.proxy.connection_counts import (
    BLOCK,
    BLOCKS,
    ENDED,
    HEAD,
    MOST_PATTERNS,
    MOST_SERIES,
    OPEN,
    OPENED,
    OTHER_LABEL,
    OTHER_LISTENERS,
    PATTERNS,
    WORD,
    PatternLabels,
    SeriesLabels,
    region_bytes,
)

_OTHER: Final[SeriesLabels] = (OTHER_LABEL,) * 5
NO_ROUTE: Final = ("",) * 4
_OTHER_PATTERN: Final[PatternLabels] = (OTHER_LABEL, OTHER_LABEL)

Labels = TypeVar("Labels")


def shared_memory(size: int) -> int:
    """A descriptor of so many bytes of zeros, which can be passed to other processes: a file without a name."""
    if hasattr(os, "memfd_create"):
        memory: int = os.memfd_create("meshgate-counts")
    else:
        with tempfile.TemporaryFile(prefix="meshgate-counts-") as file:
            memory = os.dup(file.fileno())
    os.ftruncate(memory, size)
    return memory


@dataclass(frozen=True, slots=True)
class Totals:
    """
    Counts at one moment.

    :ivar series: the words of each series' block.
    :ivar patterns: the number of connections of each pattern of server names.
    :ivar workers: the words of each slot's head, by its index.
    :ivar open: the number of open connections of each listener.
    """

    series: Mapping[SeriesLabels, list[int]]
    patterns: Mapping[PatternLabels, int]
    workers: list[list[int]]
    open: Mapping[str, int]


class CountTotals:
    """
    The counts of all workers.

    :param slots: the number of worker slots.
    :ivar memory: the descriptor of the regions, which the workers get.
    """

    def __init__(self, slots: int) -> None:
        size, words = slots * region_bytes(), region_bytes() // WORD
        self.memory = shared_memory(size)
        self._words = memoryview(mmap.mmap(self.memory, size)).cast("B").cast("q")
        self._regions = [self._words[start : start + words] for start in range(0, slots * words, words)]
        self._blocks = [_first_blocks() for _ in range(slots)]
        self._patterns: list[dict[int, PatternLabels]] = [{PATTERNS: _OTHER_PATTERN} for _ in range(slots)]
        self._series: dict[SeriesLabels, SeriesLabels] = {}
        self._pattern_labels: dict[PatternLabels, PatternLabels] = {}
        # The last values of workers that are gone.
        self._gone: dict[SeriesLabels, list[int]] = {}
        self._gone_patterns: dict[PatternLabels, int] = {}
        self._gone_heads = [[0] * HEAD for _ in range(slots)]

    def add_series(
        self, slot: int, blocks: Iterable[tuple[int, SeriesLabels]], patterns: Iterable[tuple[int, PatternLabels]]
    ) -> None:
        """
        Note the labels of blocks and words that a worker has taken.

        :param slot: the index of its slot.
        """
        for block, labels in blocks:
            if is_listener(labels) or labels[1:] == _OTHER[1:]:
                self._blocks[slot][block] = labels
            else:
                other = (labels[0], *_OTHER[1:])
                self._blocks[slot][block] = _within(self._series, MOST_SERIES, labels, other)
        for word, pattern in patterns:
            self._patterns[slot][word] = _within(self._pattern_labels, MOST_PATTERNS, pattern, _OTHER_PATTERN)

    def totals(self) -> Totals:
        """Add up the counts of all workers, those that are gone included."""
        series = {labels: list(words) for labels, words in self._gone.items()}
        patterns = dict(self._gone_patterns)
        live: dict[str, int] = {}
        for slot, region in enumerate(self._regions):
            self._add_region(slot, region, series, patterns, live)
        heads = [
            list(map(add, gone, region[:HEAD])) for gone, region in zip(self._gone_heads, self._regions, strict=True)
        ]
        return Totals(series, patterns, heads, {listener: max(0, count) for listener, count in live.items()})

    def worker_ended(self, slot: int) -> None:
        """Keep the last values of a worker that is gone, and clear its region."""
        region = self._regions[slot]
        self._add_region(slot, region, self._gone, self._gone_patterns, {})
        for labels in self._blocks[slot].values():
            if labels in self._gone:
                self._gone[labels][OPEN] = 0
        self._gone_heads[slot] = list(map(add, self._gone_heads[slot], region[:HEAD]))
        used = max(self._blocks[slot]) + BLOCK
        region[:used] = memoryview(bytes(used * WORD)).cast("q")
        self._blocks[slot], self._patterns[slot] = _first_blocks(), {PATTERNS: _OTHER_PATTERN}

    def close(self) -> None:
        """Close the descriptor: there will be no more workers. The counts can still be read."""
        os.close(self.memory)

    def _add_region(
        self,
        slot: int,
        region: memoryview,
        series: dict[SeriesLabels, list[int]],
        patterns: dict[PatternLabels, int],
        live: dict[str, int],
    ) -> None:
        listeners: list[tuple[int, SeriesLabels]] = []
        for block, labels in self._blocks[slot].items():
            if is_listener(labels):
                listeners.append((block, labels))
            else:
                words = region[block : block + BLOCK].tolist()
                _add_words(series, labels, words)
                live[labels[0]] = live.get(labels[0], 0) - sum(words[ENDED:])
        # Accepted connections are read last, so that never more have ended than were accepted.
        for block, labels in listeners:
            words = region[block : block + BLOCK].tolist()
            words[OPENED] = region[block + OPENED]
            _add_words(series, labels, words)
            live[labels[0]] = live.get(labels[0], 0) + words[OPENED] - sum(words[ENDED:])
        for word, pattern in self._patterns[slot].items():
            count = region[word]
            if count:
                patterns[pattern] = patterns.get(pattern, 0) + count


def _first_blocks() -> dict[int, SeriesLabels]:
    return {BLOCKS: _OTHER, OTHER_LISTENERS: (OTHER_LABEL, *NO_ROUTE)}


def is_listener(labels: SeriesLabels) -> bool:
    """True for the block of a listener's connections that have no route yet, in which it also counts the accepted."""
    return labels[1:] == NO_ROUTE


def _add_words(series: dict[SeriesLabels, list[int]], labels: SeriesLabels, words: list[int]) -> None:
    before = series.get(labels)
    if before is not None:
        series[labels] = list(map(add, before, words))
    elif any(words):
        series[labels] = words


def _within(known: dict[Labels, Labels], most: int, labels: Labels, other: Labels) -> Labels:
    """The labels as they are known, or new ones while there is room, or those of what is not told apart."""
    found = known.get(labels)
    if found is None:
        if len(known) >= most:
            return other
        found = known[labels] = labels
    return found
