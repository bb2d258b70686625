"""Tests of :mod:`meshgate.routing.analysis` and its parts: where the golden texts leave a question open."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from tests.configurations import (
    Document,
    compiled,
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
)

HTTP = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["a.example.com"]}


def named(code: str, documents: Iterable[Document]) -> list[str]:
    """The names of the resources that have a problem of a code."""
    return sorted(problem.name for problem in compiled(*documents).problems if problem.code == code)


def selecting(document: Document, **selector: str) -> Document:
    """A Gateway with another selector."""
    return {**document, "spec": {**document["spec"], "selector": selector}}


def pod(name: str, namespace: str = "default", **labels: str) -> Document:
    """A Pod."""
    return document("Pod", name, {}, namespace, labels=labels)


class GatewayTests(SynchronousTestCase):
    """Gateways against each other, their Service and their Secrets."""

    def test_conflicts_need_a_common_workload(self) -> None:
        """Gateways conflict where one selector holds the other, or where a Pod has the labels of both."""
        one, two = gateway("one", HTTP), gateway("two", HTTP)
        for documents, want in [
            ([one, two], ["one", "two"]),
            ([one, selecting(two, istio="egress")], []),
            ([one, selecting(two, istio="ingressgateway", zone="a")], ["one", "two"]),
            ([selecting(one, app="x"), selecting(two, zone="a")], []),
            ([selecting(one, app="x"), selecting(two, zone="a"), pod("p", app="x", zone="a")], ["one", "two"]),
        ]:
            self.assertEqual(named("MG2041", documents), want)

    def test_conflicts_need_port_address_and_host(self) -> None:
        """Another port, address or host is no conflict; a host in a namespace is another host."""
        for change in ({"bind": "127.0.0.1"}, {"hosts": ["b.example.com"]}, {"hosts": ["x/a.example.com"]}):
            self.assertEqual(named("MG2041", [gateway("one", HTTP), gateway("two", {**HTTP, **change})]), [])
        self.assertEqual(named("MG2041", [gateway("one", HTTP), gateway("two", tcp_server(81))]), [])

    def test_ports_of_the_service(self) -> None:
        """A port may be the Service's own or its target; Services of other gateways and namespaces do not count."""
        ingress: Document = {"selector": {"istio": "ingressgateway"}, "namespace": "istio-system"}
        front = service("front", {"port": 80, "name": "http", "targetPort": 8080}, **ingress)
        strange = service("strange", {"port": 80, "name": "http"}, selector={"istio": "ingressgateway"})
        for port, documents, want in [
            (80, [front], []),
            (8080, [front], []),
            (81, [front], ["gw"]),
            (81, [strange], []),
        ]:
            self.assertEqual(named("MG2042", [gateway("gw", tcp_server(port)), *documents]), want)

    def test_secrets_are_of_the_gateways_namespace(self) -> None:
        """It is this gateway's, or that of the Pods a Gateway selects, or the one that is written before the name."""
        keys = {"data": {"tls.crt": "", "tls.key": ""}}
        for credential, namespace, selector, found in [
            ("c", "istio-system", {"istio": "ingressgateway"}, True),
            ("c", "edge", {"istio": "ingressgateway"}, False),
            ("c", "edge", {"app": "edge"}, True),
            ("kubernetes://c", "istio-system", {"istio": "ingressgateway"}, True),
            ("kubernetes://edge/c", "edge", {"istio": "ingressgateway"}, True),
        ]:
            server = tls_server(443, mode="SIMPLE")
            server["tls"]["credentialName"] = credential
            secret = document("Secret", "c", keys, namespace)
            documents = [selecting(gateway("gw", server), **selector), secret, pod("p", "edge", app="edge")]
            self.assertEqual(named("MG2054", documents), [] if found else ["gw"], credential)

    def test_certificate_of_narrower_gateways(self) -> None:
        """The Gateway whose selector takes the other's workloads is told, the other one is not."""
        one = gateway("one", tls_server(443, ["a.example.com"], mode="SIMPLE"))
        two = gateway("two", tls_server(443, ["b.example.com"], mode="SIMPLE"))
        self.assertEqual(named("MG2056", [one, two]), ["one", "two"])
        self.assertEqual(named("MG2056", [one, selecting(two, istio="ingressgateway", zone="a")]), ["one"])


