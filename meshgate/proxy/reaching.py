"""
Reaching a destination: the names of its endpoints resolved, one endpoint after the other dialed.

Knows endpoints, attempts and what their failures are called; knows nothing of the client that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from twisted.internet.defer import DeferredList

from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord
from meshgate.proxy.relay import Upstream
from meshgate.routing.table import Destination, Endpoint
from meshgate.transport.dialing import Attempt, DialError, DialTimeout
from meshgate.transport.wheel import Timer

if TYPE_CHECKING:
    from meshgate.proxy.dataplane import Dataplane


class Reach:
    """
    The search for an endpoint that answers, for one connection.

    :param record: gets the endpoint last tried, and how long dialing took.
    :param first: gives what the client has said so far; it is sent to whoever answers.
    :param connected: called with the connected endpoint, or else
    :param failed: with why there is none. Neither is called after :meth:`cancel`.
    """

    def __init__(
        self,
        dataplane: Dataplane,
        destination: Destination,
        record: ConnectionRecord,
        first: Callable[[], bytes],
        connected: Callable[[Upstream], None],
        failed: Callable[[Ending], None],
    ) -> None:
        self._dataplane = dataplane
        self._destination = destination
        self._record = record
        self._first = first
        self._connected = connected
        self._failed = failed
        self._candidates: Iterator[Endpoint] = iter(())
        self._first_dial_at = 0.0
        self._resolving: Timer | None = None
        self._dialing: Attempt | None = None

    def start(self) -> None:
        """Begin: at once where the addresses are known, else when their names are resolved."""
        resolver = self._dataplane.resolver
        names = {endpoint.address for endpoint in self._destination.endpoints if endpoint.dns}
        unknown = [name for name in names if resolver.known(name) is None]
        if not unknown:
            self._dial_first()
            return
        # The answers are for everybody: this connection stops waiting for them, and never cancels them.
        timeout = self._dataplane.limits.connect_timeout
        self._resolving = self._dataplane.wheel.callLater(timeout, self._resolved)
        DeferredList([resolver.resolve(name) for name in unknown]).addCallback(lambda _: self._resolved())

    def cancel(self) -> None:
        """Give up."""
        self._stop_waiting()
        dialing, self._dialing = self._dialing, None
        if dialing is not None:
            dialing.cancel()

    def _stop_waiting(self) -> None:
        waiting, self._resolving = self._resolving, None
        if waiting is not None and waiting.active():
            waiting.cancel()

    def _resolved(self) -> None:
        if self._resolving is not None:
            self._stop_waiting()
            self._dial_first()

    def _dial_first(self) -> None:
        order = self._dataplane.rotation.order(self._destination, self._addresses())
        self._candidates = iter(order[: self._dataplane.limits.dial_attempts])
        self._first_dial_at = self._dataplane.reactor.seconds()
        self._dial_next(Ending.NO_ENDPOINT)

    def _addresses(self) -> list[Endpoint]:
        """The endpoints, those with a name replaced by one for each of its addresses."""
        endpoints: list[Endpoint] = []
        for endpoint in self._destination.endpoints:
            if endpoint.dns:
                known = self._dataplane.resolver.known(endpoint.address) or ()
                endpoints += [Endpoint(address, endpoint.port, weight=endpoint.weight) for address in known]
            else:
                endpoints.append(endpoint)
        return endpoints

    def _dial_next(self, otherwise: Ending) -> None:
        """Dial the next endpoint, or fail if there is none left."""
        endpoint = next(self._candidates, None)
        if endpoint is None:
            self._failed(otherwise)
            return
        self._record.endpoint = str(endpoint)
        plane = self._dataplane
        dialing = plane.network.dial(
            endpoint.address,
            endpoint.port,
            Upstream(),
            plane.limits.connect_timeout,
            self._first(),
            self._dialed,
            self._dial_failed,
        )
        if dialing is not None:
            self._dialing = dialing

    def _dialed(self, upstream: Upstream) -> None:
        self._dialing = None
        self._record.dial = self._dataplane.reactor.seconds() - self._first_dial_at
        self._connected(upstream)

    def _dial_failed(self, error: DialError) -> None:
        self._dialing = None
        self._dial_next(Ending.DIAL_TIMEOUT if isinstance(error, DialTimeout) else Ending.DIAL_REFUSED)
