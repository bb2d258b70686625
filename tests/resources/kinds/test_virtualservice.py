"""The fields of a VirtualService; the rules between them have tests of their own."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Severity
from tests.reading import codes_of, faults_of, problems_of, spec_of

SHORT_ROUTE = [{"destination": {"host": "a"}}]


def short_spec(**fields: Any) -> dict[str, Any]:
    """A spec for a host and a Gateway."""
    return {"hosts": ["a"], "gateways": ["gw"], **fields}


def tls_rule(**match: Any) -> dict[str, Any]:
    """A tls rule with one match block."""
    return {"match": [{"sniHosts": ["a"], **match}], "route": SHORT_ROUTE}


class VirtualServiceTests(SynchronousTestCase):
    """The fields."""

    def test_all_fields(self) -> None:
        """Each field is read by its Istio name."""
        block = {
            "destinationSubnets": ["10.0.0.0/8"],
            "port": 443,
            "sourceLabels": {"a": "b"},
            "gateways": ["ns/gw"],
            "sourceNamespace": "c",
        }
        destination = {"host": "db", "subset": "v1", "port": {"number": "5432"}}
        spec = spec_of(
            "VirtualService",
            {
                "hosts": ["*.example.com"],
                "gateways": ["gw"],
                "exportTo": ["."],
                "tls": [{"match": [{"sniHosts": ["a.example.com"], **block}], "route": SHORT_ROUTE}],
                "tcp": [
                    {
                        "match": [{**block, "sourceSubnet": "10.1.0.0/16"}],
                        "route": [{"destination": destination, "weight": 3}, *SHORT_ROUTE],
                    }
                ],
            },
        )
        self.assertEqual((spec.hosts, spec.gateways, spec.export_to), (("*.example.com",), ("gw",), (".",)))
        tls, tcp = spec.tls[0].match[0], spec.tcp[0].match[0]
        self.assertEqual(tls.sni_hosts, ("a.example.com",))
        for read in (tls, tcp):
            self.assertEqual((read.destination_subnets, read.port), (("10.0.0.0/8",), 443))
            self.assertEqual((read.source_labels, read.gateways), ({"a": "b"}, ("ns/gw",)))
            self.assertEqual(read.source_namespace, "c")
        self.assertEqual(tcp.source_subnet, "10.1.0.0/16")
        first, second = spec.tcp[0].route
        self.assertEqual((first.destination.host, first.destination.subset), ("db", "v1"))
        self.assertEqual((first.destination.port.number, first.weight), (5432, 3))
        self.assertEqual((second.destination.port, second.weight), (None, 0))

    def test_defaults(self) -> None:
        """The mesh and every namespace, also where the lists are left empty."""
        empty: dict[str, Any] = {"gateways": [], "exportTo": []}
        for lists in ({}, empty):
            spec = spec_of("VirtualService", {"hosts": ["a"], "tcp": [{"route": SHORT_ROUTE}], **lists})
            self.assertEqual((spec.gateways, spec.export_to, spec.tcp[0].match), ((), ("*",), ()))

    def test_what_is_required(self) -> None:
        """Rules; in them routes; in tls rules server names; in routes hosts."""
        self.assertEqual(codes_of("VirtualService", {}), {("spec", "MG1041")})
        self.assertEqual(
            codes_of("VirtualService", short_spec(tcp=[{}], tls=[{}])),
            {("spec.tcp[0].route", "MG1002"), ("spec.tls[0].match", "MG1002"), ("spec.tls[0].route", "MG1002")},
        )
        self.assertEqual(
            codes_of("VirtualService", short_spec(tcp=[{"route": []}], tls=[{"match": [{}], "route": SHORT_ROUTE}])),
            {("spec.tcp[0].route", "MG1006"), ("spec.tls[0].match[0].sniHosts", "MG1002")},
        )
        routes = [{}, {"destination": {}}, {"destination": {"host": ""}}, None]
        self.assertEqual(
            codes_of("VirtualService", short_spec(tcp=[{"route": routes}])),
            {
                ("spec.tcp[0].route[0].destination", "MG1002"),
                ("spec.tcp[0].route[1].destination.host", "MG1002"),
                ("spec.tcp[0].route[2].destination.host", "MG1021"),
                ("spec.tcp[0].route[3]", "MG1003"),
            },
        )

    def test_ports_and_weights(self) -> None:
        """A destination's port is from 1, a match block's 0 is any, a weight is never negative."""
        self.assertEqual(spec_of("VirtualService", short_spec(tls=[tls_rule(port=0)])).tls[0].match[0].port, 0)
        self.assertEqual(
            codes_of("VirtualService", short_spec(tls=[tls_rule(port=65536)])),
            {("spec.tls[0].match[0].port", "MG1005")},
        )
        route = {"destination": {"host": "a", "port": {"number": 0}}, "weight": -1}
        self.assertEqual(
            codes_of("VirtualService", short_spec(tcp=[{"route": [route]}])),
            {("spec.tcp[0].route[0].destination.port.number", "MG1005"), ("spec.tcp[0].route[0].weight", "MG1005")},
        )

    def test_http_rules_are_taken_and_reported(self) -> None:
        """Rules for HTTP of any content are reported and not served; the other rules serve."""
        routes = short_spec(http=[{"match": [{"any": ["thing"]}]}, {}], tcp=[{"route": SHORT_ROUTE}])
        spec = spec_of("VirtualService", routes)
        self.assertEqual((len(spec.http_rules), len(spec.tcp)), (2, 1))
        (problem,) = problems_of("VirtualService", routes)
        self.assertEqual((problem.severity, problem.code, problem.path), (Severity.INFO, "MG1010", "spec.http"))
        self.assertEqual(problem.message, "http routes are not served by an L4 gateway")
        self.assertEqual(codes_of("VirtualService", {"http": {}}), {("spec.http", "MG1003")})


ROUTE = [{"destination": {"host": "app"}}]
TCP = [{"route": ROUTE}]
GENERATED = "outbound_.80_._.a.example.com"


def spec(**fields: Any) -> dict[str, Any]:
    """A VirtualService's spec, which is right but for the fields given."""
    return {"hosts": ["a.example.com"], "gateways": ["gw"], "tcp": TCP, **fields}


