"""What the parent and a worker say to each other. Values only; all of them picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshgate.proxy.serving import ServingSettings
from meshgate.resources.problem import Problem
from meshgate.routing.outliers import LeftOut
from meshgate.routing.table import ListenerKey
from meshgate.transport.dns.name_cache import NameFigures

SocketId = tuple[int, int]
"""One listening socket: the number of its port among all ever opened, and its number among the sockets of the port."""


# From the parent to a worker.


@dataclass(frozen=True, slots=True)
class Begin:
    """
    The first message. With it comes the memory of the shared counts, as a descriptor.

    :ivar place: which row of the counts is the worker's, from 0.
    :ivar places: how many workers there are.
    :ivar first_id: the number of its first connection.
    :ivar seed: of the shared counts.
    """

    settings: ServingSettings
    place: int
    places: int
    first_id: int
    seed: bytes


@dataclass(frozen=True, slots=True)
class TablePart:
    """
    A part of what changes in the routing table.

    :ivar edits: as :class:`~meshgate.workers.table_chunks.Unpacker` takes them.
    """

    edits: bytes


@dataclass(frozen=True, slots=True)
class TableComplete:
    """
    All parts were sent: the table is to be served, and :class:`Installed` to be answered.

    :ivar dns_names: the names of its endpoints; None where they are those of the table before.
    """

    dns_names: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Listen:
    """Accept connections of a listener. The socket comes with it, as a descriptor."""

    id: SocketId
    key: ListenerKey


@dataclass(frozen=True, slots=True)
class Unlisten:
    """
    Let go of a socket, and answer :class:`Unlistened`.

    :ivar for_good: the port closes; else another worker goes on with the socket, and with what waits there.
    """

    id: SocketId
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class Renew:
    """Take new settings, and open the access log's file anew."""

    settings: ServingSettings


@dataclass(frozen=True, slots=True)
class ReopenLog:
    """Open the access log's file anew."""


@dataclass(frozen=True, slots=True)
class Drain:
    """
    End all connections, then yourself.

    :ivar at_once: without waiting for what the connections still have to send.
    """

    at_once: bool = False


# From a worker to the parent.


@dataclass(frozen=True, slots=True)
class Installed:
    """The table of this generation is served."""

    generation: int


@dataclass(frozen=True, slots=True)
class Unlistened:
    """The socket is not held any more."""

    id: SocketId


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What a worker has done so far.

    :ivar connections: how many live.
    :ivar endings: how many have ended, by the word for how.
    :ivar left_out: the endpoints that get no connections from it for a time.
    """

    connections: int = 0
    endings: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class NameNews:
    """
    What is new of the names of endpoints.

    :ivar names: None for those that are gone.
    """

    names: Mapping[str, NameFigures | None]


@dataclass(frozen=True, slots=True)
class Troubles:
    """All that is wrong now, as far as the worker knows."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Signalled:
    """
    The worker got a signal that is meant for the gateway.

    :ivar number: of the signal.
    :ivar when: it came, on the monotonic clock.
    """

    number: int
    when: float


@dataclass(frozen=True, slots=True)
class Said:
    """
    A line for the log.

    :ivar level: the name of one of :class:`twisted.logger.LogLevel`.
    """

    level: str
    text: str
