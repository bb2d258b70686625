"""Tests of :mod:`meshgate.routing.tell.statuses`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.reader import read_text
from meshgate.resources.resource import ResourceKey
from meshgate.routing.tell.statuses import ResourceStatus, all_statuses
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
