"""
What the connections to one destination share: how many there are, per endpoint too, whose turn it is, and which
endpoints are left out since they failed.

Knows neither sockets nor how an endpoint is chosen or left out. It outlives the tables: a destination that stays keeps
its counts and its turn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

from twisted.logger import Logger

from meshgate.proxy.shared_counts import SharedCounts, Slots
from meshgate.routing.balance import Balancer, balancer
from meshgate.routing.connection_policy import NO_UPSTREAM_POLICY
from meshgate.routing.outliers import Ejections
from meshgate.routing.places import Place
from meshgate.routing.table import Destination, Endpoint

Known = Callable[[str], tuple[str, ...] | None]
"""Gives the addresses of a name; None where they are not known."""


class Cluster:
    """
    What the connections to one destination share.

    :param counts: where connections are counted that have a limit.
    :ivar active: how many connections of this process there are, those that are being dialed among them.
    :ivar name: the destination in words.
    :ivar names: those of its endpoints that have to be resolved.
    """

    __slots__ = (
        "_answers",
        "_balancer",
        "_counted",
        "_counts",
        "_ejections",
        "_endpoints",
        "_places",
        "_policy",
        "_turn",
        "active",
        "name",
        "names",
    )

    _log: ClassVar = Logger()

    def __init__(self, destination: Destination, counts: SharedCounts) -> None:
        self.active = 0
        self.name = str(destination)
        self.names: tuple[str, ...] = ()
        self._counts = counts
        self._counted: Slots | None = None
        self._endpoints: tuple[Endpoint, ...] = ()
        self._policy = NO_UPSTREAM_POLICY
        self._turn = 0
        self._places: dict[Endpoint, Place] = {}
        self._answers: list[tuple[str, ...]] = []
        self._balancer: Balancer | None = None
        self._ejections: Ejections | None = None
        self.follow(destination)

    @property
    def places(self) -> Sequence[Place]:
        """The endpoints with their counts, as far as anybody wanted to go there."""
        return tuple(self._places.values())

    @property
    def full(self) -> bool:
        """Whether there are as many connections, in all workers, as the policy allows."""
        most = self._policy.max_connections
        return most is not None and self._counted is not None and self._counts.total(self._counted) >= most

    def count(self, by: int) -> None:
        """There are more connections, or with a negative number fewer."""
        self.active += by
        if self._counted is not None:
            self._counts.add(self._counted, by)

    def follow(self, destination: Destination) -> bool:
        """
        Take over what the table in force says.

        :return: whether that is news.
        """
        if (destination.endpoints, destination.policy) == (self._endpoints, self._policy):
            return False
        self._change(destination)
        return True

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

    def _change(self, destination: Destination) -> None:
        before, policy = self._policy, destination.policy
        if policy.outliers != before.outliers:
            self._ejections = self._balancer = None
        if (destination.endpoints, policy.balancing) != (self._endpoints, before.balancing):
            self._balancer = None
        self._endpoints, self._policy = destination.endpoints, policy
        self.names = tuple(dict.fromkeys([each.address for each in destination.endpoints if each.dns]))
        if (policy.max_connections is None) != (self._counted is None):
            self._begin_or_end_counting()

    def _begin_or_end_counting(self) -> None:
        """Only where there is a limit, connections are counted over all workers: those that there are now at once."""
        if self._counted is None:
            self._counted = self._counts.slots(f"connections to {self.name}")
            self._counts.add(self._counted, self.active)
        else:
            self._counts.add(self._counted, -self.active)
            self._counted = None

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
    """
    All clusters, by host, port and subset of their destinations.

    :param counts: as of :class:`Cluster`.
    """

    def __init__(self, counts: SharedCounts) -> None:
        self._counts = counts
        self._clusters: dict[tuple[str, int, str], Cluster] = {}
        # Those whose cluster is known to follow them, by identity: several routes may bring one of their own.
        self._known: dict[int, tuple[Cluster, Destination]] = {}

    def of(self, destination: Destination) -> Cluster:
        """That of a destination of the table in force."""
        known = self._known.get(id(destination))
        if known is not None:
            return known[0]
        cluster = self._clusters.get(destination.cluster)
        if cluster is None:
            cluster = self._clusters[destination.cluster] = Cluster(destination, self._counts)
        elif cluster.follow(destination):
            # Another one may say what this one said before.
            self._known = {key: each for key, each in self._known.items() if each[0] is not cluster}
        self._known[id(destination)] = (cluster, destination)
        return cluster

    def forget_all_but(self, destinations: Iterable[Destination]) -> None:
        """Drop those that no route has any more and no connection is in, so that they do not pile up over the years."""
        kept = {destination.cluster for destination in destinations}
        self._clusters = {key: each for key, each in self._clusters.items() if key in kept or each.active}
        self._known.clear()


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
        self._cluster.count(1)

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
            self._cluster.count(-1)
            self.move(None)
