"""
The messages between the control process and a worker: plain values, all of them picklable.

The control process sends, in this order: :class:`Begin` once; then for each table its :class:`TableChunk` messages and
one :class:`TableComplete`; :class:`Listen` only after the table that has the listener. A worker answers
:class:`TableComplete` and :class:`StopListening`, and reports the rest when it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshgate.proxy.serving import ServingSettings
from meshgate.resources.problem import Problem
from meshgate.routing.outliers import LeftOut
from meshgate.routing.table import ListenerKey
from meshgate.transport.dns.name_cache import NameFigures

SocketId = tuple[int, int]
"""One listening socket: the number of its port among all ever opened, and the index of the slot that it belongs to."""


# From the control process to a worker.


@dataclass(frozen=True, slots=True)
class Begin:
    """
    The first message. The memory of the shared counts comes with it, as a descriptor.

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

    :ivar edits: bytes for :class:`~meshgate.workers.table_chunks.Unpacker`.
    """

    edits: bytes


@dataclass(frozen=True, slots=True)
class TableComplete:
    """
    The end of a table's chunks: serve the table, and answer :class:`TableInstalled`.

    :ivar dns_names: the names among the table's endpoints; None if they are those of the table before.
    """

    dns_names: frozenset[str] | None


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
class ReopenLog:
    """Reopen the file of the access log."""


@dataclass(frozen=True, slots=True)
class Drain:
    """
    End all connections, then the process.

    :ivar at_once: do not wait for bytes that connections still have to send.
    """

    at_once: bool = False


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
    """

    connections: int = 0
    endings: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


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
    A line for the program's log.

    :ivar level: the name of one of :class:`twisted.logger.LogLevel`.
    """

    level: str
    text: str
