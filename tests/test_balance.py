"""Tests of :mod:`meshgate.routing.balance`."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.balance import Rotation, choose_destination, shares
from meshgate.routing.table import Destination, Endpoint

A = Destination("a", 1, weight=1)
B = Destination("b", 1, weight=3)
NEVER = Destination("never", 1, weight=0)


class ChoiceTests(SynchronousTestCase):
    """Destinations by weight."""

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
    """What the choice comes to in the long run."""

    def test_shares(self) -> None:
        """Each destination that is ever chosen has its part, and the parts add up to 1."""
        self.assertEqual(shares([A, NEVER, B]), [(A, Fraction(1, 4)), (B, Fraction(3, 4))])
        self.assertEqual(shares([NEVER]), [(NEVER, Fraction(1))])

    def test_nobody_gets_anything(self) -> None:
        """Where nothing is chosen, nobody has a part."""
        self.assertEqual(shares([]), [])
        self.assertEqual(shares([NEVER, NEVER]), [])


class RotationTests(SynchronousTestCase):
    """Round robin."""

    def test_each_in_turn(self) -> None:
        """Thirty connections over three endpoints give each exactly ten firsts."""
        rotation = Rotation()
        endpoints = [Endpoint("127.0.0.1", port) for port in (1, 2, 3)]
        firsts = Counter(rotation.order(A, endpoints)[0].port for _ in range(30))
        self.assertEqual(firsts, {1: 10, 2: 10, 3: 10})

    def test_weights(self) -> None:
        """An endpoint with weight 2 comes first twice as often."""
        rotation = Rotation()
        endpoints = [Endpoint("127.0.0.1", 1, weight=2), Endpoint("127.0.0.1", 2)]
        firsts = Counter(rotation.order(A, endpoints)[0].port for _ in range(30))
        self.assertEqual(firsts, {1: 20, 2: 10})

    @given(st.lists(st.integers(1, 4), max_size=6), st.integers(0, 20))
    @settings(deadline=None)
    def test_order_is_a_rotation_of_all(self, weights: list[int], calls: int) -> None:
        """Whatever came before, every endpoint stands in the order once."""
        rotation = Rotation()
        endpoints = [Endpoint("127.0.0.1", port, weight=weight) for port, weight in enumerate(weights, 1)]
        for _ in range(calls):
            rotation.order(A, endpoints)
        self.assertCountEqual(rotation.order(A, endpoints), endpoints)

    def test_positions_of_gone_destinations_are_forgotten(self) -> None:
        """A destination that stays keeps its turn; one that goes starts over when it comes back."""
        rotation = Rotation()
        endpoints = [Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2)]
        rotation.order(A, endpoints)
        rotation.order(B, endpoints)
        rotation.forget_all_but([A])
        self.assertEqual(rotation.order(A, endpoints)[0].port, 2)
        self.assertEqual(rotation.order(B, endpoints)[0].port, 1)
