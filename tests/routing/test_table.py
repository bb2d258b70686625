"""Tests of :mod:`meshgate.routing.table`."""

from __future__ import annotations

import pickle

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable


def chain(name: str) -> Chain:
    """A chain that is recognized by its rule."""
    return Chain((name,), "ns/gw", "tls", "ns/vs", name, ())


class TableTests(SynchronousTestCase):
    """Listeners and tables."""

    def test_lookup(self) -> None:
        """A listener finds its chains by name; :mod:`meshgate.routing.lookup` has further tests."""
        exact, suffix, rest = chain("a.com"), chain("*.b.com"), chain("*")
        listener = Listener(ListenerKey("0.0.0.0", 443), True, True, {"a.com": exact}, {"b.com": suffix}, rest)
        found = [listener.lookup(sni) for sni in ("a.com", "x.b.com", "c.com", None)]
        self.assertEqual(found, [exact, suffix, rest, rest])

    def test_chains_once(self) -> None:
        """A chain with several names is listed once, the catch-all last."""
        shared, rest = chain("a"), chain("*")
        listener = Listener(ListenerKey("0.0.0.0", 1), True, True, {"a": shared, "b": shared}, {}, rest)
        self.assertEqual(list(listener.chains()), [shared, rest])

    def test_table_survives_pickling(self) -> None:
        """A table can be pickled for another process."""
        destination = Destination("db.example.org", 5432, endpoints=(Endpoint("db.example.org", 5432, dns=True),))
        route = Chain((), "ns/gw", "tcp", "ns/vs", "spec.tcp[0]", (destination,))
        key = ListenerKey("::1", 5432)
        table = RoutingTable(3, {key: Listener(key, False, False, catch_all=route)})
        self.assertEqual(pickle.loads(pickle.dumps(table)), table)  # noqa: S301 -- our own bytes
        self.assertEqual(table.dns_names(), {"db.example.org"})
        self.assertEqual(str(key), "[::1]:5432")
