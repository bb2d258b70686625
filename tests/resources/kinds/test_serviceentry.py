"""ServiceEntries and WorkloadEntries: their fields, and the rules between them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.serviceentry import Location, Resolution
from tests.reading import faults_of, problems_of, spec_of

TLS = {"number": 443, "name": "tls", "protocol": "TLS"}
DB = {"number": 5432, "name": "db", "protocol": "TCP"}


def entry(**fields: Any) -> dict[str, Any]:
    """A ServiceEntry's spec."""
    return {"hosts": ["db.example.com"], "ports": [TLS], **fields}


def faults(**fields: Any) -> list[str]:
    """The errors of a ServiceEntry."""
    return faults_of("ServiceEntry", entry(**fields))


def codes(metadata: dict[str, Any], **fields: Any) -> list[str]:
    """The codes of all problems of a ServiceEntry."""
    return sorted(problem.code for problem in problems_of("ServiceEntry", entry(**fields), **metadata))


class FieldTests(SynchronousTestCase):
    """The fields."""

    def test_every_field(self) -> None:
        """With endpoints that have everything an endpoint can have."""
        endpoint = {
            "address": "10.0.0.1",
            "ports": {"tls": 8443},
            "labels": {"version": "v1"},
            "network": "far",
            "locality": "eu/a",
            "weight": "3",
            "serviceAccount": "db",
        }
        spec = spec_of(
            "ServiceEntry",
            entry(
                addresses=["10.1.0.0/16", "2001:db8::1"],
                ports=[{**TLS, "targetPort": 8443}],
                location="MESH_INTERNAL",
                resolution="STATIC",
                endpoints=[endpoint],
                exportTo=["~"],
                subjectAltNames=["db"],
            ),
        )
        self.assertEqual((spec.location, spec.resolution), (Location.MESH_INTERNAL, Resolution.STATIC))
        self.assertEqual((spec.ports[0].target_port, spec.subject_alt_names, spec.export_to), (8443, ("db",), ("~",)))
        (read,) = spec.endpoints
        self.assertEqual((dict(read.ports), read.weight, read.locality), ({"tls": 8443}, 3, "eu/a"))

    def test_choices_go_by_number_too(self) -> None:
        """As protobuf's JSON form has it."""
        spec = spec_of("ServiceEntry", entry(location=1, resolution=3))
        self.assertEqual((spec.location, spec.resolution), (Location.MESH_INTERNAL, Resolution.DNS_ROUND_ROBIN))
        self.assertEqual(faults(resolution=5), ["MG1004 resolution"])


class ResolutionTests(SynchronousTestCase):
    """Endpoints and hosts that go with each resolution."""

    def test_endpoints(self) -> None:
        """Each resolution allows its own form of addresses."""
        by_dns = ("DNS", "DNS_ROUND_ROBIN")
        allowed = {
            "10.0.0.1": ("STATIC", *by_dns),
            "2001:db8::1": ("STATIC", *by_dns),
            "db-1.example.com": by_dns,
            "db-1": by_dns,
            "unix:///run/db": ("STATIC",),
            "unix://@db": ("STATIC",),
            "unix://run/db": (),
            "*.example.com": (),
            "10.0.0.1:5432": (),
            "": (),
        }
        for address, resolutions in allowed.items():
            for resolution in ("NONE", "STATIC", *by_dns):
                found = faults(resolution=resolution, endpoints=[{"address": address}])
                self.assertEqual(found == [], resolution in resolutions, f"{resolution} {address} {found}")

    def test_a_network_may_stand_for_an_address(self) -> None:
        """Only where nothing has to be looked up."""
        self.assertEqual(codes({}, resolution="STATIC", endpoints=[{"network": "far"}]), ["MG1096"])
        self.assertEqual(faults(resolution="DNS", endpoints=[{"network": "far"}]), ["MG1002 endpoints[0].address"])

    def test_a_unix_socket_is_for_one_port(self) -> None:
        """Neither for none nor for several."""
        socket = {"resolution": "STATIC", "endpoints": [{"address": "unix:///run/db"}]}
        self.assertEqual(faults(**socket), [])
        for ports in ([], [TLS, DB]):
            self.assertEqual(faults(ports=ports, **socket), ["MG1095 endpoints[0].address"])

    def test_hosts_that_are_looked_up(self) -> None:
        """A wildcard needs endpoints, except where each connection says where it goes."""
        wildcard = ["*.example.com"]
        self.assertEqual(faults(hosts=wildcard, resolution="DNS"), ["MG1086 hosts[0]"])
        self.assertEqual(faults(hosts=wildcard, resolution="DNS", endpoints=[{"address": "db"}]), [])
        self.assertEqual(faults(hosts=wildcard, resolution="DYNAMIC_DNS"), [])
        self.assertEqual(faults(hosts=wildcard), [])

    def test_dynamic_hosts_inside_the_mesh(self) -> None:
        """Dynamic names work without a waypoint, or with the label value that means none."""
        dynamic = {"hosts": ["*.example.com"], "resolution": "DYNAMIC_DNS", "location": "MESH_INTERNAL"}
        for waypoint, expected in (("none", []), ("mine", ["MG1087"])):
            self.assertEqual(codes({"labels": {"istio.io/use-waypoint": waypoint}}, **dynamic), expected)
        self.assertEqual(codes({}, **dynamic), [])

    def test_dynamic_hosts_have_protocols_that_name_them(self) -> None:
        """TCP does not say which host is meant, nor does a port without protocol."""
        for protocol, expected in (("GRPC", []), ("http2", []), ("MONGO", ["MG1087 ports[0].protocol"])):
            port = {"number": 1, "name": "p", "protocol": protocol}
            self.assertEqual(faults(hosts=["*.a.com"], resolution="DYNAMIC_DNS", ports=[port]), expected)

    def test_rules_about_an_unknown_resolution_are_silent(self) -> None:
        """With an unknown resolution, endpoints and hosts are not checked, but other faults are still found."""
        found = faults(
            hosts=["a.example.com", "b.example.com"],
            resolution="MAGIC",
            ports=[DB, {"number": 5432, "name": "d.b"}],
            endpoints=[{"address": "unix:///run/db", "ports": {"dbb": 0}}, {"ports": {"other": 1}}, 5],
        )
        self.assertEqual(
            found,
            [
                "MG1003 endpoints[2]",
                "MG1004 resolution",
                "MG1005 endpoints[0].ports.dbb",
                "MG1009 ports[1].number",
                "MG1020 ports[1].name",
            ],
        )


