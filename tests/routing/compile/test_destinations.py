"""Tests of :mod:`meshgate.routing.compile.destinations`, with subsets and policies."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Severity
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.table import Destination, ListenerKey
from tests.configurations import (
    PROXY,
    Document,
    codes,
    compiled,
    deployment,
    destination_rule,
    document,
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

DB = service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"})


def only(compilation: Compilation) -> Destination:
    """The destination of the one rule of port 9000."""
    chain = compilation.table.listeners[ListenerKey("0.0.0.0", 9000)].catch_all
    assert chain is not None
    return chain.destinations[0]


def routed(*documents: Document, subset: str = "", host: str = "db", proxy: Proxy = PROXY) -> Compilation:
    """Compile a rule that leads to a subset of a host."""
    rule = {"route": [target(host, subset=subset)]}
    return compiled(gateway("gw", tcp_server(9000)), virtual_service("v", tcp=[rule]), *documents, proxy=proxy)


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

    def test_an_external_name(self) -> None:
        """The name behind a Service of type ExternalName has no labels, so that no subset selects it."""
        db = service("db", {"port": 80, "name": "tcp-db"}, type="ExternalName", externalName="db.example.com")
        for subset, want in [("v1", []), ("all", ["db.example.com"])]:
            self.assertEqual(addresses(routed(db, self.rule, subset=subset)), want, subset)

    def test_pods_of_templates(self) -> None:
        """A cluster knows the Pods of a Deployment; for a gateway on its own the missing endpoints are a warning."""
        documents = [DB, self.rule, deployment("db-1", {"app": "db", "v": "1"})]
        routes = [gateway("gw", tcp_server(1), tcp_server(2)), *documents]
        for number, subset in ((1, ""), (2, "v1")):
            rule = {"match": [{"port": number}], "route": [target("db", subset=subset)]}
            routes.append(virtual_service(f"v{number}", tcp=[rule]))
        for in_cluster, severity in ((True, Severity.INFO), (False, Severity.WARNING)):
            found = compiled(*routes, proxy=replace(PROXY, in_cluster=in_cluster))
            lacks = [(each.severity, each.name) for each in found.problems if each.code == "MG2022"]
            self.assertEqual(lacks, [(severity, "v1"), (severity, "v2")])
        found = routed(DB, self.rule, deployment("db-1", {"app": "db", "v": "2"}), subset="v1")
        severities = {each.code: each.severity for each in found.problems}
        self.assertEqual(severities, dict.fromkeys(("MG2022", "MG2057"), Severity.WARNING))

    def test_services_of_istio(self) -> None:
        """A Service of Istio's installation is seldom among the files, which is an info."""
        rule = tcp_rule("istiod.istio-system.svc.cluster.local")
        routes = [gateway("gw", tcp_server(80)), virtual_service("v", tcp=[rule])]
        found = compiled(*routes)
        self.assertEqual([(each.code, each.severity) for each in found.problems], [("MG2020", Severity.INFO)])

    def test_a_weight_of_nothing(self) -> None:
        """Endpoints that get no connection are not missed; nor is a host that does not exist forgiven."""
        for weights, want in [((1, 0), []), ((0, 1), ["MG2022"]), ((1, 1), ["MG2022"])]:
            route = [target("db", weight=weights[0]), target("empty", weight=weights[1])]
            documents = [DB, service("empty", {"port": 80, "name": "tcp"}), workload("w", "10.0.0.1", {"app": "db"})]
            found = compiled(gateway("gw", tcp_server(1)), virtual_service("v", tcp=[{"route": route}]), *documents)
            self.assertEqual([each.code for each in found.problems if each.severity != "error"], want, weights)

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
        balancing = {"simple": "ROUND_ROBIN", "zoneAwareLbSetting": {"minClusterSize": 3}}
        policy = {
            "loadBalancer": balancing,
            "tls": {"mode": "ISTIO_MUTUAL"},
            "connectionPool": {"tcp": {"idleTimeout": "5s", "maxConnections": 3}, "http": {"maxRetries": 1}},
            "portLevelSettings": [
                {"port": {"number": 81}, "loadBalancer": {"zoneAwareLbSetting": {}}},
                {"port": {"number": 82}, "loadBalancer": {"zoneAwareLbSetting": {"enabled": False}}},
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
                "not served by this gateway yet: loadBalancer.zoneAwareLbSetting, tls and "
                "portLevelSettings[0].loadBalancer.zoneAwareLbSetting",
                "connectionPool.http is for HTTP requests, which a layer 4 gateway does not see",
            ],
        )

    def test_an_endpoint_that_waits_for_something_first_is_not_dialed(self) -> None:
        """
        A tunnel that is not made keeps connections away: clients could forge its request. A policy for a port leaves
        that of the rule in force, as Istio does; one for a subset overrides it.
        """
        tunnel = {"targetHost": "a.example.com", "targetPort": 443}
        for policy, subset_policy in [
            ({"tunnel": tunnel}, {}),
            ({"tunnel": tunnel, "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "DISABLE"}}]}, {}),
            ({"tls": {"mode": "DISABLE"}}, {"trafficPolicy": {"tunnel": tunnel}}),
        ]:
            rule = destination_rule("d", "db", {"name": "v1", **subset_policy}, trafficPolicy=policy)
            found = routed(DB, rule, workload("w", "10.0.0.1", {"app": "db"}), subset="v1")
            self.assertEqual(addresses(found), [], policy)
            self.assertEqual(codes(found.problems), ["MG2076"], policy)

    def test_a_policy_for_a_subset_that_is_not_named(self) -> None:
        """A tunnel for one subset does not keep connections from the others."""
        tunnel = {"targetHost": "a.example.com", "targetPort": 443}
        rule = destination_rule("d", "db", {"name": "v1", "trafficPolicy": {"tunnel": tunnel}})
        found = routed(DB, rule, workload("w", "10.0.0.1", {"app": "db"}))
        self.assertEqual((addresses(found), codes(found.problems)), (["10.0.0.1"], []))


class ExternalNameTests(SynchronousTestCase):
    """Destinations that are Services of type ExternalName, which stand for another host."""

    alias = service("db", {"port": 80, "name": "tcp-db"}, type="ExternalName", externalName="db.example.com")

    def entry(self, port: int = 80) -> Document:
        """A ServiceEntry for the name that the Service stands for."""
        ports = [{"number": port, "name": "tls", "protocol": "TLS"}]
        endpoints = [{"address": "10.0.0.1"}]
        spec = {"hosts": ["db.example.com"], "ports": ports, "resolution": "STATIC", "endpoints": endpoints}
        return document("ServiceEntry", "e", spec)

    def test_a_host_that_exists(self) -> None:
        """Connections go to the endpoints of the host that the Service stands for, by the policies for that host."""
        rule = destination_rule("d", "db.example.com", trafficPolicy={"loadBalancer": {"simple": "RANDOM"}})
        found = routed(self.alias, self.entry(), rule)
        self.assertEqual((addresses(found), codes(found.problems)), (["10.0.0.1"], []))
        self.assertEqual(only(found).host, "db.example.com")
        self.assertIn("DestinationRule default/d", only(found).policy.origin)

    def test_a_host_without_the_port(self) -> None:
        """The port is that of the Service, and the host has to have it."""
        found = routed(self.alias, self.entry(81))
        self.assertEqual((addresses(found), codes(found.problems)), ([], ["MG2021"]))

    def test_no_such_host(self) -> None:
        """The name is dialed, which Istio does not do, and that is said."""
        found = routed(self.alias)
        self.assertEqual((addresses(found), codes(found.problems)), (["db.example.com"], ["MG2080"]))

    def test_another_alias(self) -> None:
        """An alias of an alias is no host to Istio."""
        other = service("other", {"port": 80, "name": "tcp-db"}, type="ExternalName", externalName="x.example.com")
        alias = service(
            "db", {"port": 80, "name": "tcp-db"}, type="ExternalName", externalName="other.default.svc.cluster.local"
        )
        self.assertEqual(codes(routed(alias, other).problems), ["MG2080"])

    def test_services_that_only_sidecars_use(self) -> None:
        """Nothing is said of a Service that this gateway does not go to."""
        self.assertEqual(codes(compiled(self.alias).problems), [])


class OriginalDestinationTests(SynchronousTestCase):
    """ServiceEntries with resolution NONE."""

    entry: ClassVar[Document] = {
        "hosts": ["db.example.com"],
        "addresses": ["192.0.2.1"],
        "ports": [{"number": 80, "name": "tcp", "protocol": "TCP"}],
        "resolution": "NONE",
    }

    def test_a_gateway_does_not_have_it(self) -> None:
        """Nothing can be dialed, and that is an error: no connection ever works, in Istio either."""
        found = routed(document("ServiceEntry", "e", self.entry), host="db.example.com")
        (problem,) = found.problems
        self.assertEqual((addresses(found), problem.code, problem.severity), ([], "MG2069", Severity.ERROR))

    def test_sidecars_have_it(self) -> None:
        """A ServiceEntry that only sidecars use is in order."""
        rule = document(
            "VirtualService", "v", {"hosts": ["db.example.com"], "tcp": [{"route": [target("db.example.com")]}]}
        )
        self.assertEqual(compiled(document("ServiceEntry", "e", self.entry), rule).problems, ())

    def test_selected_workloads(self) -> None:
        """Workloads that it selects are endpoints of a gateway's connections."""
        entry = {**self.entry, "workloadSelector": {"labels": {"app": "db"}}}
        workloads = workload("w", "10.0.0.1", {"app": "db"})
        found = routed(document("ServiceEntry", "e", entry), workloads, host="db.example.com")
        self.assertEqual((addresses(found), codes(found.problems)), (["10.0.0.1"], []))


class NearnessTests(SynchronousTestCase):
    """Endpoints in several localities, of which Istio's gateway prefers the nearest."""

    outliers: ClassVar[Document] = {"outlierDetection": {"maxEjectionPercent": 100}}
    apart: ClassVar[list[Document]] = [
        workload("a", "10.0.0.1", {"app": "db"}, locality="eu/a"),
        workload("b", "10.0.0.2", {"app": "db", "istio-locality": "eu.b"}),
    ]

    def test_with_outlier_detection(self) -> None:
        """Failures that are counted switch Istio's failover on, unless a localityLbSetting says something else."""
        found = routed(DB, destination_rule("d", "db", trafficPolicy=self.outliers), *self.apart)
        (problem,) = found.problems
        self.assertEqual((problem.code, problem.severity), ("MG2077", Severity.INFO))
        self.assertIn("the endpoints in eu/a and eu/b get connections alike", problem.message)
        off = {"loadBalancer": {"simple": "RANDOM", "localityLbSetting": {"enabled": False}}}
        rule = destination_rule("d", "db", trafficPolicy={**self.outliers, **off})
        self.assertEqual(routed(DB, rule, *self.apart).problems, ())

    def test_where_the_gateway_is_known(self) -> None:
        """Endpoints have priorities by the gateway's locality, which the settings or its label tell."""
        rule = destination_rule("d", "db", trafficPolicy=self.outliers)
        labels = {"istio": "ingressgateway", "istio-locality": "eu.b"}
        for proxy in (replace(PROXY, locality="eu/b"), replace(PROXY, labels=labels)):
            found = routed(DB, rule, *self.apart, proxy=proxy)
            self.assertEqual(found.problems, ())
            self.assertEqual([each.priority for each in only(found).endpoints], [1, 0])

    def test_shares(self) -> None:
        """The shares of distribute are in the policy; without any endpoint left, the reason is a problem."""
        for to, shares in (({"eu/a": 70, "eu/b": 30}, (("eu/a", 70), ("eu/b", 30))), ({"us": 100}, ())):
            setting = {"distribute": [{"from": "eu/*", "to": to}]}
            rule = destination_rule("d", "db", trafficPolicy={"loadBalancer": {"localityLbSetting": setting}})
            found = routed(DB, rule, *self.apart, proxy=replace(PROXY, locality="eu/b"))
            self.assertEqual(only(found).policy.balancing.shares, shares)
            self.assertEqual(codes(found.problems), [] if shares else ["MG2022"])

    def test_on_the_own_node(self) -> None:
        """A Service for its own node leads to the endpoints there; if there are none, that is the problem."""
        db = service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"}, internalTrafficPolicy="Local")
        label = {"app": "db", "kubernetes.io/hostname": "n1"}
        endpoints = [
            workload("a", "10.0.0.1", label),
            workload("b", "10.0.0.2", {**label, "kubernetes.io/hostname": "n2"}),
        ]
        found = routed(db, *endpoints, proxy=replace(PROXY, node="n2"))
        self.assertEqual((addresses(found), found.problems), (["10.0.0.2"], ()))
        found = routed(db, *endpoints, proxy=replace(PROXY, node="n3"))
        self.assertEqual((addresses(found), codes(found.problems)), ([], ["MG2022"]))

    def test_one_locality(self) -> None:
        """Endpoints that are all in one locality, or in none, are equally near."""
        rule = destination_rule("d", "db", trafficPolicy=self.outliers)
        for where in ({"locality": "eu/a"}, {}):
            workloads = [workload(name, f"10.0.0.{name}", {"app": "db"}, **where) for name in ("1", "2")]
            self.assertEqual(routed(DB, rule, *workloads).problems, ())

    def test_without_outlier_detection(self) -> None:
        """Nothing is preferred."""
        self.assertEqual(routed(DB, *self.apart).problems, ())

    def test_a_subset_in_one_locality(self) -> None:
        """The endpoints of the subset count."""
        subset = {"name": "near", "labels": {"topology.kubernetes.io/zone": "a"}}
        rule = destination_rule("d", "db", subset, trafficPolicy=self.outliers)
        self.assertEqual(routed(DB, rule, *self.apart, subset="near").problems, ())

    def test_a_service_that_asks_for_it(self) -> None:
        """A Service's trafficDistribution, and the older annotation, are said where the gateway goes to the Service."""
        for value in ("PreferClose", "PreferSameZone", "PreferSameNode"):
            db = service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"}, trafficDistribution=value)
            (problem,) = routed(db, *self.apart).problems
            self.assertEqual((problem.code, problem.path), ("MG2077", "spec.trafficDistribution"))
        db = document(
            "Service", "db", DB["spec"], annotations={"networking.istio.io/traffic-distribution": "preferclose"}
        )
        (problem,) = routed(db, *self.apart).problems
        self.assertEqual(problem.path, 'metadata.annotations["networking.istio.io/traffic-distribution"]')

    def test_a_service_for_its_own_node(self) -> None:
        """An internalTrafficPolicy of Local is said, whatever policies say of localities."""
        db = service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"}, internalTrafficPolicy="Local")
        off = {"loadBalancer": {"localityLbSetting": {"enabled": False}}}
        for documents in ([], [destination_rule("d", "db", trafficPolicy=off)]):
            (problem,) = routed(db, *self.apart, *documents).problems
            self.assertEqual((problem.code, problem.path), ("MG2077", "spec.internalTrafficPolicy"))
        anywhere = service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"}, internalTrafficPolicy="Cluster")
        self.assertEqual(routed(anywhere, *self.apart).problems, ())

    def test_a_service_that_need_not_ask(self) -> None:
        """Nothing is said of an unknown value, of one endpoint, of endpoints in one zone, and if a policy decides."""
        near = {"port": 80, "name": "tcp"}
        db = service("db", near, selector={"app": "db"}, trafficDistribution="PreferClose")
        same_zone = [workload(name, f"10.0.0.{name}", {"app": "db"}, locality="eu/a") for name in ("1", "2")]
        off = {"loadBalancer": {"localityLbSetting": {"enabled": False}}}
        other = service("db", near, selector={"app": "db"}, trafficDistribution="Any")
        for documents in (
            [other, *self.apart],
            [db, self.apart[0]],
            [db, *same_zone],
            [db, *self.apart, destination_rule("d", "db", trafficPolicy=off)],
        ):
            self.assertEqual(routed(*documents).problems, ())


class SeveralNotesTests(SynchronousTestCase):
    """Several things of one destination that this gateway does not do."""

    def test_one_does_not_hide_the_others(self) -> None:
        """What is not followed is said even where nothing is dialed."""
        ports = {"port": 80, "name": "tcp"}
        asks: Document = {"sessionAffinity": "ClientIP", "trafficDistribution": "PreferClose"}
        db = service("db", ports, selector={"app": "db"}, **asks)
        tunnel = {"targetHost": "a.example.com", "targetPort": 443}
        rule = destination_rule("d", "db", trafficPolicy={"tunnel": tunnel})
        found = routed(db, rule, *NearnessTests.apart)
        self.assertEqual(codes(found.problems), ["MG2076", "MG2077", "MG2081"])


class AffinityTests(SynchronousTestCase):
    """Services that keep a client at its endpoint."""

    def test_it_is_for_kube_proxy(self) -> None:
        """It is said that it has no effect, unless there is one endpoint or a policy does it."""
        db = service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"}, sessionAffinity="ClientIP")
        none = service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"}, sessionAffinity="None")
        workloads = [workload(name, f"10.0.0.{name}", {"app": "db"}) for name in ("1", "2")]
        by_source = {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}
        for documents, expected in [
            ([db, *workloads], ["MG2081"]),
            ([none, *workloads], []),
            ([db, workloads[0]], []),
            ([db, *workloads, destination_rule("d", "db", trafficPolicy=by_source)], []),
        ]:
            self.assertEqual(codes(routed(*documents).problems), expected)


class BeginningTests(SynchronousTestCase):
    """Rules by server name that lead to protocols whose clients do not begin with TLS."""

    def problems(self, port: Document, sni: str = "db.example.com", protocol: str = "TLS") -> list[str]:
        """The problems of a rule that leads to a port of a Service."""
        server = tls_server(443) if protocol == "TLS" else tcp_server(443)
        rules: Document = {"tls": [tls_rule([sni], "db", port["port"])]}
        if protocol == "TCP":
            rules = {"tcp": [tcp_rule("db", port["port"])]}
        found = compiled(
            gateway("gw", server),
            virtual_service("v", hosts=["*"], **rules),
            service("db", port, selector={"app": "db"}),
            workload("w", "10.0.0.1", {"app": "db"}),
        )
        return codes(found.problems)

    def test_databases(self) -> None:
        """The name of a Service's port tells the protocol, or else its number does."""
        for number, name in [(5432, "tcp"), (80, "tcp-postgres"), (80, "tcp-pgsql"), (3306, "tls-db"), (80, "mysql")]:
            self.assertEqual(self.problems({"port": number, "name": name}), ["MG2078"], (number, name))

    def test_other_protocols(self) -> None:
        """Protocols that begin with TLS are in order, and so are plain TCP servers and rules for every name."""
        for number, name in [(443, "https"), (6379, "tls-redis"), (27017, "mongo"), (389, "tls-ldaps")]:
            self.assertEqual(self.problems({"port": number, "name": name}), [], (number, name))
        self.assertEqual(self.problems({"port": 5432, "name": "tcp"}, protocol="TCP"), [])
        self.assertEqual(self.problems({"port": 5432, "name": "tcp"}, sni="*"), [])


class UnixSocketTests(SynchronousTestCase):
    """Endpoints that are Unix sockets."""

    def test_of_a_service_entry(self) -> None:
        """A Unix socket is an endpoint without a port, of a ServiceEntry's own or of a selected WorkloadEntry."""
        ports = [{"number": 80, "name": "tcp", "protocol": "TCP"}]
        for spec in (
            {"endpoints": [{"address": "unix:///run/db.sock"}]},
            {"workloadSelector": {"labels": {"app": "db"}}},
        ):
            entry = document(
                "ServiceEntry", "db", {"hosts": ["db.example.com"], "ports": ports, "resolution": "STATIC", **spec}
            )
            found = routed(entry, workload("w", "unix:///run/db.sock", {"app": "db"}), host="db.example.com")
            self.assertEqual(addresses(found), ["unix:///run/db.sock"], spec)
            (listener,) = found.table.listeners.values()
            (endpoint,) = next(listener.chains()).destinations[0].endpoints
            self.assertEqual((str(endpoint), endpoint.port, endpoint.dns), ("unix:///run/db.sock", 0, False))

    def test_of_a_service(self) -> None:
        """A Service that selects a WorkloadEntry with a Unix socket leads to it."""
        self.assertEqual(addresses(routed(DB, workload("w", "unix://@db", {"app": "db"}))), ["unix://@db"])
