"""The rules of load balancing that are more than a look at fields: primes and localities."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.loadbalancer import TABLE_BOUND, is_prime
from tests.reading import faults_of

PARTS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3).filter(lambda parts: "*" not in parts[:-1])


def overlapping(localities: Sequence[str]) -> list[int]:
    """Find the localities, as sources of traffic, that overlap with an earlier one."""
    distribute = [{"from": locality, "to": {"*": 100}} for locality in localities]
    balancer = {"localityLbSetting": {"distribute": distribute}}
    found = faults_of("DestinationRule", {"host": "db", "trafficPolicy": {"loadBalancer": balancer}})
    return sorted(int(fault.partition("distribute[")[2].partition("]")[0]) for fault in found)


class PrimeTests(SynchronousTestCase):
    """Sizes of Maglev tables."""

    def test_primes(self) -> None:
        """As a sieve finds them; and 1, as Envoy has it."""
        sieve = [number > 1 for number in range(2000)]
        for number in range(2, 45):
            for multiple in range(number * number, 2000, number):
                sieve[multiple] = False
        sieve[1] = True
        self.assertEqual([is_prime(number) for number in range(2000)], sieve)

    def test_the_usual_size_and_the_bound(self) -> None:
        """The check is right for large numbers as well."""
        self.assertTrue(is_prime(65537))
        self.assertTrue(is_prime(TABLE_BOUND))
        self.assertFalse(is_prime(65537 * 3))


class LocalityTests(SynchronousTestCase):
    """Localities beside each other."""

    def test_what_is_wider_or_the_same_takes_all(self) -> None:
        """A locality after one that takes it in is never asked."""
        for first, second in (("*", "a"), ("a", "a/b"), ("a/*", "a/b/c"), ("a/b", "a/b/*"), ("a/b/c", "a/b/c")):
            self.assertEqual(overlapping([first, second]), [1], f"{first} {second}")

    def test_a_wildcard_may_take_what_is_left(self) -> None:
        """After the localities that it takes in."""
        self.assertEqual(overlapping(["a/b/c", "a/b/*", "a/*", "*"]), [])

    def test_without_a_wildcard_the_wider_one_overlaps(self) -> None:
        """In whatever order the two stand."""
        self.assertEqual(overlapping(["a/b/c", "a/b"]), [1])
        self.assertEqual(overlapping(["a/b", "a/b/c"]), [1])

    @given(st.lists(PARTS, min_size=1, max_size=4))
    @settings(deadline=None, max_examples=200)
    def test_localities_that_are_found_really_overlap(self, localities: Sequence[Sequence[str]]) -> None:
        """A locality that overlaps has a concrete locality in common with an earlier one."""

        def share(first: Sequence[str], second: Sequence[str]) -> bool:
            return all(one == other or "*" in (one, other) for one, other in zip(first, second, strict=False))

        for index in overlapping(["/".join(parts) for parts in localities]):
            self.assertTrue(any(share(other, localities[index]) for other in localities[:index]))
