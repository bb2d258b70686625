"""Tests of :mod:`meshgate.routing.analysis`, for cases that the golden texts leave open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from twisted.trial.unittest import SynchronousTestCase

from tests.configurations import (
    PROXY,
    Document,
    compiled,
    compiled_in_part,
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
from tests.key_pairs import NOW, credential, key_pair, terminating

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
    """Checks of Gateways against each other, their Service and their Secrets."""

    def test_conflicts_need_a_common_workload(self) -> None:
        """Gateways conflict if one selector contains the other, or if a Pod has the labels of both."""
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
        other = service("other", {"port": 81, "name": "dns", "protocol": "UDP"}, **ingress)
        strange = service("strange", {"port": 80, "name": "http"}, selector={"istio": "ingressgateway"})
        for port, documents, want in [
            (80, [front], []),
            (8080, [front], []),
            (81, [front], ["gw"]),
            (81, [front, other], ["gw"]),
            (81, [strange], []),
        ]:
            self.assertEqual(named("MG2042", [gateway("gw", tcp_server(port)), *documents]), want)

    def test_the_service_of_a_cluster(self) -> None:
        """Without a Service in front, Istio's own is assumed in a cluster for Istio's own gateway."""
        cluster = replace(PROXY, in_cluster=True)
        own, anybody = gateway("gw", tcp_server(9000)), selecting(gateway("gw", tcp_server(9000)))
        front: Document = {"selector": {"istio": "ingressgateway"}, "namespace": "istio-system"}
        for documents, proxy, want in [
            ([own], cluster, ["gw"]),
            ([own], PROXY, []),
            ([anybody], cluster, []),
            ([gateway("gw", tcp_server(31400))], cluster, []),
            ([own, service("front", {"port": 9000, "name": "tcp"}, **front)], cluster, []),
        ]:
            found = [each.name for each in compiled(*documents, proxy=proxy).problems if each.code == "MG2042"]
            self.assertEqual(found, want)

    def test_gateways_that_nothing_takes(self) -> None:
        """A selector is an error if it selects none of the Pods of gateways that were read; other Pods say nothing."""
        strange = selecting(gateway("gw", tcp_server(1)), app="edge")
        for documents, proxy, want in [
            ([strange], PROXY, ("MG2001", "info")),
            ([strange, pod("p", app="other")], PROXY, ("MG2001", "info")),
            ([strange, pod("p", tier="edge")], PROXY, ("MG2040", "error")),
            ([strange, pod("p", istio="edge")], PROXY, ("MG2040", "error")),
            ([strange, deployment("d", {"istio": "edge"})], PROXY, ("MG2001", "info")),
            ([strange, pod("p", app="edge")], PROXY, ("MG2001", "info")),
            ([gateway("gw", tcp_server(1))], replace(PROXY, labels={"app": "edge"}), ("MG2001", "info")),
        ]:
            (found,) = (each for each in compiled(*documents, proxy=proxy).problems if each.path == "spec.selector")
            self.assertEqual((found.code, found.severity), want)

    def test_a_selector_that_is_nearly_ours(self) -> None:
        """The hint names the label that was meant; an empty value resembles none."""
        for labels, want in [
            ({"istio": "ingresgateway"}, "did you mean istio: ingressgateway?"),
            ({"istio": "egresgateway"}, "did you mean istio: egressgateway?"),
            ({"app": "istio-ingres-gateway"}, "did you mean app: istio-ingressgateway?"),
        ]:
            chosen = selecting(gateway("gw", tcp_server(1)), **labels)
            (found,) = (each for each in compiled(chosen).problems if each.path == "spec.selector")
            self.assertEqual((found.code, found.hint), ("MG2040", want))

    def test_a_selector_of_another_gateway(self) -> None:
        """A name with another word, number or direction in it is that of another gateway, and no misspelling."""
        for labels in [
            {"istio": "private-ingressgateway"},
            {"istio": "ingressgateway-internal"},
            {"istio": "ingressgateway2"},
            {"istio": "ingress"},
            {"istio": "ingressgw"},
            {"istio": "northgateway"},
            {"app": "shop"},
            {"tier": ""},
        ]:
            chosen = selecting(gateway("gw", tcp_server(1)), **labels)
            (found,) = (each for each in compiled(chosen).problems if each.path == "spec.selector")
            self.assertEqual((found.code, found.severity), ("MG2001", "info"), labels)

    def test_secrets_that_cannot_be_used(self) -> None:
        """A key pair that is missing, unreadable, mismatched, expired or not valid yet is reported."""
        good = key_pair("c")
        spoiled = {**good, "data": {**good["data"], "tls.key": "aHVzaA=="}}
        end = credential().certificate.not_valid_after_utc
        for secret, now, want in [
            (good, NOW, []),
            (good, None, []),
            (good, end + timedelta(days=1), ["MG2055"]),
            (good, NOW - timedelta(days=1), ["MG2055"]),
            (spoiled, NOW, ["MG2055"]),
            ({**good, "data": {"tls.crt": good["data"]["tls.crt"]}}, NOW, ["MG2055"]),
            (key_pair("c", own_key=False), NOW, ["MG2073"]),
            (key_pair("c", own_key=False), end + timedelta(days=1), ["MG2055"]),
        ]:
            problems = compiled_in_part(terminating("c"), secret, now=now).problems
            self.assertEqual([each.code for each in problems if "tls.credentialName" in each.path], want)

    def test_one_certificate_in_two_secrets(self) -> None:
        """A certificate is recognized under any name; another certificate of the same name is another one."""
        gateways = [terminating("c"), terminating("d", "other", "b.example.com")]
        self.assertEqual(named("MG2056", [*gateways, key_pair("c"), key_pair("d")]), ["gw", "other"])
        self.assertEqual(named("MG2056", [*gateways, key_pair("c"), key_pair("d", "b.example.com")]), [])

    def test_secrets_are_of_the_gateways_namespace(self) -> None:
        """The namespace of a Secret is that of the selected gateway or Pods, or the one before the name."""
        keys = {"data": {"tls.crt": "", "tls.key": ""}}
        for name, namespace, selector, found in [
            ("c", "istio-system", {"istio": "ingressgateway"}, True),
            ("c", "edge", {"istio": "ingressgateway"}, False),
            ("c", "edge", {"app": "edge"}, True),
            ("kubernetes://c", "istio-system", {"istio": "ingressgateway"}, True),
            ("kubernetes://edge/c", "edge", {"istio": "ingressgateway"}, True),
        ]:
            server = tls_server(443, mode="SIMPLE")
            server["tls"]["credentialName"] = name
            secret = document("Secret", "c", keys, namespace)
            documents = [selecting(gateway("gw", server), **selector), secret, pod("p", "edge", app="edge")]
            self.assertEqual(named("MG2054", documents), [] if found else ["gw"], name)

    def test_certificate_of_narrower_gateways(self) -> None:
        """The problem is reported for the Gateway whose selector selects the other's workloads, and only for it."""
        one = gateway("one", tls_server(443, ["a.example.com"], mode="SIMPLE"))
        two = gateway("two", tls_server(443, ["b.example.com"], mode="SIMPLE"))
        self.assertEqual(named("MG2056", [one, two]), ["one", "two"])
        self.assertEqual(named("MG2056", [one, selecting(two, istio="ingressgateway", zone="a")]), ["one"])


