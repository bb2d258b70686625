"""The access lists of Gateways: from annotations to the table, to a copy of it, and to explanations."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.latest import ResourceChange
from meshgate.resources.phases import at_once
from meshgate.resources.reader import read_text
from meshgate.routing.access_lists import AccessEntries
from meshgate.routing.addresses import address, network
from meshgate.routing.compile.compiler import Compiler, compile_change, compile_table
from meshgate.routing.proxy_headers import HeaderDefaults, HeaderForEndpoint
from meshgate.routing.table import Listener, ListenerKey, RoutingTable
from meshgate.routing.table_edits import Draft, SetField, edits_between
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
    read,
    service,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
    workload,
)

ROUTE = (
    virtual_service("v", tcp=[tcp_rule("x")]),
    service("x", {"port": 80}, selector={"app": "x"}),
    workload("w", "127.0.0.1", {"app": "x"}),
)


def edge(**lists: str) -> Any:
    """A Gateway with annotations."""
    annotations = {f"meshgate.io/{name.replace('_', '-')}": text for name, text in lists.items()}
    return gateway("gw", tcp_server(9000), annotations=annotations)


class GatewayAccessTests(SynchronousTestCase):
    """Annotations of Gateways."""

    def test_annotations_become_a_list(self) -> None:
        """By commas, spaces and lines; a Gateway without these annotations has none."""
        found = compiled(edge(allow="127.0.0.0/8,\n::1", deny="127.0.0.9"), *ROUTE)
        access = found.table.access["default/gw"]
        admitted = [access.admits(address(text)) for text in ("127.0.0.1", "::1", "127.0.0.9", "192.0.2.1")]
        self.assertEqual((admitted, access.dry_run), ([True, True, False, False], False))
        self.assertTrue(compiled(edge(deny="::1", access_dry_run="true"), *ROUTE).table.access["default/gw"].dry_run)
        self.assertEqual(compiled(edge(), *ROUTE).table.access, {})

    def test_a_change_of_a_list_sends_nothing_else(self) -> None:
        """The listeners stay the same objects, and the next change without one sends no list."""
        compiler = Compiler(PROXY)
        tables: list[RoutingTable] = []
        before: list[Any] = []
        for documents in ([edge(deny="192.0.2.1"), *ROUTE], [edge(deny="192.0.2.2"), *ROUTE], [edge(), *ROUTE]):
            resources = read(*documents)
            change = ResourceChange(removed=before, added=resources)
            tables.append(at_once(compile_change(compiler, change, len(tables) + 1)).table)
            before = resources
        edits = list(edits_between(tables[0], tables[1]))
        self.assertEqual([edit.name for edit in edits if isinstance(edit, SetField)], ["generation", "access"])
        self.assertEqual(len(edits), 2)
        draft = Draft(tables[0])
        draft.apply(edits)
        self.assertEqual(draft.table().access, tables[1].access)
        self.assertEqual(tables[2].access, {})

    def test_a_broken_list_keeps_the_gateway_from_being_served(self) -> None:
        """Strangers are not let in by a mistake in a list that was to keep them out."""
        documents = [edge(deny="192.0.2.1/8"), *ROUTE]
        reading = read_text("\n---\n".join(map(json.dumps, documents)), "routes.yaml")
        self.assertEqual(compile_table(reading.resources, PROXY).table.listeners, {})


class ExplanationTests(SynchronousTestCase):
    """What explain says of a client's address."""

    def explained(self, source: str, settings: AccessEntries | None = None, **lists: str) -> tuple[str, str]:
        """The result, and the sentence about access."""
        found = explain(compiled(edge(**lists), *ROUTE), Call(9000, tls=False, source=source), settings)
        return found.result, "; ".join(step for step in found.steps if "may" in step or "would be" in step)

    def test_gateways(self) -> None:
        """Their list is asked when the route is known."""
        source = "in deny of Gateway default/gw refuses it"
        cases: tuple[tuple[str, dict[str, str], tuple[str, str]], ...] = (
            ("192.0.2.1", {}, ("routed", "")),
            ("192.0.2.1", {"deny": "192.0.2.0/24"}, ("closed", f"192.0.2.1 may not connect: 192.0.2.0/24 {source}")),
            (
                "192.0.2.1",
                {"deny": "192.0.2.0/24", "access_dry_run": "true"},
                ("routed", f"192.0.2.1 would be refused if this were no dry run: 192.0.2.0/24 {source}"),
            ),
            ("", {"deny": "::1"}, ("routed", "Gateway default/gw may refuse it by its address, which is not given")),
            (
                "2001:db8::1",
                {"allow": "2001:db8::/32"},
                ("routed", "2001:db8::1 may connect: 2001:db8::/32 in allow of Gateway default/gw admits it"),
            ),
        )
        for address_text, lists, wanted in cases:
            result, text = self.explained(address_text, None, **lists)
            self.assertEqual((result, text.removesuffix(", so it ends as denied")), wanted)

    def test_settings(self) -> None:
        """They come first."""
        settings = AccessEntries("the settings", ["10.0.0.0/8"])
        result, text = self.explained("192.0.2.1", settings, allow="192.0.2.1")
        self.assertEqual(result, "closed")
        self.assertIn("192.0.2.1 may not connect: no network in allow of the settings has it", text)
        self.assertEqual(self.explained("10.0.0.1", settings)[0], "routed")


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
