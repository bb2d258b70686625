"""Tests of :mod:`meshgate.routing.tell.statuses`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import read_text
from meshgate.resources.resource import ResourceKey
from meshgate.routing.table import Chain, Listener, ListenerKey, RoutingTable
from meshgate.routing.tell.statuses import (
    Attachments,
    GatewayAttachment,
    ResourceCounts,
    ResourceStatus,
    ServerAttachments,
    all_statuses,
)
from tests.configurations import (
    Document,
    compiled,
    destination_rule,
    gateway,
    service,
    target,
    tcp_rule,
    tcp_server,
    virtual_service,
    workload,
)


def told(*documents: Document) -> dict[str, str]:
    """The status of each resource as letters: accepted, programmed, conflicted."""
    return {
        key.name: "".join(
            letter for letter, on in (("a", each.accepted), ("p", each.programmed), ("c", each.conflicted)) if on
        )
        for key, each in compiled(*documents).statuses.items()
    }


class StatusTests(SynchronousTestCase):
    """Statuses of compiled and invalid resources."""

    def test_what_is_in_the_table(self) -> None:
        """Every resource on which a route rests is programmed; workloads have no status of their own."""
        rule = {"route": [target("db", subset="v1")]}
        found = told(
            gateway("gw", tcp_server(1)),
            virtual_service("v", tcp=[rule]),
            service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"}),
            service("idle", {"port": 80, "name": "tcp"}),
            workload("w", "10.0.0.1", {"app": "db"}),
            destination_rule("d", "db", {"name": "v1"}),
            destination_rule("e", "idle"),
        )
        self.assertEqual(found, {"gw": "ap", "v": "ap", "db": "ap", "idle": "a", "d": "ap", "e": "a"})

    def test_what_is_left_aside(self) -> None:
        """A Gateway or VirtualService that is not for this gateway is not accepted."""
        other = gateway("other", tcp_server(1))
        other["spec"]["selector"] = {"istio": "egress"}
        hidden = virtual_service("hidden", tcp=[tcp_rule("x")], export_to=["."])
        self.assertEqual(told(other, hidden, gateway("gw", tcp_server(1))), {"other": "", "hidden": "", "gw": "a"})

    def test_conflicts(self) -> None:
        """Winner and loser of a port both conflict; of two VirtualServices only the one that gets nothing does."""
        found = told(
            gateway("gw", tcp_server(1)),
            gateway("late", tcp_server(1)),
            virtual_service("v", tcp=[tcp_rule("x")]),
            virtual_service("w", tcp=[tcp_rule("x")]),
        )
        self.assertEqual(found, {"gw": "apc", "late": "ac", "v": "ap", "w": "ac"})

    def test_reasons(self) -> None:
        """The reasons are the problems, with their codes; infos are left out."""
        found = compiled(gateway("gw", tcp_server(1)), service("s", {"port": 80}))
        gw, svc = found.statuses[ResourceKey("Gateway", "default", "gw")], list(found.statuses.values())[1]
        self.assertEqual([reason.partition(":")[0] for reason in gw.reasons], ["MG2008"])
        self.assertEqual(svc, ResourceStatus(accepted=True, programmed=False))

    def test_invalid_resources(self) -> None:
        """An invalid resource is not accepted, unless an older version is in force; the reasons are those of both."""
        reading = read_text("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: 1}\n", "x.yaml")
        key = ResourceKey("Service", "default", "s")
        refused = all_statuses({}, reading.all_problems)
        self.assertEqual((list(refused), refused[key].accepted), ([key], False))
        self.assertTrue(refused[key].reasons[0].startswith("MG1003: "))
        reasons = refused[key].reasons
        in_force = ResourceStatus(accepted=True, programmed=True, reasons=("MG2048: what it says",))
        found = all_statuses({key: in_force}, reading.all_problems)[key]
        self.assertEqual(found, ResourceStatus(True, True, reasons=(*reasons, "MG2048: what it says")))


class CountTests(SynchronousTestCase):
    """The number of resources."""

    def test_invalid_ones_count(self) -> None:
        """An unknown field leaves a resource valid; each document without a name counts, and files do not."""
        keys = [ResourceKey("Gateway", "default", name) for name in ("a", "b")]
        errors = [
            invalid("MG1001", "a"),
            invalid("MG1002", "c"),
            invalid("MG1003", "c"),
            invalid("MG1002", "", path="metadata.name", line=7),
            invalid("MG1004", "", path="spec.x", line=8),
            invalid("MG0003", "", line=9),
            invalid("MG0001", ""),
        ]
        for valid, problems, want in [
            (keys, errors, "5 resources, 3 of which are not valid"),
            (keys, errors[1:2], "3 resources, 1 of which is not valid"),
            ([], errors[1:2], "1 resource, which is not valid"),
            ([], errors[1:4], "2 resources, none of which is valid"),
            (keys[:1], errors[:1], "1 resource"),
        ]:
            self.assertEqual(str(ResourceCounts.of(valid, problems)), want)


def invalid(code: str, name: str, **rest: Any) -> Problem:
    """An error of validation."""
    return Problem(Severity.ERROR, code, "", kind="Gateway", namespace="default", name=name, **rest)


def table(*chains: tuple[int, str, str, str]) -> RoutingTable:
    """A table with chains: port, Gateway, VirtualService and refusal of each."""
    listeners = {}
    for port in {each[0] for each in chains}:
        key = ListenerKey("0.0.0.0", port)
        exact = {
            f"h{number}": Chain((f"h{number}",), gateway, "tls", virtual_service, "", (), refusal=refusal)
            for number, (of_port, gateway, virtual_service, refusal) in enumerate(chains)
            if of_port == port
        }
        listeners[key] = Listener(key, False, True, exact)
    return RoutingTable(1, listeners)


CHAINS = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from(["n/a", "n/b"]), st.sampled_from(["n/v", "n/w"]), st.just("")),
    max_size=6,
)


class AttachmentsTests(SynchronousTestCase):
    """The attachments in tables."""

    def test_of_a_table(self) -> None:
        """A Gateway's server counts VirtualServices; a VirtualService has its Gateways with their listeners."""
        found = Attachments()
        changed = found.update(table((1, "n/a", "n/v", ""), (2, "n/a", "n/v", ""), (1, "n/a", "n/w", "")))
        first, second = ListenerKey("0.0.0.0", 1), ListenerKey("0.0.0.0", 2)
        self.assertEqual(found.gateways, {"n/a": (ServerAttachments("tls", (first, second), 2),)})
        self.assertEqual(found.virtual_services["n/v"], (GatewayAttachment("n/a", (first, second)),))
        self.assertEqual(changed, ({"n/a"}, {"n/v", "n/w"}))

    def test_a_refusal(self) -> None:
        """A server of which every chain is refused says why."""
        found = Attachments()
        found.update(table((1, "n/a", "", "it terminates TLS")))
        self.assertEqual(found.gateways["n/a"][0][2:], (0, "it terminates TLS"))
        self.assertEqual(found.virtual_services, {})

    @given(CHAINS, CHAINS)
    def test_from_table_to_table(
        self, before: list[tuple[int, str, str, str]], after: list[tuple[int, str, str, str]]
    ) -> None:
        """After a change, they are those of the table alone, and what has changed is named."""
        found, fresh = Attachments(), Attachments()
        found.update(table(*before))
        old = dict(found.gateways), dict(found.virtual_services)
        gateways, virtual_services = found.update(table(*after))
        fresh.update(table(*after))
        self.assertEqual((found.gateways, found.virtual_services), (fresh.gateways, fresh.virtual_services))
        for name in "n/a", "n/b":
            if old[0].get(name) != found.gateways.get(name):
                self.assertIn(name, gateways)
        for name in "n/v", "n/w":
            if old[1].get(name) != found.virtual_services.get(name):
                self.assertIn(name, virtual_services)
