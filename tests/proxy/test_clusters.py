"""Tests of :mod:`meshgate.proxy.clusters`."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.clusters import Cluster, Clusters, CountedConnection
from meshgate.proxy.shared_counts import SharedCounts, bytes_for
from meshgate.routing.connection_policy import Algorithm, Balancing, HealthCheck, Outliers, UpstreamPolicy, Warmup
from meshgate.routing.table import Destination, Endpoint

RNG = random.Random(1)
IN_TURN = UpstreamPolicy(balancing=Balancing(Algorithm.ROUND_ROBIN))
ENDPOINTS = tuple(Endpoint("192.0.2.1", port) for port in (1, 2, 3))
A = Destination("a", 80, endpoints=ENDPOINTS, policy=IN_TURN)
B = Destination("b", 80, endpoints=ENDPOINTS, policy=IN_TURN)


def own_counts() -> SharedCounts:
    """Counts of one process."""
    return SharedCounts(bytearray(bytes_for(1)), 0, bytes(16))


def next_of(cluster: Cluster, now: float = 0) -> int:
    """The port that the next connection tries first."""
    return next(cluster.candidates(lambda name: None, None, random.Random(1), now)).endpoint.port


def owners(cluster: Cluster, now: float = 0) -> list[int]:
    """The ports that a hundred clients try first."""
    sources = [f"198.51.100.{number}" for number in range(100)]
    return [next(cluster.candidates(lambda name: None, each, RNG, now)).endpoint.port for each in sources]


class ClusterTests(SynchronousTestCase):
    """Destinations share clusters."""

    def test_one_for_host_port_and_subset(self) -> None:
        """Two routes to a destination have its turns in common, whatever their weights; a subset has its own."""
        clusters = Clusters(own_counts())
        cluster = clusters.of(A)
        self.assertIs(clusters.of(replace(A, weight=7)), cluster)
        for other in (B, replace(A, port=81), replace(A, subset="v1")):
            self.assertIsNot(clusters.of(other), cluster)

    def test_a_new_table_keeps_the_turn(self) -> None:
        """The same endpoints out of a new table go on where they were."""
        clusters = Clusters(own_counts())
        self.assertEqual(next_of(clusters.of(A)), 1)
        again = Destination("a", 80, endpoints=tuple(replace(each) for each in ENDPOINTS), policy=replace(IN_TURN))
        self.assertEqual(next_of(clusters.of(again)), 2)

    def test_other_endpoints_and_policies_are_followed(self) -> None:
        """A table with other endpoints, or another way of choosing, counts from the next connection on."""
        clusters = Clusters(own_counts())
        next_of(clusters.of(A))
        fewer = replace(A, endpoints=ENDPOINTS[2:])
        self.assertEqual(next_of(clusters.of(fewer)), 3)
        hashing = replace(A, policy=UpstreamPolicy(balancing=Balancing(Algorithm.MAGLEV, 101)))
        cluster = clusters.of(hashing)
        sources = [f"198.51.100.{number}" for number in range(20)] * 2
        chosen = [next(cluster.candidates(lambda name: None, one, random.Random(1), 0)) for one in sources]
        self.assertEqual(chosen[:20], chosen[20:])

    def test_a_limit_over_all_workers(self) -> None:
        """Connections count for each other wherever they are; those that came before the limit count as well."""
        limited = replace(A, policy=replace(IN_TURN, max_connections=2))
        memory = bytearray(bytes_for(2))
        one, other = (Clusters(SharedCounts(memory, place, bytes(16))) for place in range(2))
        slots = [CountedConnection(one.of(A)), CountedConnection(other.of(limited))]
        for counted in slots:
            counted.start_counting()
        self.assertFalse(other.of(limited).full)
        self.assertTrue(one.of(limited).full)
        self.assertTrue(other.of(limited).full)
        self.assertFalse(one.of(replace(limited, policy=replace(IN_TURN, max_connections=3))).full)
        slots[0].stop_counting()
        self.assertFalse(other.of(limited).full)
        self.assertFalse(one.of(A).full)
        self.assertEqual((one.of(A).active, other.of(A).active), (0, 1))

    def test_equal_destinations_are_compared_once(self) -> None:
        """Of several routes each may have an equal destination of its own: they are the same, until one differs."""
        clusters, doubles = Clusters(own_counts()), [replace(A) for _ in range(3)]
        self.assertEqual([next_of(clusters.of(each)) for each in doubles * 2], [1, 2, 3] * 2)
        self.assertEqual(next_of(clusters.of(replace(A, endpoints=ENDPOINTS[2:]))), 3)
        self.assertEqual({next_of(clusters.of(each)) for each in doubles}, {1, 2, 3})

    def test_counts_outlive_a_table(self) -> None:
        """An endpoint that stays keeps the count of its connections."""
        clusters = Clusters(own_counts())
        cluster = clusters.of(A)
        counted = CountedConnection(cluster)
        counted.start_counting()
        counted.count_for(next(cluster.candidates(lambda name: None, None, random.Random(1), 0)))
        next_of(clusters.of(replace(A, endpoints=ENDPOINTS[:2])))
        self.assertEqual([load.active for load in cluster.loads], [1, 0])
        counted.stop_counting()
        counted.stop_counting()
        self.assertEqual(([load.active for load in cluster.loads], cluster.active), ([0, 0], 0))

    def test_endpoints_that_fail_are_left_out(self) -> None:
        """An endpoint that fails too often is chosen no more until its time is over, or the policy has changed."""
        detecting = replace(A, policy=replace(IN_TURN, outliers=Outliers(2, 10, 30, 34, 0)))
        clusters = Clusters(own_counts())
        cluster = clusters.of(detecting)
        self.assertEqual(next_of(cluster), 1)
        failing = cluster.loads[1]
        with capturedLogs() as events:
            for _ in range(2):
                cluster.failed(failing, 0, 0, RNG, "ECONNREFUSED")
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "192.0.2.1:2 of a:80 fails (ECONNREFUSED): it is tried last until it answers again",
                "192.0.2.1:2 of a:80 cannot be reached (ECONNREFUSED), and is left out for 30 s",
            ],
        )
        self.assertEqual({next_of(cluster, 29) for _ in range(9)}, {1, 3})
        self.assertEqual({next_of(cluster, 30) for _ in range(9)}, {1, 2, 3})
        for _ in range(2):
            cluster.failed(failing, 30, 30, RNG, "ECONNREFUSED")
        self.assertEqual({next_of(cluster, 30) for _ in range(9)}, {1, 3})
        self.assertEqual({next_of(clusters.of(A), 60) for _ in range(9)}, {1, 2, 3})

    def test_unhealthy_endpoints(self) -> None:
        """What an active check has found unhealthy gets no connections; with too few left, all do, or with 0 none."""
        check, panicking = HealthCheck(), HealthCheck(panic=50)
        for algorithm in (Algorithm.ROUND_ROBIN, Algorithm.RING_HASH, Algorithm.MAGLEV):
            clusters = Clusters(own_counts())
            checked = replace(A, policy=UpstreamPolicy(balancing=Balancing(algorithm, 1021), check=check))
            cluster, other = clusters.of(checked), clusters.of(B)
            self.assertEqual(set(owners(cluster)), {1, 2, 3})
            clusters.follow_health({check: frozenset(["192.0.2.1:1", "192.0.2.1:3"])})
            self.assertEqual(set(owners(cluster)), {2})
            self.assertEqual({next_of(other) for _ in range(9)}, {1, 2, 3})
            clusters.follow_health({check: frozenset(f"192.0.2.1:{port}" for port in (1, 2, 3))})
            self.assertEqual(list(cluster.candidates(lambda name: None, "192.0.2.9", RNG, 0)), [])
            self.assertTrue(cluster.leaves_all_out)
            clusters.follow_health({})
            self.assertEqual(set(owners(cluster)), {1, 2, 3})
            cluster = clusters.of(replace(checked, policy=replace(checked.policy, check=panicking)))
            clusters.follow_health({panicking: frozenset(["192.0.2.1:1"])})
            self.assertEqual(set(owners(cluster)), {2, 3})
            clusters.follow_health({panicking: frozenset(["192.0.2.1:1", "192.0.2.1:2"])})
            self.assertEqual(set(owners(cluster)), {1, 2, 3})

    def test_unhealthy_and_ejected_endpoints(self) -> None:
        """Both are left out, and the larger of the two thresholds counts for both."""
        policy = replace(IN_TURN, outliers=Outliers(1, 10, 30, 34, 60), check=HealthCheck(panic=10))
        clusters = Clusters(own_counts())
        cluster = clusters.of(replace(A, policy=policy))
        next_of(cluster)
        cluster.failed(cluster.loads[0], 0, 0, RNG, "ECONNREFUSED")
        self.assertEqual({next_of(cluster) for _ in range(9)}, {2, 3})
        assert policy.check is not None
        clusters.follow_health({policy.check: frozenset(["192.0.2.1:2"])})
        self.assertTrue({next_of(cluster) for _ in range(9)} > {3})
        clusters.of(replace(A, policy=replace(policy, outliers=Outliers(1, 10, 30, 34, 0))))
        self.assertEqual({next_of(cluster, 1000) for _ in range(9)}, {1, 3})

    def test_only_clients_of_a_dead_endpoint_move(self) -> None:
        """By a hash, clients keep their endpoint while another one is dead, and go back to theirs when it lives."""
        for algorithm in (Algorithm.RING_HASH, Algorithm.MAGLEV):
            cluster = Clusters(own_counts()).of(replace(A, policy=UpstreamPolicy(balancing=Balancing(algorithm, 1021))))
            before = owners(cluster)
            self.assertGreater(before.count(1), 10)
            dead = cluster.loads[0]
            cluster.failed(dead, 0, 0, RNG, "ECONNREFUSED")
            during = owners(cluster)
            self.assertNotIn(1, during)
            stayed = [(first, now) for first, now in zip(before, during, strict=True) if first != 1]
            self.assertEqual([first for first, _ in stayed], [now for _, now in stayed])
            # When its back-off is over, its own clients have it again, the first of them as its probe.
            probed = owners(cluster, 1)
            self.assertEqual((probed.count(1), probed.index(1)), (1, before.index(1)))
            cluster.succeeded(dead, 1)
            self.assertEqual(owners(cluster, 1), before)

    def test_a_mark_is_shared(self) -> None:
        """A worker tries endpoints last that another worker has found dead, in every destination and in a new table."""
        memory = bytearray(bytes_for(2))
        one, other = (Clusters(SharedCounts(memory, place, bytes(16))) for place in range(2))
        next_of(one.of(A))
        one.of(A).failed(one.of(A).loads[1], 0, 0, RNG, "ECONNREFUSED")
        self.assertEqual({next_of(other.of(B)) for _ in range(9)}, {1, 3})
        self.assertEqual({next_of(other.of(replace(B, endpoints=ENDPOINTS[:1]))) for _ in range(9)}, {1})
        self.assertEqual({next_of(other.of(B)) for _ in range(9)}, {1, 3})
        self.assertEqual([next_of(cluster, 2) for cluster in (one.of(A), other.of(B), one.of(A))].count(2), 1)

    def test_all_are_tried_where_all_are_dead(self) -> None:
        """Their order is the policy's, and with a single attempt it always is."""
        cluster = Clusters(own_counts()).of(A)
        next_of(cluster)
        for load in cluster.loads:
            cluster.failed(load, 0, 0, RNG, "ECONNREFUSED")
        self.assertEqual([next_of(cluster) for _ in range(3)], [2, 3, 1])
        cluster.succeeded(cluster.loads[2], 0)
        self.assertEqual([next_of(cluster) for _ in range(3)], [3, 3, 3])
        firsts = [next(cluster.candidates(lambda name: None, None, RNG, 0, use_marks=False)).port for _ in range(3)]
        self.assertEqual(firsts, [2, 3, 1])
        self.assertEqual([next_of(cluster) for _ in range(3)], [3, 3, 3])

    def test_a_success_starts_over(self) -> None:
        """Only failures in a row count."""
        cluster = Clusters(own_counts()).of(replace(A, policy=replace(IN_TURN, outliers=Outliers(2, 10, 30, 100, 0))))
        next_of(cluster)
        failing = cluster.loads[0]
        for _ in range(5):
            cluster.failed(failing, 0, 0, RNG, "ECONNREFUSED")
            cluster.succeeded(failing, 0)
        self.assertEqual({next_of(cluster) for _ in range(9)}, {1, 2, 3})

    def test_an_ejection_is_shared(self) -> None:
        """Failures in any worker count, and all leave out what one has ejected; the share of all endpoints holds."""
        memory = bytearray(bytes_for(3))
        one, other, third = (Clusters(SharedCounts(memory, place, bytes(16))) for place in range(3))
        detecting = replace(A, policy=replace(IN_TURN, outliers=Outliers(2, 10, 30, 34, 0)))
        for worker in (one, other, one):
            next_of(worker.of(detecting))
            worker.of(detecting).failed(worker.of(detecting).loads[1], 0, 0, RNG, "ECONNREFUSED")
        for worker in (one, other, third):
            self.assertEqual({next_of(worker.of(detecting), 9) for _ in range(9)}, {1, 3})
            self.assertIn(("ejected", 30.0), [(each.state, each.until) for each in worker.left_out(9)])
        for _ in range(2):
            other.of(detecting).failed(other.of(detecting).loads[0], 9, 9, RNG, "ECONNREFUSED")
        self.assertEqual((one.of(detecting).ejected, other.of(detecting).ejected), (0, 1))
        for worker in (one, other):
            next_of(worker.of(detecting), 30)
            self.assertEqual({each.state for each in worker.left_out(30)}, {"tried_last"})

    def test_failing_endpoints_are_told(self) -> None:
        """An endpoint is told as ejected or tried last for as long as it is; where none fails, nobody looks."""
        clusters = Clusters(own_counts())
        detecting = clusters.of(replace(A, policy=replace(IN_TURN, outliers=Outliers(1, 10, 30, 34, 0))))
        marking = clusters.of(B)
        for cluster in (detecting, marking):
            next_of(cluster)
        self.assertEqual(clusters.left_out(0), [])
        detecting.failed(detecting.loads[1], 0, 0, RNG, "ECONNREFUSED")
        marking.failed(marking.loads[2], 0, 0, RNG, "ECONNREFUSED")
        found = {(each.destination, each.endpoint): (each.state, bool(each.until)) for each in clusters.left_out(0)}
        self.assertEqual(
            found,
            {
                ("a:80", "192.0.2.1:2"): ("ejected", True),
                ("a:80", "192.0.2.1:3"): ("tried_last", True),
                ("b:80", "192.0.2.1:2"): ("tried_last", True),
                ("b:80", "192.0.2.1:3"): ("tried_last", True),
            },
        )
        for load in marking.loads[1:]:
            load.marked = True
            marking.succeeded(load, 1)
        self.assertEqual([each.state for each in clusters.left_out(1)], ["ejected"])
        self.assertEqual(clusters.left_out(30), [])
        clusters.table_installed([A.cluster, B.cluster])
        self.assertEqual(clusters.left_out(0), [])

    def test_what_is_gone_is_forgotten(self) -> None:
        """A destination that goes starts over when it comes back, but not while a connection is still in it."""
        clusters = Clusters(own_counts())
        cluster, busy = clusters.of(A), clusters.of(B)
        counted = CountedConnection(busy)
        counted.start_counting()
        clusters.table_installed([A.cluster, B.cluster])
        self.assertIsNot(clusters.of(A), cluster)
        self.assertIs(clusters.of(B), busy)
        counted.stop_counting()
        clusters.table_installed([])
        self.assertIs(clusters.of(B), busy)
        clusters.table_installed([B.cluster])
        self.assertIsNot(clusters.of(B), busy)

    def test_a_cluster_goes_after_its_last_connection(self) -> None:
        """A cluster without a route is kept for its connection, and goes with a later table."""
        clusters = Clusters(own_counts())
        busy = clusters.of(B)
        counted = CountedConnection(busy)
        counted.start_counting()
        clusters.table_installed([B.cluster])
        clusters.table_installed([])
        counted.stop_counting()
        clusters.table_installed([])
        self.assertIsNot(clusters.of(B), busy)


