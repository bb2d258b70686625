"""Tests of :mod:`meshgate.routing.compile.compiler` over all of its modules: Istio's rules, one by one."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.latest import latest
from meshgate.routing.compile.compiler import Compilation, compile_table
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.hosts import covers
from meshgate.routing.table import ListenerKey
from tests import examples
from tests.configurations import (
    PROXY,
    Document,
    codes,
    compiled,
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

A, B, C = "a.example.com", "b.example.com", "c.example.com"


def goes(compilation: Compilation, sni: str | None, port: int = 443, bind: str = "0.0.0.0") -> str | None:
    """The host that a name goes to, without the cluster domain; None if no chain takes it."""
    listener = compilation.table.listeners.get(ListenerKey(bind, port))
    chain = listener.lookup(sni) if listener else None
    return chain.destinations[0].host.removesuffix(".default.svc.cluster.local") if chain else None


def ports(compilation: Compilation) -> list[int]:
    """The ports that are open."""
    return sorted(key.port for key in compilation.table.listeners)


class GatewayTests(SynchronousTestCase):
    """Servers that share a port."""

    def test_tls_before_plain_keeps_both(self) -> None:
        """A plain server that comes second gets the connections without a matching name."""
        found = compiled(
            gateway("gw", tls_server(9000, [A]), tcp_server(9000)),
            virtual_service("v", tcp=[tcp_rule("plain")], tls=[tls_rule([A], "secure")], hosts=[A]),
        )
        self.assertEqual(
            [goes(found, A, 9000), goes(found, B, 9000), goes(found, None, 9000)],
            ["secure", "plain", "plain"],
        )
        self.assertTrue(found.table.listeners[ListenerKey("0.0.0.0", 9000)].sniffs)

    def test_other_bind_is_another_listener(self) -> None:
        """The same port on two addresses makes two listeners."""
        found = compiled(
            gateway("gw", tcp_server(9000, bind="127.0.0.1"), tcp_server(9000, bind="127.0.0.2")),
            virtual_service("v", tcp=[tcp_rule("x")]),
        )
        self.assertEqual(sorted(found.table.listeners), [("127.0.0.1", 9000), ("127.0.0.2", 9000)])
        self.assertFalse(any(listener.dual_stack for listener in found.table.listeners.values()))

    def test_http_opens_no_port(self) -> None:
        """HTTP servers are passed over with an info, and still keep others off their port."""
        http = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
        found = compiled(gateway("gw", http, tcp_server(80)), virtual_service("v", tcp=[tcp_rule("x")]))
        self.assertEqual(ports(found), [])
        self.assertEqual([c for c in codes(found.problems) if c in ("MG2003", "MG2030")], ["MG2003", "MG2030"])

    def test_terminating_server_holds_its_names(self) -> None:
        """Names that a server terminates are refused, not passed through by a wildcard beside it."""
        found = compiled(
            gateway("gw", tls_server(443, [A], mode="SIMPLE"), tls_server(443, ["*.example.com"])),
            virtual_service(
                "v", ["*.example.com"], tls=[tls_rule(["*.example.com"], "through")], tcp=[tcp_rule("ended")]
            ),
        )
        chain = found.table.listeners[ListenerKey("0.0.0.0", 443)].lookup(A)
        assert chain is not None
        self.assertTrue(chain.terminate)
        self.assertTrue(chain.refusal)
        self.assertEqual(goes(found, B), "through")
        self.assertIn("MG2032", codes(found.problems))


class BindingTests(SynchronousTestCase):
    """The VirtualServices that are bound to a server."""

    def test_unknown_gateway(self) -> None:
        """A Gateway that does not exist is an error, with the one that has the name elsewhere as a hint."""
        found = compiled(gateway("gw", tcp_server(1), namespace="infra"), virtual_service("v", tcp=[tcp_rule("x")]))
        said = next(problem for problem in found.problems if problem.code == "MG2010")
        self.assertIn("'infra/gw'", said.hint)

    def test_namespace_of_server_hosts(self) -> None:
        """A server host with a namespace takes VirtualServices of that namespace only."""
        found = compiled(
            gateway("gw", tls_server(443, ["shop/*.example.com"])),
            virtual_service("v", [A], ["default/gw"], "shop", tls=[tls_rule([A], "x.default.svc.cluster.local")]),
            virtual_service("w", [B], tls=[tls_rule([B], "y")]),
        )
        self.assertEqual([goes(found, A), goes(found, B)], ["x", None])

    def test_private_comes_first(self) -> None:
        """VirtualServices private to the gateway's namespace come before older public ones."""
        found = compiled(
            gateway("gw", tls_server(443)),
            virtual_service("old", [A], tls=[tls_rule([A], "public")]),
            virtual_service(
                "young",
                [A],
                ["default/gw"],
                "istio-system",
                tls=[tls_rule([A], "private.default.svc.cluster.local")],
                export_to=["."],
            ),
        )
        self.assertEqual(goes(found, A), "private")

    def test_not_exported(self) -> None:
        """A VirtualService exported elsewhere does not serve, and says so."""
        found = compiled(gateway("gw", tcp_server(1)), virtual_service("v", tcp=[tcp_rule("x")], export_to=["shop"]))
        self.assertEqual(ports(found), [])
        self.assertIn("MG2011", codes(found.problems))

    def test_mesh_means_nothing(self) -> None:
        """A VirtualService for the mesh alone binds to no Gateway, and that is no fault."""
        found = compiled(
            gateway("gw", tcp_server(1)),
            virtual_service("v", ["db.example.org"], ["mesh"], tcp=[tcp_rule("x")]),
            virtual_service("w", tcp=[tcp_rule("y")]),
        )
        self.assertEqual(goes(found, None, 1), "y")
        self.assertNotIn("MG2010", codes(found.problems))


