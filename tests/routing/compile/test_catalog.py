"""Tests of :mod:`meshgate.routing.compile.catalog`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.compile.catalog import Catalog
from meshgate.routing.compile.catalog_port import CatalogPort
from tests.configurations import Document, deployment, document, read, service, workload

APP = {"app": "db"}
HTTP = {"name": "http", "containerPort": 8080}


def port(number: int, name: str = "", target: int | str | None = None) -> Document:
    """A port of a Service."""
    return {
        "port": number,
        **({"name": name} if name else {}),
        **({} if target is None else {"targetPort": target}),
    }


def look_up(host: str, number: int, *documents: Document) -> CatalogPort:
    """The catalog's port of a host."""
    found = Catalog(read(*documents), "cluster.local").find(host)
    assert found is not None
    return found.ports[number]


def addresses(found: CatalogPort) -> list[str]:
    """Endpoints as text; a name to be resolved in angle brackets."""
    return [f"<{endpoint}>" if endpoint.dns else str(endpoint) for endpoint in found.endpoints]


DB = "db.default.svc.cluster.local"


class ServiceTests(SynchronousTestCase):
    """Endpoints of a Service."""

    def test_port_of_a_workload(self) -> None:
        """The workload's port goes by the targetPort's name, then the Service port's, then the numeric targetPort."""
        for service_port, workload_ports, want in [
            (port(80), None, ["127.0.0.1:80"]),
            (port(80, target=8080), None, ["127.0.0.1:8080"]),
            (port(80, "tcp", 8080), {"tcp": 9090}, ["127.0.0.1:9090"]),
            (port(80, "tcp", "pg"), {"tcp": 9090, "pg": 5432}, ["127.0.0.1:5432"]),
            (port(80, "tcp", "pg"), {"tcp": 9090}, ["127.0.0.1:9090"]),
            (port(80, "tcp", "pg"), {"other": 1}, []),
            (port(80, "tcp", "pg"), None, []),
        ]:
            entry = workload("w", "127.0.0.1", APP, ports=workload_ports or {})
            found = look_up(DB, 80, service("db", service_port, selector=APP), entry)
            self.assertEqual(addresses(found), want, (service_port, workload_ports))

    def test_missing_target_name_is_explained(self) -> None:
        """A named targetPort that no workload has says so."""
        found = look_up(DB, 80, service("db", port(80, target="pg"), selector=APP), workload("w", "127.0.0.1", APP))
        self.assertIn("'pg' is a name", found.missing)

    def test_pods_of_templates(self) -> None:
        """Pods without addresses are the reason for missing endpoints, if a subset may select them."""
        one, two = (deployment(f"db-{n}", {**APP, "v": str(n)}) for n in (1, 2))
        elsewhere = deployment("db-3", APP, namespace="other")
        found = look_up(DB, 80, service("db", port(80), selector=APP), one, two, elsewhere)
        self.assertEqual([each.name for each in found.pods], ["db-1", "db-2"])
        self.assertIn("only a cluster knows the addresses of the Pods of Deployment default/db-1", found.missing)
        self.assertEqual(found.subset({"v": "2"}), ((), found.missing))
        self.assertEqual(found.subset({"v": "3"}), ((), "none of its Pods is labeled v=3"))
        zone = "topology.kubernetes.io/zone"
        self.assertEqual([found.has_pods({"v": v}) for v in "123"], [True, True, False])
        self.assertEqual([found.has_pods({zone: value}) for value in ("a", "")], [True, False])
        found = look_up(DB, 80, service("db", port(80), selector=APP), document("Pod", "db-0", {}, labels=APP))
        self.assertIn("addresses of Pod default/db-0", found.missing)
        found = look_up(DB, 80, service("db", port(80), selector=APP), workload("w", "10.0.0.1", APP), one)
        self.assertEqual((addresses(found), found.pods), (["10.0.0.1:80"], ()))

    def test_a_named_port_of_pods(self) -> None:
        """A name for a target port has to be that of a container's port, if ports are written."""
        cases: list[tuple[str | int, list[Document], bool]] = [
            ("http", [HTTP], True),
            ("web", [HTTP], False),
            ("web", [], True),
            (81, [HTTP], True),
        ]
        for target, ports, want in cases:
            db = service("db", port(80, target=target), selector=APP)
            found = look_up(DB, 80, db, deployment("db", APP, *ports))
            self.assertEqual((bool(found.pods), "targetPort 'web'" in found.missing), (want, not want), target)

    def test_a_single_pod_of_a_stateful_set(self) -> None:
        """Kubernetes labels each Pod of a StatefulSet by its name, by which a Service may select it."""
        made = {**deployment("db", APP), "kind": "StatefulSet"}
        name = "statefulset.kubernetes.io/pod-name"
        for selector, wanted in (
            ({name: "db-0"}, ["db"]),
            ({**APP, name: "db-12"}, ["db"]),
            ({name: "cart-0"}, []),
            ({"app": "x", name: "db-0"}, []),
        ):
            found = look_up(DB, 80, service("db", port(80), selector=selector), made)
            self.assertEqual([each.name for each in found.pods], wanted, selector)

    def test_workloads_are_selected_in_the_namespace(self) -> None:
        """Labels of spec and metadata count together; other namespaces and other labels do not."""
        found = look_up(
            DB,
            80,
            service("db", port(80), selector={"app": "db", "tier": "1"}),
            document(
                "WorkloadEntry",
                "both",
                {"address": "10.0.0.1", "labels": {"app": "db"}},
                labels={"tier": "1"},
            ),
            workload("half", "10.0.0.2", APP),
            workload("elsewhere", "10.0.0.3", {"app": "db", "tier": "1"}, namespace="other"),
        )
        self.assertEqual(addresses(found), ["10.0.0.1:80"])

    def test_ports_for_udp(self) -> None:
        """A gateway does not route them; one for TCP may have the same number, and a port for UDP counts as a port."""
        tcp, udp = port(53, "tcp-dns", 5353), {**port(53, "dns", 5454), "protocol": "UDP"}
        for ports in ((tcp, udp), (udp, tcp)):
            found = look_up(DB, 53, service("db", *ports, selector=APP), workload("w", "10.0.0.1", APP))
            self.assertEqual(addresses(found), ["10.0.0.1:5353"])
        host = Catalog(read(service("db", port(80, "tcp"), udp)), "cluster.local").find(DB)
        assert host is not None
        self.assertEqual((sorted(host.ports), host.only_port, host.udp_ports), ([80], None, {53}))

    def test_sources_of_one_host_and_namespace(self) -> None:
        """Endpoints of the same host and port name are joined, and those of another namespace are not."""
        spec = {"hosts": [DB], "ports": [{"number": 80, "name": "tcp", "protocol": "TCP"}], "resolution": "STATIC"}
        one, two, three = ({**spec, "endpoints": [{"address": f"10.0.0.{n}"}]} for n in (1, 2, 3))
        other_name = {**two, "ports": [{"number": 80, "name": "other", "protocol": "TCP"}]}
        for documents, want in (
            ([document("ServiceEntry", "a", one), document("ServiceEntry", "b", two)], ["10.0.0.1:80", "10.0.0.2:80"]),
            ([document("ServiceEntry", "a", one), document("ServiceEntry", "b", other_name)], ["10.0.0.1:80"]),
            ([document("ServiceEntry", "a", one), document("ServiceEntry", "b", three, "other")], ["10.0.0.1:80"]),
            ([service("db", port(80, "tcp")), document("ServiceEntry", "b", two)], ["10.0.0.2:80"]),
        ):
            self.assertEqual(addresses(look_up(DB, 80, *documents)), want)

    def test_endpoints_of_a_service(self) -> None:
        """Endpoints belong to the Service of their name and namespace; those that a slice has, too, count once."""
        subsets = [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"name": "tcp", "port": 5432}]}]
        slice_ = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": subsets[0]["ports"]}
        found = look_up(
            DB,
            80,
            service("db", port(80, "tcp")),
            document("Endpoints", "db", {"subsets": subsets}),
            document("Endpoints", "db", {"subsets": subsets}, namespace="other"),
            document("EndpointSlice", "db-1", slice_, labels={"kubernetes.io/service-name": "db"}),
        )
        self.assertEqual(addresses(found), ["10.0.0.1:5432", "10.0.0.2:5432"])

    def test_endpoint_slices(self) -> None:
        """Slices name their Service by label, join ports by name, and only what is ready counts."""
        endpoints = [
            {"addresses": ["10.0.0.1"]},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": True, "terminating": True}},
            {"addresses": ["10.0.0.4", "10.0.0.5"], "conditions": {"ready": True}},
        ]
        label = {"kubernetes.io/service-name": "db"}
        ports = [{"name": "tcp", "port": 5432}, {"name": "admin", "port": 1}]
        found = look_up(
            DB,
            80,
            service("db", port(80, "tcp")),
            document(
                "EndpointSlice",
                "a",
                {"addressType": "IPv4", "endpoints": endpoints, "ports": ports},
                labels=label,
            ),
            document(
                "EndpointSlice",
                "names",
                {"addressType": "FQDN", "endpoints": [{"addresses": ["x.example.org"]}], "ports": ports},
                labels=label,
            ),
        )
        self.assertEqual(addresses(found), ["10.0.0.1:5432", "10.0.0.4:5432", "10.0.0.5:5432"])

    def test_external_name(self) -> None:
        """A Service of type ExternalName is a name for DNS."""
        found = look_up(DB, 5432, service("db", port(5432), type="ExternalName", externalName="db.example.org."))
        self.assertEqual(addresses(found), ["<db.example.org:5432>"])

    def test_nothing_selected_is_explained(self) -> None:
        """Without any endpoint the reason names what was looked for."""
        found = look_up(DB, 80, service("db", port(80), selector=APP))
        self.assertIn("labeled app=db", found.missing)