def faults(**fields: Any) -> list[str]:
    """The errors."""
    return faults_of("VirtualService", spec(**fields))


def warnings(**fields: Any) -> list[str]:
    """The warnings."""
    problems = problems_of("VirtualService", spec(**fields))
    return [f"{p.code} {p.path.removeprefix('spec.')}" for p in problems if p.severity is Severity.WARNING]


def tls(*names: str, **match: Any) -> list[dict[str, Any]]:
    """One tls rule with one match block."""
    return [{"match": [{"sniHosts": list(names), **match}], "route": ROUTE}]


def tcp(**match: Any) -> list[dict[str, Any]]:
    """One tcp rule with one match block."""
    return [{"match": [match], "route": ROUTE}]


class HostTests(SynchronousTestCase):
    """Hosts."""

    def test_good_hosts(self) -> None:
        """Names, short ones too, partial wildcards and addresses of both families."""
        for host in ("a.example.com", "echo", "*.com", "*a.com", "*-a.com", "*", "10.0.0.1", "::1"):
            self.assertEqual(faults(hosts=[host]), [], host)

    def test_bad_hosts(self) -> None:
        """Hosts that are no domain names are refused."""
        for host in ("", "a_b", "a.*.com", "ba!r", "10.0.0.1.2", "a.1"):
            self.assertEqual(faults(hosts=[host]), ["MG1021 hosts[0]"], host)

    def test_every_host_is_not_for_the_mesh(self) -> None:
        """A resource without gateways is for the mesh, and so is one that names it."""
        for gateways in ([], ["mesh"], ["gw", "mesh"]):
            self.assertEqual(faults(hosts=["*"], gateways=gateways), ["MG1042 hosts[0]"])

    def test_overlapping_hosts(self) -> None:
        """Equal ones, and those that a wildcard takes in; an address overlaps with nothing else."""
        self.assertEqual(faults(hosts=["*.b.com", "a.b.com", "a.b.com"]), ["MG1043 hosts[1]", "MG1043 hosts[2]"])
        self.assertEqual(faults(hosts=["b.com", "*.b.com", "10.0.0.1"]), [])

    def test_generated_names(self) -> None:
        """The names of AUTO_PASSTHROUGH are hosts beside server names, and at a gateway alone."""
        self.assertEqual(faults(hosts=[GENERATED], tls=tls(GENERATED)), [])
        self.assertEqual(faults(hosts=[GENERATED]), ["MG1021 hosts[0]"])
        self.assertEqual(
            faults(hosts=[GENERATED], tls=tls(GENERATED), gateways=["mesh"]),
            ["MG1021 hosts[0]", "MG1021 tls[0].match[0].sniHosts[0]"],
        )

    def test_delegates(self) -> None:
        """Without hosts there are http rules alone."""
        self.assertEqual(faults_of("VirtualService", {"http": [{}]}), [])
        self.assertEqual(
            faults_of("VirtualService", {"gateways": ["gw"], "tcp": TCP, "tls": tls("a.example.com")}),
            ["MG1040 gateways", "MG1040 tcp", "MG1040 tls"],
        )

    def test_some_rules(self) -> None:
        """A VirtualService without any says nothing."""
        self.assertEqual(faults(tcp=[]), ["MG1041 spec"])


