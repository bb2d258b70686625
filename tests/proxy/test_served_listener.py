"""Tests of :mod:`meshgate.proxy.served_listener`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.served_listener import ServedListener
from meshgate.routing.table import Chain, Listener, ListenerKey, RoutingTable

KEY = ListenerKey("0.0.0.0", 443)
EXACT, SUFFIX, ANY = (Chain((), name, "tls", "", "", ()) for name in ("exact", "suffix", "any"))


class ServedListenerTests(SynchronousTestCase):
    """A served listener finds the routes of the table in force."""

    def found(self, served: ServedListener) -> list[str | None]:
        """Return the gateways of the chains for a full name, a name below a suffix, another name, and no name."""
        chains = [served.chain(sni) for sni in ("a.com", "x.b.com", "c.org", None)]
        return [None if chain is None else chain.gateway for chain in chains]

    def test_it_follows_the_table(self) -> None:
        """A listener has no routes before it is in the table, new ones when it changes, and none when it has left."""
        served = ServedListener(KEY)
        self.assertEqual((served.in_table, served.sniffs, self.found(served)), (None, False, [None] * 4))
        for catch_all, other in ((None, None), (ANY, "any")):
            listener = Listener(KEY, False, True, {"a.com": EXACT}, {"b.com": SUFFIX}, catch_all)
            served.update(RoutingTable(listeners={KEY: listener}))
            self.assertEqual((served.in_table, served.sniffs, served.by_address), (listener, True, False))
            self.assertEqual(self.found(served), ["exact", "suffix", other, other])
        served.update(RoutingTable())
        self.assertEqual((served.in_table, served.sniffs, self.found(served)), (None, False, [None] * 4))