class VirtualServiceTests(SynchronousTestCase):
    """VirtualServices against their Gateways and each other."""

    def test_hosts_with_a_namespace(self) -> None:
        """A host for another namespace is not there for the VirtualService; one for every namespace is."""
        for host, want in [("./a.example.com", []), ("other/a.example.com", ["v"]), ("*/*", []), ("*.com", [])]:
            route = virtual_service("v", ["a.example.com"], tls=[tls_rule(["a.example.com"], "x")])
            self.assertEqual(named("MG2050", [gateway("gw", tls_server(443, [host])), route]), want, host)

    def test_rules_that_no_port_reaches(self) -> None:
        """A block is reached by a server with its port that takes rules of its kind."""
        servers = gateway("gw", tls_server(443), tcp_server(9000), HTTP)
        cases: list[tuple[Document, list[str]]] = [
            ({"tcp": [tcp_rule("x", match=[{"port": 9000}])]}, []),
            ({"tcp": [tcp_rule("x", match=[{"port": 443}])]}, ["v"]),
            ({"tcp": [tcp_rule("x", match=[{"port": 80}])]}, ["v"]),
            ({"tls": [tls_rule(["a.x"], "x")]}, []),
            ({"tls": [{"match": [{"sniHosts": ["a.x"], "port": 443}], "route": [target("x")]}]}, []),
            ({"tls": [{"match": [{"sniHosts": ["a.x"], "port": 9000}], "route": [target("x")]}]}, ["v"]),
        ]
        for rules, want in cases:
            self.assertEqual(named("MG2052", [servers, virtual_service("v", **rules)]), want, rules)

    def test_rules_for_sidecars_may_have_any_port(self) -> None:
        """Where the mesh is among the gateways, a port is that of a service."""
        rule = [tcp_rule("x", match=[{"port": 5432}])]
        for gateways in (["mesh"], [], ["gw", "mesh"]):
            route = virtual_service("v", ["db"], gateways, tcp=rule)
            self.assertEqual(named("MG2052", [gateway("gw", tcp_server(1)), route]), [], gateways)

    def test_conflicts_in_the_mesh(self) -> None:
        """Same host and a namespace that sees both; wildcards count between public and private ones."""
        for first, second, conflict in [
            (("db", []), ("db", []), True),
            (("db", ["."]), ("db", ["*"]), True),
            (("db", ["a"]), ("db", ["b"]), False),
            (("*.x.org", ["."]), ("*.org", ["*"]), True),
            (("a.x.org", ["."]), ("*.org", ["*"]), True),
            (("*.x.org", ["*"]), ("*.org", ["*"]), False),
            (("x.org", ["."]), ("*.x.org", ["*"]), False),
        ]:
            documents = [
                virtual_service(name, [host], [], tcp=[tcp_rule("x")], export_to=export_to)
                for name, (host, export_to) in (("v", first), ("w", second))
            ]
            self.assertEqual(named("MG2053", documents), ["v", "w"] if conflict else [], (first, second))

    def test_destinations_of_all_rules_are_looked_for(self) -> None:
        """Rules for HTTP and rules for sidecars lead somewhere, too; each destination is told once."""
        http = virtual_service("h", ["x.org"], [])
        http["spec"]["http"] = [
            {"route": [{"destination": {"host": "nowhere"}}, {}], "mirror": {"host": "gone"}},
            {"mirrors": [{"destination": {"host": "away"}}], "route": "what"},
        ]
        documents = [http, gateway("gw", tcp_server(1)), virtual_service("v", tcp=[tcp_rule("lost")])]
        unknown = [problem.message.split()[2] for problem in compiled(*documents).problems if problem.code == "MG2020"]
        self.assertEqual([host.partition(".")[0] for host in unknown], ["gone", "nowhere", "away", "lost"])

    def test_sidecars_see_wildcards_and_other_namespaces(self) -> None:
        """A rule for sidecars finds a host by its wildcard, and as the namespaces that follow the rule see it."""
        spec = {"hosts": ["*.x.org"], "ports": [{"number": 80, "name": "tls", "protocol": "TLS"}], "exportTo": ["a"]}
        entry = document("ServiceEntry", "s", spec)
        for export_to, want in [(["a"], []), (["b"], ["v"]), ([], ["v"])]:
            route = virtual_service("v", ["x.org"], [], tcp=[tcp_rule("db.x.org")], export_to=export_to)
            self.assertEqual(named("MG2046", [entry, route]) + named("MG2020", [entry, route]), want, export_to)


class ServiceTests(SynchronousTestCase):
    """Services, ServiceEntries and DestinationRules."""

    def test_protocols_by_name(self) -> None:
        """A prefix, a well-known port or an appProtocol tells it; the platform's own Services are left out."""
        cases: list[tuple[Document, Document, list[str]]] = [
            ({"port": 80, "name": "tcp-db"}, {}, []),
            ({"port": 80, "name": "grpc-web-x"}, {}, []),
            ({"port": 80, "name": "tcpdb"}, {}, ["s"]),
            ({"port": 80}, {}, ["s"]),
            ({"port": 3306}, {}, []),
            ({"port": 80, "name": "x", "appProtocol": "hbone"}, {}, []),
            ({"port": 80, "name": "x", "protocol": "UDP"}, {}, []),
            ({"port": 80, "name": "x"}, {"namespace": "kube-system"}, []),
        ]
        for port, rest, want in cases:
            self.assertEqual(named("MG2048", [service("s", port, **rest)]), want, (port, rest))

    def test_subsets_by_place(self) -> None:
        """Where an endpoint runs is not known, so any place may be right; an empty one is none."""
        app = service("db", {"port": 80, "name": "tcp"}, selector={"app": "db"})
        for labels, want in [
            ({"topology.kubernetes.io/region": "west"}, []),
            ({"topology.kubernetes.io/region": ""}, ["d"]),
            ({"v": "1", "topology.kubernetes.io/zone": "a"}, []),
            ({"v": "2", "topology.kubernetes.io/zone": "a"}, ["d"]),
        ]:
            rule = destination_rule("d", "db", {"name": "x", "labels": labels})
            self.assertEqual(named("MG2057", [app, rule, pod("p", app="db", v="1")]), want, labels)

    def test_wildcard_rules(self) -> None:
        """A rule for a wildcard is about something where any host is within it."""
        for host, want in [("*.local", []), ("*.org", ["d"])]:
            documents = [destination_rule("d", host), service("db", {"port": 80, "name": "tcp"})]
            self.assertEqual(named("MG2058", documents), want)
