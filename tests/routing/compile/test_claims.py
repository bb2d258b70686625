"""Tests of :mod:`meshgate.routing.compile.claims`: what the rules of one VirtualService ask for on one server."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.compile.claims import Claim, ServerClaims
from tests.configurations import (
    Document,
    codes,
    gateway,
    read,
    service,
    target,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
    workload,
)
from tests.routing.compile.bound import claims_by, gateways, servers, virtual_services

A, B, C = "a.example.com", "b.example.com", "c.example.com"


def server_claims(server: Document, route: Document, *others: Document) -> ServerClaims:
    """The claims of a VirtualService to a server."""
    resources = read(gateway("gw", server), route, *others)
    (one,) = servers(gateways(resources)[0])
    return claims_by(resources)(one, virtual_services(resources)[0])


def claims(server: Document, route: Document, *others: Document) -> tuple[Claim, ...]:
    """The same, of a VirtualService that has a host in common with the server."""
    found = server_claims(server, route, *others)
    assert found.hosts_meet
    return found.claims


def paths(found: tuple[Claim, ...]) -> list[str]:
    """The rules and match blocks that ask for something."""
    return [each.path for each in found]


class ReadingTests(SynchronousTestCase):
    """The rules and match blocks that fit a server."""

    def test_hosts_must_meet(self) -> None:
        """Without a common host nothing is claimed; a host with a namespace is for VirtualServices of that one."""
        for hosts, route, want in [
            ([A], virtual_service("v", [B], tls=[tls_rule([B], "x")]), False),
            (["*.example.com"], virtual_service("v", [A], tls=[tls_rule([A], "x")]), True),
            ([A], virtual_service("v", ["*.example.com"], tls=[tls_rule([A], "x")]), True),
            (["shop/*"], virtual_service("v", [A], tls=[tls_rule([A], "x")]), False),
            (["shop/*"], virtual_service("v", [A], ["default/gw"], "shop", tls=[tls_rule([A], "x")]), True),
        ]:
            found = server_claims(tls_server(443, hosts), route)
            self.assertEqual((found.hosts_meet, bool(found.claims)), (want, want), hosts)

    def test_rules_of_the_other_kind(self) -> None:
        """A plain server reads tcp rules alone, as does one that terminates; a passthrough server tls rules."""
        route = virtual_service("v", tcp=[tcp_rule("x")], tls=[tls_rule([A], "x")])
        self.assertEqual(paths(claims(tcp_server(1), route)), ["spec.tcp[0]"])
        self.assertEqual(paths(claims(tls_server(1, mode="SIMPLE"), route)), ["spec.tcp[0]"])
        self.assertEqual(paths(claims(tls_server(1), route)), ["spec.tls[0].match[0]"])

    def test_port_and_gateway_of_a_match(self) -> None:
        """Of a tcp rule one match block has to fit; only its port and its gateways count."""
        rules = [
            tcp_rule("one", match=[{"port": 9}, {"port": 1}]),
            tcp_rule("never", match=[{"gateways": ["other"]}]),
            tcp_rule("both", match=[{"gateways": ["default/gw"], "port": 2}]),
            tcp_rule("all"),
        ]
        for port, want in [(1, ["spec.tcp[0]", "spec.tcp[3]"]), (2, ["spec.tcp[2]", "spec.tcp[3]"])]:
            self.assertEqual(paths(claims(tcp_server(port), virtual_service("v", tcp=rules))), want)

    def test_each_match_block_is_a_claim(self) -> None:
        """Every block of a tls rule that fits asks for a chain of its own names."""
        rule = {
            "match": [{"sniHosts": [A]}, {"sniHosts": [B], "port": 9}, {"sniHosts": ["C.example.com"]}],
            "route": [target("x")],
        }
        found = claims(tls_server(443), virtual_service("v", tls=[rule]))
        self.assertEqual(paths(found), ["spec.tls[0].match[0]", "spec.tls[0].match[2]"])
        self.assertEqual([each.chain.names for each in found], [(A,), (C,)])
        self.assertEqual([list(each.names()) for each in found], [[A], [C]])

    def test_names_of_a_tcp_rule(self) -> None:
        """On a server that terminates they are the server's; none stand for every name."""
        route = virtual_service("v", tcp=[tcp_rule("x")])
        for server, names, taken in [
            (tls_server(443, ["default/A.example.com", B], mode="SIMPLE"), (A, B), [A, B]),
            (tls_server(443, ["*", B], mode="SIMPLE"), (), ["*"]),
            (tcp_server(1), (), ["*"]),
        ]:
            (found,) = claims(server, route)
            self.assertEqual((found.chain.names, list(found.names())), (names, taken))