class GatewayTests(SynchronousTestCase):
    """References to Gateways."""

    def test_forms(self) -> None:
        """A name, a namespace and a name, the mesh, and the old form, which is warned of."""
        for name in ("gw", "ns/gw", "mesh", "GW"):
            self.assertEqual((faults(gateways=[name]), warnings(gateways=[name])), ([], []), name)
        for name in ("gw.ns", "gw.ns.svc.cluster.local", "gw.ns."):
            self.assertEqual((faults(gateways=[name]), warnings(gateways=[name])), ([], ["MG1045 gateways[0]"]), name)
        for name in ("", "a_b", "/gw", "ns/", "./gw", "ns/gw.x", "*/gw", "ns/a/b"):
            self.assertEqual(faults(gateways=[name]), ["MG1044 gateways[0]"], name)

    def test_istio_stops_at_the_first_name_without_namespace(self) -> None:
        """References behind the first one without a namespace are no errors in Istio; here they are warnings."""
        self.assertEqual(faults(gateways=["ns/gw", "a_b"]), ["MG1044 gateways[1]"])
        self.assertEqual(faults(gateways=["gw", "a_b", "/"]), [])
        self.assertEqual(warnings(gateways=["gw", "a_b", "/"]), ["MG1044 gateways[1]", "MG1044 gateways[2]"])

    def test_references_in_match_blocks(self) -> None:
        """References in match blocks have the same forms."""
        self.assertEqual(faults(tcp=tcp(gateways=["ns/"])), ["MG1044 tcp[0].match[0].gateways[0]"])


class ServerNameTests(SynchronousTestCase):
    """Server names of tls rules."""

    def test_names_within_hosts(self) -> None:
        """A name is within a host that is the same or a wildcard for it."""
        for host, name in (("*.com", "a.b.com"), ("*.com", "*.b.com"), ("*", "*"), ("*b.com", "ab.com")):
            self.assertEqual(faults(hosts=[host], tls=tls(name)), [], (host, name))

    def test_names_outside_hosts(self) -> None:
        """Compared letter by letter, and before short names are made whole."""
        for host, name in (
            ("a.com", "*"),
            ("*.com", "com"),
            ("*.a.com", "*.com"),
            ("a.com", "A.com"),
            ("a.com", "a.com."),
            ("echo", "echo.ns.svc.cluster.local"),
            ("10.0.0.1", "a.com"),
        ):
            self.assertEqual(faults(hosts=[host], tls=tls(name)), ["MG1048 tls[0].match[0].sniHosts[0]"], (host, name))

    def test_each_name_is_judged(self) -> None:
        """Malformed names, addresses and names outside the hosts are each reported by their path."""
        rules = tls("a.example.com", "a_b", "10.0.0.1", "b.com")
        path = "tls[0].match[0].sniHosts"
        self.assertEqual(faults(tls=rules), [f"MG1021 {path}[1]", f"MG1048 {path}[3]"])
        self.assertEqual(warnings(tls=rules), [f"MG1049 {path}[2]"])


