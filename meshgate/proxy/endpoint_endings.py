"""
The ends of connections to endpoints that get unhealthy, or are removed.

The problem: a client that is cut comes back at once, and a thousand that are cut together are a thunder of new
connections for the endpoints that are left.

The approach: the connections of all such endpoints are found once, when the change is known, and are reset one after
the other, in an order by chance, at even intervals over the time that the settings say. One whose endpoint is healthy
again when its turn comes lives on.

The invariants: nothing is looked for, and no timer runs, unless connections are to end. A connection ends once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from meshgate.proxy.connection import Inbound
from meshgate.proxy.dataplane import Dataplane, NameResolver
from meshgate.proxy.draining import next_turn
from meshgate.proxy.endings import Ending
from meshgate.routing.addresses import host_port
from meshgate.routing.connection_policy import HealthCheck
from meshgate.routing.table import ClusterKey, EndpointAddress

Unhealthy = Mapping[HealthCheck, frozenset[str]]


class SpreadEndings:
    """
    Ends connections, spread over a time.

    :param clock: provides ``seconds`` and ``callLater``.
    """

    def __init__(self, clock: Any, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng

    def end(self, connections: list[Inbound], ending: Ending, within: float, still: Callable[[Inbound], bool]) -> None:
        """
        End connections.

        :param within: seconds until the last one is ended.
        :param still: asked when the turn of a connection has come; if it says no, the connection lives on.
        """
        self._rng.shuffle(connections)
        self._plan(connections, ending, self._clock.seconds() + within, still)

    def _plan(self, left: list[Inbound], ending: Ending, ends: float, still: Callable[[Inbound], bool]) -> None:
        if left:
            turn = next_turn(len(left), ends - self._clock.seconds())
            if turn.pause:
                self._clock.callLater(turn.pause, self._end, turn.size, left, ending, ends, still)
            else:
                self._end(turn.size, left, ending, ends, still)

    def _end(
        self, size: int, left: list[Inbound], ending: Ending, ends: float, still: Callable[[Inbound], bool]
    ) -> None:
        for _ in range(size):
            connection = left.pop()
            if connection.record.ending is None and still(connection):
                connection.close(ending)
        self._plan(left, ending, ends, still)


class EndpointEndings:
    """
    Ends the connections to endpoints of one worker.

    :param clock: as for :class:`SpreadEndings`.
    :ivar on_removed: end the connections of endpoints that are removed.
    :ivar spread: seconds over which the connections are ended.
    """

    def __init__(self, plane: Dataplane, clock: Any) -> None:
        self._plane = plane
        self._endings = SpreadEndings(clock, plane.rng)
        self._unhealthy: Unhealthy = {}
        self.on_removed = False
        self.spread = 0.0

    def follow_health(self, unhealthy: Unhealthy) -> None:
        """Follow the health of endpoints, and end the connections of those that have become unhealthy if asked to."""
        before, self._unhealthy = self._unhealthy, unhealthy
        self._plane.clusters.follow_health(unhealthy)
        new = {check: names - before.get(check, frozenset()) for check, names in unhealthy.items() if check.ends}
        if not any(new.values()):
            return
        found = [each for each in self._plane.connections if _is_of(each, new)]
        self._endings.end(found, Ending.ENDPOINT_UNHEALTHY, self.spread, lambda each: _is_of(each, self._unhealthy))

    def removed(self, gone: Mapping[ClusterKey, frozenset[EndpointAddress]]) -> None:
        """End the connections of endpoints that their clusters have lost, if asked to."""
        if not self.on_removed or not gone:
            return
        names = {
            id(cluster): _names(addresses, self._plane.resolver)
            for key, addresses in gone.items()
            if (cluster := self._plane.clusters.find(key)) is not None
        }
        found = [each for each in self._plane.connections if _goes_to(each, names)]
        self._endings.end(found, Ending.ENDPOINT_REMOVED, self.spread, lambda each: True)


def _is_of(connection: Inbound, unhealthy: Unhealthy) -> bool:
    """True if the endpoint of a connection is among the unhealthy ones of its check."""
    search = connection.search
    if search is None or search.load is None or connection.relay is None:
        return False
    check = search.cluster.check
    return check is not None and search.load.name in unhealthy.get(check, ())


def _goes_to(connection: Inbound, names: Mapping[int, frozenset[str]]) -> bool:
    """
    True if a connection goes to one of these endpoints.

    :param names: of endpoints, by the identity of their cluster.
    """
    search = connection.search
    if search is None or search.load is None or connection.relay is None:
        return False
    return search.load.name in names.get(id(search.cluster), ())


def _names(addresses: Iterable[EndpointAddress], resolver: NameResolver) -> frozenset[str]:
    """The names of endpoints; for a DNS name, those of its addresses as they were resolved last."""
    return frozenset(
        host_port(each, port)
        for address, port, dns in addresses
        for each in ((resolver.cached(address) or ()) if dns else (address,))
    )
