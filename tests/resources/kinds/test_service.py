"""Services of Kubernetes, as resources."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.judging import faults, spec_of


class ServiceTests(SynchronousTestCase):
    """Fields and rules."""

    def test_all_fields(self) -> None:
        """The part that is read, among fields that are not."""
        port = {"name": "https", "port": 443, "targetPort": "tls", "protocol": "TCP", "appProtocol": "https"}
        spec = spec_of(
            "Service",
            {
                "selector": {"app": "a"},
                "ports": [{**port, "nodePort": 30443}, {"name": "b", "port": 80, "targetPort": 8080}],
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
            self.assertEqual(faults("Service", {"ports": [port]}), {(f"spec.ports[0].{field}", code)})

    def test_several_ports_need_names(self) -> None:
        """Each port needs a name of its own."""
        ports = [{"port": 80}, {"port": 81, "name": "a"}, {"port": 82, "name": "a"}]
        self.assertEqual(
            faults("Service", {"ports": ports}), {("spec.ports[0].name", "MG1002"), ("spec.ports[2].name", "MG1009")}
        )

    def test_external_name(self) -> None:
        """The type needs the name."""
        self.assertEqual(faults("Service", {"type": "ExternalName"}), {("spec.externalName", "MG1002")})
        spec = spec_of("Service", {"type": "ExternalName", "externalName": "example.com"})
        self.assertEqual(spec.external_name, "example.com")
