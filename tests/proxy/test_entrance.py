"""Tests of :mod:`meshgate.proxy.entrance`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.entrance import Entrance
from meshgate.routing.table import Chain, Listener, ListenerKey, RoutingTable

KEY = ListenerKey("0.0.0.0", 443)
EXACT, SUFFIX, ANY = (Chain((), name, "tls", "", "", ()) for name in ("exact", "suffix", "any"))


class EntranceTests(SynchronousTestCase):
    """What those who come in are told is what the table in force says."""

    def found(self, entrance: Entrance) -> list[str | None]:
        """The chains of a full name, a name below a suffix, another one, and none."""
        chains = [entrance.chain(sni) for sni in ("a.com", "x.b.com", "c.org", None)]
        return [None if chain is None else chain.gateway for chain in chains]

    def test_it_follows_the_table(self) -> None:
        """A listener that comes, changes and goes: there is nothing before it, and nothing is left of it after."""
        entrance = Entrance(KEY)
        self.assertEqual((entrance.listener, entrance.sniffs, self.found(entrance)), (None, False, [None] * 4))
        for catch_all, other in ((None, None), (ANY, "any")):
            listener = Listener(KEY, False, True, {"a.com": EXACT}, {"b.com": SUFFIX}, catch_all)
            entrance.follow(RoutingTable(listeners={KEY: listener}))
            self.assertEqual((entrance.listener, entrance.sniffs, entrance.by_address), (listener, True, False))
            self.assertEqual(self.found(entrance), ["exact", "suffix", other, other])
        entrance.follow(RoutingTable())
        self.assertEqual((entrance.listener, entrance.sniffs, self.found(entrance)), (None, False, [None] * 4))
