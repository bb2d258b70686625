"""Tests of :mod:`meshgate.routing.balance`."""

from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.balance import (
    Balancer,
    HashInTiers,
    balancer,
    choose_destination,
    hashes,
    part,
    shares,
    tiered,
    warm_up,
)
from meshgate.routing.connection_policy import Algorithm, Balancing, Warmup
from meshgate.routing.endpoint_load import EndpointLoad
from meshgate.routing.table import Destination, Endpoint

A = Destination("a", 1, weight=1)
B = Destination("b", 1, weight=3)
NEVER = Destination("never", 1, weight=0)


class ChoiceTests(SynchronousTestCase):
    """Choosing a destination by weight."""

    def test_single_destination_ignores_its_weight(self) -> None:
        """One destination takes everything, even with weight 0."""
        self.assertIs(choose_destination([NEVER], random.Random(1)), NEVER)

    def test_shares_follow_weights(self) -> None:
        """Of 4,000 connections, a destination with 3 of 4 gets about 3,000, and one with weight 0 none."""
        rng = random.Random(7)
        seen = Counter(chosen.host for _ in range(4000) if (chosen := choose_destination([A, B, NEVER], rng)))
        self.assertEqual(set(seen), {"a", "b"})
        self.assertLess(abs(seen["b"] - 3000), 150)

    def test_nothing_to_choose(self) -> None:
        """No destination, or several without any weight, give none."""
        self.assertIsNone(choose_destination([], random.Random(1)))
        self.assertIsNone(choose_destination([NEVER, NEVER], random.Random(1)))


class ShareTests(SynchronousTestCase):
    """The shares of destinations in the long run."""

    def test_shares(self) -> None:
        """Each destination that is ever chosen has a share, and the shares add up to 1."""
        self.assertEqual(shares([A, NEVER, B]), [(A, Fraction(1, 4)), (B, Fraction(3, 4))])
        self.assertEqual(shares([NEVER]), [(NEVER, Fraction(1))])

    def test_nobody_gets_anything(self) -> None:
        """Without a destination to choose there are no shares."""
        self.assertEqual(shares([]), [])
        self.assertEqual(shares([NEVER, NEVER]), [])


def loads(*weights: int) -> tuple[EndpointLoad, ...]:
    """Endpoint loads with these weights, on ports from 1."""
    return tuple(EndpointLoad(Endpoint("192.0.2.1", port, weight=weight)) for port, weight in enumerate(weights, 1))


def firsts(of: Balancer, calls: int, seed: int = 1) -> Counter[int]:
    """Count how often each port is tried first."""
    rng = random.Random(seed)
    return Counter(next(of.order(turn, None, rng)).endpoint.port for turn in range(calls))


class OrderTests(SynchronousTestCase):
    """Properties of every balancer."""

    @given(
        st.sampled_from(list(Algorithm)),
        st.lists(st.integers(1, 9), max_size=8),
        st.integers(0, 2**20),
        st.one_of(st.none(), st.ip_addresses().map(str)),
    )
    @settings(deadline=None)
    def test_every_endpoint_once(self, algorithm: Algorithm, weights: list[int], turn: int, source: str | None) -> None:
        """A connection whose dials fail tries every endpoint, and none twice."""
        there = loads(*weights)
        order = balancer(there, Balancing(algorithm, 101)).order(turn, source, random.Random(turn))
        self.assertCountEqual(order, there)

    def test_the_next_one_follows_the_weights(self) -> None:
        """After a failure the other endpoints are drawn by their weights, not by their position in the list."""
        for algorithm in (Algorithm.RANDOM, Algorithm.LEAST_REQUEST):
            of, rng, seconds = balancer(loads(50, 1, 3), Balancing(algorithm)), random.Random(3), Counter[int]()
            for turn in range(6000):
                first, second, *_ = of.order(turn, None, rng)
                if first.endpoint.port == 1:
                    seconds[second.endpoint.port] += 1
            self.assertLess(abs(seconds[3] / seconds.total() - 3 / 4), 0.05)

    def test_chance_that_never_gives_the_last_one(self) -> None:
        """An endpoint of a tiny weight is tried as soon as no other is left."""
        of = balancer(loads(2**40, 1), Balancing(Algorithm.RANDOM))
        self.assertEqual([load.endpoint.port for load in of.order(0, None, random.Random(1))], [1, 2])


