"""
What the connections to one destination share: how many there are, per endpoint too, whose turn it is, and which
endpoints are left out since they failed.

Knows neither sockets nor how an endpoint is chosen or left out. It outlives the tables: a destination that stays keeps
its counts and its turn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence

from twisted.logger import Logger

from meshgate.routing.balance import Balancer, Place, balancer
from meshgate.routing.connection_policy import UpstreamPolicy
from meshgate.routing.outliers import Ejections
from meshgate.routing.table import Destination, Endpoint

Known = Callable[[str], tuple[str, ...] | None]
"""Gives the addresses of a name; None where they are not known."""


class Cluster:
    """
    What the connections to one destination share.

    :ivar active: how many there are, those that are being dialed among them.
    :ivar name: the destination in words.
    :ivar names: those of its endpoints that have to be resolved.
    """

    __slots__ = (
        "_answers",
        "_balancer",
        "_ejections",
        "_endpoints",
        "_places",
        "_policy",
        "_turn",
        "active",
        "name",
        "names",
    )

    _log = Logger()

    names: tuple[str, ...]
    _endpoints: tuple[Endpoint, ...]
    _policy: UpstreamPolicy

    def __init__(self, destination: Destination) -> None:
        self.active = 0
        self.name = str(destination)
        self._turn = 0
        self._places: dict[Endpoint, Place] = {}
        self._answers: list[tuple[str, ...]] = []
        self._balancer: Balancer | None = None
        self._ejections: Ejections | None = None
        self._take(destination)

    @property
    def places(self) -> Sequence[Place]:
        """The endpoints with their counts, as far as anybody wanted to go there."""
        return tuple(self._places.values())

    def follow(self, destination: Destination) -> None:
        """Take over what the table in force says; costs next to nothing where that is what it said before."""
        if destination.endpoints is self._endpoints and destination.policy is self._policy:
            return
        before, policy = self._policy, destination.policy
        if policy.outliers != before.outliers:
            self._ejections = self._balancer = None
        if (destination.endpoints, policy.balancing) != (self._endpoints, before.balancing):
            self._balancer = None
        self._take(destination)

    def candidates(self, known: Known, source: str | None, rng: random.Random, now: float) -> Iterator[Place]:
        """
        The endpoints in the order in which the next connection tries them.

        :param source: the client's address, where it is what balancers choose by.
        :param now: the clock's seconds.
        """
        if self._policy.outliers is not None:
            if self._ejections is None:
                self._ejections = Ejections(self._policy.outliers, now)
            elif self._ejections.returned(now):
                self._balancer = None
        chosen_by = self._balancer
        if chosen_by is None or self.names:
            answers = [known(name) or () for name in self.names]
            if chosen_by is None or answers != self._answers:
                self._answers = answers
                chosen_by = self._balancer = self._make(dict(zip(self.names, answers, strict=True)))
        turn, self._turn = self._turn, self._turn + 1
        return chosen_by.order(turn, source, rng)

    def succeeded(self, place: Place) -> None:
        """An endpoint was connected to."""
        if self._ejections is not None:
            self._ejections.succeeded(place)

    def failed(self, place: Place, now: float) -> None:
        """An endpoint could not be connected to."""
        if self._ejections is None or self._places.get(place.endpoint) is not place:
            return
        until = self._ejections.failed(place, len(self._places), now)
        if until is not None:
            self._balancer = None
            self._log.warn(
                "{endpoint} of {destination} cannot be reached, and is left out for {seconds:.0f} s",
                endpoint=place.endpoint,
                destination=self.name,
                seconds=until - now,
            )

    def _take(self, destination: Destination) -> None:
        self._endpoints, self._policy = destination.endpoints, destination.policy
        self.names = tuple(dict.fromkeys(each.address for each in destination.endpoints if each.dns))

    def _make(self, addresses: dict[str, tuple[str, ...]]) -> Balancer:
        """One for the endpoints as they are now, with the counts of those that were there before."""
        before = self._places
        self._places = {each: before.get(each) or Place(each) for each in self._resolved(addresses)}
        there = self.places
        if self._ejections is not None:
            self._ejections.forget_all_but(there)
            there = self._ejections.serving(there)
        return balancer(there, self._policy.balancing)

    def _resolved(self, addresses: dict[str, tuple[str, ...]]) -> Iterator[Endpoint]:
        """The endpoints, those with a name replaced by one for each of its addresses."""
        for endpoint in self._endpoints:
            if endpoint.dns:
                for address in addresses[endpoint.address]:
                    yield Endpoint(address, endpoint.port, weight=endpoint.weight)
            else:
                yield endpoint


class Clusters:
    """All clusters, by host, port and subset of their destinations."""

    def __init__(self) -> None:
        self._clusters: dict[tuple[str, int, str], Cluster] = {}

    def of(self, destination: Destination) -> Cluster:
        """That of a destination of the table in force."""
        cluster = self._clusters.get(destination.cluster)
        if cluster is None:
            cluster = self._clusters[destination.cluster] = Cluster(destination)
        else:
            cluster.follow(destination)
        return cluster

    def forget_all_but(self, destinations: Iterable[Destination]) -> None:
        """Drop those that no route has any more and no connection is in, so that they do not pile up over the years."""
        kept = {destination.cluster for destination in destinations}
        self._clusters = {key: each for key, each in self._clusters.items() if key in kept or each.active}


class Slot:
    """
    One connection's part in the counts of a cluster and of its endpoint, from the first dial to the end.

    :param cluster: where it does not count yet.
    """

    __slots__ = ("_cluster", "_counted", "_place")

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._counted = False
        self._place: Place | None = None

    def take(self) -> None:
        """Count from now on."""
        self._counted = True
        self._cluster.active += 1

    def move(self, place: Place | None) -> None:
        """Count for another endpoint, or for none."""
        if self._place is not None:
            self._place.active -= 1
        if place is not None:
            place.active += 1
        self._place = place

    def succeeded(self) -> None:
        """The endpoint was connected to."""
        if self._place is not None:
            self._cluster.succeeded(self._place)

    def failed(self, now: float) -> None:
        """The endpoint could not be connected to."""
        if self._place is not None:
            self._cluster.failed(self._place, now)

    def free(self) -> None:
        """Count no more, if it did."""
        if self._counted:
            self._counted = False
            self._cluster.active -= 1
            self.move(None)