class ServiceEntryTests(SynchronousTestCase):
    """Endpoints of a ServiceEntry."""

    def entry(self, resolution: str, **rest: object) -> CatalogPort:
        """The port 443 of a ServiceEntry for db.example.org."""
        spec = {
            "hosts": ["db.example.org"],
            "ports": [{"number": 443, "name": "tls", "protocol": "TLS", "targetPort": 8443}],
            "resolution": resolution,
            **rest,
        }
        return look_up(
            "db.example.org",
            443,
            document("ServiceEntry", "db", spec),
            workload("w", "10.0.0.9", APP, ports={"tls": 7}),
        )

    def test_static(self) -> None:
        """A workload's own port wins over the entry's targetPort."""
        found = self.entry("STATIC", endpoints=[{"address": "10.0.0.1"}, {"address": "::1", "ports": {"tls": 9}}])
        self.assertEqual(addresses(found), ["10.0.0.1:8443", "[::1]:9"])

    def test_workload_selector(self) -> None:
        """A selector takes the namespace's WorkloadEntries."""
        self.assertEqual(addresses(self.entry("STATIC", workloadSelector={"labels": APP})), ["10.0.0.9:7"])
        ports = [{"number": 443, "name": "tls", "protocol": "TLS"}]
        spec = {"hosts": ["vm.org"], "ports": ports, "resolution": "STATIC", "workloadSelector": {"labels": APP}}
        found = look_up("vm.org", 443, document("ServiceEntry", "vm", spec), deployment("db", APP))
        self.assertEqual((addresses(found), [each.name for each in found.pods]), ([], ["db"]))

    def test_dns_without_endpoints_resolves_the_host(self) -> None:
        """With resolution DNS the host itself is asked for."""
        self.assertEqual(addresses(self.entry("DNS")), ["<db.example.org:8443>"])

    def test_dns_endpoints(self) -> None:
        """Endpoints may be names."""
        found = self.entry("DNS", endpoints=[{"address": "a.example.org"}, {"address": "10.0.0.1"}])
        self.assertEqual(addresses(found), ["<a.example.org:8443>", "10.0.0.1:8443"])

    def test_none_has_no_endpoint(self) -> None:
        """Resolution NONE means nothing on a gateway, and says so."""
        found = self.entry("NONE")
        self.assertEqual(found.endpoints, ())
        self.assertIn("original destination", found.missing)