class RoundRobinTests(SynchronousTestCase):
    """The round-robin balancer."""

    def test_each_in_turn(self) -> None:
        """Connection after connection starts at the next endpoint, and goes on in the order of the list."""
        of = balancer(loads(1, 1, 1), Balancing(Algorithm.ROUND_ROBIN))
        ports = [[load.endpoint.port for load in of.order(turn, None, random.Random(1))] for turn in range(4)]
        self.assertEqual(ports, [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]])

    @given(st.lists(st.integers(1, 20), min_size=2, max_size=6), st.integers(0, 1000))
    @settings(deadline=None)
    def test_weights_are_exact(self, weights: list[int], start: int) -> None:
        """Over as many turns as the weights add up to, each endpoint comes first as often as its weight says."""
        of, rng = balancer(loads(*weights), Balancing(Algorithm.ROUND_ROBIN)), random.Random(1)
        seen = Counter(next(of.order(turn, None, rng)).endpoint.port for turn in range(start, start + sum(weights)))
        self.assertEqual(seen, dict(enumerate(weights, 1)))

    def test_weights_are_mixed(self) -> None:
        """An endpoint with most of the weight does not get all its connections in a row."""
        of, rng = balancer(loads(10, 10), Balancing(Algorithm.ROUND_ROBIN)), random.Random(1)
        self.assertEqual([next(of.order(turn, None, rng)).endpoint.port for turn in range(4)], [1, 2, 1, 2])
        of = balancer(loads(3, 2), Balancing(Algorithm.ROUND_ROBIN))
        self.assertEqual([next(of.order(turn, None, rng)).endpoint.port for turn in range(5)], [1, 2, 1, 2, 1])


class TierTests(SynchronousTestCase):
    """Balancers with tiers."""

    @given(st.sampled_from(list(Algorithm)), st.lists(st.integers(0, 2), min_size=1, max_size=8), st.integers(0, 99))
    @settings(deadline=None)
    def test_tier_after_tier(self, algorithm: Algorithm, tier_of: list[int], turn: int) -> None:
        """Every endpoint comes once, and none before one of an earlier tier."""
        there, balancing = loads(*[1] * len(tier_of)), Balancing(algorithm, 101)
        tiers = [[load for load, tier in zip(there, tier_of, strict=True) if tier == wanted] for wanted in range(3)]
        of = HashInTiers(tiers, balancer(there, balancing)) if hashes(balancing) else tiered(tiers, balancing)
        order = list(of.order(turn, "192.0.2.1", random.Random(turn)))
        self.assertCountEqual(order, there)
        self.assertEqual([tier_of[there.index(load)] for load in order], sorted(tier_of))

    def test_the_first_tier_shares_by_its_weights(self) -> None:
        """Endpoints of later tiers do not distort the shares, wherever they are in the list."""
        there = loads(1, 5, 2, 7, 1)
        of = tiered([[there[0], there[2], there[4]], [there[1], there[3]]], Balancing(Algorithm.ROUND_ROBIN))
        self.assertEqual(firsts(of, 400), {1: 100, 3: 200, 5: 100})


class RandomTests(SynchronousTestCase):
    """The random balancer."""

    def test_shares_follow_weights(self) -> None:
        """Of 6,000 connections each endpoint gets about its share, with equal weights and with others."""
        for weights in ((1, 1, 1), (1, 2, 3)):
            seen = firsts(balancer(loads(*weights), Balancing(Algorithm.RANDOM)), 6000)
            for port, weight in enumerate(weights, 1):
                self.assertLess(abs(seen[port] - 6000 * weight / sum(weights)), 150)


class LeastRequestTests(SynchronousTestCase):
    """The least-request balancer."""

    def test_the_one_with_fewer_of_two(self) -> None:
        """Of two endpoints, the one with fewer connections is tried first, always."""
        there = loads(1, 1)
        there[0].active = 1
        self.assertEqual(firsts(balancer(there, Balancing()), 100), {2: 100})

    def test_a_busy_one_is_never_chosen_of_many(self) -> None:
        """The endpoint with the most connections loses against whichever other it is drawn with."""
        there = loads(1, 1, 1, 1, 1)
        there[2].active = 7
        seen = firsts(balancer(there, Balancing()), 1000)
        self.assertEqual(set(seen), {1, 2, 4, 5})

    def test_shares_without_connections(self) -> None:
        """Without connections the shares are those of the weights."""
        seen = firsts(balancer(loads(1, 2, 3), Balancing()), 6000)
        for port in (1, 2, 3):
            self.assertLess(abs(seen[port] - 1000 * port), 150)

    def test_weights_count_against_connections(self) -> None:
        """An endpoint of three times the weight carries three times the connections before it counts as busier."""
        there = loads(3, 1)
        there[0].active, there[1].active = 2, 1
        self.assertEqual(firsts(balancer(there, Balancing()), 100), {1: 100})
        there[0].active = 4
        self.assertEqual(firsts(balancer(there, Balancing()), 100), {2: 100})

    @given(st.lists(st.integers(1, 5), min_size=2, max_size=8), st.integers(0, 2**32))
    @settings(deadline=None)
    def test_connections_that_stay_are_spread(self, weights: list[int], seed: int) -> None:
        """When no connection ends, no endpoint has many more for its weight than another."""
        there = loads(*weights)
        of, rng = balancer(there, Balancing()), random.Random(seed)
        for turn in range(60 * len(weights)):
            next(of.order(turn, None, rng)).active += 1
        ratios = [load.active / load.endpoint.weight for load in there]
        self.assertLess(max(ratios), 3 * min(ratios) + 4)


