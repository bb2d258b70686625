"""Tests of :mod:`meshgate.routing.compile.rule_candidates`, beside the golden texts of MG2043 and MG2079."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Severity
from meshgate.routing.compile.catalog import Catalog, CatalogHost
from meshgate.routing.compile.destination_rules import DestinationRules, chosen
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.rule_candidates import Candidate, Viewer, candidates, passed_over
from tests import examples
from tests.configurations import PROXY, Document, destination_rule, read, service

HOST = "db.data.svc.cluster.local"
EDGE = Proxy(labels={"istio": "ingressgateway", "zone": "a"}, namespace="edge")
RANDOM: Document = {"trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}
SERVICE = service("db", {"port": 5432, "name": "tcp"}, namespace="data")
FOUND = Catalog(read(SERVICE), "cluster.local").find(HOST)


def found() -> CatalogHost:
    """The host of which rules are looked for."""
    assert FOUND is not None
    return FOUND


def rule(name: str, namespace: str, host: str = HOST, **rest: Any) -> Document:
    """A rule with a policy."""
    return destination_rule(name, host, namespace=namespace, **RANDOM, **rest)


def selecting(**labels: str) -> Document:
    """The field that chooses proxies by their labels."""
    return {"workloadSelector": {"matchLabels": labels}}


def judged(*documents: Document, proxy: Proxy = EDGE) -> dict[str, Candidate]:
    """The rules that cover the host, by ``namespace/name``."""
    rules = DestinationRules(read(*documents), proxy)
    return {each.rule.qualified_name: each for each in candidates(rules, found(), Viewer.of(proxy))}


class ReasonTests(SynchronousTestCase):
    """The reasons why a gateway in a namespace of its own does not follow a rule."""

    def assert_lost(self, one: Candidate, severity: Severity | None, *clauses: str) -> None:
        """Check that a rule is not followed, and why."""
        for clause in clauses:
            self.assertIn(clause, one.reason)
        self.assertEqual(one.severity, severity)

    def test_three_namespaces(self) -> None:
        """The reason names every namespace in which the gateway looks, each once with its owners."""
        lost = judged(rule("r", "jobs"))["jobs/r"]
        self.assert_lost(
            lost,
            Severity.INFO,
            "looks in edge (its own), data (the service's) and istio-system (the root namespace)",
        )
        self.assertEqual(lost.hint, "move it to data, for all clients of the service, or to edge, for proxies there")

    def test_gateway_beside_the_service(self) -> None:
        """Where the gateway and the service share a namespace, there is one namespace to move a rule to."""
        lost = judged(rule("r", "jobs"), proxy=Proxy({}, "data"))["jobs/r"]
        self.assert_lost(lost, Severity.INFO, "looks in data (its own and the service's) and istio-system")
        self.assertEqual(lost.hint, "move it to data")

    def test_nearer_namespaces_come_first(self) -> None:
        """Of rules for the same host, the reason names the namespace of the one that is followed, and its own."""
        all_three = judged(rule("o", "edge"), rule("s", "data"), rule("r", "istio-system"))
        self.assertEqual(all_three["edge/o"].reason, "")
        self.assert_lost(
            all_three["data/s"], Severity.INFO, "edge/o", "in edge (its own) comes before one in data (the service's)"
        )
        self.assert_lost(all_three["istio-system/r"], Severity.INFO, "before one in istio-system (the root namespace)")

    def test_wider_rules_are_meant_to_lose(self) -> None:
        """A default for the mesh or a namespace loses to a rule for the host itself, as it is meant to."""
        two = judged(
            rule("all", "istio-system", "*.local"), rule("data", "data", "*.data.svc.cluster.local"), rule("s", "data")
        )
        self.assertEqual(two["data/s"].reason, "")
        self.assert_lost(two["istio-system/all"], None, "comes before")
        self.assert_lost(two["data/data"], None, "is more specific")

    def test_wider_rule_of_the_gateway_wins(self) -> None:
        """A wildcard in the gateway's namespace wins over the service's own rule, and that is worth knowing."""
        two = judged(rule("all", "edge", "*.local"), rule("s", "data"))
        self.assertEqual(two["edge/all"].reason, "")
        self.assert_lost(two["data/s"], Severity.INFO, "edge/all", "comes before")

    def test_own_namespace_exported_to_others(self) -> None:
        """A rule in the gateway's namespace that is exported to others only is not for the gateway."""
        lost = judged(rule("r", "edge", exportTo=["jobs"]))["edge/r"]
        self.assert_lost(lost, Severity.INFO, "exported to jobs only, and not to edge")
        self.assertEqual(lost.hint, 'add "edge" or "*" to its exportTo')

    def test_workload_selectors(self) -> None:
        """A selector counts in the gateway's own namespace only, and hides the rules of other namespaces there."""
        for selector, severity in ((selecting(zone="a"), None), (selecting(zone="b"), Severity.WARNING)):
            both = judged(rule("own", "edge", **selector), rule("s", "data"))
            self.assertEqual(both["edge/own"].reason == "", severity is None)
            self.assert_lost(both["data/s"], severity or Severity.INFO, "edge/own")
        lost = judged(rule("s", "data", **selecting(zone="a")))["data/s"]
        self.assert_lost(
            lost, Severity.WARNING, "proxies in its own namespace data only", "edge, where this gateway is"
        )
        self.assert_lost(judged(rule("s", "data", **selecting(app="x")))["data/s"], Severity.INFO)

    def test_a_general_rule_beside_one_for_the_gateway(self) -> None:
        """A rule for every proxy gives way to one that selects the gateway, as it is meant to."""
        both = judged(rule("all", "edge"), rule("gateway", "edge", **selecting(zone="a")))
        self.assert_lost(both["edge/all"], None, "edge/gateway", "selects this gateway by its labels")

    def test_namespaces_of_the_route(self) -> None:
        """A rule beside the VirtualService or its Gateway is likely to be meant for the gateway; any other may not."""
        rules = DestinationRules(read(rule("r", "jobs")), EDGE)
        for beside, severity in [({"jobs"}, Severity.WARNING), ({"shop"}, Severity.INFO)]:
            (problem,) = passed_over(rules, found(), None, beside, "")
            self.assertEqual(problem.severity, severity)

    def test_a_client(self) -> None:
        """For a client nothing is known of its labels, and the reason names its namespace."""
        rules = DestinationRules(read(rule("r", "jobs", exportTo=["."])), PROXY)
        (lost,) = candidates(rules, found(), Viewer.client("web"))
        self.assertIn("a client in web looks in web (its own)", lost.reason)


