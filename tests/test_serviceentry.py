"""ServiceEntries."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.judging import faults, spec_of

PORT = {"number": 443, "name": "tls", "protocol": "TLS"}


def entry(**fields: Any) -> dict[str, Any]:
    """The spec of a valid ServiceEntry with other fields."""
    return {"hosts": ["a.example.com"], "ports": [PORT], "resolution": "STATIC", **fields}


class ServiceEntryTests(SynchronousTestCase):
    """Fields and rules."""

    def test_all_fields(self) -> None:
        """Each is read under its Istio name."""
        whole = {
            "hosts": ["a.example.com"],
            "addresses": ["10.0.0.1"],
            "ports": [{**PORT, "targetPort": 8443}],
            "location": "MESH_INTERNAL",
            "resolution": "DNS_ROUND_ROBIN",
            "exportTo": ["~"],
            "subjectAlternativeNames": ["b"],
            "workloadSelector": {"labels": {"app": "a"}},
        }
        spec = spec_of("ServiceEntry", whole)
        dumped = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
        self.assertEqual(dumped, whole)
        spec = spec_of("ServiceEntry", entry(endpoints=[{"address": "10.0.0.1", "ports": {"tls": 8443}}]))
        self.assertEqual((spec.endpoints[0].address, spec.endpoints[0].ports["tls"]), ("10.0.0.1", 8443))

    def test_defaults(self) -> None:
        """Outside the mesh, without resolution, for every namespace."""
        spec = spec_of("ServiceEntry", {"hosts": ["a.example.com"], "ports": [{"number": 80, "name": "x"}]})
        self.assertEqual((spec.location, spec.resolution, spec.export_to), ("MESH_EXTERNAL", "NONE", ("*",)))
        self.assertEqual((spec.ports[0].protocol, spec.ports[0].target_port), ("", 0))
        self.assertIsNone(spec.workload_selector)

    def test_hosts(self) -> None:
        """At least one, and not every."""
        self.assertEqual(faults("ServiceEntry", {}), {("spec.hosts", "MG1002")})
        self.assertEqual(faults("ServiceEntry", entry(hosts=[])), {("spec.hosts", "MG1006")})
        self.assertEqual(faults("ServiceEntry", entry(hosts=["a"] * 257)), {("spec.hosts", "MG1006")})
        self.assertEqual(faults("ServiceEntry", entry(hosts=["a", "*"])), {("spec.hosts[1]", "MG1006")})

    def test_ports(self) -> None:
        """Names and numbers once each; a protocol is known or left out."""
        ports = [PORT, {**PORT, "number": 444}, {**PORT, "name": "x"}, {"number": 1, "name": "y", "protocol": "foo"}]
        self.assertEqual(faults("ServiceEntry", entry(ports=ports)), {("spec.ports[3].protocol", "MG1004")})
        self.assertEqual(
            faults("ServiceEntry", entry(ports=ports[:3])),
            {("spec.ports[1].name", "MG1009"), ("spec.ports[2].number", "MG1009")},
        )
        self.assertEqual(faults("ServiceEntry", entry(ports=[None])), {("spec.ports[0]", "MG1003")})

    def test_endpoints(self) -> None:
        """Not beside a selector, not without resolution, with the names of the ports, and no ports on Unix sockets."""
        endpoints = [{"address": "10.0.0.1", "ports": {"http": 80}}, {"address": "unix:///a", "ports": {"tls": 1}}]
        self.assertEqual(
            faults("ServiceEntry", entry(endpoints=endpoints, workloadSelector={"labels": {"a": "b"}})),
            {
                ("spec.workloadSelector", "MG1008"),
                ("spec.endpoints[0].ports.http", "MG1006"),
                ("spec.endpoints[1].ports", "MG1008"),
            },
        )
        self.assertEqual(
            faults("ServiceEntry", entry(resolution="NONE", endpoints=[{"address": "10.0.0.1"}])),
            {("spec.endpoints[0]", "MG1008")},
        )

    def test_enumerations_are_exact(self) -> None:
        """Names in their own case only."""
        self.assertEqual(
            faults("ServiceEntry", entry(resolution="static", location="FOO")),
            {("spec.resolution", "MG1004"), ("spec.location", "MG1004")},
        )
