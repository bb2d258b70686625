"""
Connection policies: the effect of DestinationRules' traffic policies on connections, as records of the routing table.

The records are immutable and picklable, as the table is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from meshgate.routing.proxy_headers import HeaderForEndpoint


class Algorithm(enum.StrEnum):
    """Balancing algorithms, as :mod:`meshgate.routing.balance` has them."""

    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"
    RING_HASH = "RING_HASH"
    MAGLEV = "MAGLEV"


@dataclass(frozen=True, slots=True)
class Warmup:
    """
    The slow start of new endpoints.

    :ivar duration: seconds for which an endpoint is new.
    :ivar least: its share at the beginning, from 0 to 1 of its full share.
    :ivar aggression: how fast the share grows: 1 is even, more is faster at first.
    """

    duration: float
    least: float
    aggression: float


@dataclass(frozen=True, slots=True)
class Balancing:
    """
    The algorithm by which a destination's endpoints are chosen.

    :ivar size: the least number of points of a ring, or the number of entries of a Maglev table; 0 for the others.
    :ivar shares: the weights of localities, by the name that endpoints have as theirs; empty if they do not matter.
    :ivar warmup: None if new endpoints get their full share at once.
    """

    algorithm: Algorithm = Algorithm.LEAST_REQUEST
    size: int = 0
    shares: tuple[tuple[str, int], ...] = ()
    warmup: Warmup | None = None


@dataclass(frozen=True, slots=True)
class Keepalive:
    """
    TCP keepalive of idle connections; 0 stands for the system's own value.

    :ivar probes: the number of unanswered probes that ends the connection.
    :ivar time: seconds of silence before the first probe.
    :ivar interval: seconds between two probes.
    """

    probes: int = 0
    time: int = 0
    interval: int = 0


@dataclass(frozen=True, slots=True)
class Outliers:
    """
    The settings of outlier detection (see :mod:`meshgate.routing.failing_endpoints`).

    :ivar failures: the number of failed connections in a row that ejects an endpoint.
    :ivar interval: seconds between two checks of the ejected endpoints.
    :ivar base: seconds of the first ejection; later ones are multiples of it.
    :ivar most: the largest percentage of the endpoints that may be ejected.
    :ivar panic: a percentage; if fewer endpoints are left, all are used.
    """

    failures: int
    interval: float
    base: float
    most: int
    panic: int


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """
    The active check of a destination's endpoints; see :class:`meshgate.resources.kinds.health_check.HealthCheckForm`.

    :ivar protocol: ``tcp``, ``tls``, ``http`` or ``https``.
    :ivar port: 0 for the endpoint's own.
    :ivar name: the server name, and the Host of a request; empty for none.
    :ivar status: the first and the last status of a good answer.
    :ivar interval: seconds from one check to the next.
    :ivar jitter: the percentage by which chance changes each interval, at the most.
    :ivar timeout: seconds for one check.
    :ivar rise: the number of checks that have to succeed in a row.
    :ivar fall: the number of checks that have to fail in a row.
    :ivar ends: True to end the connections of an endpoint that gets unhealthy.
    :ivar panic: a percentage; if fewer endpoints are healthy, all are used.
    """

    protocol: str = "tcp"
    port: int = 0
    name: str = ""
    path: str = "/"
    status: tuple[int, int] = (200, 399)
    send: bytes = b""
    expect: bytes = b""
    interval: float = 10.0
    jitter: int = 10
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3
    ends: bool = False
    panic: int = 0


@dataclass(frozen=True, slots=True)
class UpstreamPolicy:
    """
    The policy for connections to a destination; it includes the policies of its subset and port.

    :ivar connect_timeout: seconds for one dial; None for the timeout in the gateway's settings.
    :ivar keepalive: None to leave keepalive as the transport has it.
    :ivar max_connections: the most connections at once, over all workers; None for no limit.
    :ivar outliers: None for no outlier detection.
    :ivar header: the PROXY header that endpoints get; None for none.
    :ivar bandwidth: bytes that all connections to the destination may move in a second, each way; 0 for no limit.
    :ivar check: the active check of the endpoints; None for none.
    :ivar origin: the DestinationRules behind the policy, as text for people; empty for none. It names no lines, since
        any edit above a line changes its number.
    """

    connect_timeout: float | None = None
    keepalive: Keepalive | None = None
    max_connections: int | None = None
    balancing: Balancing = Balancing()
    outliers: Outliers | None = None
    header: HeaderForEndpoint | None = None
    bandwidth: int = 0
    check: HealthCheck | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionPolicy:
    """
    The policy for connections of a chain. It is that of the chain's first destination, whichever destination is chosen
    (Istio, pilot/pkg/networking/core/networkfilter.go).

    :ivar idle: seconds without a byte after which a connection is closed; 0 for no limit, None for the timeout in the
        gateway's settings.
    :ivar max_duration: seconds after the choice of the route at which a connection is closed; None for no limit.
    :ivar by_source: True if hashing algorithms hash the client's address; otherwise they choose at random.
    :ivar origin: as :attr:`UpstreamPolicy.origin`.
    """

    idle: float | None = None
    max_duration: float | None = None
    by_source: bool = False
    origin: str = ""


NO_UPSTREAM_POLICY = UpstreamPolicy()
"""The policy of a destination without a DestinationRule."""

NO_CONNECTION_POLICY = ConnectionPolicy()
"""The policy of a chain whose first destination has no DestinationRule."""
