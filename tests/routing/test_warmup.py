"""Tests of :mod:`meshgate.routing.warmup`."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.connection_policy import Warmup
from meshgate.routing.endpoint_load import EndpointLoad
from meshgate.routing.table import Endpoint
from meshgate.routing.warmup import part, warm_up


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
