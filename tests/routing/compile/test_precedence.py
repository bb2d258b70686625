"""Tests of :mod:`meshgate.routing.compile.precedence`: why a resource wins, and who would win in a cluster."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.resource import Resource
from meshgate.routing.compile.compiler import compile_table
from meshgate.routing.compile.precedence import precedence, precedence_by_name
from tests.configurations import (
    PROXY,
    Document,
    compiled,
    destination_rule,
    gateway,
    read,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
)

TUESDAY, WEDNESDAY = "2026-09-01T10:00:00Z", "2026-09-02T10:00:00Z"
A, B = "a.example.com", "b.example.com"


def route(name: str, created: str = "", namespace: str = "default", **spec: Any) -> Document:
    """A VirtualService of an age."""
    spec = spec or {"tcp": [tcp_rule("x")]}
    found = virtual_service(name, gateways=["default/gw"], **spec)
    found["metadata"] |= {"namespace": namespace, **({"creationTimestamp": created} if created else {})}
    return found


def aged(document: Document, created: str) -> Document:
    """A resource of an age."""
    document["metadata"]["creationTimestamp"] = created
    return document


def said(*documents: Document) -> dict[str, str]:
    """By the name of each loser, the reason why it loses: the end of the message."""
    found = {}
    for each in compiled(*documents).problems:
        reason = re.search("(older|by (name|namespace|file order|the order|exportTo)|since its).*", each.message)
        if reason:
            found[f"{each.code} {each.name}"] = reason[0]
    return found


class ReasonTests(SynchronousTestCase):
    """The reason in words."""

    def resources(self, *documents: Document) -> list[Resource[Any]]:
        """Some resources."""
        return list(read(*documents))

    def test_ages(self) -> None:
        """Age comes first, then the name, then the namespace; a resource without an age counts as new."""
        for winner, loser, want in [
            (route("z", TUESDAY), route("a", WEDNESDAY), "older by 24h"),
            (route("a", TUESDAY), route("z", TUESDAY), "by name, as both are equally old"),
            (route("a", TUESDAY, "a"), route("a", TUESDAY, "b"), "by namespace, as both are equally old"),
            (route("z", TUESDAY), route("a"), "older, as the other one has no creationTimestamp"),
            (route("z"), route("a"), "by file order"),
        ]:
            self.assertEqual(precedence(*self.resources(winner, loser)), want)

    def test_who_wins_in_a_cluster(self) -> None:
        """The name that sorts first, with its namespace where that is another one; nothing where that wins anyway."""
        several = self.resources(route("m"), route("z"), route("b"))
        first, last, _ = several
        want = "by file order; in a cluster, if created within one second: b"
        self.assertEqual(precedence_by_name(first, last, several), want)
        self.assertEqual(precedence_by_name(first, last, several[:2]), "by file order")
        elsewhere = self.resources(route("m"), route("a", namespace="other"))
        self.assertIn("second: other/a", precedence_by_name(elsewhere[0], elsewhere[1], elsewhere))


class LossTests(SynchronousTestCase):
    """Winners by file order against winners by name."""

    def test_rules_of_a_port(self) -> None:
        """Each loser names the one that takes the port in a cluster, were it neither of the two."""
        gw, by_name = gateway("gw", tcp_server(1)), "by file order; in a cluster, if created within one second: ant"
        self.assertEqual(
            said(gw, route("mole"), route("zebra"), route("ant")), {"MG2009 zebra": by_name, "MG2009 ant": by_name}
        )
        self.assertEqual(said(gw, route("ant"), route("zebra")), {"MG2009 zebra": "by file order"})
        self.assertEqual(said(gw, route("zebra", TUESDAY), route("ant", WEDNESDAY)), {"MG2009 ant": "older by 24h"})
        two = route("v", tcp=[tcp_rule("x"), tcp_rule("y")])
        self.assertEqual(said(gw, two), {"MG2009 v": "by the order of its rules"})

    def test_server_names(self) -> None:
        """A block is lost by the order of VirtualServices, and of Gateways if these differ."""
        gw = gateway("gw", tls_server(443))
        rules: Document = {"tls": [tls_rule([A], "x")]}
        want = "by file order; in a cluster, if created within one second: ant"
        self.assertEqual(said(gw, route("zebra", **rules), route("ant", **rules)), {"MG2005 ant": want})
        early, late = (virtual_service(f"of-{name}", gateways=[name], **rules) for name in ("early", "late"))
        servers = gateway("early", tls_server(443, [A])), gateway("late", tls_server(443, ["*.example.com"]))
        self.assertEqual(
            said(*servers, late, early), {"MG2005 of-late": "since its Gateway comes first, by file order"}
        )

    def test_private_ones_come_first(self) -> None:
        """A VirtualService that is not exported to everybody wins whatever its age, here and in a cluster."""
        private = route("zebra", namespace="istio-system", tcp=[tcp_rule("x")], export_to=["."])
        self.assertEqual(
            said(gateway("gw", tcp_server(1)), route("ant"), private),
            {"MG2009 ant": "by exportTo, which counts before the age"},
        )

    def test_gateways(self) -> None:
        """Servers of one port, and of one host."""
        want = "by file order; in a cluster, if created within one second: ant"
        for server, code in ((tcp_server(1), "MG2003"), (tls_server(443, [A]), "MG2002")):
            self.assertEqual(said(gateway("zoo", server), gateway("ant", server)), {f"{code} ant": want})
            self.assertEqual(said(gateway("ant", server), gateway("zoo", server)), {f"{code} zoo": "by file order"})
            older = [aged(gateway("zoo", server), TUESDAY), aged(gateway("ant", server), WEDNESDAY)]
            self.assertEqual(said(*older), {f"{code} ant": "older by 24h"})
        twice = [tcp_server(1), {**tcp_server(1), "port": {"number": 1, "name": "again", "protocol": "TCP"}}]
        self.assertEqual(said(gateway("gw", *twice)), {"MG2003 gw": "by the order of servers"})

    def test_a_plain_server_and_tls(self) -> None:
        """TLS before plain serve both, the other way round only the plain one: that is said in each order."""
        tls, plain = gateway("tls", tls_server(1)), gateway("plain", tcp_server(1))
        self.assertEqual(list(said(tls, plain)), ["MG2082 tls"])
        self.assertEqual(said(plain, tls), {"MG2003 tls": "by file order"})
        first = gateway("a-tls", tls_server(1))
        self.assertEqual(said(first, plain), {})
        both = "by file order; in a cluster, if created within one second, both serve"
        self.assertEqual(said(plain, first), {"MG2003 a-tls": both})
        self.assertEqual(said(aged(tls, TUESDAY), aged(plain, WEDNESDAY)), {})

    def test_destination_rules(self) -> None:
        """Subsets and policies of several rules for one host."""
        subset = {"name": "v1", "labels": {"v": "1"}}
        rules = [destination_rule(name, "x", subset) for name in ("mole", "zebra", "ant")]
        want = "by file order; in a cluster, if created within one second: ant"
        self.assertEqual(said(*rules), {"MG2064 zebra": want, "MG2064 ant": want})

    def test_the_table_follows_the_files(self) -> None:
        """The comparison changes no route."""
        documents = [gateway("gw", tcp_server(1)), route("zebra"), route("ant")]
        listener = next(iter(compile_table(read(*documents), PROXY).table.listeners.values()))
        self.assertEqual(listener.catch_all.virtual_service if listener.catch_all else "", "default/zebra")
