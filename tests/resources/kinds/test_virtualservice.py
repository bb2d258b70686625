"""The fields of a VirtualService; the rules between them have tests of their own."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Severity
from tests.judging import faults, judge, spec_of

ROUTE = [{"destination": {"host": "a"}}]


def spec(**fields: Any) -> dict[str, Any]:
    """A spec for a host and a Gateway."""
    return {"hosts": ["a"], "gateways": ["gw"], **fields}


def tls_rule(**match: Any) -> dict[str, Any]:
    """A tls rule with one match block."""
    return {"match": [{"sniHosts": ["a"], **match}], "route": ROUTE}


class VirtualServiceTests(SynchronousTestCase):
    """What is read."""

    def test_all_fields(self) -> None:
        """Each is read under its Istio name."""
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
                "tls": [{"match": [{"sniHosts": ["a.example.com"], **block}], "route": ROUTE}],
                "tcp": [
                    {
                        "match": [{**block, "sourceSubnet": "10.1.0.0/16"}],
                        "route": [{"destination": destination, "weight": 3}, *ROUTE],
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
            spec = spec_of("VirtualService", {"hosts": ["a"], "tcp": [{"route": ROUTE}], **lists})
            self.assertEqual((spec.gateways, spec.export_to, spec.tcp[0].match), ((), ("*",), ()))

    def test_what_is_required(self) -> None:
        """Rules; in them routes; in tls rules server names; in routes hosts."""
        self.assertEqual(faults("VirtualService", {}), {("spec", "MG1041")})
        self.assertEqual(
            faults("VirtualService", spec(tcp=[{}], tls=[{}])),
            {("spec.tcp[0].route", "MG1002"), ("spec.tls[0].match", "MG1002"), ("spec.tls[0].route", "MG1002")},
        )
        self.assertEqual(
            faults("VirtualService", spec(tcp=[{"route": []}], tls=[{"match": [{}], "route": ROUTE}])),
            {("spec.tcp[0].route", "MG1006"), ("spec.tls[0].match[0].sniHosts", "MG1002")},
        )
        routes = [{}, {"destination": {}}, {"destination": {"host": ""}}, None]
        self.assertEqual(
            faults("VirtualService", spec(tcp=[{"route": routes}])),
            {
                ("spec.tcp[0].route[0].destination", "MG1002"),
                ("spec.tcp[0].route[1].destination.host", "MG1002"),
                ("spec.tcp[0].route[2].destination.host", "MG1021"),
                ("spec.tcp[0].route[3]", "MG1003"),
            },
        )

    def test_ports_and_weights(self) -> None:
        """A destination's port is from 1, a match block's 0 is any, a weight is never negative."""
        self.assertEqual(spec_of("VirtualService", spec(tls=[tls_rule(port=0)])).tls[0].match[0].port, 0)
        self.assertEqual(
            faults("VirtualService", spec(tls=[tls_rule(port=65536)])), {("spec.tls[0].match[0].port", "MG1005")}
        )
        route = {"destination": {"host": "a", "port": {"number": 0}}, "weight": -1}
        self.assertEqual(
            faults("VirtualService", spec(tcp=[{"route": [route]}])),
            {("spec.tcp[0].route[0].destination.port.number", "MG1005"), ("spec.tcp[0].route[0].weight", "MG1005")},
        )

    def test_http_rules_are_taken_and_reported(self) -> None:
        """Whatever they say, as they are not served; the rest serves."""
        reading = judge("VirtualService", spec(http=[{"match": [{"any": ["thing"]}]}, {}], tcp=[{"route": ROUTE}]))
        assert reading.resource is not None
        self.assertEqual((len(reading.resource.spec.http_rules), len(reading.resource.spec.tcp)), (2, 1))
        (problem,) = reading.problems
        self.assertEqual((problem.severity, problem.code, problem.path), (Severity.INFO, "MG1010", "spec.http"))
        self.assertEqual(problem.message, "http routes are not served by an L4 gateway")
        self.assertEqual(faults("VirtualService", {"http": {}}), {("spec.http", "MG1003")})
