"""
Clusters: what the connections to one destination share, and the order in which they try its endpoints.

The problem: connections are balanced by counts and turns that outlive any table, dead endpoints must cost clients
little, and a DNS name with addresses of both families is one set of hosts and not two.

The approach: a cluster keeps the endpoint loads and the turn of its destination, and a balancer for the endpoints as
they are now. The balancer is made anew when the endpoints, the answers of DNS, the policy or the marks change. It
orders the endpoints by three tiers: the endpoints that connections are balanced over; the addresses of a DNS name that
belong to the family that is not in use for that name; and the endpoints whose last dial failed, which are marked
(:mod:`meshgate.routing.backoff`). When the back-off of a marked endpoint is over, one connection tries it first, as its
probe.

The invariants: a destination that stays keeps its counts and its turn whatever table is installed. Marks are shared by
all workers, and read again when their first word has changed. An endpoint that outlier detection has ejected is in no
tier.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import ClassVar

from twisted.logger import Logger

from meshgate.proxy.shared_counts import CounterPair, SharedCounts
from meshgate.routing.backoff import endpoint_key
from meshgate.routing.balance import Balancer, HashInTiers, balancer, hashes, tiered
from meshgate.routing.connection_policy import NO_UPSTREAM_POLICY
from meshgate.routing.endpoint_load import EndpointLoad
from meshgate.routing.families import Families
from meshgate.routing.outliers import EJECTED, TRIED_LAST, Ejections, LeftOut
from meshgate.routing.table import Destination, Endpoint

AddressLookup = Callable[[str], tuple[str, ...] | None]
"""Returns the addresses of a DNS name; None while they are unknown."""


class Cluster:
    """
    The state that the connections to one destination share.

    :param counts: the shared counts of limited connections, and the marks of endpoints.
    :param families: the family in use for each DNS name.
    :param failing: the clusters with marked endpoints; the cluster adds itself.
    :ivar active: number of this process's connections, those that are being dialed included.
    :ivar name: the destination as text.
    :ivar names: the DNS names among its endpoints.
    """

    __slots__ = (
        "_answers",
        "_backoffs",
        "_balancer",
        "_counters",
        "_counts",
        "_ejections",
        "_endpoints",
        "_failing",
        "_families",
        "_families_seen",
        "_families_until",
        "_hash",
        "_hashed",
        "_loads",
        "_marks_seen",
        "_next_probe",
        "_policy",
        "_serving",
        "_turn",
        "_use_marks",
        "_words",
        "active",
        "name",
        "names",
    )

    _log: ClassVar = Logger()

    def __init__(
        self, destination: Destination, counts: SharedCounts, families: Families, failing: set[Cluster]
    ) -> None:
        self.active = 0
        self.name = str(destination)
        self.names: tuple[str, ...] = ()
        self._counts = counts
        self._counters: CounterPair | None = None
        self._endpoints: tuple[Endpoint, ...] = ()
        self._policy = NO_UPSTREAM_POLICY
        self._turn = 0
        self._loads: dict[Endpoint, EndpointLoad] = {}
        self._serving: Sequence[EndpointLoad] = ()
        # A hash ring or table takes long to make. It is kept while the endpoints stay, whatever fails.
        self._hash: Balancer | None = None
        self._hashed: Sequence[EndpointLoad] = ()
        self._answers: list[tuple[str, ...]] = []
        self._balancer: Balancer | None = None
        self._ejections: Ejections | None = None
        self._backoffs = counts.backoffs
        self._words = counts.backoffs.words
        # The first word of the marks, as it was when they were read.
        self._marks_seen = 0
        self._use_marks = True
        self._next_probe = math.inf
        self._families = families
        self._failing = failing
        self._families_seen = 0
        self._families_until = math.inf
        self.update(destination)

    @property
    def loads(self) -> Sequence[EndpointLoad]:
        """Endpoints used so far, with their counts."""
        return tuple(self._loads.values())

    @property
    def full(self) -> bool:
        """True if the connections of all workers have reached the limit of the policy."""
        most = self._policy.max_connections
        return most is not None and self._counters is not None and self._counts.total(self._counters) >= most

    def count(self, by: int) -> None:
        """Add to the number of connections; a negative number subtracts."""
        self.active += by
        if self._counters is not None:
            self._counts.add(self._counters, by)

    def update(self, destination: Destination) -> bool:
        """
        Apply a destination of the table in force.

        :return: True if its endpoints or its policy have changed.
        """
        if (destination.endpoints, destination.policy) == (self._endpoints, self._policy):
            return False
        self._change(destination)
        return True

    def candidates(
        self,
        known: AddressLookup,
        source: str | None,
        rng: random.Random,
        now: float,
        lease: float = 10.0,
        use_marks: bool = True,
    ) -> Iterator[EndpointLoad]:
        """
        Order the endpoints for the next connection.

        :param known: gives the addresses of DNS names.
        :param source: the client's address if the endpoint is chosen by it; else None.
        :param now: the clock's seconds.
        :param lease: seconds within which a dial has an outcome.
        :param use_marks: try marked endpoints last; otherwise the policy alone decides the order.
        """
        if self._policy.outliers is not None:
            if self._ejections is None:
                self._ejections = Ejections(self._policy.outliers, now)
            elif self._ejections.readmit(now):
                self._balancer = None
        if self._words[0] != self._marks_seen or use_marks != self._use_marks:
            self._use_marks = use_marks
            self._read_marks()
        chosen_by = self._balancer
        if chosen_by is None or self.names:
            if self._families.changes != self._families_seen or now >= self._families_until:
                chosen_by = None
            answers = [known(name) or () for name in self.names]
            if chosen_by is None or answers != self._answers:
                self._answers = answers
                chosen_by = self._balancer = self._make_balancer(dict(zip(self.names, answers, strict=True)), now)
        turn, self._turn = self._turn, self._turn + 1
        if now >= self._next_probe:
            probe = self._claim_probe(chosen_by, turn, source, rng, now, lease)
            if probe is not None:
                return _first(probe, chosen_by.order(turn, source, rng))
        return chosen_by.order(turn, source, rng)

    def succeeded(self, load: EndpointLoad, now: float) -> None:
        """Note that a dial has succeeded."""
        if self._ejections is not None:
            self._ejections.succeeded(load)
        if load.marked:
            self._set_marked(load, False)
            if self._backoffs.succeeded(self._key(load), now):
                self._log.info(
                    "{endpoint} of {destination} answers again", endpoint=load.endpoint, destination=self.name
                )

    def failed(self, load: EndpointLoad, started: float, now: float, rng: random.Random) -> bool:
        """
        Note that a dial has failed.

        :param started: the clock's seconds when the dial began.
        :return: True if the endpoint was not marked before.
        """
        if self._ejections is not None and self._loads.get(load.endpoint) is load:
            until = self._ejections.failed(load, len(self._loads), now)
            if until is not None:
                self._balancer = None
                self._log.warn(
                    "{endpoint} of {destination} cannot be reached, and is left out for {seconds:.0f} s",
                    endpoint=load.endpoint,
                    destination=self.name,
                    seconds=until - now,
                )
        return self.mark(load, started, now, rng)

    def mark(self, load: EndpointLoad, started: float, now: float, rng: random.Random) -> bool:
        """
        Mark an endpoint, so that it is tried last until a probe connects. Outlier detection does not count this.

        :return: True if the endpoint was not marked before.
        """
        if not self._use_marks:
            return False
        new, log = self._backoffs.failed(self._key(load), started, now, rng)
        self._set_marked(load, True)
        self._failing.add(self)
        if log:
            self._log.warn(
                "{endpoint} of {destination} fails: it is tried last until it answers again",
                endpoint=load.endpoint,
                destination=self.name,
            )
        return new

    def dial_abandoned(self, load: EndpointLoad) -> None:
        """Note that a dial was given up before it had an outcome."""
        if load.marked:
            self._backoffs.release(self._key(load))

    def prefer(self, winner: EndpointLoad, now: float) -> None:
        """Use the family of an address from now on, since an address of the other family has not answered."""
        self._families.prefer(winner.shared_name, winner.is_ipv6, now)

    def _key(self, load: EndpointLoad) -> int:
        if not load.key:
            load.key = endpoint_key(load.name)
        return load.key

    def _read_marks(self) -> None:
        """Read the marks; if they have changed, the next connection makes a new balancer."""
        self._marks_seen = seen = int(self._words[0])
        self._next_probe = math.inf
        for load in self._serving:
            due_at = self._backoffs.due_at(self._key(load)) if seen and self._use_marks else 0.0
            if due_at:
                self._next_probe = min(self._next_probe, due_at)
            self._set_marked(load, due_at > 0)

    def _set_marked(self, load: EndpointLoad, marked: bool) -> None:
        if load.marked is not marked:
            load.marked = marked
            self._balancer = None

    def _claim_probe(
        self, chosen_by: Balancer, turn: int, source: str | None, rng: random.Random, now: float, lease: float
    ) -> EndpointLoad | None:
        """
        Claim a marked endpoint whose back-off is over as the probe of this connection. If endpoints are chosen by a
        hash, only the client's own endpoint is probed.
        """
        due: Iterable[EndpointLoad] = self._serving
        if hashes(self._policy.balancing):
            untiered = chosen_by.untiered if isinstance(chosen_by, HashInTiers) else chosen_by
            due = islice(untiered.order(turn, source, rng), 1)
        probe, asked = None, False
        for load in due:
            if load.marked:
                asked = True
                if self._backoffs.claim(self._key(load), now, lease):
                    probe = load
                    break
        if asked:
            self._read_marks()  # for the time when the next back-off is over
        return probe

    def left_out(self, now: float) -> list[LeftOut]:
        """Return the endpoints that are ejected, or tried last."""
        ejections = self._ejections
        found = [] if ejections is None else [(load, until) for load, until in ejections.ejected() if until > now]
        ejected = {load for load, _ in found}
        due = [(load, self._backoffs.due_at(self._key(load))) for load in self.loads if load not in ejected]
        return [
            *(LeftOut(self.name, load.name, EJECTED, until) for load, until in found),
            *(LeftOut(self.name, load.name, TRIED_LAST, until) for load, until in due if until > 0),
        ]

    def _change(self, destination: Destination) -> None:
        before, policy = self._policy, destination.policy
        if policy.outliers != before.outliers:
            self._ejections = self._balancer = None
        if (destination.endpoints, policy.balancing) != (self._endpoints, before.balancing):
            self._balancer = self._hash = None
        self._endpoints, self._policy = destination.endpoints, policy
        self.names = tuple(dict.fromkeys([each.address for each in destination.endpoints if each.dns]))
        if (policy.max_connections is None) != (self._counters is None):
            self._begin_or_end_counting()

    def _begin_or_end_counting(self) -> None:
        """Count over all workers only while there is a limit; the live connections are added or subtracted at once."""
        if self._counters is None:
            self._counters = self._counts.pair(f"connections to {self.name}")
            self._counts.add(self._counters, self.active)
        else:
            self._counts.add(self._counters, -self.active)
            self._counters = None

    def _make_balancer(self, addresses: dict[str, tuple[str, ...]], now: float) -> Balancer:
        """Make a balancer for the endpoints as they are now; loads that stay keep their counts."""
        before = self._loads
        self._loads = {}
        for endpoint, shared_name in self._resolved(addresses):
            load = self._loads[endpoint] = before.get(endpoint) or EndpointLoad(endpoint)
            load.shared_name = shared_name
        self._serving = self.loads
        if self._ejections is not None:
            self._ejections.forget_all_but(self._serving)
            self._serving = tuple(self._ejections.serving(self._serving))
        self._read_marks()
        tiers = self._tiers(self._serving, now)
        if not hashes(self._policy.balancing):
            return tiered(tiers, self._policy.balancing)
        if self._hash is None or self._hashed != self._serving:
            self._hash, self._hashed = balancer(self._serving, self._policy.balancing), self._serving
        return self._hash if len(tiers[0]) == len(self._serving) else HashInTiers(tiers, self._hash)

    def _tiers(
        self, loads: Sequence[EndpointLoad], now: float
    ) -> tuple[list[EndpointLoad], list[EndpointLoad], list[EndpointLoad]]:
        """Sort the endpoints into the balanced ones, those of the family that is not in use, and the marked ones."""
        families = self._families
        self._families_seen, self._families_until = families.changes, math.inf
        unmarked = [load for load in loads if not load.marked]
        used: dict[str, bool] = {}
        for load in unmarked:
            name = load.shared_name
            if name:
                self._families_until = min(self._families_until, families.until(name, now))
                ipv6 = families.prefers_ipv6(name, now)
                used[name] = ipv6 if load.is_ipv6 is ipv6 else used.get(name, not ipv6)
        first = [load for load in unmarked if used.get(load.shared_name, load.is_ipv6) is load.is_ipv6]
        second = [load for load in unmarked if used.get(load.shared_name, load.is_ipv6) is not load.is_ipv6]
        return first, second, [load for load in loads if load.marked]

    def _resolved(self, addresses: dict[str, tuple[str, ...]]) -> Iterator[tuple[Endpoint, str]]:
        """Yield an endpoint for each address, with the DNS name that it shares with others, or ""."""
        for endpoint in self._endpoints:
            if endpoint.dns:
                found = addresses[endpoint.address]
                for address in found:
                    resolved = Endpoint(address, endpoint.port, weight=endpoint.weight)
                    yield resolved, str(endpoint) if len(found) > 1 else ""
            else:
                yield endpoint, ""


def _first(one: EndpointLoad, loads: Iterator[EndpointLoad]) -> Iterator[EndpointLoad]:
    """Yield one endpoint, and then all others."""
    yield one
    for load in loads:
        if load is not one:
            yield load


class Clusters:
    """
    The clusters of a worker, by host, port and subset of their destinations.

    :param counts: as for :class:`Cluster`.
    """

    def __init__(self, counts: SharedCounts) -> None:
        self._counts = counts
        self._families = Families()
        self._failing: set[Cluster] = set()
        self._clusters: dict[tuple[str, int, str], Cluster] = {}
        # Destinations that their cluster has applied, by identity: several routes may have equal destinations.
        self._applied: dict[int, tuple[Cluster, Destination]] = {}

    def of(self, destination: Destination) -> Cluster:
        """Return the cluster of a destination of the table in force."""
        applied = self._applied.get(id(destination))
        if applied is not None:
            return applied[0]
        cluster = self._clusters.get(destination.cluster)
        if cluster is None:
            cluster = self._clusters[destination.cluster] = Cluster(
                destination, self._counts, self._families, self._failing
            )
        elif cluster.update(destination):
            # Another destination of the same cluster may differ, and has to be applied again.
            self._applied = {key: each for key, each in self._applied.items() if each[0] is not cluster}
        self._applied[id(destination)] = (cluster, destination)
        return cluster

    def left_out(self, now: float) -> list[LeftOut]:
        """
        Return the endpoints of all clusters that are ejected, or tried last.

        :param now: the clock's seconds.
        """
        found: list[LeftOut] = []
        for cluster in tuple(self._failing):
            left_out = cluster.left_out(now)
            found += left_out
            if not left_out:
                self._failing.discard(cluster)
        return found

    def forget_all_but(self, destinations: Iterable[Destination]) -> None:
        """Drop the clusters that have neither a route nor a connection any more."""
        kept = {destination.cluster for destination in destinations}
        self._clusters = {key: each for key, each in self._clusters.items() if key in kept or each.active}
        self._failing.intersection_update(self._clusters.values())
        self._applied.clear()


class CountedConnection:
    """
    One connection in the counts of its cluster and of its endpoint, from the first dial to its end.

    :param cluster: does not count the connection yet.
    """

    __slots__ = ("_cluster", "_counted", "_load")

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._counted = False
        self._load: EndpointLoad | None = None

    def start_counting(self) -> None:
        """Count the connection for its cluster."""
        self._counted = True
        self._cluster.count(1)

    def count_for(self, load: EndpointLoad | None) -> None:
        """Count the connection for another endpoint, or for none."""
        if self._load is not None:
            self._load.active -= 1
        if load is not None:
            load.active += 1
        self._load = load

    def stop_counting(self) -> None:
        """Count the connection no more; do nothing if it is not counted."""
        if self._counted:
            self._counted = False
            self._cluster.count(-1)
            self.count_for(None)
