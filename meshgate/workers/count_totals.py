"""
The counts of all workers' connections, added up for metrics.

The control process reads what the workers write (:mod:`meshgate.proxy.connection_counts`): no worker is asked for
anything. When a worker ends, its last values stay here, and its region is cleared for the next worker of its slot; so
the sum of a counter never goes down. What counts open connections ends with its worker.

The number of series is bounded here as in a worker: all of them together are no more than one worker may have. Labels
that no connection by the table in force can have, and no open connection has, are left out of the metrics after
:data:`FORGET_AFTER`: the workers give up their blocks, whose last values count here until the last worker has done so.
If such a series comes back, it begins at 0.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
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
from meshgate.routing.addresses import socket_text
from meshgate.routing.table import CATCH_ALL, Destination, Listener, RoutingTable
from meshgate.transport.dns.resolver import NameFigures
from meshgate.workers.messages import EndSeries

_OTHER: Final[SeriesLabels] = (OTHER_LABEL,) * 5
NO_ROUTE: Final = ("",) * 4
_OTHER_PATTERN: Final[PatternLabels] = (OTHER_LABEL, OTHER_LABEL)

FORGET_AFTER: Final = 300.0
"""Seconds from the end of the last connection of labels that are gone from the table until they are left out."""

FORGET_AT_ONCE: Final = 500
"""The number of series, and of patterns, that a worker is asked to give up at a time, in less than a millisecond."""

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


class LabelsOfTable:
    """
    The labels that connections by a routing table can have.

    :ivar table: the table.
    """

    def __init__(self, table: RoutingTable) -> None:
        self.table = table
        self._listeners = {str(each.address): each for each in table.listeners.values()}
        self._routes: dict[str, dict[tuple[str, ...], list[Destination]]] = {}
        self._endpoints: dict[SeriesLabels, set[str]] = {}

    def have(self, labels: SeriesLabels, names: Mapping[str, NameFigures]) -> bool:
        """
        True if a connection can have these labels.

        :param names: the addresses of the names of endpoints.
        """
        listener, *route, endpoint = labels
        if listener not in self._listeners:
            return False
        routes = self._routes.get(listener)
        if routes is None:
            routes = self._routes[listener] = _routes_of(self._listeners[listener])
        destinations = routes.get(tuple(route))
        if destinations is None or not endpoint:
            return destinations is not None
        key = (*labels[:4], "")
        known = self._endpoints.get(key)
        if known is None:
            known = self._endpoints[key] = {str(one) for each in destinations for one in each.endpoints if not one.dns}
        return endpoint in known or any(
            endpoint == socket_text(address, one.port)
            for each in destinations
            for one in each.endpoints
            if one.dns and one.address in names
            for address in names[one.address].addresses
        )

    def have_pattern(self, labels: PatternLabels) -> bool:
        """True if a route names this pattern."""
        name, pattern = labels
        listener = self._listeners.get(name)
        if listener is None:
            return False
        if pattern == CATCH_ALL:
            return listener.catch_all is not None or pattern in listener.by_address
        found = pattern[2:] in listener.suffixes if pattern.startswith("*.") else pattern in listener.exact
        return found or pattern in listener.by_address


def _routes_of(listener: Listener) -> dict[tuple[str, ...], list[Destination]]:
    """The destinations by Gateway, VirtualService and name, and by what connections that get less far have of these."""
    found: dict[tuple[str, ...], list[Destination]] = {}
    for chain in listener.unordered_chains():
        found.setdefault((chain.gateway, "", ""), [])
        found.setdefault((chain.gateway, chain.virtual_service, ""), [])
        for destination in chain.destinations:
            found.setdefault((chain.gateway, chain.virtual_service, str(destination)), []).append(destination)
    return found


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
        # One more than the last word that a worker of the slot is known to have taken.
        self._used = [OTHER_LISTENERS + BLOCK] * slots
        self._of_table = LabelsOfTable(RoutingTable())
        # Labels that are gone from the table and have no open connection, with the moment since when.
        self._unused: dict[SeriesLabels, float] = {}
        self._unused_patterns: dict[PatternLabels, float] = {}
        self._ending: set[SeriesLabels] = set()
        self._ending_patterns: set[PatternLabels] = set()
        # The connections that have ended in blocks that the worker of each slot has given up, by listener.
        self._given_up: list[Counter[str]] = [Counter() for _ in range(slots)]
        # Blocks and words that were cleared, of which their worker has yet to hear.
        self._free_blocks: list[list[int]] = [[] for _ in range(slots)]
        self._free_words: list[list[int]] = [[] for _ in range(slots)]

    def add_series(
        self, slot: int, blocks: Iterable[tuple[int, SeriesLabels]], patterns: Iterable[tuple[int, PatternLabels]]
    ) -> None:
        """
        Note the labels of blocks and words that a worker has taken.

        :param slot: the index of its slot.
        """
        for block, labels in blocks:
            self._used[slot] = max(self._used[slot], block + BLOCK)
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
        for ended in self._given_up:
            for listener, count in ended.items():
                live[listener] = live.get(listener, 0) - count
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
        used = self._used[slot]
        while any(region[used : used + BLOCK]):  # a block that the worker has taken last, and has not told of
            used += BLOCK
        region[:used] = memoryview(bytes(used * WORD)).cast("q")
        self._used[slot] = OTHER_LISTENERS + BLOCK
        self._blocks[slot], self._patterns[slot] = _first_blocks(), {PATTERNS: _OTHER_PATTERN}
        self._free_blocks[slot], self._free_words[slot] = [], []
        self._given_up[slot].clear()

    def review(self, table: RoutingTable, names: Mapping[str, NameFigures], now: float) -> None:
        """
        Find out which labels no connection can have any more, and drop those that no worker counts for.

        :param table: the table in force.
        :param names: the addresses of the names of endpoints.
        :param now: the clock's seconds.
        """
        if table is not self._of_table.table:
            self._of_table = LabelsOfTable(table)
        open_ones = {
            labels
            for region, blocks in zip(self._regions, self._blocks, strict=True)
            for block, labels in blocks.items()
            if region[block + OPEN]
        }
        known, have = self._series.keys() | self._gone.keys(), self._of_table.have
        unused = (
            labels
            for labels in known
            if not is_listener(labels) and OTHER_LABEL not in labels[:2] and labels not in open_ones
            if not have(labels, names)
        )
        self._unused = {labels: self._unused.get(labels, now) for labels in unused}
        self._ending = _long_unused(self._unused, now)
        counting = {labels for blocks in self._blocks for labels in blocks.values()}
        for labels in self._ending - counting:
            self._series.pop(labels, None)
            self._gone.pop(labels, None)
        patterns = self._pattern_labels.keys() | self._gone_patterns.keys()
        unused_patterns = (
            labels for labels in patterns if labels != _OTHER_PATTERN and not self._of_table.have_pattern(labels)
        )
        self._unused_patterns = {labels: self._unused_patterns.get(labels, now) for labels in unused_patterns}
        self._ending_patterns = _long_unused(self._unused_patterns, now)
        counting_patterns = {labels for words in self._patterns for labels in words.values()}
        for labels_of_pattern in self._ending_patterns - counting_patterns:
            self._pattern_labels.pop(labels_of_pattern, None)
            self._gone_patterns.pop(labels_of_pattern, None)

    def series_to_end(self, slot: int) -> EndSeries | None:
        """Return the series that a worker has to end and those that it may use again, by the last review; or None."""
        series = list(islice(_those_of(self._blocks[slot], self._ending), FORGET_AT_ONCE))
        patterns = list(islice(_those_of(self._patterns[slot], self._ending_patterns), FORGET_AT_ONCE))
        blocks, self._free_blocks[slot] = self._free_blocks[slot], []
        words, self._free_words[slot] = self._free_words[slot], []
        return EndSeries(series, patterns, blocks, words) if series or patterns or blocks or words else None

    def series_ended(self, slot: int, blocks: Iterable[int], words: Iterable[int]) -> None:
        """Keep the values of blocks and words that a worker has given up, and clear them."""
        region = self._regions[slot]
        for block in blocks:
            labels = self._blocks[slot].pop(block)
            values = region[block : block + BLOCK].tolist()
            _add_words(self._gone, labels, values)
            self._given_up[slot][labels[0]] += sum(values[ENDED:])
            region[block : block + BLOCK] = _NO_WORDS
            self._free_blocks[slot].append(block)
        for word in words:
            pattern = self._patterns[slot].pop(word)
            self._gone_patterns[pattern] = self._gone_patterns.get(pattern, 0) + region[word]
            region[word] = 0
            self._free_words[slot].append(word)

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


_NO_WORDS: Final = memoryview(bytes(BLOCK * WORD)).cast("q")


def _long_unused(unused: Mapping[Labels, float], now: float) -> set[Labels]:
    return {labels for labels, since in unused.items() if now - since >= FORGET_AFTER}


def _those_of(taken: Mapping[int, Labels], ending: set[Labels]) -> Iterator[Labels]:
    return (labels for labels in taken.values() if labels in ending)


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
