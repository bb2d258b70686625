"""
What traffic policies come to for connections: the records of them that stand in the routing table.

Immutable and picklable, as the table. Knows nothing of the resources they come from, save how these are called.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Algorithm(enum.StrEnum):
    """How an endpoint is chosen."""

    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"
    RING_HASH = "RING_HASH"
    MAGLEV = "MAGLEV"


@dataclass(frozen=True, slots=True)
class Balancing:
    """
    How an endpoint is chosen.

    :ivar size: of a ring, how many points it has at least; of a Maglev table, how many entries. 0 for the others.
    """

    algorithm: Algorithm = Algorithm.LEAST_REQUEST
    size: int = 0


@dataclass(frozen=True, slots=True)
class Keepalive:
    """
    Probes on idle connections; where something is 0, the system's own value counts.

    :ivar probes: lost ones that end the connection.
    :ivar time: seconds of silence before the first.
    :ivar interval: seconds between two.
    """

    probes: int = 0
    time: int = 0
    interval: int = 0


@dataclass(frozen=True, slots=True)
class Outliers:
    """
    When endpoints that cannot be connected to are left out.

    :ivar failures: so many in a row.
    :ivar interval: seconds between two looks at those that are out.
    :ivar base: seconds for which one is out, times how often it was out lately.
    :ivar most: percent of the endpoints that are out at the most.
    :ivar panic: percent; with fewer endpoints left, all are used.
    """

    failures: int
    interval: float
    base: float
    most: int
    panic: int


@dataclass(frozen=True, slots=True)
class UpstreamPolicy:
    """
    How the connections to a destination are made, after its subset's and port's policies.

    :ivar connect_timeout: seconds for one attempt; None for the gateway's own.
    :ivar keepalive: None to leave it as the transport has it.
    :ivar max_connections: how many at once; None for as many as there are.
    :ivar origin: the policies it was made of, for people, without lines, which change with everything above them;
        empty for none.
    """

    connect_timeout: float | None = None
    keepalive: Keepalive | None = None
    max_connections: int | None = None
    balancing: Balancing = Balancing()
    outliers: Outliers | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionPolicy:
    """
    How the connections of a chain are treated. It comes from the first destination, whichever of them is chosen
    (Istio, pilot/pkg/networking/core/networkfilter.go).

    :ivar idle: seconds without a byte; 0 for no limit, None for the gateway's own.
    :ivar max_duration: seconds from the choice of the route; None for no limit.
    :ivar by_source: the client's address is what hashing balancers choose by; without it they choose by chance.
    :ivar origin: as :attr:`UpstreamPolicy.origin`.
    """

    idle: float | None = None
    max_duration: float | None = None
    by_source: bool = False
    origin: str = ""


NO_UPSTREAM_POLICY = UpstreamPolicy()
"""Of a destination without a DestinationRule."""

NO_CONNECTION_POLICY = ConnectionPolicy()
"""Of a chain whose first destination has no DestinationRule."""
