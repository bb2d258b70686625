"""Tests of :mod:`meshgate.routing.preferred_endpoints`."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.balance import balancer
from meshgate.routing.connection_policy import Algorithm, Balancing
from meshgate.routing.endpoint_load import EndpointLoad
from meshgate.routing.preferred_endpoints import InLevels, available_shares, levels
from meshgate.routing.table import Endpoint


def loads(*sizes: int, localities: bool = False) -> list[EndpointLoad]:
    """Endpoint loads, so many for each priority; or one priority with a locality for each number."""
    return [
        EndpointLoad(Endpoint(f"192.0.2.{level}", port, priority=0 if localities else level, locality=str(level)))
        for level, size in enumerate(sizes)
        for port in range(1, size + 1)
    ]


def in_percent(sizes: list[tuple[int, int]], panic: int) -> tuple[list[int], list[bool]]:
    """
    The shares of levels and which of them are in panic, in whole percents as Envoy counts (load_balancer_impl.cc,
    recalculatePerPriorityState, recalculatePerPriorityPanic, recalculateLoadInTotalPanic).
    """
    health = [min(100, 140 * healthy // total) for total, healthy in sizes]
    normal = min(100, sum(health))
    panics = [normal < 100 and 100 * healthy // total < panic for total, healthy in sizes]
    if all(panics):
        hosts = sum(total for total, _ in sizes)
        return [100 * total // hosts for total, _ in sizes], panics
    if not normal:
        return [100, *[0] * (len(sizes) - 1)], panics
    left, shares = 100, []
    for each in health:
        shares.append(min(left, each * 100 // normal))
        left -= shares[-1]
    return shares, panics


class LevelTests(SynchronousTestCase):
    """The shares of levels, and the endpoints that serve in each."""

    @given(
        st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), min_size=1, max_size=4),
        st.integers(0, 100),
    )
    def test_as_envoy_counts(self, sizes: list[tuple[int, int]], panic: int) -> None:
        """Whatever is ejected, each level has Envoy's share within its rounding, and all of it only in panic."""
        sizes = [(total, min(total, healthy)) for total, healthy in sizes]
        there = loads(*(total for total, _ in sizes))
        healthy = [load for load in there if load.port <= sizes[load.endpoint.priority][1]]
        found = levels(there, there if len(healthy) == len(there) else healthy, panic)
        expected, panics = in_percent(sizes, panic)
        self.assertEqual(len(found), len(sizes))
        rounding = sum(140 * fine % (100 * total) > 0 for total, fine in sizes)
        for level, percent in zip(found, expected, strict=True):
            self.assertLessEqual(abs(100 * level.share - percent), 2 + 2 * rounding)
        for index, level in enumerate(found):
            # Envoy rounds the percentage down before it compares it.
            total, fine = sizes[index]
            if (100 * fine < panic * total) == (100 * fine // total < panic) and sum(
                1.4 * each / of for of, each in sizes
            ) != 1:
                self.assertEqual(len(level.serving), total if panics[index] else fine)

    def test_a_level_covers_for_its_failed_endpoints(self) -> None:
        """Of five near endpoints one may fail and nothing changes; with three failed, 44 % go further."""
        there = loads(5, 5)
        self.assertEqual([level.share for level in levels(there, there[1:], 0)], [1.0, 0.0])
        near, far = levels(there, there[3:], 0)
        self.assertAlmostEqual(near.share, 1.4 * 2 / 5)
        self.assertAlmostEqual(far.share, 1 - 1.4 * 2 / 5)
        self.assertEqual((len(near.serving), len(far.serving)), (2, 5))

    def test_without_priorities_there_is_one_level(self) -> None:
        """The usual case: all endpoints, in their order."""
        there = loads(3)
        self.assertEqual(levels(there, there, 50), [(1.0, tuple(there))])

    def test_nothing_is_left(self) -> None:
        """If all endpoints are ejected, a panic threshold decides between all and none."""
        there = loads(2, 1)
        self.assertEqual([len(level.serving) for level in levels(there, [], 0)], [0, 0])
        self.assertEqual([len(level.serving) for level in levels(there, [], 1)], [2, 1])


class InLevelsTests(SynchronousTestCase):
    """The order of endpoints over all levels."""

    def order(self, *shares: float, marked: int = 0) -> InLevels:
        """Two levels of two endpoints each; as many of the near ones as said have failed."""
        self.near, self.far = loads(2), [EndpointLoad(Endpoint("192.0.2.9", port)) for port in (1, 2)]
        for load in self.near[:marked]:
            load.marked = True
        orders = [balancer(each, Balancing(Algorithm.ROUND_ROBIN)).order for each in (self.near, self.far)]
        return InLevels(shares, orders)

    def test_the_shares_hold(self) -> None:
        """Of 4,000 connections a level with a share of 0.3 gets about 1,200 first."""
        found, rng = self.order(0.3, 0.7), random.Random(3)
        seen = Counter(next(found.order(turn, None, rng)).address for turn in range(4000))
        self.assertLess(abs(seen["192.0.2.0"] - 1200), 120)

    def test_other_levels_follow(self) -> None:
        """A connection that fails at all near endpoints tries the far ones, each once."""
        order = list(self.order(1.0, 0.0).order(0, None, random.Random(1)))
        self.assertEqual(order, [*self.near, *self.far])

    def test_failed_ones_come_last(self) -> None:
        """A near endpoint whose last dial failed comes after the far ones."""
        order = list(self.order(1.0, 0.0, marked=2).order(0, None, random.Random(1)))
        self.assertEqual(order, [*self.far, *self.near])


class AvailableShareTests(SynchronousTestCase):
    """The shares of localities, reduced by what was ejected."""

    def test_a_locality_without_endpoints_gets_nothing(self) -> None:
        """The share of a locality falls with its healthy endpoints, below five of seven."""
        there = loads(4, 2, localities=True)
        shares = (("0", 80), ("1", 20))
        self.assertEqual(available_shares(there, there, shares), (("0", 800), ("1", 200)))
        self.assertEqual(available_shares(there, there[2:], shares), (("0", 560), ("1", 200)))
        self.assertEqual(available_shares(there, there[:4], shares), (("0", 800),))
