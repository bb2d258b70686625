"""Tests of :mod:`meshgate.routing.compile.chains`: the claims that are admitted, and those that lose, and to whom."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Problem
from meshgate.routing.compile.chains import ChainBuilder
from meshgate.routing.compile.precedence import loss_problems
from meshgate.routing.table import ListenerKey
from tests.configurations import (
    Document,
    codes,
    gateway,
    read,
    target,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
)
from tests.routing.compile.bound import claims_by, gateways, servers, virtual_services

A, B, C = "a.example.com", "b.example.com", "c.example.com"


def built(one: Document, *routes: Document) -> ChainBuilder:
    """The chains of all servers of a Gateway; each VirtualService is bound to it."""
    resources = read(one, *routes)
    bound = virtual_services(resources)
    all_servers = servers(gateways(resources)[0])
    builder = ChainBuilder(all_servers, lambda server: bound, claims_by(resources))
    for server in all_servers:
        builder.add(server)
    builder.problems += loss_problems(builder.losses, {loss.key: loss for loss in builder.losses})
    return builder


def goes(found: ChainBuilder, sni: str | None, port: int = 443, bind: str = "0.0.0.0") -> str | None:
    """The destination of a name, or why it is refused; None if no chain takes it."""
    listener = found.listeners[ListenerKey(bind, port)].build()
    chain = listener.lookup(sni) if listener is not None else None
    if chain is None:
        return None
    return "refused" if chain.refusal else chain.destinations[0].host.partition(".")[0]


class PlainTests(SynchronousTestCase):
    """Servers whose first claim takes everything."""

    def problems(self, found: ChainBuilder) -> list[Problem]:
        """The problems of chains, without those of destinations."""
        return [each for each in found.problems if each.code != "MG2020"]

    def test_the_first_claim_wins(self) -> None:
        """Every later rule, of the same VirtualService or of another, is a problem that names the winner."""
        found = built(
            gateway("gw", tcp_server(443)),
            virtual_service("v", tcp=[tcp_rule("first"), tcp_rule("second")]),
            virtual_service("w", tcp=[tcp_rule("third")]),
        )
        self.assertEqual(goes(found, None), "first")
        lost = self.problems(found)
        self.assertEqual(
            [(each.code, each.name, each.path) for each in lost],
            [("MG2009", "v", "spec.tcp[1]"), ("MG2009", "w", "spec.tcp[0]")],
        )
        for each in lost:
            self.assertIn("VirtualService default/v", each.message)
            self.assertEqual(each.listener, "[::]:443")

    def test_a_server_that_terminates(self) -> None:
        """It holds its names by a chain that refuses, and the problem is the server's."""
        found = built(gateway("gw", tls_server(443, [A], mode="SIMPLE")), virtual_service("v", tcp=[tcp_rule("x")]))
        self.assertEqual([goes(found, A), goes(found, B)], ["refused", None])
        self.assertEqual(codes(self.problems(found)), ["MG2032"])

    def test_http_is_refused(self) -> None:
        """An HTTP server opens no port; HTTPS that terminates holds its names beside other servers."""
        http = {"port": {"number": 443, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
        self.assertIsNone(goes(built(gateway("gw", http)), None))
        https = tls_server(443, [A], mode="SIMPLE")
        https["port"]["protocol"] = "HTTPS"
        route = virtual_service("v", ["*.example.com"], tls=[tls_rule(["*.example.com"], "x")])
        found = built(gateway("gw", https, tls_server(443, [B])), route)
        self.assertEqual([goes(found, A), goes(found, B)], ["refused", "x"])
        self.assertEqual(codes(self.problems(found)), ["MG2007", "MG2030"])

    def test_auto_passthrough_is_not_served(self) -> None:
        """Its port stays closed, and that is an error."""
        found = built(
            gateway("gw", tls_server(443, mode="AUTO_PASSTHROUGH")), virtual_service("v", tls=[tls_rule([A], "x")])
        )
        self.assertIsNone(goes(found, A))
        self.assertEqual(codes(self.problems(found)), ["MG2031"])


class PassthroughTests(SynchronousTestCase):
    """Servers whose every claim gets a chain, if its names are free."""

    def test_a_name_that_is_taken_drops_the_block(self) -> None:
        """The free names of the block are lost as well; they stay free for later blocks."""
        found = built(
            gateway("gw", tls_server(443)),
            virtual_service("v", tls=[tls_rule([A], "old")]),
            virtual_service("w", tls=[tls_rule([B, A], "new"), tls_rule([C], "other")]),
            virtual_service("x", tls=[tls_rule([B], "late")]),
        )
        self.assertEqual([goes(found, name) for name in (A, B, C)], ["old", "late", "other"])
        (lost,) = [each for each in found.problems if each.code == "MG2005"]
        self.assertEqual((lost.name, lost.path), ("w", "spec.tls[0].match[0].sniHosts[1]"))
        self.assertIn("VirtualService default/v", lost.message)

    def test_names_of_another_port_or_bind(self) -> None:
        """They are not taken."""
        servers = [tls_server(443), tls_server(8443), {**tls_server(443, ["*.com"]), "bind": "127.0.0.1"}]
        rules = [tls_rule([A], "x", port=80), tls_rule([B], "y")]
        found = built(gateway("gw", *servers), virtual_service("v", tls=rules))
        self.assertNotIn("MG2005", codes(found.problems))
        for port, bind in [(443, "0.0.0.0"), (8443, "0.0.0.0"), (443, "127.0.0.1")]:
            self.assertEqual([goes(found, name, port, bind) for name in (A, B)], ["x", "y"])

    def test_a_rule_that_meets_two_servers(self) -> None:
        """The rule gets one chain on their listener, and has no conflict with itself."""
        route = virtual_service("v", ["*.example.com"], tls=[tls_rule([A], "x")])
        found = built(gateway("gw", tls_server(443, [A]), tls_server(443, [B])), route)
        self.assertEqual(goes(found, A), "x")
        self.assertEqual([each.code for each in found.problems if each.code == "MG2005"], [])

    def test_what_envoy_refuses(self) -> None:
        """The later claim is dropped, and the earlier chains stay."""
        for names in (["*foo.com"], ["A.EXAMPLE.COM"], [B, "B.example.com"]):
            found = built(
                gateway("gw", tls_server(443)),
                virtual_service("v", tls=[tls_rule([A], "kept")]),
                virtual_service("w", tls=[tls_rule(names, "dropped")]),
            )
            self.assertEqual([goes(found, A), goes(found, B)], ["kept", None], names)
            (dropped,) = [each for each in found.problems if each.code == "MG2004"]
            self.assertEqual((dropped.name, dropped.path), ("w", "spec.tls[0].match[0]"))

    def test_ignored_conditions_are_reported_once(self) -> None:
        """A rule that meets two servers has one problem."""
        rule = tls_rule([A], "x", destinationSubnets=["10.0.0.0/8"])
        found = built(gateway("gw", tls_server(443), tls_server(8443)), virtual_service("v", tls=[rule]))
        self.assertEqual(codes(found.problems).count("MG2006"), 1)


class NoChainTests(SynchronousTestCase):
    """Servers that no VirtualService routes."""

    def test_reasons(self) -> None:
        """No common host, rules of another kind, and no rule that fits are three reasons."""
        self.assertEqual(len(built(gateway("gw", tls_server(443, [A]))).unbound), 1)
        for route, reason in [
            (virtual_service("v", [B], tls=[tls_rule([B], "x")]), "no host of default/v"),
            (virtual_service("v", [A], tcp=[tcp_rule("x")]), "default/v has tcp rules only"),
            (
                virtual_service("v", [A], tls=[{"match": [{"sniHosts": [A], "port": 1}], "route": [target("x")]}]),
                "no tls rule of default/v is for port 443",
            ),
        ]:
            found = built(gateway("gw", tls_server(443, [A])), route)
            (problem,) = found.problems
            self.assertEqual(problem.code, "MG2008")
            self.assertIn(reason, problem.message)
            self.assertIsNone(goes(found, A))
