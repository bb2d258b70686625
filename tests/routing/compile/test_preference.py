"""Tests of :mod:`meshgate.routing.compile.preference`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.localities import Distribute, Failover, LocalityLbSetting
from meshgate.routing.compile.catalog_port import Site
from meshgate.routing.compile.preference import GatewaySite, Preference, Preferred, matches, needs_site, prefer
from meshgate.routing.table import Endpoint

HERE = GatewaySite.of("eu/a/1", "node-1", {"tier": "gold"})
Facts = tuple[Site, Mapping[str, str] | None]


def setting(**fields: object) -> Preference:
    """The preference of a localityLbSetting, with outlier detection."""
    found = LocalityLbSetting.model_validate(fields)
    return Preference(found.distribute, found.failover, found.failover_priority, fails_over=True)


def preferred(facts: Sequence[Facts], preference: Preference, here: GatewaySite = HERE) -> Preferred:
    """Endpoints of these facts, in their order."""
    return prefer([Endpoint("192.0.2.1", port) for port in range(1, len(facts) + 1)], facts, here, preference)


def priorities(localities: Sequence[str], preference: Preference, here: GatewaySite = HERE) -> list[int]:
    """The priorities of endpoints in some localities."""
    return [
        each.priority for each in preferred([(Site(each), None) for each in localities], preference, here).endpoints
    ]


class FailoverTests(SynchronousTestCase):
    """Priorities by region, zone and subzone."""

    def test_the_nearest_first(self) -> None:
        """The same subzone, the same zone, the same region, everywhere else; numbers have no gaps."""
        self.assertEqual(priorities(["us/a/1", "eu/b/1", "eu/a/2", "eu/a/1"], setting()), [3, 2, 1, 0])
        self.assertEqual(priorities(["us/a/1", "eu/a/2", "asia"], setting()), [1, 0, 1])

    def test_all_alike(self) -> None:
        """Endpoints that are all equally far have no priorities, and stay the same objects."""
        endpoints = [Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 1)]
        found = prefer(endpoints, [(Site("us"), None)] * 2, HERE, setting())
        self.assertTrue(all(one is other for one, other in zip(found.endpoints, endpoints, strict=True)))

    def test_a_region_that_takes_over(self) -> None:
        """The region of failover comes before all other foreign ones; entries for other regions do not count."""
        to = [{"from": "us", "to": "asia"}, {"from": "eu", "to": "us"}]
        self.assertEqual(priorities(["asia", "us/x", "eu/a/1"], setting(failover=to)), [2, 1, 0])

    def test_without_outlier_detection(self) -> None:
        """Nothing tells that a near endpoint fails, so all are alike."""
        self.assertEqual(priorities(["us", "eu/a/1"], Preference()), [0, 0])

    def test_a_zone_alone(self) -> None:
        """An EndpointSlice tells the zone only; its region is that of the gateway."""
        self.assertEqual(priorities(["/b", "/a", "us/a"], setting()), [1, 0, 2])

    @given(st.lists(st.lists(st.sampled_from(["x", "y", ""]), min_size=1, max_size=2), min_size=1, max_size=6))
    def test_by_common_beginnings(self, levels: list[list[str]]) -> None:
        """Endpoints with more levels in common with the gateway never come after those with fewer."""
        localities = ["/".join(["r", *each]) if each[0] != "" else "s" for each in levels]
        found = priorities(localities, setting(), GatewaySite.of("r/x/y", "", {}))

        def common(locality: str) -> int:
            same = [
                one == other for one, other in zip([*locality.split("/"), "", ""][:3], ["r", "x", "y"], strict=True)
            ]
            return same.index(False) if False in same else 3

        for one, first in zip(localities, found, strict=True):
            for other, second in zip(localities, found, strict=True):
                self.assertEqual(common(one) > common(other), first < second)


class LabelTests(SynchronousTestCase):
    """Priorities by the labels of failoverPriority."""

    def by(self, *labels: str, **fields: object) -> list[int]:
        """The priorities of four endpoints."""
        facts: list[Facts] = [
            (Site("eu/a/1", "node-1"), {"tier": "gold"}),
            (Site("eu/a/1", "node-2"), {"tier": "silver"}),
            (Site("eu/b/1"), {"tier": "gold"}),
            (Site("us"), None),
        ]
        return [each.priority for each in preferred(facts, setting(failoverPriority=labels, **fields)).endpoints]

    def test_the_first_label_that_differs(self) -> None:
        """Labels count in their order, and only up to the first that differs."""
        self.assertEqual(self.by("topology.kubernetes.io/region", "topology.kubernetes.io/zone"), [0, 0, 1, 2])
        self.assertEqual(self.by("tier", "topology.kubernetes.io/zone"), [0, 2, 1, 2])
        self.assertEqual(self.by("topology.kubernetes.io/zone", "kubernetes.io/hostname"), [0, 1, 2, 2])

    def test_a_label_with_a_value(self) -> None:
        """The value counts in place of that of the gateway."""
        self.assertEqual(self.by("tier=silver"), [1, 0, 1, 1])

    def test_with_regions(self) -> None:
        """Regions of failover order the endpoints whose labels are equal."""
        self.assertEqual(self.by("tier", failover=[{"from": "eu", "to": "us"}]), [0, 2, 1, 3])


class DistributeTests(SynchronousTestCase):
    """The shares of localities."""

    def shares(self, *localities: str, **to: int) -> Preferred:
        """Share by percentages; a dash stands for a slash, and an X for a star."""
        weights = {key.replace("_", "/").replace("X", "*"): value for key, value in to.items()}
        entries = [{"from": "us/*", "to": {"us": 100}}, {"from": "eu/a/*", "to": weights}]
        facts: list[Facts] = [(Site(each), None) for each in localities]
        return preferred(facts, setting(distribute=entries))

    def test_percentages(self) -> None:
        """Each locality has its share, and those without one lose their endpoints."""
        found = self.shares("eu/a/1", "eu/b/1", "us/a/1", eu_a_X=80, eu_b_X=20)
        self.assertEqual([each.locality for each in found.endpoints], ["eu/a/1", "eu/b/1"])
        self.assertEqual(found.shares, (("eu/a/1", 80), ("eu/b/1", 20)))

    def test_several_localities_share_one_entry(self) -> None:
        """They divide it by the weights of their endpoints, rounded up as in Istio."""
        found = self.shares("eu/a/1", "eu/a/1", "eu/a/2", "us/b", eu_X=50, us=50)
        self.assertEqual(found.shares, (("eu/a/1", 34), ("eu/a/2", 17), ("us/b", 50)))

    def test_nobody_is_left(self) -> None:
        """If only localities without endpoints have shares, the destination has no endpoint, with the reason."""
        found = self.shares("us/a/1", eu_a_X=100)
        self.assertEqual(found.endpoints, ())
        self.assertIn("distribute", found.missing)

    def test_from_elsewhere(self) -> None:
        """Without an entry for the gateway's own locality, all are alike."""
        entries = [{"from": "us/*", "to": {"us": 100}}]
        found = preferred([(Site("eu/a"), None), (Site("us/a"), None)], setting(distribute=entries))
        self.assertEqual((len(found.endpoints), found.shares), (2, ()))

    def test_rules_for_localities(self) -> None:
        """A star or nothing stands for the rest of a locality."""
        for rule, expected in (
            ("*", True),
            ("eu", True),
            ("eu/*", True),
            ("eu/a/*", True),
            ("eu/b/*", False),
            ("us", False),
        ):
            self.assertEqual(matches("eu/a/1", rule), expected, rule)


class KnownSiteTests(SynchronousTestCase):
    """Whether a preference can be followed depends on what is known of the gateway."""

    def test_what_has_to_be_known(self) -> None:
        """Regions and zones need the gateway's; other labels, and labels with a value, do not."""
        nowhere = GatewaySite.of("", "", {"tier": "gold"})
        zone = "topology.kubernetes.io/zone"
        for preference, expected in (
            (setting(), True),
            (Preference(), False),
            (setting(failoverPriority=["tier"]), False),
            (setting(failoverPriority=[f"{zone}=a"]), False),
            (setting(failoverPriority=["tier", zone]), True),
            (Preference((Distribute.model_validate({"from": "*", "to": {"eu": 100}}),)), False),
            (Preference((Distribute.model_validate({"from": "eu", "to": {"eu": 100}}),)), True),
            (Preference(failover=(Failover.model_validate({"from": "eu", "to": "us"}),), fails_over=True), True),
        ):
            self.assertEqual(needs_site(preference, nowhere), expected, preference)
            self.assertFalse(needs_site(preference, HERE))
