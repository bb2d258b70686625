"""
The messages between the control process and a worker: plain values, all of them picklable.

The control process sends, in this order: :class:`Begin` once; then for each table its :class:`TableChunk` messages and
one :class:`TableComplete`; :class:`Listen` only after the table that has the listener. A worker answers
:class:`TableComplete` and :class:`StopListening`, and reports the rest when it changes.

If a worker read the edits of 10,000 routes at once, its connections would wait for a tenth of a second. So the edits of
a table travel in chunks of :data:`EDITS_IN_CHUNK`, of which a worker reads each in half a millisecond. One pickler
makes all chunks of a change, so that an object that occurs in several chunks is sent only once. Therefore chunks must
be unpacked in their order, all of them, by one :class:`Unpacker`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from meshgate.processes.service_log import Place
from meshgate.proxy.connection_counts import PatternLabels, SeriesLabels
from meshgate.proxy.serving import ServingSettings
from meshgate.resources.problem import Problem
from meshgate.routing.connection_policy import HealthCheck
from meshgate.routing.failing_endpoints import LeftOut
from meshgate.routing.table import ClusterKey, EndpointAddress, ListenerKey, RoutingTable
from meshgate.routing.table_edits import Edit, edits_between, gone_endpoints
from meshgate.transport.dns.resolver import NameFigures

SocketId = tuple[int, int]
"""One listening socket: the number of its port among all ever opened, and the index of the slot that it belongs to."""


# From the control process to a worker.


@dataclass(frozen=True, slots=True)
class Begin:
    """
    The first message. The memory of the shared counts comes with it, as a descriptor, and that of the counts of
    connections, if they are counted for metrics.

    :ivar slot: the index of the worker's slot, from 0, which is its row of the counts.
    :ivar slots: the number of slots.
    :ivar first_id: the number of the worker's first connection.
    :ivar seed: the seed of the shared counts.
    """

    settings: ServingSettings
    slot: int
    slots: int
    first_id: int
    seed: bytes


@dataclass(frozen=True, slots=True)
class TableChunk:
    """
    Some of the edits that lead from the worker's routing table to the next.

    :ivar edits: bytes for :class:`Unpacker`.
    """

    edits: bytes


@dataclass(frozen=True, slots=True)
class TableComplete:
    """
    The end of a table's chunks: serve the table, and answer :class:`TableInstalled`.

    :ivar dns_names: the names among the table's endpoints; None if they are those of the table before.
    :ivar gone_clusters: the clusters that the table before has, and this one has not.
    :ivar gone_endpoints: the endpoints that clusters of both tables have lost.
    """

    dns_names: frozenset[str] | None
    gone_clusters: frozenset[ClusterKey] = frozenset()
    gone_endpoints: Mapping[ClusterKey, frozenset[EndpointAddress]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listen:
    """Accept connections of a listener. Its socket comes with the message, as a descriptor."""

    id: SocketId
    key: ListenerKey


@dataclass(frozen=True, slots=True)
class StopListening:
    """
    Release a socket, and answer :class:`StoppedListening`.

    :ivar port_closes: accept what waits in the socket's queue first, since nobody else will. If False, another worker
        goes on with the socket and its queue.
    """

    id: SocketId
    port_closes: bool = False


@dataclass(frozen=True, slots=True)
class ApplySettings:
    """Apply new settings, and reopen the file of the access log."""

    settings: ServingSettings


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """
    The endpoints that are unhealthy by their active checks; all others are healthy.

    :ivar unhealthy: the endpoints of each check, as ``address:port``.
    """

    unhealthy: Mapping[HealthCheck, frozenset[str]]


@dataclass(frozen=True, slots=True)
class EndSeries:
    """
    Give up series and patterns that no connection by the table can have, and answer :class:`SeriesEnded`.

    :ivar series: their labels; a series with an open connection stays.
    :ivar patterns: the labels of the patterns.
    :ivar free_blocks: blocks that were given up before, and can be used again.
    :ivar free_words: the same for words of patterns.
    """

    series: list[SeriesLabels]
    patterns: list[PatternLabels]
    free_blocks: list[int]
    free_words: list[int]


@dataclass(frozen=True, slots=True)
class ReopenLog:
    """Reopen the file of the access log."""


@dataclass(frozen=True, slots=True)
class Drain:
    """
    Let all connections end, then the process.

    :ivar at_once: do not wait for bytes that connections still have to send.
    :ivar time: seconds until the last connection is closed.
    """

    at_once: bool = False
    time: float = 0.0


# From a worker to the control process.


@dataclass(frozen=True, slots=True)
class TableInstalled:
    """The worker serves the table of this generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class StoppedListening:
    """The worker has closed its copy of the socket."""

    id: SocketId


