"""
The counts of a worker's connections, for metrics: plain integers in memory that the control process reads.

The problem: a count must cost a connection next to nothing, a worker must not be held while somebody reads thousands of
counts, and strangers must not be able to make their number grow.

The approach: each worker has a region of memory that it alone changes, without locks, and the control process reads it
whenever it likes. A region has a few words of the worker itself, a word for each name pattern of the routes, and a
block of words for each series: a listener, and the Gateway, the VirtualService, the destination and the endpoint of its
connections. The first connection of a series takes the next block; :meth:`ConnectionCounts.news` tells the control
process whose block it is. When the control process finds that no connection can have the labels of a block any more,
the worker gives it up (:meth:`ConnectionCounts.end_series`), and gets it back once the control process has read and
cleared it (:meth:`ConnectionCounts.take_back`).

The invariants: a counter never goes down while its worker lives; the control process keeps the last values of a worker
that is gone. No label is chosen by a client: a server name counts under the pattern of the route that it has matched.
If all blocks are taken, connections count under the labels ``other``, and :data:`OTHER` says how many those were.

To add a counter of connections, add its word to the block, its family to :mod:`meshgate.metrics.metric_families`, and a
row to ``_COUNTERS`` of :mod:`meshgate.metrics.gateway_metrics`. A new ending needs nothing: all endings have a word
each. A counter of the worker as a whole takes the next word of the head, and a row in ``_WORKER_COUNTERS`` there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from mmap import mmap
from typing import Any, Final

from meshgate.compiled import c_form
from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord

SeriesLabels = tuple[str, str, str, str, str]
"""Listener, Gateway, VirtualService, destination and endpoint; empty where there was none."""

PatternLabels = tuple[str, str]
"""Listener, and the server name or wildcard that a route names; ``*`` for a chain that takes all names."""

WORD: Final = 8
"""Bytes of a word."""

MOST_SERIES: Final = 5_000
"""The number of series with an endpoint or a route that are told apart. One has some 25 lines in the metrics."""

MOST_LISTENERS: Final = 500
"""The number of listeners that are told apart; each has a block of its own, and one for ``other``."""

MOST_PATTERNS: Final = 20_000
"""The number of patterns of server names that are told apart, over all listeners."""

OTHER_LABEL: Final = "other"
"""The label of what is not told apart any more."""

SECONDS: Final[tuple[float, ...]] = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Upper bounds of the buckets of the times until something happens, in seconds."""

DURATIONS: Final[tuple[float, ...]] = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
"""The same for the durations of connections."""

# The words of a block. A histogram has its sum, in microseconds, then a word for each bucket, and one for the rest.
OPENED: Final = 0
"""Connections accepted, in the block of a listener; else those joined with the endpoint."""
OPEN: Final = 1
"""Of the connections joined with the endpoint, those that are open. The one word that goes down."""
BYTES_IN: Final = 2
BYTES_OUT: Final = 3
DIAL_FAILURES: Final = 4
EJECTIONS: Final = 5
HELLO: Final = 6
DIAL: Final = HELLO + 2 + len(SECONDS)
FIRST_BYTE: Final = DIAL + 2 + len(SECONDS)
DURATION: Final = FIRST_BYTE + 2 + len(SECONDS)
ENDED: Final = DURATION + 2 + len(DURATIONS)
ENDINGS: Final = tuple(Ending)
"""The endings, in the order of their words."""
BLOCK: Final = ENDED + len(ENDINGS)
"""Words of a block."""

DRY_ENDINGS: Final = (Ending.DENIED, Ending.OVER_RATE, Ending.OVER_LIMIT)
"""The endings of which there are dry runs."""

# The words of a worker.
OTHER: Final = 0
"""Connections that count under ``other``, since all blocks are taken."""
OTHER_PATTERNS: Final = 1
"""Connections whose pattern counts under ``other``."""
WOULD_REFUSE: Final = 2
"""Three words: connections that a dry run would have refused, by :data:`DRY_ENDINGS`."""
# Words 5 to 7 are free.
LAG: Final = 8
"""A histogram of the seconds by which the reactor was late for a timer."""
HEAD: Final = LAG + 2 + len(SECONDS)

PATTERNS: Final = HEAD
"""The first pattern's word, which is that of ``other``."""
BLOCKS: Final = PATTERNS + 1 + MOST_PATTERNS
"""The first block, which is that of ``other`` for all listeners that are not told apart."""
OTHER_LISTENERS: Final = BLOCKS + BLOCK
"""The block of these listeners for connections that have no route yet."""
_FIRST_BLOCK: Final = OTHER_LISTENERS + BLOCK
_REGION: Final = _FIRST_BLOCK + BLOCK * (MOST_SERIES + 2 * MOST_LISTENERS)

