"""Tests of :mod:`meshgate.routing.table`."""

from __future__ import annotations

import pickle

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable

LABELS = st.sampled_from(["a", "b", "c", "com"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


def chain(name: str) -> Chain:
    """A chain that is told apart by its rule."""
    return Chain((name,), "ns/gw", "tls", "ns/vs", name, ())


def slow_lookup(exact: set[str], suffixes: set[str], catch_all: bool, sni: str | None) -> str | None:
    """The rule by the book: every name is looked at."""
    if sni in exact:
        return sni
    fitting = [suffix for suffix in suffixes if sni is not None and sni.endswith("." + suffix)]
    if fitting:
        return "*." + max(fitting, key=len)
    return "*" if catch_all else None


class LookupTests(SynchronousTestCase):
    """Names looked up in a listener."""

    @given(st.sets(NAMES), st.sets(NAMES), st.booleans(), st.one_of(st.none(), NAMES))
    @settings(deadline=None, max_examples=300)
    def test_lookup_agrees_with_a_slow_one(
        self, exact: set[str], suffixes: set[str], catch_all: bool, sni: str | None
    ) -> None:
        """Over random tables, lookup finds what comparing every name finds."""
        listener = Listener(
            ListenerKey("0.0.0.0", 443),
            dual_stack=True,
            sniffs=True,
            exact={name: chain(name) for name in exact},
            suffixes={name: chain("*." + name) for name in suffixes},
            catch_all=chain("*") if catch_all else None,
        )
        found = listener.lookup(sni)
        self.assertEqual(found and found.rule, slow_lookup(exact, suffixes, catch_all, sni))

    def test_chains_once(self) -> None:
        """A chain with several names is listed once, the catch-all last."""
        shared, rest = chain("a"), chain("*")
        listener = Listener(ListenerKey("0.0.0.0", 1), True, True, {"a": shared, "b": shared}, {}, rest)
        self.assertEqual(list(listener.chains()), [shared, rest])

    def test_table_survives_pickling(self) -> None:
        """A table can be handed to another process."""
        destination = Destination("db.example.org", 5432, endpoints=(Endpoint("db.example.org", 5432, dns=True),))
        route = Chain((), "ns/gw", "tcp", "ns/vs", "spec.tcp[0]", (destination,))
        key = ListenerKey("::1", 5432)
        table = RoutingTable(3, {key: Listener(key, False, False, catch_all=route)})
        self.assertEqual(pickle.loads(pickle.dumps(table)), table)  # noqa: S301 -- our own bytes
        self.assertEqual(table.dns_names(), {"db.example.org"})
        self.assertEqual(str(key), "[::1]:5432")
