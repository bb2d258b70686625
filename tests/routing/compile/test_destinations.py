"""Tests of :mod:`meshgate.routing.compile.destinations`, with subsets and policies."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.table import Destination, ListenerKey
from tests.configurations import (
    Document,
    codes,
    compiled,
    destination_rule,
    document,
    gateway,
    service,
    target,
    tcp_server,
    virtual_service,
    workload,
)

DB = service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"})


def only(compilation: Compilation) -> Destination:
    """The destination of the one rule of port 9000."""
    chain = compilation.table.listeners[ListenerKey("0.0.0.0", 9000)].catch_all
    assert chain is not None
    return chain.destinations[0]


def routed(*documents: Document, subset: str = "", host: str = "db") -> Compilation:
    """Compile a rule that leads to a subset of a host."""
    rule = {"route": [target(host, subset=subset)]}
    return compiled(gateway("gw", tcp_server(9000)), virtual_service("v", tcp=[rule]), *documents)


def addresses(compilation: Compilation) -> list[str]:
    """The endpoints of the one destination."""
    return [endpoint.address for endpoint in only(compilation).endpoints]


class SubsetTests(SynchronousTestCase):
    """From a subset's labels to endpoints."""

    rule = destination_rule(
        "d",
        "db",
        {"name": "v1", "labels": {"v": "1"}},
        {"name": "all"},
        {"name": "far", "labels": {"topology.kubernetes.io/zone": "z2"}},
    )

    def test_labels_of_workload_entries(self) -> None:
        """A subset has the endpoints with its labels; one without labels has all; the place counts as a label."""
        workloads = [
            workload("a", "10.0.0.1", {"app": "db", "v": "1"}, locality="r/z1"),
            workload("b", "10.0.0.2", {"app": "db", "v": "2"}, locality="r/z2"),
        ]
        for subset, want in [
            ("", ["10.0.0.1", "10.0.0.2"]),
            ("all", ["10.0.0.1", "10.0.0.2"]),
            ("v1", ["10.0.0.1"]),
            ("far", ["10.0.0.2"]),
        ]:
            self.assertEqual(addresses(routed(DB, self.rule, *workloads, subset=subset)), want, subset)

    def test_labels_of_a_service_entrys_own_endpoints(self) -> None:
        """The endpoints written into a ServiceEntry carry labels of their own."""
        spec = {
            "hosts": ["db.example.com"],
            "ports": [{"number": 80, "name": "tls", "protocol": "TLS"}],
            "resolution": "STATIC",
            "endpoints": [{"address": "10.0.0.1", "labels": {"v": "1"}}, {"address": "10.0.0.2"}],
        }
        rule = destination_rule("d", "db.example.com", {"name": "v1", "labels": {"v": "1"}})
        found = routed(document("ServiceEntry", "s", spec), rule, subset="v1", host="db.example.com")
        self.assertEqual(addresses(found), ["10.0.0.1"])

    def test_labels_of_pods(self) -> None:
        """An EndpointSlice's endpoint has the labels of the Pod it refers to; without the Pod they are not known."""
        slice_ = {
            "addressType": "IPv4",
            "ports": [{"name": "tcp", "port": 8080}],
            "endpoints": [
                {"addresses": [f"10.0.0.{n}"], "targetRef": {"kind": "Pod", "name": f"db-{n}"}} for n in (1, 2)
            ],
        }
        endpoints = document("EndpointSlice", "db-x", slice_, labels={"kubernetes.io/service-name": "db"})
        pods = [document("Pod", f"db-{n}", {}, labels={"app": "db", "v": str(n)}) for n in (1, 2)]
        self.assertEqual(addresses(routed(DB, self.rule, endpoints, *pods, subset="v1")), ["10.0.0.1"])
        unknown = routed(DB, self.rule, endpoints, subset="v1")
        self.assertEqual(addresses(unknown), [])
        self.assertIn("the Pods of 2 are not given", only(unknown).missing)

    def test_empty_subset(self) -> None:
        """A subset without endpoints takes the connection and closes it, and is told."""
        found = routed(DB, self.rule, workload("w", "10.0.0.1", {"app": "db"}), subset="v1")
        self.assertEqual(addresses(found), [])
        self.assertEqual(codes(found.problems), ["MG2022", "MG2057"])

    def test_unknown_subset(self) -> None:
        """A subset that no DestinationRule has is a destination without endpoints."""
        for documents in ([], [self.rule]):
            found = routed(DB, workload("w", "10.0.0.1", {"app": "db"}), *documents, subset="v7")
            self.assertEqual((addresses(found), only(found).subset), ([], "v7"))
            self.assertIn("MG2043", codes(found.problems))