_ENDING_WORD: Final[dict[Ending | None, int]] = {ending: ENDED + index for index, ending in enumerate(ENDINGS)}


def region_bytes() -> int:
    """Return the bytes of a worker's region. Those that are never written take no memory."""
    return _REGION * WORD


class PlainWords:
    """
    Words that are added to. ``_counts.c`` has a twin of this class.

    :param memory: bytes that can be written.
    """

    def __init__(self, memory: Any) -> None:
        self._words = memoryview(memory).cast("B").cast("q")

    def add(self, first: int, *pairs: int) -> None:
        """Add to several words: each index, counted from a first word, is followed by the number to add."""
        words = self._words
        for position in range(0, len(pairs), 2):
            words[first + pairs[position]] += pairs[position + 1]


_words: Any = c_form("meshgate.proxy._counts", "Words") or PlainWords


class ConnectionCounts:
    """
    The counts, as their worker writes them.

    :param memory: the worker's region: :func:`region_bytes` bytes of zeros.
    """

    def __init__(self, memory: bytearray | mmap | memoryview) -> None:
        self._add: Any = _words(memory).add
        self._words = memoryview(memory).cast("B").cast("q")
        self._blocks: dict[SeriesLabels, int] = {}
        self._others: dict[str, int] = {}
        self._patterns: dict[PatternLabels, int] = {}
        # Blocks and words that the control process has not cleared yet still count.
        self._series = self._taken_patterns = 0
        self._next_block, self._next_pattern = _FIRST_BLOCK, PATTERNS + 1
        self._free_blocks: list[int] = []
        self._free_patterns: list[int] = []
        self._new_blocks: list[tuple[int, SeriesLabels]] = []
        self._new_patterns: list[tuple[int, PatternLabels]] = []

    def listener_block(self, listener: str) -> int:
        """Return the block of a listener's connections that have no route yet."""
        labels = (listener, "", "", "", "")
        block = self._blocks.get(labels)
        if block is None:
            if len(self._others) < MOST_LISTENERS:
                block = self._take_block(labels)
                self._others[listener] = self._take_block((listener, *(OTHER_LABEL,) * 4))
            else:
                block = OTHER_LISTENERS
            self._blocks[labels] = block
        return block

    def opened(self, listener_block: int) -> None:
        """Count an accepted connection."""
        self._add(listener_block, OPENED, 1)

    def pattern(self, listener: str, pattern: str) -> int:
        """Return the word of a pattern of server names. Keep it: the look-up costs more than the counting."""
        labels = (listener, pattern)
        word = self._patterns.get(labels)
        if word is None:
            word = PATTERNS
            if self._taken_patterns < MOST_PATTERNS:
                self._taken_patterns += 1
                word = self._patterns[labels] = self._take_pattern()
                self._new_patterns.append((word, labels))
        return word

    def matched(self, word: int) -> None:
        """Count a connection whose server name has matched the pattern of a word."""
        if word == PATTERNS:
            self._add(0, word, 1, OTHER_PATTERNS, 1)
        else:
            self._add(word, 0, 1)

    def joined(self, record: ConnectionRecord) -> None:
        """Count a connection that is joined with its endpoint."""
        block = record.block = self._block_of(record, record.endpoint, 1)
        dial, hello = record.dial or 0.0, record.hello
        index = DIAL + 1 + seconds_bucket(dial)
        microseconds = int(dial * 1e6)
        if hello is None:
            self._add(block, OPENED, 1, OPEN, 1, DIAL, microseconds, index, 1)
        else:
            self._add(
                block, OPENED, 1, OPEN, 1, DIAL, microseconds, index, 1,
                HELLO, int(hello * 1e6), HELLO + 1 + seconds_bucket(hello), 1,
            )  # fmt: skip

    def progressed(self, record: ConnectionRecord) -> None:
        """Count the bytes that a joined connection has moved since it was counted last, and its first byte."""
        block = record.block
        if block >= 0:
            # A record may take back bytes that the client has not acknowledged; a counter takes nothing back.
            come = max(0, record.bytes_in - record.counted_in)
            gone = max(0, record.bytes_out - record.counted_out)
            if come or gone:
                record.counted_in += come
                record.counted_out += gone
                self._add(block, BYTES_IN, come, BYTES_OUT, gone)
            self._count_first_byte(record, block)

    def ended(self, record: ConnectionRecord) -> None:
        """Count a connection that has ended; its record is complete."""
        block, duration = record.block, record.duration
        if block < 0:
            block = self._block_of(record, record.endpoint, 1)
            hello = record.hello
            if hello is not None:
                self._add(block, HELLO, int(hello * 1e6), HELLO + 1 + seconds_bucket(hello), 1)
            closed = 0
        else:
            closed = -1
            self._count_first_byte(record, block)
        come = max(0, record.bytes_in - record.counted_in)
        gone = max(0, record.bytes_out - record.counted_out)
        record.counted_in += come
        record.counted_out += gone
        self._add(
            block, OPEN, closed, BYTES_IN, come, BYTES_OUT, gone, DURATION, int(duration * 1e6),
            DURATION + 1 + _duration_bucket(duration), 1, _ENDING_WORD[record.ending], 1,
        )  # fmt: skip

    def would_refuse(self, ending: Ending) -> None:
        """Count a connection that would have ended this way if this were no dry run."""
        self._add(WOULD_REFUSE, DRY_ENDINGS.index(ending), 1)

    def dial_failed(self, record: ConnectionRecord, endpoint: str) -> None:
        """Count a failed dial of an endpoint."""
        self._add(self._block_of(record, endpoint, 0), DIAL_FAILURES, 1)

    def endpoint_ejected(self, record: ConnectionRecord, endpoint: str) -> None:
        """Count an ejection of an endpoint, to which this connection was the last failure."""
        self._add(self._block_of(record, endpoint, 0), EJECTIONS, 1)

    def late(self, seconds: float) -> None:
        """Count a timer that has fired late by so many seconds, if not 0."""
        self._add(LAG, 0, int(seconds * 1e6), 1 + seconds_bucket(seconds), 1)

    def news(self) -> tuple[list[tuple[int, SeriesLabels]], list[tuple[int, PatternLabels]]]:
        """Return the blocks and the words of patterns that were taken since the last call, with their labels."""
        blocks, patterns = self._new_blocks, self._new_patterns
        self._new_blocks, self._new_patterns = [], []
        return blocks, patterns

    def end_series(
        self, series: Iterable[SeriesLabels], patterns: Iterable[PatternLabels]
    ) -> tuple[list[int], list[int]]:
        """
        Give up series without an open connection, and patterns of which nobody keeps the word any more.

        :return: their blocks and words, to which nothing is added until they are taken back.
        """
        blocks: list[int] = []
        for labels in series:
            block = self._blocks.get(labels)
            if block is not None and not self._words[block + OPEN]:
                del self._blocks[labels]
                blocks.append(block)
        words = [self._patterns.pop(labels) for labels in patterns if labels in self._patterns]
        return blocks, words

    def take_back(self, blocks: Sequence[int], words: Sequence[int]) -> None:
        """Use blocks and words again that were given up, and are cleared now."""
        self._series -= len(blocks)
        self._free_blocks += blocks
        self._taken_patterns -= len(words)
        self._free_patterns += words

    def _count_first_byte(self, record: ConnectionRecord, block: int) -> None:
        first_byte = record.first_byte
        if first_byte is not None and not record.first_byte_counted:
            record.first_byte_counted = True
            self._add(block, FIRST_BYTE, int(first_byte * 1e6), FIRST_BYTE + 1 + seconds_bucket(first_byte), 1)

    def _block_of(self, record: ConnectionRecord, endpoint: str, connections: int) -> int:
        """Return the block of a series; if it is that of ``other``, count that many connections there."""
        labels = (record.listener, record.gateway, record.virtual_service, record.destination, endpoint)
        block = self._blocks.get(labels)
        if block is None:
            if self._series >= MOST_SERIES:
                self._add(OTHER, 0, connections)
                return self._others.get(record.listener, BLOCKS)
            self._series += 1
            block = self._blocks[labels] = self._take_block(labels)
        return block

    def _take_block(self, labels: SeriesLabels) -> int:
        if self._free_blocks:
            block = self._free_blocks.pop()
        else:
            block = self._next_block
            self._next_block += BLOCK
        self._new_blocks.append((block, labels))
        return block

    def _take_pattern(self) -> int:
        if self._free_patterns:
            return self._free_patterns.pop()
        self._next_pattern += 1
        return self._next_pattern - 1


def seconds_bucket(seconds: float) -> int:
    """Return the index of the bucket of :data:`SECONDS` for a time. Comparisons cost less than a search here."""
    if seconds <= 0.001:
        return 0
    if seconds <= 0.005:
        return 1
    if seconds <= 0.025:
        return 2
    if seconds <= 0.1:
        return 3
    if seconds <= 0.5:
        return 4
    return 5 if seconds <= 2.5 else 6 if seconds <= 10.0 else 7


def _duration_bucket(seconds: float) -> int:
    """Return the index of the bucket of :data:`DURATIONS` for a duration."""
    if seconds <= 0.1:
        return 0
    if seconds <= 1.0:
        return 1
    if seconds <= 10.0:
        return 2
    return 3 if seconds <= 60.0 else 4 if seconds <= 600.0 else 5 if seconds <= 3600.0 else 6
