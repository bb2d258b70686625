"""Tests of :mod:`meshgate.proxy.rates`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.rates import WAYS, Rate, RateTable, microseconds, table_words

SEED = bytes(16)


class SlowBuckets:
    """The reference: a bucket of tokens for each key, and no bound on their number."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: dict[str, tuple[float, float]] = {}

    def _tokens(self, key: str, now: float) -> float:
        tokens, then = self._buckets.get(key, (float(self._rate.burst), now))
        return min(float(self._rate.burst), tokens + (now - then) * self._rate.per_second)

    def allows(self, key: str, now: float) -> bool:
        """Tell if there is a token."""
        return self._tokens(key, now) >= 1 - 1e-6

    def take(self, key: str, now: float) -> None:
        """Take one."""
        self._buckets[key] = (self._tokens(key, now) - 1, now)


def table(sets: int) -> tuple[memoryview, RateTable]:
    """A table, and its memory."""
    memory = memoryview(bytearray(table_words(sets) * 8)).cast("q")
    return memory, RateTable(memory, SEED)


def admits(rates: RateTable, rate: Rate, key: str, now: float) -> bool:
    """Take a token if there is one."""
    when = microseconds(now)
    entry = rates.entry(key, when)
    if not rates.allows(entry, rate, when):
        return False
    rates.take(entry, int(rate.interval), when)
    return True


EVENTS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), max_size=120)
"""Keys, and the halves of a second that pass before each."""


class RateTests(SynchronousTestCase):
    """Token buckets."""

    def test_a_burst_and_then_one_at_a_time(self) -> None:
        """Three a minute: the third passes, the fourth does not, and one more passes every 20 seconds."""
        _, rates = table(1)
        rate = Rate(3 / 60, 3)
        self.assertEqual([admits(rates, rate, "a", 5.0) for _ in range(4)], [True, True, True, False])
        self.assertTrue(admits(rates, rate, "b", 5.0))
        self.assertEqual(
            [admits(rates, rate, "a", now) for now in (24.9, 25.1, 25.2, 45.2)], [False, True, False, True]
        )
        self.assertEqual([admits(rates, rate, "a", 500.0) for _ in range(4)], [True, True, True, False])

    @given(st.lists(st.tuples(st.integers(0, WAYS - 1), st.integers(0, 8)), max_size=80), st.integers(1, 4))
    def test_as_many_keys_as_there_is_room_for(self, events: list[tuple[int, int]], burst: int) -> None:
        """Each is judged as by a bucket of its own."""
        rate = Rate(0.5, burst)
        _, rates = table(1)
        slow, now = SlowBuckets(rate), 1.0
        for key, halves in events:
            now += halves / 2
            wanted = slow.allows(str(key), now)
            if wanted:
                slow.take(str(key), now)
            self.assertEqual(admits(rates, rate, str(key), now), wanted)

    @given(EVENTS, st.integers(1, 4))
    def test_any_number_of_keys(self, events: list[tuple[int, int]], burst: int) -> None:
        """The memory stays as large as it was, and nobody is refused who has not used up the bucket."""
        rate = Rate(0.5, burst)
        memory, rates = table(1)
        slow, now = SlowBuckets(rate), 1.0
        for key, halves in events:
            now += halves / 2
            if admits(rates, rate, str(key), now):
                slow.take(str(key), now)
            else:
                self.assertFalse(slow.allows(str(key), now))
        tags = memory.tolist()[::2]
        self.assertEqual(len(tags), WAYS)
        self.assertLessEqual(len(set(tags) - {0}), WAYS)

    def test_strangers_do_not_free_who_takes_most(self) -> None:
        """Many strangers, one connection each, do not make room for a client that has used up its bucket."""
        _, rates = table(2)
        rate = Rate(0.1, 5)
        self.assertEqual([admits(rates, rate, "greedy", 1.0) for _ in range(6)], [True] * 5 + [False])
        for stranger in range(5_000):
            self.assertTrue(admits(rates, rate, f"stranger {stranger}", 1.0))
        self.assertFalse(admits(rates, rate, "greedy", 1.0))

    def test_workers_take_from_one_bucket(self) -> None:
        """Two of them see the same memory."""
        memory, one = table(4)
        other = RateTable(memory, SEED)
        rate = Rate(1.0, 3)
        self.assertEqual([admits(each, rate, "a", 1.0) for each in (one, other, one, other)], [True, True, True, False])