NAMESPACES = st.sampled_from(["edge", "data", "jobs", "istio-system"])
RULES = st.builds(
    lambda namespace, host, rest, subset: destination_rule(
        "r", host, {"name": subset}, namespace=namespace, **RANDOM, **rest
    ),
    NAMESPACES,
    st.sampled_from([HOST, HOST, "*.data.svc.cluster.local", "*.local", "*"]),
    st.sampled_from(
        [
            {},
            {"exportTo": ["."]},
            {"exportTo": ["edge"]},
            {"exportTo": ["jobs", "web"]},
            selecting(zone="a"),
            selecting(zone="b"),
        ]
    ),
    st.sampled_from(["v1", "v2"]),
)


class PropertyTests(SynchronousTestCase):
    """Properties of any rules."""

    @given(st.lists(RULES, max_size=6), NAMESPACES)
    @settings(deadline=None, max_examples=examples(400))
    def test_every_rule_is_followed_or_has_a_reason(self, documents: Sequence[Document], namespace: str) -> None:
        """The rules without a reason are those that the look-up finds, and a client of a subset is never overlooked."""
        named = [
            {**each, "metadata": {**each["metadata"], "name": f"r{number}"}} for number, each in enumerate(documents)
        ]
        proxy = Proxy({"zone": "a"}, namespace)
        rules = DestinationRules(read(*named) if named else [], proxy)
        merged = rules.find(HOST, "data")
        without = [each.rule for each in candidates(rules, found(), Viewer.of(proxy)) if not each.reason]
        self.assertCountEqual(
            [each.name for each in without], [each.name for each in merged.rules] if merged is not None else []
        )
        for subset in merged.subsets if merged is not None else ():
            self.assertTrue(rules.any_client_has(subset, HOST, "data", {namespace}))
            self.assertTrue(rules.any_client_has(subset, HOST, "data", {"*"}))

    @given(st.lists(RULES, max_size=6), NAMESPACES, st.sampled_from(["a", "b", "c"]))
    @settings(deadline=None, max_examples=examples(400))
    def test_clients_find_subsets_as_proxies_do(self, documents: Sequence[Document], namespace: str, zone: str) -> None:
        """A subset that a proxy with some labels finds is one that a client of its namespace may find."""
        named = [
            {**each, "metadata": {**each["metadata"], "name": f"r{number}"}} for number, each in enumerate(documents)
        ]
        rules = DestinationRules(read(*named) if named else [], PROXY)
        stages = rules.stages(HOST, "data", namespace)
        visible = next((stage.visible for stage in stages if stage.visible), ())
        merged = chosen(visible, {"zone": zone})
        for subset in merged.subsets if merged is not None else ():
            self.assertTrue(rules.any_client_has(subset, HOST, "data", {namespace}))
