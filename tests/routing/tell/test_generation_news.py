"""Tests of :mod:`meshgate.routing.tell.generation_news`."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from meshgate.routing.tell.generation_news import generation_news, listed
from meshgate.routing.tell.traffic_diff import diff_traffic
from tests import examples
from tests.configurations import (
    destination_rule,
    gateway,
    target,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
    workload,
)
from tests.routing.tell.test_traffic_diff import TABLES, shop, table

X, Y = "x.default.svc.cluster.local:80", "y.default.svc.cluster.local:80"
KEY = ListenerKey("127.0.0.1", 443)


def many(number: int, *extra: str) -> RoutingTable:
    """A table with so many names, and others."""
    destination = Destination("x", 80, endpoints=(Endpoint("192.0.2.1", 80),))
    chains = {
        name: Chain((name,), "ns/gw", "tls", "ns/v", "spec.tls[0]", (destination,))
        for name in (*(f"host-{n}.example.com" for n in range(number)), *extra)
    }
    return RoutingTable(1, {KEY: Listener(KEY, False, True, chains)})


class NewsTests(SynchronousTestCase):
    """:func:`generation_news`."""

    @given(TABLES, TABLES)
    @settings(deadline=None, max_examples=examples(200))
    def test_there_are_news_where_connections_fare_differently(self, old: RoutingTable, new: RoutingTable) -> None:
        """There is a line where the difference of the two tables has something, and none where it has nothing."""
        self.assertEqual(bool(generation_news(old, new)), bool(diff_traffic(old, new)))

    def test_names_and_ports(self) -> None:
        """Names that come, go and move are listed with their port."""
        before = table(
            gateway("gw", tls_server(443), tcp_server(31400)),
            virtual_service("a", ["a.org", "b.org"], tls=[tls_rule(["a.org"], "x"), tls_rule(["b.org"], "x")]),
            virtual_service("db", tcp=[tcp_rule("x", match=[{"port": 31400}])]),
        )
        after = table(
            gateway("gw", tls_server(443), tcp_server(31401)),
            virtual_service("a", ["a.org", "c.org"], tls=[tls_rule(["a.org"], "y"), tls_rule(["c.org"], "x")]),
            virtual_service("db", tcp=[tcp_rule("y", match=[{"port": 31401}])]),
        )
        self.assertEqual(
            generation_news(before, after),
            f"- port 31400, + port 31401, ~ a.org on 443 to {Y}, - b.org on 443, + c.org on 443",
        )
        self.assertEqual(generation_news(before, after, 2), "- port 31400, + port 31401 and 3 more")

    def test_endpoints_once(self) -> None:
        """An endpoint that comes or goes is told once, however many names it serves."""
        before = many(1000)
        moved = Destination("x", 80, endpoints=(Endpoint("192.0.2.2", 80),))
        listener = before.listeners[KEY]
        exact = {name: replace(chain, destinations=(moved,)) for name, chain in listener.exact.items()}
        after = RoutingTable(2, {KEY: replace(listener, exact=exact)})
        self.assertEqual(
            generation_news(before, after), "- endpoint 192.0.2.1:80 of x:80, + endpoint 192.0.2.2:80 of x:80"
        )

    def test_policies(self) -> None:
        """Connections that are made in another way are told by their destination."""
        rule = {"connectionPool": {"tcp": {"maxConnections": 5}}}
        before = shop(tls_rule(["www.example.com"], "x"))
        after = table(
            gateway("gw", tls_server(443)),
            virtual_service("shop", tls=[tls_rule(["www.example.com"], "x")]),
            destination_rule("x", "x", trafficPolicy=rule),
        )
        self.assertEqual(generation_news(before, after), f"~ policy of {X}")

    def test_shares(self) -> None:
        """Other shares are a change of the name, with where it goes now."""
        both = [target("x", weight=50), target("y", weight=50)]
        before, after = (
            shop(tls_rule(["www.example.com"], "x")),
            shop({**tls_rule(["www.example.com"], "x"), "route": both}),
        )
        self.assertEqual(generation_news(before, after), f"~ www.example.com on 443 to {X}, {Y}")

    def test_nothing(self) -> None:
        """Changes without effect are no news: another rule with the same outcome, an endpoint without connections."""
        one = shop(tls_rule(["www.example.com"], "x"))
        other = shop(tls_rule(["www.example.com"], "x"), name="another")
        self.assertEqual(generation_news(one, other), "")
        self.assertEqual(generation_news(one, replace(one, generation=2)), "")
        unused = workload("z1", "127.0.0.9", {"app": "z"})
        rule = virtual_service("shop", tls=[tls_rule(["www.example.com"], "x")])
        self.assertEqual(generation_news(one, table(gateway("gw", tls_server(443)), rule, unused)), "")

    def test_it_takes_no_time(self) -> None:
        """Of 10,000 names, one new one is found in little more than a millisecond: the others are the same objects."""
        before = many(10_000)
        listener = before.listeners[KEY]
        chains = {**listener.exact, "new.org": next(iter(listener.exact.values()))}
        after = RoutingTable(2, {KEY: replace(listener, exact=chains)})
        began = time.process_time()
        self.assertEqual(generation_news(before, after), "+ new.org on 127.0.0.1:443")
        self.assertLess(time.process_time() - began, 0.05)
        self.assertRegex(generation_news(RoutingTable(), many(10_000)), r"^\+ port 127.0.0.1:443, .* and 9991 more$")


class ListedTests(SynchronousTestCase):
    """:func:`listed`."""

    def test_more(self) -> None:
        """Things beyond the limit are counted."""
        self.assertEqual(listed(["a", "b"], 2), "a, b")
        self.assertEqual(listed(["a", "b"], 14), "a, b and 12 more")
        self.assertEqual(listed([], 0), "")
