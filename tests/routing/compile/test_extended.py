"""Tests of :mod:`meshgate.routing.compile.extended`, and of looking up by addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.addresses import EVERYWHERE, Network, address, network
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.hosts import covers, specificity
from meshgate.routing.table import ANYWHERE, Addresses, ByAddress, Chain, Listener, ListenerKey
from meshgate.routing.tell.explain import Call, explain
from meshgate.routing.tell.traffic_diff import diff_traffic
from tests.configurations import (
    Document,
    codes,
    compiled,
    gateway,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
)

EXTENDED = Proxy(labels={"istio": "ingressgateway"}, namespace="istio-system", extended=True)
A, B = "a.example.com", "b.example.com"


def parsed(text: str) -> Network:
    """A network; every address where the text is empty."""
    found = network(text) if text else EVERYWHERE
    assert found is not None
    return found


def goes(found: Compilation, sni: str | None, source: str = "", destination: str = "", port: int = 443) -> str | None:
    """The name of the VirtualService that takes a connection."""
    chain = found.table.listeners[ListenerKey("0.0.0.0", port)].lookup_from(sni, address(source), address(destination))
    return chain.virtual_service.partition("/")[2] if chain is not None else None


def extended(*documents: Document) -> Compilation:
    """Compile documents under the extended semantics."""
    return compiled(*documents, proxy=EXTENDED)


class AddressTests(SynchronousTestCase):
    """Networks as numbers."""

    def test_texts(self) -> None:
        """A network is written as it is read, without the bits beyond its length."""
        for text, want in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ]:
            self.assertEqual(str(network(text)), want)

    def test_families_do_not_mix(self) -> None:
        """Every IPv4 address is outside every network of IPv6, and the other way round; mapped ones are IPv4."""
        chain = Chain((), "g", "s", "v", "r", ())
        for text, inside, outside in [("::/0", "2001:db8::1", "10.0.0.1"), ("0.0.0.0/0", "::ffff:10.0.0.1", "::1")]:
            limited = ByAddress.of({Addresses(EVERYWHERE, parsed(text)): chain})
            self.assertIs(limited.find(address(inside), None), chain)
            self.assertIsNone(limited.find(address(outside), None))
            self.assertIsNone(limited.find(None, None))

    def test_no_addresses(self) -> None:
        """Words are no address; the zone of an IPv6 address does not matter."""
        self.assertIsNone(address("localhost"))
        self.assertIsNone(network("ten"))
        self.assertEqual(address("fe80::1%eth0"), address("fe80::1"))


class PlainTests(SynchronousTestCase):
    """Rules on a plain port."""

    def test_sources_tell_virtual_services_apart(self) -> None:
        """Each has the clients of its network, the longest network first; the one without takes the rest."""
        found = extended(
            gateway("gw", tcp_server(9000)),
            virtual_service("wide", tcp=[tcp_rule("x", match=[{"sourceSubnet": "10.0.0.0/8"}])]),
            virtual_service("narrow", tcp=[tcp_rule("x", match=[{"sourceSubnet": "10.1.0.0/16"}])]),
            virtual_service("rest", tcp=[tcp_rule("x")]),
        )
        for source, want in [("10.1.2.3", "narrow"), ("10.2.2.3", "wide"), ("11.0.0.1", "rest"), ("::1", "rest")]:
            self.assertEqual(goes(found, None, source, port=9000), want)
        self.assertEqual([code for code in codes(found.problems) if code in ("MG2006", "MG2009")], [])

    def test_destination_comes_before_source(self) -> None:
        """The longest network of the destination decides, and only then that of the source."""
        found = extended(
            gateway("gw", tcp_server(9000)),
            virtual_service("to", tcp=[tcp_rule("x", match=[{"destinationSubnets": ["1.0.0.0/8", "2.0.0.0/8"]}])]),
            virtual_service("from", tcp=[tcp_rule("x", match=[{"sourceSubnet": "10.0.0.1"}])]),
        )
        self.assertEqual(goes(found, None, "10.0.0.1", "2.0.0.1", 9000), "to")
        self.assertEqual(goes(found, None, "10.0.0.1", "3.0.0.1", 9000), "from")
        self.assertIsNone(goes(found, None, "10.0.0.2", "3.0.0.1", 9000))

    def test_same_addresses(self) -> None:
        """Of two rules for the same addresses the older counts, and the other is told."""
        found = extended(
            gateway("gw", tcp_server(9000)),
            virtual_service("one", tcp=[tcp_rule("x", match=[{"sourceSubnet": "10.0.0.0/8"}])]),
            virtual_service("two", tcp=[tcp_rule("x", match=[{"sourceSubnet": "10.9.9.9/8"}])]),
        )
        self.assertEqual(goes(found, None, "10.0.0.1", port=9000), "one")
        (lost,) = [problem for problem in found.problems if problem.code == "MG2009"]
        self.assertIn("from 10.0.0.0/8", lost.message)

    def test_unreadable_network(self) -> None:
        """A network that cannot be read drops its block, never its condition."""
        found = extended(
            gateway("gw", tcp_server(9000)),
            virtual_service("v", tcp=[tcp_rule("x", match=[{"sourceSubnet": "ten"}, {"sourceSubnet": "10.0.0.1"}])]),
        )
        self.assertIn("MG2066", codes(found.problems))
        self.assertEqual([goes(found, None, ip, port=9000) for ip in ("10.0.0.1", "11.0.0.1")], ["v", None])


class PassthroughTests(SynchronousTestCase):
    """Rules by server name."""

    def test_names_are_cut_to_the_servers_hosts(self) -> None:
        """A wide name reaches the server's hosts only, and takes none that a rule names itself."""
        found = extended(
            gateway("gw", tls_server(443, [A, B])),
            virtual_service("wide", tls=[tls_rule(["*"], "x")]),
            virtual_service("exact", [A], tls=[tls_rule([A], "x")]),
        )
        for name, want in [(A, "exact"), (B, "wide"), ("c.example.com", None), (None, None)]:
            self.assertEqual(goes(found, name), want, name)
        self.assertIn("MG2067", codes(found.problems))
        self.assertNotIn("MG2005", codes(found.problems))

    def test_one_name_for_several_destinations(self) -> None:
        """A name can lead to different places by the address that the client connects to."""
        found = extended(
            gateway("gw", tls_server(443)),
            virtual_service("one", [A], tls=[tls_rule([A], "x", destinationSubnets=["10.0.0.1"])]),
            virtual_service("two", [A], tls=[tls_rule([A], "x", destinationSubnets=["10.0.0.2"])]),
            virtual_service("rest", ["*"], tls=[tls_rule(["*.example.com"], "x")]),
        )
        for destination, want in [("10.0.0.1", "one"), ("10.0.0.2", "two"), ("10.0.0.3", "rest")]:
            self.assertEqual(goes(found, A, destination=destination), want)

    def test_ended_names_are_not_passed_through(self) -> None:
        """A name that one server ends TLS for goes to no rule of another server, whatever the addresses."""
        found = extended(
            gateway("gw", tls_server(443, [A], mode="SIMPLE"), tls_server(443, ["*.example.com"])),
            virtual_service("ends", [A], tcp=[tcp_rule("x")]),
            virtual_service("through", [A], tls=[tls_rule([A], "x", destinationSubnets=["10.0.0.0/8"])]),
        )
        self.assertEqual(goes(found, A, destination="10.0.0.1"), "ends")
        self.assertIn("MG2005", codes(found.problems))

    def test_differences(self) -> None:
        """A rule between some addresses that comes and goes changes a name's connections between them."""
        rest = virtual_service("rest", [A], tls=[tls_rule([A], "x")])
        some = virtual_service("some", [A], tls=[tls_rule([A], "y", destinationSubnets=["10.0.0.0/8"])])
        before, after = (extended(gateway("gw", tls_server(443)), rest, *more).table for more in ([], [some]))
        (change,) = diff_traffic(before, after).names
        self.assertEqual((change.name, change.kind), (f"{A} to 10.0.0.0/8", "moves"))
        self.assertFalse(diff_traffic(after, after))

    def test_explained(self) -> None:
        """The story tells which addresses counted."""
        found = extended(
            gateway("gw", tls_server(443)),
            virtual_service("v", [A], tls=[tls_rule([A], "x", destinationSubnets=["10.0.0.0/8"])]),
        )
        told = explain(found, Call(443, sni=A, destination="10.0.0.1", source="1.1.1.1"))
        self.assertEqual((told.result, told.as_json()["condition"]), ("routed", "to 10.0.0.0/8"))
        self.assertIn("from 1.1.1.1, to 10.0.0.1", " ".join(told.steps))
        self.assertEqual(explain(found, Call(443, sni=A)).result, "closed")


