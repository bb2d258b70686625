"""Tests of :mod:`meshgate.routing.lookup`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.lookup import find_chain
from meshgate.routing.table import Chain
from tests import examples

LABELS = st.sampled_from(["a", "b", "c", "com"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
#: What a hello may hold besides names, as far as the parser lets it through.
ODD = st.text("ab.", max_size=6)


def chain(name: str) -> Chain:
    """A chain that is recognized by its rule."""
    return Chain((name,), "ns/gw", "tls", "ns/vs", name, ())


def slow_lookup(exact: set[str], suffixes: set[str], catch_all: bool, sni: str | None) -> str | None:
    """The lookup by definition, which compares every name."""
    if sni in exact:
        return sni
    fitting = [suffix for suffix in suffixes if sni is not None and sni.endswith("." + suffix)]
    if fitting:
        return "*." + max(fitting, key=len)
    return "*" if catch_all else None


class LookupTests(SynchronousTestCase):
    """Looking up names."""

    @given(st.sets(NAMES), st.sets(NAMES), st.booleans(), st.none() | NAMES | ODD)
    @settings(deadline=None, max_examples=examples(300))
    def test_it_agrees_with_a_slow_one(
        self, exact: set[str], suffixes: set[str], catch_all: bool, sni: str | None
    ) -> None:
        """Over random tables, the lookup finds what comparing every name finds."""
        found = find_chain(
            sni,
            {name: chain(name) for name in exact},
            {name: chain("*." + name) for name in suffixes},
            chain("*") if catch_all else None,
        )
        self.assertEqual(found and found.rule, slow_lookup(exact, suffixes, catch_all, sni))