class InvalidTests(SynchronousTestCase):
    """Invalid resources: they serve nothing, and are analyzed all the same."""

    def problems(self, *documents: Document) -> list[str]:
        """The problems of all resources, by name and code."""
        return [f"{each.name} {each.code}" for each in compiled_in_part(*documents).problems]

    def test_their_own_references_are_looked_at(self) -> None:
        """An invalid VirtualService may name a missing Gateway, and an invalid Gateway may select no workload."""
        empty = virtual_service("v", ["a.example.com"], ["gone"])
        self.assertEqual(self.problems(empty), ["v MG2010"])
        self.assertEqual(self.problems(selecting(gateway("gw"), istio="ingresgateway")), ["gw MG2040"])
        strange = virtual_service("v", ["a.example.com"], ["gw~1"])
        self.assertEqual(self.problems(strange), [])

    def test_what_can_be_read_of_them_is_judged(self) -> None:
        """The valid fields of an invalid resource are analyzed, and no others."""
        broken = {**tcp_server(81), "port": {"number": "x", "name": "b", "protocol": "TCP"}}
        twins = [gateway(name, tcp_server(9000), broken) for name in ("one", "two")]
        self.assertEqual(self.problems(*twins), ["one MG2041", "two MG2041"])

    def test_they_have_no_part_in_the_table(self) -> None:
        """Neither an invalid resource nor one that refers to it is in the table."""
        rule = virtual_service("v", tcp=[tcp_rule("db")])
        db = service("db", {"port": 80}, {"port": 81}, selector={"app": "db"})
        found = compiled_in_part(gateway("gw", tcp_server(1), tcp_server(1)), rule, db, workload("w", "10.0.0.1", {}))
        self.assertEqual(dict(found.table.listeners), {})
        self.assertEqual(
            [f"{each.name} {each.code}" for each in found.problems if each.severity.value != "info"],
            ["v MG2012", "v MG2023"],
        )

    def test_a_valid_version_counts(self) -> None:
        """An invalid version is not analyzed if a valid version of the resource is in force."""
        documents = [gateway("gw"), gateway("gw", tcp_server(1)), virtual_service("v", ["a.example.com"], ["gw"])]
        self.assertNotIn("MG2012", " ".join(self.problems(*documents)))

    def test_a_port_that_is_not_named(self) -> None:
        """A destination has to name a port of an invalid Service with several ports, too."""
        ports = [{"port": 80, "name": "a", "protocol": "HTTP"}, {"port": 81, "name": "b"}]
        rule = virtual_service("v", ["a.example.com"], [], tcp=[{"route": [target("db", None)]}])
        self.assertEqual(
            sorted(
                each for each in self.problems(service("db", *ports, {"port": 82, "name": "c"}), rule) if "v" in each
            ),
            ["v MG2023", "v MG2047"],
        )