class MatchTests(SynchronousTestCase):
    """Match blocks."""

    def test_networks(self) -> None:
        """Those of destinations are checked; that of sources no one checks, so a bad one is a warning."""
        self.assertEqual(faults(tcp=tcp(destinationSubnets=["10.0.0.0/8", "::1"])), [])
        for rules, kind in (
            (tcp(destinationSubnets=["x"]), "tcp"),
            (tls("a.example.com", destinationSubnets=["x"]), "tls"),
        ):
            self.assertEqual(faults(**{kind: rules}), [f"MG1022 {kind}[0].match[0].destinationSubnets[0]"])
        self.assertEqual(faults(tcp=tcp(sourceSubnet="x")), [])
        self.assertEqual(warnings(tcp=tcp(sourceSubnet="x")), ["MG1022 tcp[0].match[0].sourceSubnet"])

    def test_ports(self) -> None:
        """0 is any."""
        self.assertEqual(faults(tcp=tcp(port=0)), [])
        self.assertEqual(faults(tcp=tcp(port=65536)), ["MG1005 tcp[0].match[0].port"])

    def test_labels(self) -> None:
        """Keys and values, in both kinds of rules."""
        self.assertEqual(faults(tls=tls("a.example.com", sourceLabels={"a b": "c", "app": "x"}))[0][:6], "MG1023")
        self.assertEqual(faults(tcp=tcp(sourceLabels={"app": "a b"})), ["MG1023 tcp[0].match[0].sourceLabels.app"])

    def test_required_fields(self) -> None:
        """A tls rule needs match blocks and server names; every rule needs a route."""
        self.assertEqual(faults(tls=[{"route": ROUTE}]), ["MG1002 tls[0].match"])
        self.assertEqual(faults(tls=[{"match": [{"port": 1}], "route": ROUTE}]), ["MG1002 tls[0].match[0].sniHosts"])
        self.assertEqual(faults(tcp=[{}]), ["MG1002 tcp[0].route"])
        self.assertEqual(faults(tcp=[{"route": []}]), ["MG1006 tcp[0].route"])


class DestinationTests(SynchronousTestCase):
    """Destinations and their weights."""

    def faults_of_destination(self, **destination: Any) -> list[str]:
        """Destinations."""
        prefix = "tcp[0].route[0].destination"
        return [fault.replace(prefix, "") for fault in faults(tcp=[{"route": [{"destination": destination}]}])]

    def test_hosts(self) -> None:
        """Names and partial wildcards; neither everything nor an address."""
        for host in ("app", "app.ns.svc.cluster.local", "*.example.com"):
            self.assertEqual(self.faults_of_destination(host=host), [], host)
        for host in ("*", "10.0.0.1", "::1", "ns/app", "a_b", "", "*.*.com"):
            self.assertEqual(self.faults_of_destination(host=host), ["MG1021 .host"], host)
        self.assertEqual(self.faults_of_destination(), ["MG1002 .host"])
        self.assertEqual(faults(tcp=[{"route": [{}]}]), ["MG1002 tcp[0].route[0].destination"])

    def test_subsets_and_ports(self) -> None:
        """A subset is a label, and a port is given by its number."""
        self.assertEqual(self.faults_of_destination(host="a", subset="v1", port={"number": 80}), [])
        self.assertEqual(self.faults_of_destination(host="a", subset="v1.2"), ["MG1020 .subset"])
        self.assertEqual(self.faults_of_destination(host="a", port={"number": 0}), ["MG1005 .port.number"])
        self.assertEqual(self.faults_of_destination(host="a", port={}), ["MG1002 .port.number"])

    def test_weights(self) -> None:
        """Weights need not add up to 100, but several destinations need at least one."""
        for weights, wrong in (
            ([0], []),
            ([1, 1], []),
            ([0, 5], []),
            ([0, 0], ["MG1050 tcp[0].route"]),
            ([-1, 1], ["MG1005 tcp[0].route[0].weight"]),
        ):
            route = [{"destination": {"host": "a"}, "weight": weight} for weight in weights]
            self.assertEqual(faults(tcp=[{"route": route}]), wrong, weights)


class ExportTests(SynchronousTestCase):
    """Namespaces that it is exported to; its own is shop."""

    def test_entries(self) -> None:
        """Each namespace may come once, and * only alone."""
        for names in ([], ["*"], ["."], [".", "infra"]):
            self.assertEqual(faults(exportTo=names), [], names)
        for names, wrong in (
            (["~"], ["MG1046 exportTo[0]"]),
            (["a.b"], ["MG1046 exportTo[0]"]),
            (["infra", "infra"], ["MG1047 exportTo[1]"]),
            ([".", "shop"], ["MG1047 exportTo[1]"]),
            ([".", "*"], ["MG1047 exportTo[1]"]),
        ):
            self.assertEqual(faults(exportTo=names), wrong, names)


class HttpTests(SynchronousTestCase):
    """Http rules."""

    def test_they_are_counted_and_not_validated(self) -> None:
        """Rules of any content are neither refused nor served, which a problem says."""
        fields = spec(http=[{"match": 1}, {"nonsense": True}])
        self.assertEqual(len(spec_of("VirtualService", fields).http_rules), 2)
        self.assertEqual([problem.code for problem in problems_of("VirtualService", fields)], ["MG1010"])
