"""Tests of :mod:`meshgate.routing.tell.expectation`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.table import Destination
from meshgate.routing.tell.expectation import Expectation, Target, mismatches
from meshgate.routing.tell.explain import Call, Result, explain
from tests.configurations import compiled, gateway, service, target, tls_rule, tls_server, virtual_service

DOMAIN = "cluster.local"
HTTP = {"port": 80}
CONFIGURATION = compiled(
    gateway("gw", tls_server(443)),
    virtual_service(
        "v",
        tls=[
            tls_rule(["a.com"], "x"),
            {
                "match": [{"sniHosts": ["split.com"]}],
                "route": [target("x", weight=3), target("y", weight=1), target("z", weight=0)],
            },
        ],
    ),
    service("x", HTTP),
    service("y", HTTP),
    service("z", HTTP),
)


def judged(
    sni: str,
    *destinations: Target,
    result: Result = "routed",
    virtual_service: str = "",
    gateway: str = "",
    port: int = 443,
) -> tuple[str, ...]:
    """The mismatches of an expectation."""
    call = Call(port, sni=sni)
    expectation = Expectation(call, result, virtual_service, gateway, destinations)
    return mismatches(expectation, explain(CONFIGURATION, call), DOMAIN)


class ExpectationTests(SynchronousTestCase):
    """Expectations compared with one configuration."""

    def test_they_hold(self) -> None:
        """Names with and without a namespace are recognized."""
        self.assertEqual(judged("a.com", Target("x", 80), virtual_service="default/v", gateway="default/gw"), ())
        self.assertEqual(judged("a.com", virtual_service="v", gateway="gw"), ())
        self.assertEqual(judged("b.com", result="closed"), ())
        self.assertEqual(judged("a.com", result="no_listener", port=1), ())

    def test_another_end(self) -> None:
        """A connection with another result is a mismatch that says the result."""
        self.assertEqual(judged("b.com", Target("x")), ("expected the connection to be routed, but it is closed",))
        self.assertEqual(judged("a.com", result="closed"), ("expected the connection to be closed, but it is routed",))
        self.assertEqual(judged("a.com", port=1), ("expected the connection to be routed, but nothing listens there",))

    def test_another_route(self) -> None:
        """Every mismatch is reported at once."""
        self.assertEqual(
            judged("a.com", Target("y", 80), virtual_service="other/v", gateway="g"),
            (
                "expected VirtualService other/v, found default/v",
                "expected Gateway g, found default/gw",
                "expected destination y:80, found x.default.svc.cluster.local:80",
            ),
        )

    def test_destinations_are_all_of_them(self) -> None:
        """A destination that is not expected but used, and one that is expected but unused, are both mismatches."""
        x, y, z = Target("x"), Target("y"), Target("z")
        self.assertEqual(judged("split.com", x, y), ())
        self.assertNotEqual(judged("split.com", x), ())
        self.assertNotEqual(judged("split.com", x, y, z), ())

    def test_weights(self) -> None:
        """Weights are shares, whatever the numbers."""
        self.assertEqual(judged("split.com", Target("x", weight=75), Target("y", weight=25)), ())
        (difference,) = judged("split.com", Target("x", weight=1), Target("y", weight=1))
        self.assertIn("expected destination x (1), y (1), found x.default.svc.cluster.local:80 (3), y.", difference)


class TargetTests(SynchronousTestCase):
    """Destinations by shortened names."""

    def fits(self, target: Target, **facts: object) -> bool:
        """True if the target fits a port and subset of a Service."""
        host = str(facts.get("host", "cart.shop.svc.cluster.local"))
        return target.fits(Destination(host, 80, str(facts.get("subset", ""))), DOMAIN)

    def test_service_names(self) -> None:
        """Whole labels of a Service's name fit, and nothing else does."""
        for host in ("cart", "cart.shop", "cart.shop.svc", "cart.shop.svc.cluster.local"):
            self.assertTrue(self.fits(Target(host)), host)
        for host in ("car", "cart.sho", "shop", "art"):
            self.assertFalse(self.fits(Target(host)), host)

    def test_other_hosts_in_full(self) -> None:
        """The beginning of a host that is no Service is not enough."""
        self.assertTrue(self.fits(Target("api.example.com"), host="api.example.com"))
        self.assertFalse(self.fits(Target("api"), host="api.example.com"))

    def test_ports_and_subsets(self) -> None:
        """A port and subset that are given have to fit; those left out fit any."""
        self.assertTrue(self.fits(Target("cart", 80, "v1"), subset="v1"))
        self.assertTrue(self.fits(Target("cart"), subset="v1"))
        self.assertFalse(self.fits(Target("cart", 81)))
        self.assertFalse(self.fits(Target("cart", 80, "v2"), subset="v1"))