class TcpTests(SynchronousTestCase):
    """TCP servers: one rule takes everything."""

    def test_plain_listener_does_not_sniff(self) -> None:
        """A port with nothing but a TCP route dials at once."""
        found = compiled(gateway("gw", tcp_server(1)), virtual_service("v", tcp=[tcp_rule("x")]))
        listener = found.table.listeners[ListenerKey("0.0.0.0", 1)]
        self.assertFalse(listener.sniffs)
        self.assertTrue(listener.dual_stack)


class PassthroughTests(SynchronousTestCase):
    """TLS passthrough: chains by server name."""

    def test_names_and_wildcards(self) -> None:
        """Exact wins over wildcard whatever their order; names are compared in lower case."""
        rules = [tls_rule(["*.example.com"], "wide"), tls_rule(["A.example.com"], "exact")]
        found = compiled(gateway("gw", tls_server(443)), virtual_service("v", tls=rules))
        self.assertEqual([goes(found, A), goes(found, B), goes(found, "example.com")], ["exact", "wide", None])

    def test_age_decides(self) -> None:
        """With time stamps the older wins, wherever it stands; then the name."""
        older, younger = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"
        found = compiled(
            gateway("gw", tls_server(443)),
            virtual_service("a", tls=[tls_rule([A], "young")], creationTimestamp=younger),
            virtual_service("b", tls=[tls_rule([A], "old")], creationTimestamp=older),
        )
        self.assertEqual(goes(found, A), "old")

    def test_what_envoy_refuses_drops_the_later_block(self) -> None:
        """Partial wildcards, names equal but for case, a name twice, two catch-alls: the block goes, the rest stays."""
        for names in (["*foo.com"], ["A.EXAMPLE.COM"], [B, B], ["*"]):
            found = compiled(
                gateway("gw", tls_server(443)),
                virtual_service("v", tls=[tls_rule([A], "kept"), tls_rule(["*", "x.com"], "all")]),
                virtual_service("w", tls=[tls_rule(names, "dropped")]),
            )
            hosts = {goes(found, name) for name in (A, B, "xfoo.com", None)}
            self.assertEqual(hosts, {"kept", "all"}, names)
            self.assertTrue({"MG2004", "MG2005"} & set(codes(found.problems)), names)

    def test_names_beyond_the_server_are_routed_with_a_warning(self) -> None:
        """Istio does not cut server names to the server's hosts; a warning says so."""
        found = compiled(
            gateway("gw", tls_server(443, [A])),
            virtual_service("v", ["*.example.com"], tls=[tls_rule(["*.example.com"], "x")]),
        )
        self.assertEqual(goes(found, B), "x")
        self.assertIn("MG2007", codes(found.problems))


