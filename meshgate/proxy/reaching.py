"""
Reaching a destination: the names of its endpoints resolved, one endpoint after the other dialed.

Knows endpoints, attempts and what their failures are called; knows nothing of the client that waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import DeferredList

from meshgate.proxy.clusters import Slot
from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord
from meshgate.proxy.relay import Upstream
from meshgate.routing.connection_policy import NO_UPSTREAM_POLICY
from meshgate.routing.places import Place
from meshgate.routing.table import Destination
from meshgate.transport.dialing import Attempt, DialError, DialLoop, DialRefused, DialTimeout, LocalShortage
from meshgate.transport.keepalive import keep_alive
from meshgate.transport.wheel import Timer

if TYPE_CHECKING:
    from meshgate.proxy.dataplane import Dataplane


_NO_ENDPOINT: Final = Ending.NO_ENDPOINT
_NO_POLICY: Final = NO_UPSTREAM_POLICY

_ENDINGS: Final[dict[type[DialError], Ending]] = {
    DialRefused: Ending.DIAL_REFUSED,
    DialTimeout: Ending.DIAL_TIMEOUT,
    DialLoop: Ending.LOOP,
    LocalShortage: Ending.LOCAL_SHORTAGE,
}


class Waiting:
    """
    Who waits for an endpoint.

    :ivar record: gets the destination, the endpoint last tried, and how long dialing took.
    """

    record: ConnectionRecord

    def first(self) -> bytes:
        """What the client has said so far; it is sent to whoever answers."""
        raise NotImplementedError

    def reached(self, upstream: Upstream) -> None:
        """There is an endpoint."""
        raise NotImplementedError

    def not_reached(self, ending: Ending) -> None:
        """There is none."""
        raise NotImplementedError


class Reach(Slot):
    """
    The search for an endpoint that answers, for one connection; after that, its part in the counts, which is to be
    freed when the connection is gone.

    :param waiting: told of the outcome, once, unless it cancels.
    :param source: the client's address, where the endpoint is chosen by it.
    """

    __slots__ = (
        "_attempts_left",
        "_candidates",
        "_dataplane",
        "_dialing",
        "_first_dial_at",
        "_policy",
        "_record",
        "_resolving",
        "_source",
        "_waiting",
    )

    _attempts_left: int
    _candidates: Iterator[Place]

    def __init__(self, dataplane: Dataplane, destination: Destination, waiting: Waiting, source: str | None) -> None:
        self._cluster = cluster = dataplane.clusters.of(destination)
        self._counted = False
        self._place = None
        self._dataplane = dataplane
        self._policy = destination.policy
        self._source = source
        self._waiting: Waiting | None = waiting
        self._resolving: Timer | None = None
        self._dialing: Attempt | None = None
        self._record = record = waiting.record
        record.destination = cluster.name

    def start(self) -> None:
        """Begin: at once where the addresses are known, else when their names are resolved."""
        names = self._cluster.names
        if names:
            resolver = self._dataplane.resolver
            unknown = [name for name in names if resolver.known(name) is None]
            if unknown:
                # The answers are for everybody: this connection stops waiting for them, and never cancels them.
                self._resolving = self._dataplane.wheel.callLater(self._timeout(), self._resolved)
                DeferredList([resolver.resolve(name) for name in unknown]).addCallback(lambda _: self._resolved())
                return
        self._dial_first()

    def cancel(self) -> None:
        """Give up; nothing happens if the endpoint is there already."""
        if self._waiting is None:
            return
        self._waiting = None
        self._stop_waiting()
        dialing, self._dialing = self._dialing, None
        if dialing is not None:
            dialing.cancel()
        self.free()

    def _timeout(self) -> float:
        own = None if self._policy is _NO_POLICY else self._policy.connect_timeout
        return self._dataplane.limits.connect_timeout if own is None else own

    def _stop_waiting(self) -> None:
        waiting, self._resolving = self._resolving, None
        if waiting is not None:
            waiting.cancel()

    def _resolved(self) -> None:
        if self._resolving is not None:
            self._stop_waiting()
            self._dial_first()

    def _dial_first(self) -> None:
        plane = self._dataplane
        if self._cluster.full:
            self._fail(Ending.OVER_LIMIT)
            return
        self.take()
        self._first_dial_at = now = plane.seconds()
        self._candidates = self._cluster.candidates(plane.resolver.known, self._source, plane.rng, now)
        self._attempts_left = plane.limits.dial_attempts
        self._dial_next(_NO_ENDPOINT)

    def _dial_next(self, otherwise: Ending) -> None:
        """Dial the next endpoint, or fail if there is none left."""
        waiting = self._waiting
        if waiting is None:
            return
        place = next(self._candidates, None) if self._attempts_left else None
        self._attempts_left -= 1
        if place is None:
            self._fail(otherwise)
            return
        self.move(place)
        self._record.endpoint = place.name
        dialing = self._dataplane.network.dial(
            place.address, place.port, Upstream(), self._timeout(), waiting.first(), self
        )
        if dialing is not None:
            self._dialing = dialing

    def _fail(self, ending: Ending) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.free()
            waiting.not_reached(ending)

    # For the network.

    def dialed(self, upstream: Upstream) -> None:
        """An endpoint has answered."""
        waiting, self._waiting = self._waiting, None
        self._dialing = None
        if waiting is None:
            return
        self._record.dial = self._dataplane.seconds() - self._first_dial_at
        self.succeeded()
        if self._policy is not _NO_POLICY and self._policy.keepalive is not None:
            transport: Any = upstream.transport
            keep_alive(transport.getHandle(), self._policy.keepalive)
        waiting.reached(upstream)

    def dial_failed(self, error: DialError) -> None:
        """An endpoint has not answered."""
        self._dialing = None
        self._record.note_dial_error(error.name)
        ending = _ENDINGS[type(error)]
        if not error.ours:
            self.failed(self._dataplane.seconds())
        if error.hopeless:
            self._fail(ending)
        else:
            self._dial_next(ending)