class PortTests(SynchronousTestCase):
    """Ports of services and of their endpoints."""

    def test_names_and_numbers_are_unique(self) -> None:
        """Both names and numbers of ports are unique."""
        self.assertEqual(faults(ports=[TLS, TLS]), ["MG1009 ports[1].name", "MG1009 ports[1].number"])

    def test_several_hosts_need_ports_that_name_them(self) -> None:
        """Unless nothing is resolved, and the hosts do not matter."""
        hosts = ["a.example.com", "b.example.com"]
        self.assertEqual(faults(hosts=hosts, resolution="DNS", ports=[TLS, DB]), ["MG1091 ports[1]"])
        self.assertEqual(faults(hosts=hosts, resolution="DNS", ports=[TLS]), [])
        self.assertEqual(faults(hosts=hosts, ports=[DB]), [])

    def test_addresses_tell_ports_apart(self) -> None:
        """Istio gives addresses by itself where names are resolved and nobody has forbidden it."""
        opt_out = {"labels": {"networking.istio.io/enable-autoallocate-ip": "False"}}
        self.assertEqual(codes({}, ports=[DB]), ["MG1090"])
        self.assertEqual(codes({}, ports=[DB], addresses=["10.0.0.1"]), [])
        self.assertEqual(codes({}, ports=[DB], resolution="DNS"), [])
        self.assertEqual(codes(opt_out, ports=[DB], resolution="DNS"), ["MG1090"])
        self.assertEqual(codes(opt_out, ports=[TLS], resolution="DNS"), [])

    def test_endpoints_name_the_ports_of_the_service(self) -> None:
        """By names that are names."""
        endpoint = {"address": "10.0.0.1", "ports": {"tls": 8443, "t.l.s": 1}}
        found = faults(resolution="STATIC", endpoints=[endpoint])
        self.assertEqual(found, ['MG1020 endpoints[0].ports["t.l.s"]', 'MG1093 endpoints[0].ports["t.l.s"]'])


class SelectorTests(SynchronousTestCase):
    """Endpoints by labels."""

    def test_a_selector_goes_with_resolution(self) -> None:
        """By the DNS as well as by addresses."""
        selector = {"labels": {"app": "db"}}
        for resolution in ("STATIC", "DNS"):
            self.assertEqual(codes({}, resolution=resolution, workloadSelector=selector), [])
        self.assertEqual(codes({}, workloadSelector=selector), ["MG1098"])

    def test_labels_of_endpoints_have_a_form(self) -> None:
        """That of Kubernetes."""
        endpoint = {"address": "10.0.0.1", "labels": {"a b": "c"}}
        self.assertEqual(faults(resolution="STATIC", endpoints=[endpoint]), ['MG1023 endpoints[0].labels["a b"]'])


class WorkloadEntryTests(SynchronousTestCase):
    """WorkloadEntries by themselves."""

    def test_addresses(self) -> None:
        """A WorkloadEntry may have any address that an endpoint of some ServiceEntry may have."""
        for address in ("10.0.0.1", "::1", "db", "db.example.com.", "unix:///run/db", "unix://@db"):
            self.assertEqual(faults_of("WorkloadEntry", {"address": address}), [], address)
        for address, code in (("", "MG1002"), ("a_b", "MG1094"), ("*.a.com", "MG1094"), ("unix://", "MG1095")):
            self.assertEqual(faults_of("WorkloadEntry", {"address": address}), [f"{code} address"], address)

    def test_ports_and_labels(self) -> None:
        """Names, numbers and labels are checked even where the address is wrong."""
        spec = {"address": 5, "ports": {"a.b": 1, "c": 70000}, "labels": {"x": "y z"}}
        self.assertEqual(
            faults_of("WorkloadEntry", spec),
            ["MG1003 address", "MG1005 ports.c", 'MG1020 ports["a.b"]', "MG1023 labels.x"],
        )
