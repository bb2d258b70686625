"""
Clusters: what the connections to one destination share, and the order in which they try its endpoints.

The problem: connections are balanced by counts and turns that outlive any table, dead endpoints must cost clients
little, and a DNS name with addresses of both families is one set of hosts and not two.

The approach: a cluster keeps the endpoint loads and the turn of its destination, and a balancer for the endpoints as
they are now. The balancer is made anew when the endpoints, the answers of DNS, the policy or the marks change. It
orders the endpoints by three tiers: the endpoints that connections are balanced over; the addresses of a DNS name that
belong to the family that is not in use for that name; and the endpoints whose last dial failed, which are marked
(:mod:`meshgate.proxy.endpoint_health`).

The invariants: a destination that stays keeps its counts and its turn whatever table is installed. An endpoint that
outlier detection has ejected, or that an active check has found unhealthy, is in no tier, unless there are so many of
them that all are used.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice

from meshgate.proxy.endpoint_health import EndpointHealth
from meshgate.proxy.shared_counts import CounterPair, SharedCounts
from meshgate.routing.balance import Balancer, HashInTiers, balancer, hashes, tiered, warm_up
from meshgate.routing.connection_policy import NO_UPSTREAM_POLICY, Balancing, HealthCheck
from meshgate.routing.endpoint_load import EndpointLoad
from meshgate.routing.failing_endpoints import Ejections, LeftOut
from meshgate.routing.preferred_endpoints import Families, InLevels, available_shares, levels
from meshgate.routing.table import ClusterKey, Destination, Endpoint

AddressLookup = Callable[[str], tuple[str, ...] | None]
"""Returns the addresses of a DNS name; None while they are unknown."""


class Cluster(EndpointHealth):
    """
    The state that the connections to one destination share.

    :param counts: the shared counts of limited connections, and the marks of endpoints.
    :param families: the family in use for each DNS name.
    :param failing: the clusters with marked endpoints; the cluster adds itself.
    :param unhealthy: the names of the endpoints that active checks have found unhealthy, by check; their owner changes
        the mapping, and calls :meth:`health_changed`.
    :ivar active: number of this process's connections, those that are being dialed included.
    :ivar names: the DNS names among its endpoints.
    """

    __slots__ = (
        "_answers",
        "_counters",
        "_counts",
        "_endpoints",
        "_families",
        "_families_seen",
        "_families_until",
        "_hashes",
        "_policy",
        "_turn",
        "_unhealthy",
        "_warm_at",
        "active",
        "names",
    )

    def __init__(
        self,
        destination: Destination,
        counts: SharedCounts,
        families: Families,
        failing: set[EndpointHealth],
        unhealthy: dict[HealthCheck, frozenset[str]],
    ) -> None:
        super().__init__(str(destination), counts.backoffs, failing)
        self.active = 0
        self.names: tuple[str, ...] = ()
        self._counts = counts
        self._counters: CounterPair | None = None
        self._endpoints: tuple[Endpoint, ...] = ()
        self._policy = NO_UPSTREAM_POLICY
        self._turn = 0
        self._unhealthy = unhealthy
        # A hash ring or table takes long to make. It is kept while the endpoints stay, whatever fails.
        self._hashes: dict[Sequence[EndpointLoad], Balancer] = {}
        # When the weights of endpoints that warm up are to be worked out again.
        self._warm_at = math.inf
        self._answers: list[tuple[str, ...]] = []
        self._families = families
        self._families_seen = 0
        self._families_until = math.inf
        self.update(destination)

    @property
    def full(self) -> bool:
        """True if the connections of all workers have reached the limit of the policy."""
        most = self._policy.max_connections
        return most is not None and self._counters is not None and self._counts.total(self._counters) >= most

    @property
    def check(self) -> HealthCheck | None:
        """The active check of its endpoints; None for none."""
        return self._policy.check

    @property
    def leaves_all_out(self) -> bool:
        """True if it has endpoints, and none of them may be used."""
        return bool(self._loads) and not self._serving

    def health_changed(self) -> None:
        """Follow a change of the health of its endpoints."""
        if self._policy.check is not None:
            self._balancer = None

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
        if now >= self._warm_at:
            self._balancer = None
        if self._policy.outliers is not None:
            if self._ejections is None:
                self._ejections = Ejections(self._policy.outliers, now, self._counts.ejections, self.name)
            elif self._ejections.look(now):
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
            probe = self._claim_probe(self._probe_candidates(chosen_by, turn, source, rng), now, lease)
            if probe is not None:
                return _first(probe, chosen_by.order(turn, source, rng))
        return chosen_by.order(turn, source, rng)

    def prefer(self, winner: EndpointLoad, now: float) -> None:
        """Use the family of an address from now on, since an address of the other family has not answered."""
        self._families.prefer(winner.shared_name, winner.is_ipv6, now)

    def _probe_candidates(
        self, chosen_by: Balancer, turn: int, source: str | None, rng: random.Random
    ) -> Iterable[EndpointLoad]:
        """Return the endpoints to probe: all, or the client's own endpoint if endpoints are chosen by a hash."""
        if not hashes(self._policy.balancing) or isinstance(chosen_by, InLevels):
            return self._serving
        untiered = chosen_by.untiered if isinstance(chosen_by, HashInTiers) else chosen_by
        return islice(untiered.order(turn, source, rng), 1)

    def _change(self, destination: Destination) -> None:
        before, policy = self._policy, destination.policy
        if policy.outliers != before.outliers:
            self.forget_ejections()
        if policy.check != before.check:
            self._balancer = None
        if (destination.endpoints, policy.balancing) != (self._endpoints, before.balancing):
            self._balancer = None
            self._hashes = {}
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
            load = before.get(endpoint)
            if load is None:
                load = EndpointLoad(endpoint)
                load.added = now
            self._loads[endpoint] = load
            load.shared_name = shared_name
        loads = healthy = self.loads
        policy, panic = self._policy, 0
        if self._ejections is not None and policy.outliers is not None:
            self._ejections.follow(loads, now)
            if self._ejections.any:
                self._failing.add(self)
            healthy, panic = self._ejections.healthy(loads), policy.outliers.panic
        if policy.check is not None:
            panic = max(panic, policy.check.panic)
            unhealthy = self._unhealthy.get(policy.check)
            if unhealthy:
                healthy = [load for load in healthy if load.name not in unhealthy]
        found = levels(loads, healthy, panic)
        self._serving = tuple(chain.from_iterable(level.serving for level in found))
        self._read_marks()
        self._warm_at = warm_up(self._serving, policy.balancing.warmup, now)
        balancing = policy.balancing
        if balancing.shares:
            balancing = replace(balancing, shares=available_shares(loads, self._serving, balancing.shares))
        balancers = [self._balancer_of(level.serving, balancing, now) for level in found]
        self._hashes = {each.serving: self._hashes[each.serving] for each in found if each.serving in self._hashes}
        if len(balancers) == 1:
            return balancers[0]
        return InLevels([level.share for level in found], [each.order for each in balancers])

    def _balancer_of(self, loads: Sequence[EndpointLoad], balancing: Balancing, now: float) -> Balancer:
        """Make the balancer of one level."""
        tiers = self._tiers(loads, now)
        if not hashes(balancing):
            return tiered(tiers, balancing)
        found = self._hashes.get(loads)
        if found is None:
            found = self._hashes[loads] = balancer(loads, balancing)
        return found if len(tiers[0]) == len(loads) else HashInTiers(tiers, found)

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
                    resolved = replace(endpoint, address=address, dns=False)
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
        self._failing: set[EndpointHealth] = set()
        self._unhealthy: dict[HealthCheck, frozenset[str]] = {}
        self._clusters: dict[ClusterKey, Cluster] = {}
        # Clusters of which no route is left, but a connection was when the last table was installed.
        self._without_route: set[ClusterKey] = set()
        # Destinations that their cluster has applied, by identity: several routes may have equal destinations.
        self._applied: dict[int, tuple[Cluster, Destination]] = {}

    def of(self, destination: Destination) -> Cluster:
        """Return the cluster of a destination of the table in force."""
        applied = self._applied.get(id(destination))
        if applied is not None:
            return applied[0]
        cluster = self._clusters.get(destination.cluster)
        self._without_route.discard(destination.cluster)
        if cluster is None:
            cluster = self._clusters[destination.cluster] = Cluster(
                destination, self._counts, self._families, self._failing, self._unhealthy
            )
        elif cluster.update(destination):
            # Another destination of the same cluster may differ, and has to be applied again.
            self._applied = {key: each for key, each in self._applied.items() if each[0] is not cluster}
        self._applied[id(destination)] = (cluster, destination)
        return cluster

    def find(self, key: ClusterKey) -> Cluster | None:
        """Return a cluster that has had a connection; None if there is none."""
        return self._clusters.get(key)

    def follow_health(self, unhealthy: Mapping[HealthCheck, frozenset[str]]) -> None:
        """Give no connections to the endpoints that active checks have found unhealthy, and to all others again."""
        self._unhealthy.clear()
        self._unhealthy.update(unhealthy)
        for cluster in self._clusters.values():
            cluster.health_changed()

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

    def table_installed(self, gone: Iterable[ClusterKey]) -> None:
        """
        Drop the clusters that have neither a route nor a connection any more.

        :param gone: the clusters that have lost their last route with the table that is in force now. It names them
            because to look for them among thousands of routes would delay every connection.
        """
        self._applied.clear()
        self._without_route.update(gone)
        for key in tuple(self._without_route):
            cluster = self._clusters.get(key)
            if cluster is None or not cluster.active:
                self._without_route.discard(key)
            if cluster is not None and not cluster.active:
                cluster.forget_ejections()
                del self._clusters[key]
                self._failing.discard(cluster)


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

    @property
    def cluster(self) -> Cluster:
        """Return the cluster."""
        return self._cluster

    @property
    def load(self) -> EndpointLoad | None:
        """Return the endpoint that it is counted for."""
        return self._load

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