NAMES = st.sampled_from([None, "a.x", "b.a.x", "*.x", "*.a.x", "*"])
NETWORKS = st.sampled_from(["", "10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "::/0", "2001:db8::/32", "10.1.2.3"])
ADDRESSES = st.sampled_from(["", "10.1.2.3", "10.1.9.9", "10.9.9.9", "192.0.2.1", "2001:db8::5", "::1"])
RULES = st.lists(st.tuples(NAMES.filter(bool), NETWORKS, NETWORKS), max_size=12)


class PropertyTests(SynchronousTestCase):
    """Looking up, against the obvious way."""

    @given(RULES, st.sampled_from([None, "a.x", "b.a.x", "c.b.a.x", "x", "y"]), ADDRESSES, ADDRESSES)
    @settings(deadline=None, max_examples=300)
    def test_lookup_equals_a_plain_search(
        self, rules: Sequence[tuple[str, str, str]], sni: str | None, source: str, destination: str
    ) -> None:
        """Of all rules that fit, the most specific name wins, then the longest destination, then the longest source."""
        chains = {rule: Chain((rule[0],), "g", "s", "v", repr(rule), ()) for rule in rules}
        fitting = [
            rule
            for rule in chains
            if (covers(rule[0], sni) if sni is not None else rule[0] == "*")
            and _inside(destination, rule[1])
            and _inside(source, rule[2])
        ]
        fitting.sort(key=lambda rule: (specificity(rule[0]), -_length(rule[1]), -_length(rule[2])))
        found = _listener(chains).lookup_from(sni, address(source), address(destination))
        self.assertIs(found, chains[fitting[0]] if fitting else None)


def _listener(chains: dict[tuple[str, str, str], Chain]) -> Listener:
    limited: dict[str, dict[Addresses, Chain]] = {}
    everywhere: dict[str, Chain] = {}
    for (name, to, origin), chain in chains.items():
        addresses = Addresses(parsed(to), parsed(origin))
        if addresses == ANYWHERE:
            everywhere[name] = chain
        else:
            limited.setdefault(name, {})[addresses] = chain
    return Listener(
        ListenerKey("0.0.0.0", 443),
        dual_stack=True,
        sniffs=True,
        exact={name: chain for name, chain in everywhere.items() if not name.startswith("*")},
        suffixes={name[2:]: chain for name, chain in everywhere.items() if name.startswith("*.")},
        catch_all=everywhere.get("*"),
        by_address={name: ByAddress.of(of_name) for name, of_name in limited.items()},
    )


def _inside(text: str, subnet: str) -> bool:
    if not subnet:
        return True
    return bool(text) and ipaddress.ip_address(text) in ipaddress.ip_network(subnet)


def _length(subnet: str) -> int:
    return ipaddress.ip_network(subnet).prefixlen if subnet else -1
