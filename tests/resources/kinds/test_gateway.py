"""The fields of a Gateway; the rules between them have tests of their own."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.gateway import GatewaySpec, TLSMode, TLSProtocol
from tests.judging import faults, spec_of


def server(number: Any = 443, protocol: str = "TLS", **rest: Any) -> dict[str, Any]:
    """A server that is valid for the protocol TLS."""
    port = {"number": number, "protocol": protocol, "name": f"{protocol}-{number}"}
    return {"port": port, "hosts": ["*"], **({"tls": {}} if protocol in ("TLS", "HTTPS") else {}), **rest}


def server_faults(*servers: Any) -> set[tuple[str, str]]:
    """What is said of a Gateway with these servers, the paths from the servers on."""
    prefix = "spec.servers"
    return {(path.removeprefix(prefix), code) for path, code in faults("Gateway", {"servers": list(servers)})}


class GatewayTests(SynchronousTestCase):
    """What is read."""

    def test_all_fields(self) -> None:
        """Each is read under its Istio name, even where they contradict each other."""
        tls = {
            "httpsRedirect": True,
            "mode": "MUTUAL",
            "serverCertificate": "a",
            "privateKey": "b",
            "caCertificates": "c",
            "caCrl": "d",
            "credentialName": "e",
            "credentialNames": ["f"],
            "caCertCredentialName": "g",
            "tlsCertificates": [{"serverCertificate": "h", "privateKey": "i", "caCertificates": "j"}],
            "subjectAltNames": ["k"],
            "verifyCertificateSpki": ["l"],
            "verifyCertificateHash": ["m"],
            "minProtocolVersion": "TLSV1_2",
            "maxProtocolVersion": "TLSV1_3",
            "cipherSuites": ["n"],
            "insecureSkipVerify": True,
        }
        whole = server(tls=tls, bind="10.0.0.1", defaultEndpoint="o", name="p")
        spec = GatewaySpec.model_validate({"servers": [whole], "selector": {"istio": "ingressgateway"}})
        self.assertEqual(spec.selector, {"istio": "ingressgateway"})
        read = spec.servers[0]
        self.assertEqual((read.bind, read.default_endpoint, read.name, read.hosts), ("10.0.0.1", "o", "p", ("*",)))
        self.assertEqual((read.port.number, read.port.protocol, read.port.name), (443, "TLS", "TLS-443"))
        assert read.tls is not None
        self.assertEqual(read.tls.mode, TLSMode.MUTUAL)
        self.assertEqual(read.tls.max_protocol_version, TLSProtocol.TLSV1_3)
        dumped = read.tls.model_dump(mode="json", by_alias=True)
        self.assertEqual(dumped, tls)

    def test_defaults(self) -> None:
        """Every gateway, pass through, on every address."""
        spec = spec_of("Gateway", {"servers": [server()]})
        self.assertEqual(spec.selector, {})
        self.assertEqual((spec.servers[0].tls.mode, spec.servers[0].bind), ("PASSTHROUGH", ""))

    def test_what_is_required(self) -> None:
        """Servers; a port, hosts; the port's name, protocol and number."""
        self.assertEqual(faults("Gateway", {}), {("spec.servers", "MG1002")})
        self.assertEqual(faults("Gateway", {"servers": []}), {("spec.servers", "MG1006")})
        self.assertEqual(server_faults({}), {("[0].port", "MG1002"), ("[0].hosts", "MG1002")})
        self.assertEqual(
            server_faults({"port": {}, "hosts": []}),
            {
                ("[0].port.name", "MG1002"),
                ("[0].port.protocol", "MG1002"),
                ("[0].port.number", "MG1026"),
                ("[0].hosts", "MG1006"),
            },
        )
        nameless = {"port": {"name": "", "protocol": "TCP"}, "hosts": ["*"]}
        self.assertEqual(server_faults(nameless), {("[0].port.name", "MG1006"), ("[0].port.number", "MG1026")})

    def test_protocols(self) -> None:
        """Known ones in any case, kept in upper case."""
        self.assertEqual(spec_of("Gateway", {"servers": [server(80, "http2")]}).servers[0].port.protocol, "HTTP2")
        for wrong in ("POSTGRES", "kafka", "", "HBONE"):
            self.assertEqual(server_faults(server(80, wrong)), {("[0].port.protocol", "MG1004")})

    def test_modes_are_exact(self) -> None:
        """Names in their own case only."""
        for wrong in ("passthrough", "FOO", 17, ""):
            self.assertEqual(server_faults(server(tls={"mode": wrong})), {("[0].tls.mode", "MG1004")})
