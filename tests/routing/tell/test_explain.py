"""Tests of :mod:`meshgate.routing.tell.explain`."""

from __future__ import annotations

import json
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.table import Destination
from meshgate.routing.tell.explain import (
    Call,
    Expectation,
    Explanation,
    Result,
    Target,
    client_ports,
    explain,
    mismatches,
)
from tests.configurations import (
    PROXY,
    compiled,
    destination_rule,
    gateway,
    service,
    target,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
    workload,
)

TIMES = {
    "connectionPool": {
        "tcp": {
            "idleTimeout": "0s",
            "maxConnectionDuration": "90m",
            "connectTimeout": "500ms",
            "maxConnections": 100,
            "tcpKeepalive": {"time": "30s", "probes": 3},
        }
    }
}
HASHED = {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}
CONFIGURATION = compiled(
    gateway("gw", tls_server(443), tcp_server(9000), tcp_server(9001)),
    virtual_service("policies", tcp=[{"match": [{"port": 9001}], "route": [target("z", subset="v1")]}]),
    virtual_service("older", tls=[tls_rule(["a.example.com", "*.example.com"], "x")]),
    virtual_service("younger", tls=[tls_rule(["a.example.com"], "y")]),
    virtual_service(
        "plain",
        tcp=[{"match": [{"port": 9000}], "route": [target("x", 80, weight=3), target("nowhere", 1, weight=1)]}],
    ),
    service("x", {"port": 80}, selector={"app": "x"}),
    service("z", {"port": 80}, selector={"app": "x"}),
    destination_rule("times", "z", {"name": "v1", "trafficPolicy": HASHED}, trafficPolicy=TIMES),
    workload("w", "127.0.0.1", {"app": "x"}),
)

