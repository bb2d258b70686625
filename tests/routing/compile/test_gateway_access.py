"""The access lists of Gateways: from annotations to the table, to a copy of it, and to explanations."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.latest import ResourceChange
from meshgate.resources.phases import at_once
from meshgate.resources.reader import read_text
from meshgate.routing.access_lists import AccessEntries
from meshgate.routing.addresses import address
from meshgate.routing.compile.compiler import Compiler, compile_change, compile_table
from meshgate.routing.table import RoutingTable
from meshgate.routing.table_edits import Draft, SetField, edits_between
from meshgate.routing.tell.explain import Call, explain
from tests.configurations import (
    PROXY,
    compiled,
    gateway,
    read,
    service,
    tcp_rule,
    tcp_server,
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
