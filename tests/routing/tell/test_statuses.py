"""Tests of :mod:`meshgate.routing.tell.statuses`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import read_text
from meshgate.resources.resource import ResourceKey
from meshgate.routing.tell.statuses import ResourceCounts, ResourceStatus, all_statuses
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
