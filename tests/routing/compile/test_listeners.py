"""Tests of :mod:`meshgate.routing.compile.listeners`: one listener, chain by chain, and its address families."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Problem
from meshgate.resources.reader import read_text
from meshgate.routing.addresses import EVERYWHERE, network
from meshgate.routing.compile.compiler import Compilation, compile_table
from meshgate.routing.compile.listeners import ListenerBuilder, Owner
from meshgate.routing.compile.servers import BoundServer
from meshgate.routing.table import ANYWHERE, Addresses, Chain, Listener
from meshgate.routing.tell.explain import Call, explain
from tests.configurations import PROXY, compiled, gateway, tcp_rule, tcp_server, tls_rule, tls_server
from tests.configurations import virtual_service as route
from tests.routing.compile.bound import server

A, B = "a.example.com", "b.example.com"
OLD, YOUNG = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"

TCP = route("v", tcp=[tcp_rule("x")])
UNSET: dict[str, Any] = {}
EVERY_V4, EVERY_V6 = {"bind": "0.0.0.0"}, {"bind": "::"}


def tls(name: str = "gw", bind: str = "", created: str = OLD) -> BoundServer:
    """A passthrough server."""
    return server(gateway(name, tls_server(443, **({"bind": bind} if bind else {})), creationTimestamp=created))


SERVER = tls()
OWNER = Owner(SERVER, path="the first rule")


def chain(*names: str, refusal: str = "", virtual_service: str = "ns/vs") -> Chain:
    """A chain for some names."""
    return Chain(names, "ns/gw", "tls", virtual_service, "spec.tls[0].match[0]", (), refusal=refusal)


def builder(*chains: Chain, server: BoundServer = SERVER) -> ListenerBuilder:
    """A builder with some chains."""
    result = ListenerBuilder(server)
    for each in chains:
        result.add(each, OWNER, sniffs=True)
    return result


def listener(built: ListenerBuilder) -> Listener:
    """A listener that serves something."""
    found = built.build()
    assert found is not None
    return found


class RefusalTests(SynchronousTestCase):
    """Chains that Envoy would refuse."""

    def test_names(self) -> None:
        """Partial wildcards, a name twice in one chain, and names that an earlier chain has."""
        built = builder(chain(A), chain("*.example.com"))
        for names, reason in [
            (("*x.com",), "*x.com is a partial wildcard"),
            ((B, B), f"{B} stands twice"),
            ((B, A), f"{A} goes to {SERVER} already"),
            (("*.example.com",), f"*.example.com goes to {SERVER} already"),
        ]:
            self.assertIn(reason, (built.refuse(names) or ("",))[0], names)

    def test_a_second_catch_all(self) -> None:
        """No name at all and ``*`` both stand for every name."""
        for first, second in [((), ()), ((), ("*",)), (("*",), ()), (("*",), (A, "*"))]:
            self.assertIn("connections without a matching name", (builder(chain(*first)).refuse(second) or ("",))[0])

    def test_what_is_free(self) -> None:
        """A wildcard over a name that is taken, a name under a wildcard, and the catch-all beside both."""
        built = builder(chain(A), chain("*.example.com"))
        for names in ((B,), ("*.com",), (), ("*",)):
            self.assertIsNone(built.refuse(names), names)


class BuildingTests(SynchronousTestCase):
    """From chains to a listener."""

    def test_chains_by_name(self) -> None:
        """Full names, wildcards and the catch-all are looked up apart."""
        both, every = chain(A, "*.example.com"), chain("*")
        found = listener(builder(both, every))
        self.assertEqual((found.exact, found.suffixes, found.catch_all), ({A: both}, {"example.com": both}, every))

    def test_a_listener_that_serves_nothing(self) -> None:
        """Without a chain of a rule the port stays closed, be it that HTTP servers hold names on it."""
        self.assertIsNone(builder().build())
        self.assertIsNone(builder(chain(A, refusal="HTTP", virtual_service="")).build())
        self.assertIsNotNone(builder(chain(A, refusal="it terminates")).build())

    def test_sniffing(self) -> None:
        """One chain of a TLS server is enough."""
        built = ListenerBuilder(SERVER)
        built.add(chain(), OWNER, sniffs=False)
        self.assertFalse(listener(built).sniffs)
        built.add(chain(A), OWNER, sniffs=True)
        self.assertTrue(listener(built).sniffs)

    def test_the_oldest_server_decides_about_ipv6(self) -> None:
        """Its bind counts, whatever the order in which servers are added."""
        unset, ipv4 = tls("a"), tls("b", bind="0.0.0.0", created=YOUNG)
        for servers in ([unset, ipv4], [ipv4, unset]):
            built = builder(chain(A), server=servers[0])
            built.add_server(servers[1])
            self.assertTrue(listener(built).dual_stack)

    def test_merging(self) -> None:
        """The chains of both are there, and one that sniffs and serves is enough."""
        merged = builder(chain(A, refusal="HTTP", virtual_service=""), server=tls("young", created=YOUNG))
        merged.merge(builder(chain("*.org"), chain()))
        found = listener(merged)
        self.assertEqual((list(found.exact), list(found.suffixes)), ([A], ["org"]))
        self.assertIsNotNone(found.catch_all)
        self.assertTrue(found.sniffs)
        self.assertEqual(merged.oldest, SERVER)


class AddressTests(SynchronousTestCase):
    """Chains for some addresses only."""

    def setUp(self) -> None:
        """Some networks, and a builder without chains."""
        ten = network("10.0.0.0/8")
        assert ten is not None
        self.ten = Addresses(ten, EVERYWHERE)
        self.built = ListenerBuilder(SERVER)

    def add(self, name: str, addresses: Addresses, owner: Owner = OWNER) -> Owner | None:
        """Add a chain; the owner that has the name and the addresses, if there is one."""
        return self.built.add_by_address(name, addresses, chain(name), owner, sniffs=True)

    def test_the_same_addresses(self) -> None:
        """The earlier chain keeps them; another name, and every other address, are free."""
        other = Owner(SERVER, path="the second rule")
        self.assertIsNone(self.add(A, self.ten))
        self.assertEqual(self.add(A, self.ten, other), OWNER)
        self.assertIsNone(self.add(B, self.ten, other))
        self.assertIsNone(self.add(A, ANYWHERE, other))
        self.assertEqual(self.add(A, ANYWHERE), other)
        found = listener(self.built)
        self.assertEqual((sorted(found.by_address), list(found.exact)), ([A, B], [A]))

    def test_a_name_of_another_server(self) -> None:
        """It is taken for all addresses: a server that terminates TLS for a name has it to itself."""
        self.add(A, ANYWHERE)
        self.assertEqual(self.add(A, self.ten, Owner(tls("other"))), OWNER)


def addresses(compilation: Compilation) -> list[str]:
    """The addresses of the listeners."""
    return sorted(str(listener.address) for listener in compilation.table.listeners.values())


def warned(compilation: Compilation) -> list[str]:
    """The servers that are told to be reached over other families."""
    return [problem.name for problem in compilation.problems if problem.code == "MG2074"]


class FamilyTests(SynchronousTestCase):
    """The address families of listeners: IPv4 alone for 0.0.0.0, both without a bind."""

    def test_each_bind_by_itself(self) -> None:
        """Without a bind both families, otherwise the one that is written."""
        for bind, want in ((UNSET, "[::]:1"), (EVERY_V4, "0.0.0.0:1"), (EVERY_V6, "[::]:1")):
            found = compiled(gateway("gw", tcp_server(1, **bind)), TCP)
            self.assertEqual((addresses(found), warned(found)), ([want], []))
            (listener,) = found.table.listeners.values()
            self.assertEqual(listener.dual_stack, bind == UNSET)

    def test_without_ipv6(self) -> None:
        """Without IPv6, a server without a bind is one for IPv4, and there is no warning."""
        documents = [gateway("gw", tcp_server(1), tcp_server(2, **EVERY_V4), tcp_server(2, ["a.com"])), TCP]
        texts = "\n---\n".join(map(json.dumps, documents))
        found = compile_table(read_text(texts, "routes.yaml").resources, replace(PROXY, ipv6=False))
        self.assertEqual((addresses(found), warned(found)), (["0.0.0.0:1", "0.0.0.0:2"], []))

    def test_the_oldest_server_of_a_listener_decides(self) -> None:
        """Unset and 0.0.0.0 share a listener and clash on it as in Istio; who gets other families is told."""
        for older, younger, want in ((UNSET, EVERY_V4, "[::]:1"), (EVERY_V4, UNSET, "0.0.0.0:1")):
            found = compiled(
                gateway("older", tls_server(1, ["a.com"], **older)),
                gateway("younger", tls_server(1, ["b.com"], **younger)),
                route("v", ["a.com"], ["older"], tls=[tls_rule(["a.com"], "x")]),
                route("w", ["b.com"], ["younger"], tls=[tls_rule(["b.com"], "x")]),
            )
            self.assertEqual((addresses(found), warned(found)), ([want], ["younger"]))
            clash = compiled(
                gateway("older", tcp_server(1, **older)),
                gateway("younger", tcp_server(1, **younger)),
                route("v", gateways=["older", "younger"], tcp=[tcp_rule("x")]),
            )
            lost: list[Problem] = [each for each in clash.problems if each.code == "MG2004"]
            self.assertEqual([addresses(clash), len(lost)], [[want], 1])

    def test_ipv6_of_another_server(self) -> None:
        """Beside a server bound to ::, one without a bind has the IPv4 of the port."""
        found = compiled(gateway("gw", tcp_server(1)), gateway("six", tcp_server(1, **EVERY_V6)), self._both())
        self.assertEqual((addresses(found), warned(found)), (["0.0.0.0:1", "[::]:1"], ["gw"]))
        self.assertFalse(any(listener.dual_stack for listener in found.table.listeners.values()))

    def test_explained_by_any_address(self) -> None:
        """A listener for both families is found without an address, and by that of either family."""
        found = compiled(gateway("gw", tcp_server(1)), TCP)
        for bind in (None, "0.0.0.0", "::"):
            told = explain(found, Call(1, bind=bind, tls=False))
            self.assertEqual(told.result, "routed")
            self.assertIn("the listener [::]:1 is open", told.steps[0])
        found = compiled(gateway("gw", tcp_server(1, **EVERY_V4)), TCP)
        self.assertEqual([explain(found, Call(1, bind="::", tls=False)).result], ["no_listener"])
        self.assertIn("0.0.0.0:1", explain(found, Call(1, tls=False)).steps[0])

    @staticmethod
    def _both() -> Any:
        return route("v", gateways=["gw", "six"], tcp=[tcp_rule("x")])