@dataclass(frozen=True, slots=True)
class ConnectionFigures:
    """
    Counts of a worker since its start.

    :ivar connections: the number of live connections.
    :ivar endings: the number of ended connections for each ending.
    :ivar left_out: the endpoints to which the worker makes no connections for a time.
    :ivar lost_lines: the number of lines of the access log that were lost.
    """

    connections: int = 0
    endings: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    lost_lines: int = 0


@dataclass(frozen=True, slots=True)
class NewSeries:
    """
    Blocks and words that the worker has taken in its region of :mod:`meshgate.proxy.connection_counts`.

    :ivar blocks: indexes of blocks, each with the labels of its series.
    :ivar patterns: indexes of words, each with the labels of its pattern.
    """

    blocks: list[tuple[int, SeriesLabels]]
    patterns: list[tuple[int, PatternLabels]]


@dataclass(frozen=True, slots=True)
class SeriesEnded:
    """
    Blocks and words to which the worker adds nothing any more.

    :ivar blocks: the indexes of the blocks.
    :ivar words: those of the words of patterns.
    """

    blocks: list[int]
    words: list[int]


@dataclass(frozen=True, slots=True)
class NameChanges:
    """
    The names of endpoints whose figures have changed.

    :ivar names: the figures of each; None for a name that no endpoint has any more.
    """

    names: Mapping[str, NameFigures | None]


@dataclass(frozen=True, slots=True)
class CurrentProblems:
    """The problems that the worker has now, all of them: they replace those it reported before."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """
    The worker got a signal that is meant for the gateway.

    :ivar number: the number of the signal.
    :ivar when: the moment when it came, in seconds of the monotonic clock.
    """

    number: int
    when: float


@dataclass(frozen=True, slots=True)
class LogLine:
    """
    An event for the program's log.

    :ivar level: the name of one of :class:`twisted.logger.LogLevel`.
    :ivar namespace: the name of the logger.
    :ivar facts: as :func:`meshgate.processes.service_log.facts_of` finds them.
    :ivar place: the line of code, where that is known.
    """

    level: str
    namespace: str
    text: str
    facts: Mapping[str, str | int]
    place: Place | None


EDITS_IN_CHUNK: Final = 50
"""The number of edits that a worker reads at once."""


def pack_edits(edits: Iterable[Edit]) -> Iterator[bytes]:
    """Pack edits into chunks, each of them a list, for one :class:`Unpacker`."""
    packer = Packer()
    remaining = iter(edits)
    while chunk := list(islice(remaining, EDITS_IN_CHUNK)):
        yield packer.pack(chunk)


class PackedTables:
    """Packs the edits between tables. Most workers have the same table, so that packing once is enough."""

    def __init__(self) -> None:
        self._tables: tuple[RoutingTable | None, RoutingTable] | None = None
        self._packed: tuple[Sequence[bytes], TableComplete]

    def between(self, before: RoutingTable | None, after: RoutingTable) -> tuple[Sequence[bytes], TableComplete]:
        """
        Return edits that lead a worker from one table to the next, in chunks, and the message that ends them.

        :param before: None for a worker that has no table yet.
        """
        if self._tables is None or self._tables[0] is not before or self._tables[1] is not after:
            chunks = list(pack_edits(edits_between(before or RoutingTable(), after)))
            self._tables, self._packed = (before, after), (chunks, _complete(before, after))
        return self._packed


def _complete(before: RoutingTable | None, after: RoutingTable) -> TableComplete:
    """The end of the edits between two tables, with what a worker would have to walk through all routes for."""
    names = after.dns_names()
    if before is None:
        return TableComplete(names)
    return TableComplete(
        None if before.dns_names() == names else names,
        before.clusters() - after.clusters(),
        gone_endpoints(before, after),
    )


class Packer:
    """Packs the chunks of one change."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._pickler = pickle.Pickler(self._buffer, pickle.HIGHEST_PROTOCOL)

    def pack(self, content: object) -> bytes:
        """Pack an object as the next chunk."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._pickler.dump(content)
        return self._buffer.getvalue()


class Unpacker:
    """Unpacks the chunks of one :class:`Packer`."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._unpickler = pickle.Unpickler(self._buffer)  # noqa: S301 -- both ends are ours

    def unpack(self, chunk: bytes) -> Any:
        """Unpack the next chunk."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._buffer.write(chunk)
        self._buffer.seek(0)
        return self._unpickler.load()
