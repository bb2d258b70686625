"""EndpointSlices."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.judging import faults, spec_of


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
        self.assertEqual(faults("EndpointSlice", {}), {("addressType", "MG1002")})
        wrong = {"addressType": "ipv4", "endpoints": [{}, {"addresses": []}], "ports": [{"port": 0}]}
        self.assertEqual(
            faults("EndpointSlice", wrong),
            {
                ("addressType", "MG1004"),
                ("endpoints[0].addresses", "MG1002"),
                ("endpoints[1].addresses", "MG1006"),
                ("ports[0].port", "MG1005"),
            },
        )