class LocalityTests(SynchronousTestCase):
    """Near endpoints come first, shares of localities hold, and new endpoints warm up."""

    def setUp(self) -> None:
        """Two near endpoints, and two far ones."""
        near = [Endpoint("192.0.2.1", port, locality="eu/a") for port in (1, 2)]
        self.endpoints = (*near, *(Endpoint("192.0.2.2", port, priority=1, locality="eu/b") for port in (3, 4)))
        self.policy = replace(IN_TURN, outliers=Outliers(1, 10, 30, 100, 0))

    def cluster(self, **fields: Any) -> Cluster:
        """The cluster of a destination with these endpoints."""
        destination = Destination("a", 80, endpoints=self.endpoints, policy=self.policy)
        return Clusters(own_counts()).of(replace(destination, **fields))

    def ports(self, cluster: Cluster, now: float = 0, connections: int = 400) -> Counter[int]:
        """How often each port is tried first."""
        rng = random.Random(5)
        every = (next(cluster.candidates(lambda name: None, str(turn), rng, now)) for turn in range(connections))
        return Counter(load.port for load in every)

    def test_far_endpoints_take_what_near_ones_cannot(self) -> None:
        """With one of two near ones left out, 30 % go further; with both, all; and all come back in time."""
        for policy in (self.policy, replace(self.policy, balancing=Balancing(Algorithm.RING_HASH, 64))):
            cluster = self.cluster(policy=policy)
            self.assertEqual(set(self.ports(cluster)), {1, 2})
            cluster.failed(cluster.loads[0], 0, 0, RNG, "ECONNREFUSED")
            seen = self.ports(cluster, 1)
            self.assertEqual(set(seen), {2, 3, 4})
            self.assertLess(abs(seen[3] + seen[4] - 120), 30)
            cluster.failed(cluster.loads[1], 1, 1, RNG, "ECONNREFUSED")
            self.assertEqual(set(self.ports(cluster, 2)), {3, 4})
            for load in cluster.loads[:2]:
                cluster.succeeded(load, 99)
            self.assertEqual(set(self.ports(cluster, 99)), {1, 2})

    def test_a_failed_dial_goes_further(self) -> None:
        """Without outlier detection as well: near endpoints whose last dial failed come after the far ones."""
        cluster = self.cluster(policy=IN_TURN)
        self.ports(cluster, connections=1)
        for load in cluster.loads[:2]:
            cluster.failed(load, 0, 0, RNG, "ECONNREFUSED")
        order = [load.port for load in cluster.candidates(lambda name: None, None, RNG, 0.0)]
        self.assertEqual(order, [4, 3, 2, 1] if order[0] == 4 else [3, 4, *order[2:]])
        self.assertEqual(set(order[2:]), {1, 2})

    def test_shares_of_localities(self) -> None:
        """Exactly so many of each round, whatever the number of endpoints; and each endpoint of a locality in turn."""
        endpoints = tuple(replace(each, priority=0) for each in self.endpoints[:3])
        balancing = Balancing(Algorithm.ROUND_ROBIN, shares=(("eu/a", 75), ("eu/b", 25)))
        cluster = self.cluster(endpoints=endpoints, policy=UpstreamPolicy(balancing=balancing))
        self.assertEqual(self.ports(cluster), {1: 150, 2: 150, 3: 100})
        hashing = replace(balancing, algorithm=Algorithm.MAGLEV, size=1009)
        seen = self.ports(self.cluster(endpoints=endpoints, policy=UpstreamPolicy(balancing=hashing)), connections=4000)
        self.assertLess(abs(seen[3] - 1000), 150)

    def test_a_new_endpoint_warms_up(self) -> None:
        """An endpoint that comes later gets a tenth of its share at first, half of it halfway, and then all of it."""
        warm = UpstreamPolicy(balancing=Balancing(Algorithm.ROUND_ROBIN, warmup=Warmup(100, 0.1, 1.0)))
        destination = Destination("a", 80, endpoints=self.endpoints[:1], policy=warm)
        clusters = Clusters(own_counts())
        self.assertEqual(self.ports(clusters.of(destination), 0, 10), {1: 10})
        cluster = clusters.of(replace(destination, endpoints=self.endpoints[:2]))
        for now, share in ((1000, 10 / 110), (1050, 50 / 150), (1100, 1 / 2)):
            seen = self.ports(cluster, now, 3300)
            self.assertLess(abs(seen[2] - 3300 * share), 3, now)