class VirtualServiceTests(SynchronousTestCase):
    """Checks of VirtualServices against their Gateways and each other."""

    def test_hosts_with_a_namespace(self) -> None:
        """A server's host counts for VirtualServices of its own namespace, or of all if it has none."""
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
        """If the mesh is among the gateways, the port of a match is that of a service."""
        rule = [tcp_rule("x", match=[{"port": 5432}])]
        for gateways in (["mesh"], [], ["gw", "mesh"]):
            route = virtual_service("v", ["db"], gateways, tcp=rule)
            self.assertEqual(named("MG2052", [gateway("gw", tcp_server(1)), route]), [], gateways)

    def test_conflicts_in_the_mesh(self) -> None:
        """VirtualServices conflict over a host if a namespace sees both; public and private ones also by wildcards."""
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
        """Destinations of HTTP rules and of sidecars' rules are checked, too; each is reported once."""
        http = virtual_service("h", ["x.org"], [])
        http["spec"]["http"] = [
            {"route": [{"destination": {"host": "nowhere"}}, {}], "mirror": {"host": "gone"}},
            {"mirrors": [{"destination": {"host": "away"}}], "route": "what"},
        ]
        documents = [http, gateway("gw", tcp_server(1)), virtual_service("v", tcp=[tcp_rule("lost")])]
        unknown = [problem.message.split()[2] for problem in compiled(*documents).problems if problem.code == "MG2020"]
        self.assertEqual([host.partition(".")[0] for host in unknown], ["nowhere", "names", "gone", "away", "lost"])

    def test_sidecars_see_wildcards_and_other_namespaces(self) -> None:
        """A sidecars' rule finds a host by its wildcard, and as the namespaces see it that follow the rule."""
        spec = {"hosts": ["*.x.org"], "ports": [{"number": 80, "name": "tls", "protocol": "TLS"}], "exportTo": ["a"]}
        entry = document("ServiceEntry", "s", spec)
        for export_to, want in [(["a"], []), (["b"], ["v"]), ([], ["v"])]:
            route = virtual_service("v", ["x.org"], [], tcp=[tcp_rule("db.x.org")], export_to=export_to)
            self.assertEqual(named("MG2046", [entry, route]) + named("MG2020", [entry, route]), want, export_to)


class ServiceTests(SynchronousTestCase):
    """Checks of Services, ServiceEntries and DestinationRules."""

    def test_protocols_by_name(self) -> None:
        """A prefix, a well-known port or an appProtocol says the protocol; Services of the platform are not checked."""
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
        """The node of an endpoint is unknown, so any topology label may be right, but not an empty one."""
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
        """A DestinationRule for a wildcard applies if the wildcard covers any host."""
        for host, want in [("*.local", []), ("*.org", ["d"])]:
            documents = [destination_rule("d", host), service("db", {"port": 80, "name": "tcp"})]
            self.assertEqual(named("MG2058", documents), want)
