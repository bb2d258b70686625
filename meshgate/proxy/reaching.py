"""
Reaching a destination: the names of its endpoints resolved, one endpoint after the other dialed.

Knows endpoints, attempts and what their failures are called; knows nothing of the client that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from meshgate.proxy.clusters import Slot
from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord
from meshgate.proxy.relay import Upstream
from meshgate.routing.balance import Place
from meshgate.routing.table import Destination
from meshgate.transport.dialing import DialTimeout, dial
from meshgate.transport.keepalive import keep_alive

if TYPE_CHECKING:
    from meshgate.proxy.dataplane import Dataplane


class Reach:
    """
    The search for an endpoint that answers, for one connection.

    :param source: the client's address, where the endpoint is chosen by it.
    :param record: gets the endpoint last tried, and how long dialing took.
    :param connected: called with the connected endpoint and its place in the counts, which is to be freed when the
        connection is gone; or else
    :param failed: with why there is none. Neither is called after :meth:`cancel`.
    """

    def __init__(
        self,
        dataplane: Dataplane,
        destination: Destination,
        source: str | None,
        record: ConnectionRecord,
        connected: Callable[[Upstream, Slot], None],
        failed: Callable[[Ending], None],
    ) -> None:
        self._dataplane = dataplane
        self._policy = destination.policy
        self._cluster = dataplane.clusters.of(destination)
        self._source = source
        self._record = record
        self._connected = connected
        self._failed = failed
        self._candidates: Iterator[Place] = iter(())
        self._slot = Slot(self._cluster)
        self._first_dial_at = 0.0
        self._resolving: IDelayedCall | None = None
        self._dialing: Deferred[Upstream] | None = None

    def start(self) -> None:
        """Begin: at once where the addresses are known, else when their names are resolved."""
        resolver = self._dataplane.resolver
        unknown = [name for name in self._cluster.names if resolver.known(name) is None]
        if not unknown:
            self._dial_first()
            return
        # The answers are for everybody: this connection stops waiting for them, and never cancels them.
        self._resolving = self._dataplane.reactor.callLater(self._timeout(), self._resolved)
        DeferredList([resolver.resolve(name) for name in unknown]).addCallback(lambda _: self._resolved())

    def cancel(self) -> None:
        """Give up."""
        self._stop_waiting()
        if self._dialing is not None:
            self._dialing.cancel()
        self._slot.free()

    def _timeout(self) -> float:
        own = self._policy.connect_timeout
        return self._dataplane.limits.connect_timeout if own is None else own

    def _stop_waiting(self) -> None:
        waiting, self._resolving = self._resolving, None
        if waiting is not None and waiting.active():
            waiting.cancel()

    def _resolved(self) -> None:
        if self._resolving is not None:
            self._stop_waiting()
            self._dial_first()

    def _dial_first(self) -> None:
        plane, most = self._dataplane, self._policy.max_connections
        if most is not None and self._cluster.active >= most:
            self._failed(Ending.OVER_LIMIT)
            return
        self._slot.take()
        candidates = self._cluster.candidates(plane.resolver.known, self._source, plane.rng)
        self._candidates = islice(candidates, plane.limits.dial_attempts)
        self._first_dial_at = plane.reactor.seconds()
        self._dial_next(Ending.NO_ENDPOINT)

    def _dial_next(self, otherwise: Ending) -> None:
        """Dial the next endpoint, or fail if there is none left."""
        place = next(self._candidates, None)
        if place is None:
            self._failed(otherwise)
            return
        self._slot.move(place)
        endpoint = place.endpoint
        self._record.endpoint = str(endpoint)
        self._dialing = dial(self._dataplane.reactor, endpoint.address, endpoint.port, Upstream(), self._timeout())
        self._dialing.addCallbacks(self._dialed, self._dial_failed)

    def _dialed(self, upstream: Upstream) -> None:
        self._dialing = None
        self._record.dial = self._dataplane.reactor.seconds() - self._first_dial_at
        if self._policy.keepalive is not None:
            transport: Any = upstream.transport
            keep_alive(transport.getHandle(), self._policy.keepalive)
        self._connected(upstream, self._slot)

    def _dial_failed(self, failure: Failure) -> None:
        if not isinstance(failure.value, CancelledError):
            timed_out = isinstance(failure.value, DialTimeout)
            self._dial_next(Ending.DIAL_TIMEOUT if timed_out else Ending.DIAL_REFUSED)
