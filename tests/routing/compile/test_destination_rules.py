"""Tests of :mod:`meshgate.routing.compile.destination_rules`: whose rule counts, and what several make together."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.compile.destination_rules import DestinationRules, MergedRule
from meshgate.routing.compile.gateway_proxy import Proxy
from tests.configurations import PROXY, Document, codes, destination_rule, read

HOST = "db.shop.svc.cluster.local"
ELSEWHERE = Proxy(labels={"istio": "ingressgateway", "zone": "a"}, namespace="edge")


def rule(name: str, namespace: str, host: str = HOST, **rest: Any) -> Document:
    """A rule with a subset of its own name, by which it is known again."""
    return destination_rule(name, host, {"name": name}, namespace=namespace, **rest)


def found(*documents: Document, proxy: Proxy = PROXY, host: str = HOST) -> list[str]:
    """The subsets of the rule that counts for a service in the namespace shop."""
    merged = rules(*documents, proxy=proxy).find(host, "shop")
    return list(merged.subsets) if merged is not None else []


def rules(*documents: Document, proxy: Proxy = PROXY) -> DestinationRules:
    """The rules as a gateway sees them."""
    return DestinationRules(read(*documents), proxy)


class ChoiceTests(SynchronousTestCase):
    """The choice of a rule by namespace and host."""

    def test_namespaces_in_order(self) -> None:
        """The gateway's own namespace comes before the service's, and that before the root's."""
        root, shop, edge = rule("root", "istio-system"), rule("shop", "shop"), rule("edge", "edge")
        for documents, want in [([root, shop, edge], "edge"), ([root, shop], "shop"), ([root], "root")]:
            self.assertEqual(found(*documents, proxy=ELSEWHERE), [want])

    def test_root_namespace_is_no_own_namespace(self) -> None:
        """For a gateway in the root namespace the service's rule comes first, except before one private to the root."""
        self.assertEqual(found(rule("root", "istio-system"), rule("shop", "shop")), ["shop"])
        self.assertEqual(found(rule("root", "istio-system", exportTo=["."]), rule("shop", "shop")), ["root"])

    def test_other_namespaces_have_no_say(self) -> None:
        """A rule that is neither of the gateway, the service nor the root is not looked at."""
        self.assertEqual(found(rule("other", "other")), [])

    def test_most_specific_host(self) -> None:
        """The host itself, else the longest wildcard; age does not matter, nor does a short name."""
        wide = rule("wide", "shop", "*.svc.cluster.local")
        wider = rule("wider", "shop", "*.local")
        exact = rule("exact", "shop", "db")
        self.assertEqual(found(wider, wide, exact), ["exact"])
        self.assertEqual(found(wider, wide), ["wide"])
        self.assertEqual(found(wider), ["wider"])

    def test_export_to(self) -> None:
        """A rule of the service's namespace counts where it is exported; one that is not hides the wider ones."""
        for export_to, want in [(["*"], ["r"]), (["edge"], ["r"]), (["."], ["wide"]), (["other"], [])]:
            documents = [rule("r", "shop", exportTo=export_to), rule("wide", "shop", "*.local")]
            self.assertEqual(found(*documents, proxy=ELSEWHERE), want, export_to)

    def test_own_namespace_needs_no_export_to_the_gateway_by_name(self) -> None:
        """In the gateway's namespace a private rule counts, and one exported to others only does not."""
        self.assertEqual(found(rule("r", "edge", exportTo=["."]), proxy=ELSEWHERE), ["r"])
        self.assertEqual(found(rule("r", "edge", exportTo=["shop"]), proxy=ELSEWHERE), [])

    def test_workload_selector(self) -> None:
        """A rule that selects the gateway by its labels wins; one that selects others does not count."""
        for labels, want in [({"zone": "a"}, ["chosen"]), ({"zone": "b"}, ["all"])]:
            chosen = rule("chosen", "edge", workloadSelector={"matchLabels": labels})
            self.assertEqual(found(rule("all", "edge"), chosen, proxy=ELSEWHERE), want)


class MergeTests(SynchronousTestCase):
    """Several rules for one host."""

    def merged(self, *documents: Document) -> tuple[MergedRule, list[str]]:
        """The merged rule, and the codes of what is lost."""
        all_rules = rules(*documents)
        merged = all_rules.find(HOST, "shop")
        assert merged is not None
        return merged, codes(all_rules.problems)

    def test_subsets_are_united(self) -> None:
        """Each rule brings its subsets; of two with one name the older counts, and the other is told."""
        one = destination_rule("one", "db", {"name": "v1", "labels": {"v": "1"}}, namespace="shop")
        two = destination_rule("two", HOST, {"name": "v1", "labels": {"v": "9"}}, {"name": "v2"}, namespace="shop")
        merged, lost = self.merged(one, two)
        self.assertEqual(list(merged.subsets), ["v1", "v2"])
        self.assertEqual(merged.subsets["v1"].subset.labels, {"v": "1"})
        self.assertEqual(lost, ["MG2064"])

    def test_policy_of_the_oldest_that_has_one(self) -> None:
        """A later policy is ignored, and told; one that nobody had before counts."""
        policies = [
            destination_rule(name, "db", namespace="shop", trafficPolicy={"loadBalancer": {"simple": "RANDOM"}})
            for name in ("two", "three")
        ]
        merged, lost = self.merged(destination_rule("one", "db", namespace="shop"), *policies)
        assert merged.policy is not None
        self.assertEqual(merged.policy[0].name, "two")
        self.assertEqual(lost, ["MG2065"])

    def test_rules_for_other_proxies_stay_apart(self) -> None:
        """Rules with different exportTo are not merged; the last that is for every proxy counts."""
        self.assertEqual(
            found(
                rule("a", "shop"),
                rule(
                    "b",
                    "shop",
                    exportTo=[
                        "*",
                    ],
                ),
            ),
            ["a", "b"],
        )
        self.assertEqual(found(rule("a", "shop"), rule("b", "shop", exportTo=["istio-system"])), ["b"])
