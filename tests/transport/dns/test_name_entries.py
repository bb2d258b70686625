"""Tests of meshgate.transport.dns.resolver: what an answer changes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.transport.dns.address_lookup import Answer
from meshgate.transport.dns.resolver import FIRST_RETRY, LAST_RETRY, LONGEST_TTL, SHORTEST_TTL, NameEntry, Outcome

answers = st.builds(
    Answer,
    st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]), max_size=3).map(tuple),
    st.floats(0, 1e6),
    st.just("nothing"),
)
outcomes: st.SearchStrategy[Outcome] = answers | st.just("no answer")


class KeepTests(SynchronousTestCase):
    """Series of answers and failures."""

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.tuples(outcomes, outcomes), min_size=1, max_size=8))
    def test_a_good_answer_is_never_lost(self, series: list[tuple[Outcome, Outcome]]) -> None:
        """Once there are addresses there always are; a name fails exactly while nobody gives any."""
        name = NameEntry("a.example")
        for pair in series:
            before = name.addresses
            wait = name.keep(pair, 0.0)
            given_now = [o for o in pair if isinstance(o, Answer) and o.addresses]
            self.assertEqual(bool(name.reason), not given_now)
            if given_now:
                self.assertTrue(all(set(o.addresses) <= set(name.addresses or ()) for o in given_now))
                self.assertTrue(SHORTEST_TTL <= wait <= LONGEST_TTL)
            else:
                self.assertEqual(name.addresses, before)
                self.assertTrue(FIRST_RETRY <= wait <= LAST_RETRY)

    def test_the_back_off_never_ends(self) -> None:
        """After days of failures the name is still asked for every 30 seconds."""
        name = NameEntry("a.example")
        waits = [name.keep(("no answer", "no answer"), 0.0) for _ in range(5000)]
        self.assertEqual(waits[:7], [1, 2, 4, 8, 16, 30, 30])
        self.assertEqual(waits[-1], LAST_RETRY)

    def test_both_reasons_are_told(self) -> None:
        """Two reasons stand side by side, one that is twice the same stands once."""
        name = NameEntry("a.example")
        name.keep(("it rains", Answer((), reason="it pours")), 0.0)
        self.assertEqual(name.reason, "it rains; it pours")
        name.keep(("it rains", "it rains"), 0.0)
        self.assertEqual(name.reason, "it rains")