class ConsistentHashTests(SynchronousTestCase):
    """Hashing balancers."""

    ALGORITHMS = (Balancing(Algorithm.RING_HASH, 1024), Balancing(Algorithm.MAGLEV, 1009))

    def test_the_same_for_the_same(self) -> None:
        """A client's endpoint depends neither on the turn nor on chance nor on the order of the endpoints."""
        for balancing in self.ALGORITHMS:
            there = loads(1, 1, 1, 1)
            one, other = balancer(there, balancing), balancer(there[::-1], balancing)
            for number in range(50):
                source = f"198.51.100.{number}"
                chosen = next(one.order(0, source, random.Random(1)))
                self.assertIs(next(one.order(7, source, random.Random(2))), chosen)
                self.assertIs(next(other.order(0, source, random.Random(1))), chosen)

    def test_clients_are_spread_by_weight(self) -> None:
        """Each endpoint gets about its share of many clients."""
        for balancing in self.ALGORITHMS:
            of, seen = balancer(loads(1, 1, 2), balancing), Counter[int]()
            for number in range(4000):
                seen[next(of.order(0, f"2001:db8::{number:x}", random.Random(1))).endpoint.port] += 1
            for port, share in ((1, 1000), (2, 1000), (3, 2000)):
                self.assertLess(abs(seen[port] - share), 250)

    def test_without_a_source_chance_decides(self) -> None:
        """Without an address to hash, endpoints are chosen at random."""
        for balancing in self.ALGORITHMS:
            self.assertEqual(set(firsts(balancer(loads(1, 1, 1), balancing), 100)), {1, 2, 3})


def there(*ages: float, now: float = 1000.0) -> list[EndpointLoad]:
    """Endpoint loads that were added so many seconds before now; the weight of each is its number."""
    found = [EndpointLoad(Endpoint("192.0.2.1", port, weight=port)) for port in range(1, len(ages) + 1)]
    for load, age in zip(found, ages, strict=True):
        load.added = now - age
    return found


class PartTests(SynchronousTestCase):
    """How the share of a new endpoint grows."""

    def test_steps_of_time(self) -> None:
        """Evenly from the least part to the whole one; faster at first with an aggression above 1."""
        even, fast = Warmup(100, 0.1, 1.0), Warmup(100, 0.1, 2.0)
        self.assertEqual([part(even, age) for age in (0, 5, 50, 100, 200)], [0.1, 0.1, 0.5, 1.0, 1.0])
        self.assertAlmostEqual(part(fast, 25), 0.5)

    @given(st.floats(0.1, 1000), st.floats(0, 1), st.floats(0.1, 10), st.floats(0, 2000), st.floats(0, 2000))
    def test_it_never_falls(self, duration: float, least: float, aggression: float, one: float, other: float) -> None:
        """The longer an endpoint is there, the larger its part; never under the least one, and never over the whole."""
        warmup, (early, late) = Warmup(duration, least, aggression), sorted((one, other))
        self.assertLessEqual(least, part(warmup, early))
        self.assertLessEqual(part(warmup, early), part(warmup, late))
        self.assertLessEqual(part(warmup, late), 1.0)


class WarmUpTests(SynchronousTestCase):
    """The weights of endpoints while some are new."""

    def test_new_ones_weigh_less(self) -> None:
        """An endpoint that is there for half of the time has half of its weight, beside the old ones."""
        loads = there(50, 500)
        until = warm_up(loads, Warmup(100, 0.1, 1.0), 1000)
        self.assertEqual([load.weight for load in loads], [50, 200])
        self.assertEqual(until, 1002)
        self.assertEqual(warm_up(loads, Warmup(100, 0.1, 1.0), 1049.5), 1050)

    def test_all_are_warm(self) -> None:
        """In the end, and without a warm-up, weights are those of the endpoints, and stay."""
        for warmup in (None, Warmup(100, 0.1, 1.0)):
            loads = there(100, 500)
            loads[0].weight = 7
            self.assertEqual(warm_up(loads, warmup, 1000), math.inf)
            self.assertEqual([load.weight for load in loads], [1, 2])
