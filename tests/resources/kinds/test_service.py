"""Services and EndpointSlices of Kubernetes, as resources."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.reading import faults_of, spec_of


class ServiceTests(SynchronousTestCase):
    """Fields and rules."""

    def test_all_fields(self) -> None:
        """The part that is read, among fields that are not."""
        port = {"name": "https", "port": 443, "targetPort": "tls", "nodePort": 30443, "protocol": "TCP"}
        port["appProtocol"] = "https"
        spec = spec_of(
            "Service",
            {
                "selector": {"app": "a"},
                "ports": [{**port, "clientIP": "any"}, {"name": "b", "port": 80, "targetPort": 8080}],
                "type": "NodePort",
                "clusterIP": "10.0.0.1",
                "ipFamilies": ["IPv4"],
                "anything": {"else": 1},
            },
        )
        self.assertEqual((spec.selector, spec.type), ({"app": "a"}, "NodePort"))
        self.assertEqual(spec.ports[0].model_dump(mode="json", by_alias=True), port)
        self.assertEqual(spec.ports[1].target_port, 8080)

    def test_defaults(self) -> None:
        """A Service needs nothing at all."""
        spec = spec_of("Service", {})
        self.assertEqual((spec.selector, spec.ports, spec.type, spec.external_name), ({}, (), "ClusterIP", ""))
        port = spec_of("Service", {"ports": [{"port": 80}]}).ports[0]
        self.assertEqual((port.name, port.target_port, port.protocol, port.app_protocol), ("", None, "TCP", None))

    def test_ports(self) -> None:
        """Numbers within range and unquoted, as Kubernetes has it; a target by number or by name."""
        wrong = [
            ({"port": 0}, "port", "MG1005"),
            ({"port": "80"}, "port", "MG1003"),
            ({}, "port", "MG1002"),
            ({"port": 80, "targetPort": 70000}, "targetPort", "MG1005"),
            ({"port": 80, "targetPort": True}, "targetPort", "MG1003"),
            ({"port": 80, "targetPort": ""}, "targetPort", "MG1003"),
            ({"port": 80, "protocol": "tcp"}, "protocol", "MG1004"),
        ]
        for port, field, code in wrong:
            self.assertEqual(faults_of("Service", {"ports": [port]}), [f"{code} ports[0].{field}"])

    def test_several_ports_need_names(self) -> None:
        """Each port needs a name of its own."""
        ports = [{"port": 80}, {"port": 81, "name": "a"}, {"port": 82, "name": "a"}]
        self.assertEqual(faults_of("Service", {"ports": ports}), ["MG1002 ports[0].name", "MG1009 ports[2].name"])

    def test_external_name(self) -> None:
        """The type needs the name."""
        self.assertEqual(faults_of("Service", {"type": "ExternalName"}), ["MG1002 externalName"])
        spec = spec_of("Service", {"type": "ExternalName", "externalName": "example.com"})
        self.assertEqual(spec.external_name, "example.com")


class EndpointSliceTests(SynchronousTestCase):
    """Fields, which stand at the document's top level."""

    def test_all_fields(self) -> None:
        """The part that is read, among fields that are not."""
        conditions = {"ready": False, "serving": True, "terminating": True}
        spec = spec_of(
            "EndpointSlice",
            {
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": conditions, "nodeName": "n"}],
                "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"}],
                "anything": 1,
            },
        )
        self.assertEqual((spec.address_type, spec.endpoints[0].addresses), ("IPv4", ("10.0.0.1",)))
        self.assertEqual(spec.endpoints[0].conditions.model_dump(), conditions)
        port = spec.ports[0]
        self.assertEqual((port.name, port.port, port.protocol, port.app_protocol), ("http", 80, "TCP", "http"))

    def test_what_kubectl_prints_for_nothing(self) -> None:
        """An empty slice has null for its lists, and a port null for a name."""
        spec = spec_of("EndpointSlice", {"addressType": "IPv6", "endpoints": None, "ports": None})
        self.assertEqual((spec.endpoints, spec.ports), ((), ()))
        spec = spec_of("EndpointSlice", {"addressType": "IPv6", "ports": [{"name": None, "port": None}]})
        self.assertEqual((spec.ports[0].name, spec.ports[0].port), ("", None))

    def test_conditions_may_be_unsaid(self) -> None:
        """Unsaid is neither yes nor no."""
        spec = spec_of("EndpointSlice", {"addressType": "FQDN", "endpoints": [{"addresses": ["a"]}]})
        conditions = spec.endpoints[0].conditions
        self.assertEqual((conditions.ready, conditions.serving, conditions.terminating), (None, None, None))

    def test_faults(self) -> None:
        """The address type is required; addresses and ports have their shape."""
        self.assertEqual(faults_of("EndpointSlice", {}), ["MG1002 addressType"])
        wrong = {"addressType": "ipv4", "endpoints": [{}, {"addresses": []}], "ports": [{"port": 0}]}
        self.assertEqual(
            faults_of("EndpointSlice", wrong),
            [
                "MG1002 endpoints[0].addresses",
                "MG1004 addressType",
                "MG1005 ports[0].port",
                "MG1006 endpoints[1].addresses",
            ],
        )


class EndpointsTests(SynchronousTestCase):
    """Endpoints, which mean the same as the slices that Kubernetes makes of them."""

    def test_slices(self) -> None:
        """One slice for each subset and family; addresses that are not ready are left out."""
        spec = spec_of(
            "Endpoints",
            {
                "subsets": [
                    {
                        "addresses": [{"ip": "10.0.0.1", "hostname": "a"}, {"ip": "2001:db8::1"}],
                        "notReadyAddresses": [{"ip": "10.0.0.9"}],
                        "ports": [{"name": "tcp", "port": 5432, "protocol": "TCP"}],
                    },
                    {"addresses": [{"ip": "10.0.0.2", "targetRef": {"kind": "Pod", "name": "p"}}], "ports": None},
                    {"addresses": None},
                ]
            },
        )
        found = [
            (each.address_type.value, [one.addresses[0] for one in each.endpoints], [port.port for port in each.ports])
            for each in spec.slices()
        ]
        self.assertEqual(
            found, [("IPv4", ["10.0.0.1"], [5432]), ("IPv6", ["2001:db8::1"], [5432]), ("IPv4", ["10.0.0.2"], [])]
        )

    def test_faults(self) -> None:
        """An address needs an IP address, a port a number."""
        wrong = {"subsets": [{"addresses": [{}], "ports": [{"port": 0}]}]}
        self.assertEqual(
            faults_of("Endpoints", wrong), ["MG1002 subsets[0].addresses[0].ip", "MG1005 subsets[0].ports[0].port"]
        )