class DestinationTests(SynchronousTestCase):
    """The destinations of routes."""

    def test_port_falls_back(self) -> None:
        """Without a port of its own: the Service's only one, else the server's; none where the host is unknown."""
        two = [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]
        for documents, want in [
            ([service("x", {"port": 7})], 7),
            ([service("x", *two)], 443),
            ([], 0),
        ]:
            rule = {"match": [{"sniHosts": [A]}], "route": [target("x", None)]}
            found = compiled(gateway("gw", tls_server(443)), virtual_service("v", tls=[rule]), *documents)
            chain = found.table.listeners[ListenerKey("0.0.0.0", 443)].lookup(A)
            assert chain is not None
            self.assertEqual(chain.destinations[0].port, want)

    def test_missing_hosts_ports_and_endpoints(self) -> None:
        """An unknown host, an unknown port and a host without endpoints are three different things."""
        for documents, code in [
            ([], "MG2020"),
            ([service("x", {"port": 7})], "MG2021"),
            ([service("x", {"port": 80}, selector={"app": "x"})], "MG2022"),
        ]:
            found = compiled(gateway("gw", tcp_server(1)), virtual_service("v", tcp=[tcp_rule("x")]), *documents)
            self.assertIn(code, codes(found.problems))
            self.assertEqual(ports(found), [1])

    def test_endpoints_arrive(self) -> None:
        """The chain carries the endpoints of its destinations."""
        found = compiled(
            gateway("gw", tcp_server(1)),
            virtual_service("v", tcp=[tcp_rule("x")]),
            service("x", {"port": 80, "name": "tcp", "targetPort": 8080}, selector={"app": "x"}),
            workload("w", "127.0.0.1", {"app": "x"}),
        )
        chain = found.table.listeners[ListenerKey("0.0.0.0", 1)].catch_all
        assert chain is not None
        self.assertEqual([str(endpoint) for endpoint in chain.destinations[0].endpoints], ["127.0.0.1:8080"])
        self.assertEqual(found.problems, ())


POOL = [A, B, "*.example.com", "*", "x.org"]
NAMES = st.sampled_from(POOL)
SERVERS = st.one_of(
    st.builds(tcp_server, st.sampled_from([1, 2])),
    st.builds(lambda port, host: tls_server(port, [host]), st.sampled_from([1, 2]), NAMES),
)


@st.composite
def configurations(draw: st.DrawFn) -> list[Document]:
    """Small random configurations full of clashes."""
    gateways = [
        gateway(f"g{n}", *draw(st.lists(SERVERS, min_size=1, max_size=3))) for n in range(draw(st.integers(1, 3)))
    ]
    routes = []
    for n in range(draw(st.integers(0, 4))):
        host = draw(NAMES)
        name = draw(st.sampled_from([name for name in POOL if covers(host, name)]))
        rule = tls_rule([name], f"tls{n}", **draw(st.sampled_from([{}, {"port": 1}])))
        named = [f"g{draw(st.integers(0, 3))}"]
        routes.append(virtual_service(f"v{n}", [host], named, tls=[rule], tcp=[tcp_rule(f"tcp{n}")]))
    return [*gateways, *routes]


class PropertyTests(SynchronousTestCase):
    """Properties of any configuration."""

    @given(configurations(), st.randoms(use_true_random=False))
    @settings(deadline=None, max_examples=examples(150))
    def test_result_does_not_depend_on_the_order_of_reading(
        self, documents: Sequence[Document], rng: random.Random
    ) -> None:
        """Shuffled resources give the same table and the same problems."""
        unnamed = [document for document in documents if _unique_ports(document)]
        winners, _ = latest(read(*unnamed)) if unnamed else ([], [])
        shuffled = list(winners)
        rng.shuffle(shuffled)
        self.assertEqual(compile_table(shuffled, PROXY), compile_table(winners, PROXY))

    def test_labels_of_the_proxy(self) -> None:
        """Without labels only Gateways without a selector are taken."""
        found = compiled(gateway("gw", tcp_server(1)), virtual_service("v", tcp=[tcp_rule("x")]), proxy=Proxy({}, "ns"))
        self.assertEqual(ports(found), [])


def _unique_ports(document: Document) -> bool:
    names = [server["port"]["name"] for server in document["spec"].get("servers", ())]
    return len(names) == len(set(names))