class ContentTests(SynchronousTestCase):
    """The content of a claim."""

    def test_chain(self) -> None:
        """The chain names its Gateway, server, VirtualService and rule, and has the destinations."""
        (found,) = claims(tcp_server(1), virtual_service("v", tcp=[tcp_rule("x")]), service("x", {"port": 80}))
        chain = found.chain
        self.assertEqual((chain.gateway, chain.server, chain.virtual_service), ("default/gw", "tcp-1", "default/v"))
        self.assertEqual((chain.rule, chain.terminate, chain.refusal), ("spec.tcp[0]", False, ""))
        self.assertEqual([str(each) for each in chain.destinations], ["x.default.svc.cluster.local:80"])
        self.assertIn("VirtualService default/v", str(found.owner))

    def test_termination_is_refused(self) -> None:
        """The chain of a server that terminates says so, and gets no connections."""
        (found,) = claims(tls_server(443, mode="SIMPLE"), virtual_service("v", tcp=[tcp_rule("x")]))
        self.assertTrue(found.chain.terminate and found.chain.refusal)

    def test_ignored_conditions(self) -> None:
        """Conditions on addresses mean nothing; the problem is at the first of them."""
        matches: list[tuple[list[Document], str | None]] = [
            ([{"port": 1}], None),
            ([{"port": 1}, {"sourceSubnet": "10.0.0.0/8"}], "spec.tcp[0].match[1].sourceSubnet"),
            ([{"sourceLabels": {"a": "b"}}], "spec.tcp[0].match[0].sourceLabels"),
        ]
        for match, want in matches:
            (found,) = claims(tcp_server(1), virtual_service("v", tcp=[tcp_rule("x", match=match)]))
            self.assertEqual(found.ignored and (found.ignored.code, found.ignored.path), want and ("MG2006", want))

    def test_names_beyond_the_server(self) -> None:
        """A name that is wider than the hosts of the server is noted."""
        for name, want in [(A, ()), ("*.example.com", ("*.example.com",))]:
            route = virtual_service("v", ["*.example.com"], tls=[tls_rule(["a.example.com", name], "x")])
            (found,) = claims(tls_server(443, [A]), route)
            self.assertEqual(found.wider, want)

    def test_problems_and_sources_of_destinations(self) -> None:
        """A claim has the problems of its own destinations, and the resources that they come from."""
        route = virtual_service("v", tcp=[tcp_rule("x"), tcp_rule("nobody")])
        backend = [service("x", {"port": 80, "name": "tcp"}, selector={"app": "x"})]
        backend.append(workload("w", "10.0.0.1", {"app": "x"}))
        found, missing = claims(tcp_server(1), route, *backend)
        self.assertEqual([str(key) for key in found.used], ["Service default/x"])
        self.assertEqual([codes(each.problems) for each in (found, missing)], [[], ["MG2020"]])

    def test_equal_destinations_are_one_object(self) -> None:
        """Thousands of chains to one Service share the destination."""
        route = virtual_service("v", tls=[tls_rule([A], "x"), tls_rule([B], "x"), tls_rule([C], "x", 81)])
        ports = [{"port": 80, "name": "tcp-a"}, {"port": 81, "name": "tcp-b"}]
        one, same, other = (each.chain.destinations for each in claims(tls_server(443), route, service("x", *ports)))
        self.assertIs(one[0], same[0])
        self.assertNotEqual(one[0], other[0])