class VisibilityTests(SynchronousTestCase):
    """Whom a host is exported to."""

    def test_services(self) -> None:
        """A Service says it by an annotation; a gateway that may not see it does not find it."""
        for words, visible in [("*", True), ("default, istio-system", True), (".", False), ("other", False)]:
            hidden = {**DB, "metadata": {**DB["metadata"], "annotations": {"networking.istio.io/exportTo": words}}}
            found = routed(hidden, workload("w", "10.0.0.1", {"app": "db"}))
            self.assertEqual(addresses(found), ["10.0.0.1"] if visible else [], words)
            self.assertEqual("MG2046" in codes(found.problems), not visible, words)

    def test_hidden_host_makes_room(self) -> None:
        """Of two ServiceEntries for one host the gateway takes the one it may see."""
        entries = [
            document(
                "ServiceEntry",
                name,
                {
                    "hosts": ["db.example.com"],
                    "ports": [{"number": 80, "name": "tls", "protocol": "TLS"}],
                    "resolution": "STATIC",
                    "endpoints": [{"address": address}],
                    "exportTo": export_to,
                },
            )
            for name, address, export_to in [("a", "10.0.0.1", ["."]), ("b", "10.0.0.2", ["istio-system"])]
        ]
        self.assertEqual(addresses(routed(*entries, host="db.example.com")), ["10.0.0.2"])


class PolicyTests(SynchronousTestCase):
    """Policies that this gateway does not serve."""

    def test_tls_to_the_endpoint_is_never_left_out(self) -> None:
        """An endpoint that expects TLS is not dialed; settings of a port or a subset override those of the rule."""
        simple, off = {"mode": "SIMPLE", "caCertificates": "/ca"}, {"mode": "DISABLE"}
        for policy, subset_policy, dialed in [
            ({"tls": simple}, {}, False),
            ({"tls": off}, {}, True),
            ({"tls": {"mode": "ISTIO_MUTUAL"}}, {}, True),
            ({"tls": simple, "portLevelSettings": [{"port": {"number": 80}, "tls": off}]}, {}, True),
            ({"tls": off, "portLevelSettings": [{"port": {"number": 80}, "tls": simple}]}, {}, False),
            ({"tls": simple, "portLevelSettings": [{"port": {"number": 81}, "tls": off}]}, {}, False),
            ({"tls": simple}, {"trafficPolicy": {"tls": off}}, True),
            ({"tls": off}, {"trafficPolicy": {"tls": simple}}, False),
        ]:
            rule = destination_rule("d", "db", {"name": "v1", **subset_policy}, trafficPolicy=policy)
            found = routed(DB, rule, workload("w", "10.0.0.1", {"app": "db"}), subset="v1")
            self.assertEqual(addresses(found), ["10.0.0.1"] if dialed else [], (policy, subset_policy))
            self.assertEqual("MG2045" in codes(found.problems), not dialed)

    def test_unserved_settings_are_reported_once(self) -> None:
        """Every field that means something to TCP is named, once for however many routes."""
        balancing = {
            "simple": "ROUND_ROBIN",
            "localityLbSetting": {"failoverPriority": ["a"]},
            "warmup": {"duration": "10s"},
        }
        policy = {
            "loadBalancer": balancing,
            "proxyProtocol": {"version": "V2"},
            "tls": {"mode": "ISTIO_MUTUAL"},
            "connectionPool": {"tcp": {"idleTimeout": "5s", "maxConnections": 3}, "http": {"maxRetries": 1}},
            "portLevelSettings": [
                {"port": {"number": 81}, "loadBalancer": {"warmup": {"duration": "10s"}}},
                {"port": {"number": 82}, "loadBalancer": {"localityLbSetting": {"enabled": False}}},
            ],
        }
        rule = destination_rule("d", "db", trafficPolicy=policy)
        route = {"route": [target("db", weight=1), target("db", weight=2)]}
        found = compiled(
            gateway("gw", tcp_server(1), tcp_server(2)),
            virtual_service("v", tcp=[route]),
            DB,
            workload("w", "10.0.0.1", {"app": "db"}),
            rule,
        )
        self.assertEqual(
            [problem.message for problem in found.problems],
            [
                "not served by this gateway yet: proxyProtocol, loadBalancer.localityLbSetting, loadBalancer.warmup, "
                "tls, portLevelSettings[0].loadBalancer.warmup"
            ],
        )
