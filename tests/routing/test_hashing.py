"""Tests of :mod:`meshgate.routing.hashing`, each table against a slow and obvious one."""

from __future__ import annotations

import struct
from collections import Counter
from hashlib import shake_128

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.hashing import Maglev, Ring, hash64

KEYS = st.integers(0, 2**64 - 1)
WEIGHTS = st.lists(st.integers(1, 7), min_size=1, max_size=7)
PRIMES = st.sampled_from([2, 7, 101, 251])


def numbers(name: str, count: int) -> list[int]:
    """The numbers to which a name hashes."""
    return list(struct.unpack(f"<{count}Q", shake_128(name.encode()).digest(8 * count)))


def named(weights: list[int]) -> list[str]:
    """Names of owners."""
    return [f"192.0.2.{number}:80" for number in range(len(weights))]


def slow_ring(weights: list[int], size: int, key: int) -> list[int]:
    """A ring that measures the distance from the key to every point, and sorts owners by their nearest one."""
    nearest = {}
    for owner, name in enumerate(named(weights)):
        count = next(count for count in range(1, size + 1) if count * sum(weights) >= size * weights[owner])
        nearest[owner] = min((point - key) % 2**64 for point in numbers(name, count))
    return sorted(nearest, key=lambda owner: nearest[owner])


def slow_maglev(weights: list[int], size: int) -> list[int]:
    """
    Fill a whole table as the paper does, with complete permutations, one turn after the other. In turn t, from 0 on, an
    owner gets entries until it has one, and t times its weight's fraction of the heaviest weight more.
    """
    permutations = []
    for name in named(weights):
        first, second = numbers(name, 2)
        permutations.append([(first + step * (second % (size - 1) + 1)) % size for step in range(size)])
    table: dict[int, int] = {}
    turn, had = 0, [0] * len(weights)
    while len(table) < size:
        for owner, weight in enumerate(weights):
            if had[owner] < 1 + turn * weight // max(weights) and len(table) < size:
                table[next(entry for entry in permutations[owner] if entry not in table)] = owner
                had[owner] += 1
        turn += 1
    return [table[entry] for entry in range(size)]


class RingTests(SynchronousTestCase):
    """The ring."""

    @given(WEIGHTS, st.integers(1, 64), KEYS)
    @settings(deadline=None)
    def test_nearest_point_first(self, weights: list[int], size: int, key: int) -> None:
        """The owners come in the order of their nearest points."""
        self.assertEqual(list(Ring(named(weights), weights, size).walk(key)), slow_ring(weights, size, key))

    def test_those_who_stay_keep_their_keys(self) -> None:
        """If an owner is removed, only its keys move, each to the owner that was next."""
        before, after = Ring(["a", "b", "c"], [1, 1, 1], 1024), Ring(["a", "b"], [1, 1], 683)
        for number in range(200):
            first, second, *_ = before.walk(hash64(str(number)))
            moved = next(after.walk(hash64(str(number))))
            self.assertEqual(moved, second if first == 2 else first)

    def test_a_weightless_owner_has_a_point(self) -> None:
        """Every owner has a point, however small its weight."""
        self.assertEqual(sorted(Ring(["a", "b"], [2**31, 1], 1024).walk(5)), [0, 1])


class MaglevTests(SynchronousTestCase):
    """The Maglev table."""

    @given(WEIGHTS, PRIMES, st.lists(KEYS, min_size=1, max_size=20))
    @settings(deadline=None)
    def test_filled_as_far_as_needed(self, weights: list[int], size: int, keys: list[int]) -> None:
        """In whatever order entries are looked up, they are those of a table that is filled at once."""
        table, whole = Maglev(named(weights), weights, size), slow_maglev(weights, size)
        for key in keys:
            around = whole[key % size :] + whole[: key % size]
            self.assertEqual(list(table.walk(key)), list(dict.fromkeys(around)))

    def test_even(self) -> None:
        """Owners of the same weight have the same number of entries, give or take one."""
        table = Maglev([f"owner {number}" for number in range(6)], [1] * 6, 1009)
        seen = Counter(next(table.walk(key)) for key in range(1009))
        self.assertLessEqual(max(seen.values()) - min(seen.values()), 1)

    def test_few_keys_move(self) -> None:
        """If one of ten owners is removed, hardly more than its own keys move."""
        names = [f"owner {number}" for number in range(10)]
        before, after = Maglev(names, [1] * 10, 1009), Maglev(names[:9], [1] * 9, 1009)
        moved = sum(next(before.walk(key)) != next(after.walk(key)) for key in range(1009))
        self.assertLess(moved, 1009 / 10 * 2)


class HashTests(SynchronousTestCase):
    """The hash of an address."""

    def test_it_does_not_depend_on_the_process(self) -> None:
        """The hash of an address never changes, so that gateways side by side agree on it."""
        self.assertEqual(hash64("198.51.100.7"), 3388337531099510647)
