"""PROXY headers: which listeners expect them, and which endpoints get them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.addresses import network
from meshgate.routing.proxy_headers import HeaderDefaults, HeaderForEndpoint
from meshgate.routing.table import Listener, ListenerKey
from meshgate.routing.tell.explain import Call, explain
from meshgate.routing.tell.traffic_diff import diff_traffic
from meshgate.state.status_text import routes
from tests.configurations import (
    PROXY,
    Document,
    codes,
    compiled,
    destination_rule,
    document,
    gateway,
    service,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
    workload,
)

TRUSTED = network("10.0.0.0/8")
assert TRUSTED is not None
DEFAULTS = HeaderDefaults((TRUSTED,))
BACKEND = [service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"}), workload("w", "10.0.0.1", {"app": "db"})]


def annotated(name: str, mode: str | None, *servers: Document, **metadata: Any) -> Document:
    """A Gateway with the annotation, or without."""
    notes: Document = {} if mode is None else {"annotations": {"meshgate.io/proxy-protocol": mode}}
    return gateway(name, *servers, **notes, **metadata)


def listeners(*documents: Document, defaults: HeaderDefaults = DEFAULTS) -> dict[int, Listener]:
    """The listeners by port."""
    found = compiled(*documents, *BACKEND, proxy=replace(PROXY, headers=defaults))
    return {key.port: listener for key, listener in found.table.listeners.items()}


def modes(*documents: Document, defaults: HeaderDefaults = DEFAULTS) -> dict[int, bool | None]:
    """Of each port: True for strict, False for optional, None for no header."""
    found = listeners(*documents, defaults=defaults)
    return {port: None if each.header is None else each.header.required for port, each in found.items()}


class ExpectedTests(SynchronousTestCase):
    """Listeners that expect a header."""

    ports = (9000, 9001, 9002)

    def test_by_the_gateway(self) -> None:
        """The annotation counts for all servers of its Gateway, and for no other."""
        rule = virtual_service("v", gateways=("gw", "other"), tcp=[tcp_rule("db")])
        for mode, expected in (("strict", True), ("optional", False), ("none", None), (None, None)):
            found = modes(
                annotated("gw", mode, tcp_server(9000), tcp_server(9001)), gateway("other", tcp_server(9002)), rule
            )
            self.assertEqual(found, {9000: expected, 9001: expected, 9002: None})

    def test_by_the_settings(self) -> None:
        """The settings have a mode for all ports, and lists of ports; the annotation goes before both."""
        rule = virtual_service("v", gateways=("gw", "other"), tcp=[tcp_rule("db")])
        for mode, strict, optional, expected in (
            ("none", {9000}, {9001}, {9000: True, 9001: False, 9002: None}),
            ("strict", set[int](), {9001}, {9000: True, 9001: False, 9002: True}),
        ):
            defaults = replace(DEFAULTS, mode=mode, strict_ports=frozenset(strict), optional_ports=frozenset(optional))
            plain = gateway("gw", *map(tcp_server, self.ports))
            self.assertEqual(modes(plain, rule, defaults=defaults), expected)
            told = annotated("gw", "none", *map(tcp_server, self.ports))
            self.assertEqual(modes(told, rule, defaults=defaults), dict.fromkeys(self.ports))

    def test_several_gateways_of_one_port(self) -> None:
        """The oldest Gateway that says something decides, in any order, and the other is told."""
        ages = {"creationTimestamp": "2024-01-01T00:00:00Z"}, {"creationTimestamp": "2025-01-01T00:00:00Z"}
        rules = [
            virtual_service(
                name, gateways=(name,), tls=[tls_rule([f"{name}.example.com"], "db")], hosts=[f"{name}.example.com"]
            )
            for name in ("a", "b", "c")
        ]
        silent = gateway("c", tls_server(9000, ["c.example.com"]), creationTimestamp="2020-01-01T00:00:00Z")
        for old, young, expected in (
            ("strict", "optional", True),
            ("none", "strict", None),
            ("optional", "none", False),
        ):
            gateways = [
                annotated("a", old, tls_server(9000, ["a.example.com"]), **ages[0]),
                annotated("b", young, tls_server(9000, ["b.example.com"]), **ages[1]),
                silent,
            ]
            for order in (gateways, gateways[::-1]):
                self.assertEqual(modes(*order, *rules), {9000: expected})
                problems = compiled(*order, *rules, *BACKEND).problems
                (told,) = [problem for problem in problems if problem.code == "MG2085"]
                self.assertEqual(told.name, "b")

    def test_nobody_is_trusted(self) -> None:
        """An annotation without trusted networks is an error where the settings were read, unless it says none."""
        rule = virtual_service("v", tcp=[tcp_rule("db")])
        for mode, trusted, expected in (
            ("strict", (), ["MG2084"]),
            ("optional", (), ["MG2084"]),
            ("none", (), []),
            ("strict", None, []),
            ("strict", DEFAULTS.trusted, []),
        ):
            proxy = replace(PROXY, headers=HeaderDefaults(trusted))
            found = compiled(annotated("gw", mode, tcp_server(9000)), rule, *BACKEND, proxy=proxy)
            self.assertEqual(codes(found.problems), expected, (mode, trusted))
            if mode == "strict" and expected:
                self.assertEqual(
                    str(found.problems[0]).partition("(")[0].strip(),
                    "routes.yaml:1:1: error[MG2084]: Gateway default/gw: "
                    'metadata.annotations["meshgate.io/proxy-protocol"]: PROXY headers are expected, and nobody is '
                    "trusted to send them: every connection is closed",
                )

    def test_it_is_told(self) -> None:
        """The commands explain, diff and routes speak of the header."""
        proxy = replace(PROXY, headers=DEFAULTS)
        rule = virtual_service("v", tcp=[tcp_rule("db")])
        before = compiled(gateway("gw", tcp_server(9000)), rule, *BACKEND, proxy=proxy)
        after = compiled(annotated("gw", "strict", tcp_server(9000)), rule, *BACKEND, proxy=proxy)
        steps = explain(after, Call(9000, tls=False)).steps
        self.assertIn(
            "connections begin with a PROXY header, required, from 10.0.0.0/8, by Gateway default/gw", "\n".join(steps)
        )
        (change,) = diff_traffic(before.table, after.table).ports
        assert change.after is not None
        self.assertEqual(change.after.header, "PROXY header, required, from 10.0.0.0/8")
        (row,) = routes(after.table.listeners[ListenerKey("0.0.0.0", 9000)])
        self.assertEqual(row["proxy_protocol"], {"mode": "strict", "trusted": ["10.0.0.0/8"]})


class SentTests(SynchronousTestCase):
    """Endpoints that get a header."""

    def header(self, version: str | int, fields: str | None = None) -> HeaderForEndpoint | None:
        """The header of a DestinationRule."""
        notes: Document = {} if fields is None else {"annotations": {"meshgate.io/proxy-protocol-fields": fields}}
        spec = {"host": "db", "trafficPolicy": {"proxyProtocol": {"version": version}}}
        rule = document("DestinationRule", "d", spec, **notes)
        found = listeners(gateway("gw", tcp_server(9000)), virtual_service("v", tcp=[tcp_rule("db")]), rule)[9000]
        assert found.catch_all is not None
        (destination,) = found.catch_all.destinations
        return destination.policy.header

    def test_versions_and_fields(self) -> None:
        """Version 2 has the fields that the annotation names; version 1 has none."""
        self.assertEqual(self.header("V1"), HeaderForEndpoint(1))
        self.assertEqual(self.header(1), HeaderForEndpoint(2))
        self.assertEqual(
            self.header("V2", "authority, unique-id"), HeaderForEndpoint(2, authority=True, unique_id=True)
        )
        self.assertEqual(self.header("V2", "alpn"), HeaderForEndpoint(2, alpn=True))
        self.assertEqual(self.header("V1", "alpn"), HeaderForEndpoint(1))

    def test_it_is_told(self) -> None:
        """The command explain speaks of the header, by the rule that asks for it."""
        rule = destination_rule("d", "db", trafficPolicy={"proxyProtocol": {"version": "V2"}})
        documents = [gateway("gw", tcp_server(9000)), virtual_service("v", tcp=[tcp_rule("db")]), rule, *BACKEND]
        found = explain(compiled(*documents), Call(9000, tls=False))
        self.assertIn("a PROXY header of version 2 first, by DestinationRule default/d", "\n".join(found.steps))
        policy = found.as_json()["destinations"][0]["policy"]
        self.assertEqual(
            policy["proxy_protocol"], {"version": 2, "authority": False, "alpn": False, "unique_id": False}
        )