DOMAIN = "cluster.local"
HTTP = {"port": 80}
SPLIT = compiled(
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


def story(call: Call) -> tuple[Explanation, str]:
    """An explanation, and all its steps as one text."""
    explanation = explain(CONFIGURATION, call)
    return explanation, "\n".join(explanation.steps)


class ExplainTests(SynchronousTestCase):
    """Explanations of connections."""

    def test_policies(self) -> None:
        """Policies are explained in words and as values, each with the DestinationRule behind it."""
        explanation, text = story(Call(9001, tls=False))
        whole, of_subset = (
            f"DestinationRule default/times (routes.yaml:15:{column}) spec.{path}"
            for column, path in ((270, "trafficPolicy"), (190, "subsets[0].trafficPolicy"))
        )
        for part in (
            "its connections: never closed for silence; closed after 1h30m0s in any case; hashed by the client's "
            f"address, by {whole} and {of_subset}",
            "connections to z.default.svc.cluster.local:80 (subset v1): endpoints by RING_HASH, by a hash ring of 1024 "
            "points; 500ms to connect; 100 connections at the most; probes after 30s 3 times, by "
            f"{of_subset} and {whole}",
        ):
            self.assertIn(part, text)
        values = explanation.as_json()
        self.assertEqual(
            {**values["policy"], "origin": None},
            {"idle": 0.0, "max_duration": 5400.0, "by_source": True, "origin": None},
        )
        self.assertEqual(
            {**values["destinations"][0]["policy"], "origin": None},
            {
                "balancing": "RING_HASH",
                "table_size": 1024,
                "localities": None,
                "warmup": None,
                "connect_timeout": 0.5,
                "max_connections": 100,
                "bandwidth": None,
                "keepalive": {"probes": 3, "time": 30, "interval": None},
                "outliers": None,
                "proxy_protocol": None,
                "check": None,
                "origin": None,
            },
        )

    def test_near_endpoints(self) -> None:
        """Endpoints are told in the order of their levels, with their localities; shares and warm-ups as well."""
        documents = [
            gateway("g", tcp_server(9000)),
            virtual_service("v", gateways=["g"], tcp=[tcp_rule("db")]),
            service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"}),
            workload("a", "10.0.0.1", {"app": "db"}, locality="eu/a"),
            workload("b", "10.0.0.2", {"app": "db"}, locality="eu/b"),
        ]
        shares = {"distribute": [{"from": "eu/b/*", "to": {"eu/a/*": 20, "eu/b/*": 80}}]}
        for policy, expected in (
            ({"outlierDetection": {}}, "endpoint 10.0.0.2:80 (eu/b); as far as these fail, 10.0.0.1:80 (eu/a)"),
            ({"loadBalancer": {"localityLbSetting": shares}}, "localities by weight: 20 eu/a, 80 eu/b"),
            ({"loadBalancer": {"warmup": {"duration": "30s"}}}, "new ones warm up for 30s from 10% on"),
        ):
            rule = destination_rule("d", "db", trafficPolicy=policy)
            found = compiled(*documents, rule, proxy=replace(PROXY, locality="eu/b"))
            self.assertIn(expected, "\n".join(explain(found, Call(9000, tls=False)).steps))

    def test_without_policies(self) -> None:
        """Without a DestinationRule no sentence mentions a policy, and the values are the defaults."""
        explanation, text = story(Call(9000, tls=False))
        self.assertNotIn("connections", text.partition("destination")[2])
        values = explanation.as_json()
        self.assertEqual((values["policy"]["idle"], values["policy"]["origin"]), (None, None))
        self.assertEqual(values["destinations"][0]["policy"]["balancing"], "LEAST_REQUEST")

    def test_candidates(self) -> None:
        """All DestinationRules for a destination are listed, the followed one first, and why the others are not."""
        compilation = compiled(
            gateway("gw", tcp_server(1)),
            virtual_service(
                "v", tcp=[{"route": [target("x", weight=1), target("x", 80, weight=2), target("gone", weight=3)]}]
            ),
            service("x", {"port": 80}),
            destination_rule("elsewhere", "x.default.svc.cluster.local", namespace="jobs"),
            destination_rule("all", "*.local", namespace="istio-system"),
            destination_rule("own", "x"),
        )
        explanation = explain(compilation, Call(1, tls=False))
        lines = [step for step in explanation.steps if "DestinationRule" in step]
        self.assertEqual(
            [line.partition(" is for x.default.svc.cluster.local, and is ")[2].partition(":")[0] for line in lines],
            ["followed", "not followed", "not followed"],
        )
        listed = explanation.as_json()["destinations"][0]["destination_rules"]
        self.assertEqual(
            [(each["name"], each["followed"]) for each in listed],
            [("default/own", True), ("jobs/elsewhere", False), ("istio-system/all", False)],
        )
        self.assertIn("it stands in jobs", listed[1]["reason"])
        self.assertEqual(explanation.as_json()["destinations"][2]["destination_rules"], [])

    def test_exact_name(self) -> None:
        """A name that a rule has is explained by its Gateway, rule and endpoint, and by the rule that lost."""
        explanation, text = story(Call(443, sni="A.example.com."))
        self.assertEqual(explanation.result, "routed")
        for part in (
            "a.example.com itself",
            "Gateway default/gw",
            "default/older",
            "spec.tls[0]",
            "127.0.0.1:80",
        ):
            self.assertIn(part, text)
        self.assertEqual([problem.name for problem in explanation.lost if problem.code == "MG2005"], ["younger"])

    def test_wildcard(self) -> None:
        """A name that a wildcard takes is explained by that wildcard."""
        self.assertIn("*.example.com", story(Call(443, sni="b.c.example.com"))[1])

    def test_closed(self) -> None:
        """A name that no rule takes is closed; the explanation has the names with a rule, and the nearest of them."""
        explanation, text = story(Call(443, sni="a.example.con"))
        self.assertEqual(explanation.result, "closed")
        self.assertIn("the nearest is a.example.com", text)

    def test_a_rule_for_a_name_with_a_dot(self) -> None:
        """A dot at the end makes another name than clients ask for, as in Istio, and the explanation says so."""
        compilation = compiled(
            gateway("gw", tls_server(443)), virtual_service("v", ["a.org."], tls=[tls_rule(["a.org."], "x")])
        )
        for asked in ("a.org", "a.org."):
            explanation = explain(compilation, Call(443, sni=asked))
            self.assertEqual(explanation.result, "closed")
            self.assertEqual(
                explanation.steps[-1], "the nearest is a.org., which ends with a dot, as no server name does"
            )

    def test_plain_text_on_a_tls_port(self) -> None:
        """A plain-text connection has no name."""
        explanation, text = story(Call(443, tls=False))
        self.assertEqual(explanation.result, "closed")
        self.assertIn("not TLS", text)

    def test_tcp_port(self) -> None:
        """A plain port routes at once; the explanation has the shares, and why endpoints are missing."""
        explanation, text = story(Call(9000, tls=False))
        self.assertEqual(explanation.result, "routed")
        self.assertIn("3 of 4", text)
        self.assertIn("nowhere.default.svc.cluster.local is unknown", text)

    def test_no_listener(self) -> None:
        """For a port that is not open, the explanation names those that are."""
        explanation, text = story(Call(1))
        self.assertEqual(explanation.result, "no_listener")
        self.assertIn("[::]:443, [::]:9000", text)

    def test_other_bind(self) -> None:
        """For a port that is open on another address, the explanation says so."""
        self.assertIn("open on [::]:443", story(Call(443, bind="127.0.0.1"))[1])

    def test_json(self) -> None:
        """The JSON form is made of plain values."""
        explanation = explain(CONFIGURATION, Call(9000, tls=False))
        values = json.loads(json.dumps(explanation.as_json()))
        self.assertEqual(values["virtual_service"], "default/plain")
        self.assertEqual([destination["weight"] for destination in values["destinations"]], [3, 1])
        self.assertFalse(values["terminate"])

    def test_terminating_server(self) -> None:
        """A server that terminates TLS is explained as configured, with the refusal of the running gateway."""
        compilation = compiled(gateway("gw", tls_server(443, mode="SIMPLE")), virtual_service("v", tcp=[tcp_rule("x")]))
        explanation = explain(compilation, Call(443, sni="a.com"))
        self.assertTrue(explanation.as_json()["terminate"])
        self.assertIn("does not do yet", "\n".join(explanation.steps))


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
    return mismatches(expectation, explain(SPLIT, call), DOMAIN)


class TranslationTests(SynchronousTestCase):
    """Connections through a Service in front of the gateway."""

    FRONT = service(
        "front",
        {"port": 443, "name": "tls", "targetPort": 8443, "nodePort": 30443},
        {"port": 9000, "name": "tcp", "nodePort": 30900},
        {"port": 80, "name": "http", "targetPort": 443},
        selector={"istio": "ingressgateway"},
        namespace="istio-system",
    )

    def told(self, port: int, *others: int) -> tuple[str, str]:
        """The result for a port, and the first step, for a gateway with some servers."""
        servers = [tcp_server(number) for number in (443, 9000, *others)]
        found = compiled(gateway("gw", *servers), virtual_service("v", tcp=[tcp_rule("x")]), self.FRONT)
        explanation = explain(found, Call(port, tls=False))
        return explanation.result, explanation.steps[0]

    def test_the_port_of_a_client(self) -> None:
        """It is that of the Service, or its node port, unless the gateway itself has the port."""
        for port, others, want in [
            (443, (), "port 443 of Service istio-system/front (routes.yaml:5:"),
            (30443, (), "node port 30443 of Service istio-system/front"),
            (9000, (), "the listener [::]:9000 is open"),
            (30900, (), "node port 30900 of Service istio-system/front"),
            (30900, (30900,), "port 30900 is that of the gateway itself; its Service has no port for it"),
            (8443, (), "port 8443 is that of the gateway itself; its Service leads port 443 here"),
            (443, (80,), "port 443 of Service istio-system/front"),
        ]:
            result, step = self.told(port, *others)
            self.assertEqual((result, step[: len(want)]), ("routed", want), port)

    def test_a_port_that_is_closed(self) -> None:
        """The open ports are shown with those of the Service."""
        found = compiled(gateway("gw", tcp_server(443)), virtual_service("v", tcp=[tcp_rule("x")]), self.FRONT)
        self.assertEqual(
            explain(found, Call(1, tls=False)).steps, ("nothing listens on [::]:1", "open are [::]:8443 (as port 443)")
        )
        self.assertIn("port 9000", explain(found, Call(30900, tls=False)).steps[0])
        self.assertEqual([client_ports(found, port) for port in (8443, 9000, 1)], [[443], [], []])


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
