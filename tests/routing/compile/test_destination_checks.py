"""Tests of :mod:`meshgate.routing.compile.destination_checks`: who goes to a destination decides how it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Severity
from tests.configurations import (
    Document,
    compiled,
    destination_rule,
    gateway,
    service,
    target,
    tcp_server,
    virtual_service,
)

DB = "db.data.svc.cluster.local"
OURS = gateway("ours", tcp_server(9000))
THEIRS: Document = {**gateway("theirs", tcp_server(9000)), "spec": {**OURS["spec"], "selector": {"app": "egress"}}}
OF_CLIENTS = destination_rule("d", DB, {"name": "v1"}, namespace="default", exportTo=["."])
"""A rule that sidecars in the namespace of the VirtualService follow, and that this gateway does not."""


def severities(gateways: Sequence[str], **rules: Any) -> list[Severity]:
    """The severities of the problem that a subset is missing, for a VirtualService with some gateways and rules."""
    route = virtual_service("v", [DB], gateways)
    route["spec"].update(rules)
    documents = [OURS, THEIRS, service("db", {"port": 5432, "name": "tcp"}, namespace="data"), OF_CLIENTS, route]
    return [each.severity for each in compiled(*documents).problems if each.code == "MG2043"]


def rule(*gateways: str, **match: Any) -> Document:
    """A rule to the subset, with a match block for each Gateway."""
    blocks = [{"gateways": [each], **match} for each in gateways]
    return {**({"match": blocks} if blocks else {}), "route": [target(DB, 5432, subset="v1")]}


class UserTests(SynchronousTestCase):
    """Those who apply a rule: this gateway, other gateways, or sidecars."""

    def test_the_gateways_of_the_virtual_service(self) -> None:
        """A subset that this gateway does not find is an error if it is among those that apply the rule."""
        for gateways, wanted in [
            ([], []),
            (["mesh"], []),
            (["theirs"], []),
            (["theirs", "mesh"], []),
            (["ours"], [Severity.ERROR]),
            (["ours", "mesh"], [Severity.ERROR]),
            (["missing"], [Severity.ERROR]),
        ]:
            self.assertEqual(severities(gateways, tcp=[rule()]), wanted, gateways)

    def test_the_gateways_of_a_rule(self) -> None:
        """Match blocks that all name gateways are for these alone; one that names none is for all."""
        for rules, wanted in [
            ([rule("mesh")], []),
            ([rule("theirs", "mesh")], []),
            ([rule("ours")], [Severity.ERROR]),
            ([rule("mesh", "ours")], [Severity.ERROR]),
            ([{**rule("mesh"), "match": [{"gateways": ["mesh"]}, {"port": 9000}]}], [Severity.ERROR]),
        ]:
            for kind in ("tcp", "http"):
                self.assertEqual(severities(["ours", "theirs", "mesh"], **{kind: rules}), wanted, (kind, rules))

    def test_rules_by_server_name(self) -> None:
        """The same with tls rules, whose match blocks also have names."""
        for gateways, wanted in [(["mesh"], []), (["ours"], [Severity.ERROR])]:
            found = severities(["ours", "mesh"], tls=[rule(*gateways, sniHosts=[DB])])
            self.assertEqual(found, wanted, gateways)

    def test_delegates(self) -> None:
        """A delegate is judged as for anybody, since another VirtualService decides who applies it."""
        delegate = virtual_service("v", [], [])
        delegate["spec"] = {"http": [rule()]}
        db = service("db", {"port": 5432, "name": "tcp"}, namespace="data")
        found = compiled(db, OF_CLIENTS, delegate).problems
        self.assertEqual([each.code for each in found if each.severity is not Severity.INFO], [])

    def test_a_namespace_that_does_not_find_it(self) -> None:
        """Where some of the namespaces find the subset, an info names one that does not."""
        for export_to, wanted in [
            (["."], []),
            (["default", "web"], [Severity.INFO]),
            (["web"], [Severity.ERROR]),
        ]:
            self.assertEqual(severities([], tcp=[rule()], exportTo=export_to), wanted, export_to)


class PolicyTests(SynchronousTestCase):
    """Policies: others are capable of more than this gateway, and HTTP is not served at all."""

    def codes(self, policy: Document, gateways: Sequence[str], kind: str = "tcp") -> list[str]:
        """The codes of everything that is worse than an info."""
        route = virtual_service("v", [DB], gateways)
        route["spec"][kind] = [{"route": [target(DB, 5432)]}]
        found = compiled(
            OURS,
            THEIRS,
            service("db", {"port": 5432, "name": "tcp"}, namespace="data"),
            destination_rule("d", DB, namespace="data", trafficPolicy=policy),
            route,
        )
        return [each.code for each in found.problems if each.severity is not Severity.INFO and each.name == "v"]

    def test_what_only_this_gateway_cannot_do(self) -> None:
        """TLS to the endpoint and the original destination are faults of routes that this gateway serves alone."""
        tls: Document = {"tls": {"mode": "SIMPLE", "caCertificates": "/ca"}}
        for policy, code in [(tls, "MG2045"), ({"loadBalancer": {"simple": "PASSTHROUGH"}}, "MG2069")]:
            self.assertIn(code, self.codes(policy, ["ours"]))
            self.assertNotIn(code, self.codes(policy, ["ours"], "http"))
            for gateways in ([], ["mesh"], ["theirs"]):
                self.assertEqual(self.codes(policy, gateways), [], gateways)
