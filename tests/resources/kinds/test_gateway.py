"""The fields of a Gateway; the rules between them have tests of their own."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.tls import TLSMode, TLSProtocol
from meshgate.resources.problem import Origin
from meshgate.resources.reader import read_document
from tests.configurations import document
from tests.reading import codes_of, faults_of, problems_of, spec_of


def valid_server(number: Any = 443, protocol: str = "TLS", **rest: Any) -> dict[str, Any]:
    """A server that is valid for the protocol TLS."""
    port = {"number": number, "protocol": protocol, "name": f"{protocol}-{number}"}
    return {"port": port, "hosts": ["*"], **({"tls": {}} if protocol in ("TLS", "HTTPS") else {}), **rest}


def server_faults(*servers: Any) -> set[tuple[str, str]]:
    """Path and code of each problem of a Gateway with these servers, with paths from the servers on."""
    prefix = "spec.servers"
    return {(path.removeprefix(prefix), code) for path, code in codes_of("Gateway", {"servers": list(servers)})}


class GatewayTests(SynchronousTestCase):
    """The fields."""

    def test_all_fields(self) -> None:
        """Each field is read by its Istio name, even where fields contradict each other."""
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
        whole = valid_server(tls=tls, bind="10.0.0.1", defaultEndpoint="o", name="p")
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
        spec = spec_of("Gateway", {"servers": [valid_server()]})
        self.assertEqual(spec.selector, {})
        self.assertEqual((spec.servers[0].tls.mode, spec.servers[0].bind), ("PASSTHROUGH", ""))

    def test_what_is_required(self) -> None:
        """Servers; a port, hosts; the port's name, protocol and number."""
        self.assertEqual(codes_of("Gateway", {}), {("spec.servers", "MG1002")})
        self.assertEqual(codes_of("Gateway", {"servers": []}), {("spec.servers", "MG1006")})
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
        self.assertEqual(spec_of("Gateway", {"servers": [valid_server(80, "http2")]}).servers[0].port.protocol, "HTTP2")
        for wrong in ("POSTGRES", "kafka", "", "HBONE"):
            self.assertEqual(server_faults(valid_server(80, wrong)), {("[0].port.protocol", "MG1004")})

    def test_modes_are_exact(self) -> None:
        """Names in their own case only."""
        for wrong in ("passthrough", "FOO", 17, ""):
            self.assertEqual(server_faults(valid_server(tls={"mode": wrong})), {("[0].tls.mode", "MG1004")})


TLS_PROTOCOLS = ("TLS", "https")
PLAIN_PROTOCOLS = ("TCP", "MONGO", "Redis", "MYSQL", "udp")
HTTP_PROTOCOLS = ("HTTP", "HTTP2", "grpc", "GRPC-WEB", "HTTP_PROXY")
UNKNOWN_PROTOCOLS = ("POSTGRES", "HBONE", "kafka", "")

PASSING: tuple[dict[str, Any], ...] = (
    {},
    {"mode": "PASSTHROUGH"},
    {"mode": "AUTO_PASSTHROUGH"},
    {"httpsRedirect": True},
)
ENDING = (
    {"mode": "SIMPLE", "credentialName": "c"},
    {"mode": "MUTUAL", "credentialName": "c"},
    {"mode": "OPTIONAL_MUTUAL", "credentialName": "c"},
    {"mode": "ISTIO_MUTUAL"},
)


def server(protocol: str = "TCP", tls: Any = None, hosts: Any = ("*",), **fields: Any) -> dict[str, Any]:
    """A server."""
    port = {"number": 443, "name": "p", "protocol": protocol, **fields.pop("port", {})}
    return {"port": port, "hosts": list(hosts), **({} if tls is None else {"tls": tls}), **fields}


def faults(*servers: dict[str, Any]) -> list[str]:
    """The errors of a Gateway with these servers."""
    return faults_of("Gateway", {"servers": list(servers)})


class ProtocolTests(SynchronousTestCase):
    """Protocols and the tls settings that go with them."""

    def test_tls_needs_settings(self) -> None:
        """Any that are right by themselves will do."""
        for protocol in TLS_PROTOCOLS:
            self.assertEqual(faults(server(protocol)), ["MG1028 servers[0].tls"])
            for tls in (*PASSING, *ENDING):
                self.assertEqual(faults(server(protocol, tls)), [], (protocol, tls))

    def test_plain_protocols_take_no_settings(self) -> None:
        """Not even empty ones."""
        for protocol in PLAIN_PROTOCOLS:
            self.assertEqual(faults(server(protocol)), [])
            for tls in (*PASSING, *ENDING):
                self.assertEqual(faults(server(protocol, tls)), ["MG1029 servers[0].tls"], (protocol, tls))

    def test_http_takes_a_redirection_alone(self) -> None:
        """Settings that end TLS, or name files, are for HTTPS."""
        for protocol in HTTP_PROTOCOLS:
            for tls in (None, *PASSING):
                self.assertEqual(faults(server(protocol, tls)), [], (protocol, tls))
            for tls in (*ENDING, {"caCertificates": "ca.crt"}):
                self.assertEqual(faults(server(protocol, tls)), ["MG1029 servers[0].tls"], (protocol, tls))

    def test_other_protocols_are_refused(self) -> None:
        """An unknown protocol is the only fault, whatever the tls settings."""
        for protocol in UNKNOWN_PROTOCOLS:
            for tls in (None, *PASSING, *ENDING):
                self.assertEqual(faults(server(protocol, tls)), ["MG1004 servers[0].port.protocol"])

    def test_redirections_belong_to_http(self) -> None:
        """They are pointless anywhere else, where HTTPS arrives too."""
        for protocol, warned in (("HTTP", []), ("HTTPS", ["MG1030"]), ("TLS", ["MG1030"])):
            problems = problems_of("Gateway", {"servers": [server(protocol, {"httpsRedirect": True})]})
            self.assertEqual([problem.code for problem in problems], warned, protocol)


class PortTests(SynchronousTestCase):
    """Ports, their names, and addresses to bind to."""

    def test_addresses(self) -> None:
        """IPv4, IPv6 and Unix sockets, the last without a port number."""
        for bind in ("", "0.0.0.0", "::", "2001:db8::1"):
            self.assertEqual(faults(server(bind=bind)), [], bind)
        for bind in ("unix:///run/gw", "unix://@gw"):
            self.assertEqual(faults(server(bind=bind, port={"number": 0})), [], bind)
        for bind in ("localhost", "10.0.0.0/8", "[::1]", "unix:/run/gw", "unix://", "unix:///run/"):
            self.assertIn("MG1025 servers[0].bind", faults(server(bind=bind)), bind)

    def test_port_numbers(self) -> None:
        """A port number goes with an IP address, and none with a Unix socket."""
        self.assertEqual(faults(server(port={"number": 0})), ["MG1026 servers[0].port.number"])
        self.assertEqual(faults(server(bind="::", port={"number": 0})), ["MG1026 servers[0].port.number"])
        self.assertEqual(faults(server(bind="unix://@gw")), ["MG1026 servers[0].port.number"])
        self.assertEqual(faults(server(port={"number": "443"})), [])

    def test_names_are_unique(self) -> None:
        """Names may not repeat; numbers and hosts may."""
        self.assertEqual(faults(server(), server()), ["MG1009 servers[1].port.name"])
        self.assertEqual(faults(server(), server(port={"name": "q"})), [])

    def test_every_server_is_judged(self) -> None:
        """Faults of one server hide none of the next."""
        found = faults(server("TLS"), server("TCP", {}, port={"name": "q", "targetPort": 1}))
        self.assertEqual(found, ["MG1027 servers[1].port.targetPort", "MG1028 servers[0].tls", "MG1029 servers[1].tls"])


class HostTests(SynchronousTestCase):
    """Hosts of servers."""

    def test_good_hosts(self) -> None:
        """Names with a dot, wildcards of whole labels, IPv4 addresses, each with or without a namespace."""
        for host in (
            "*",
            "a.example.com",
            "*.com",
            "A.example.com.",
            "10.0.0.1",
            "ns/*",
            "./a.example.com",
            "*/*.example.com",
        ):
            self.assertEqual(faults(server(hosts=[host])), [], host)

    def test_bad_hosts(self) -> None:
        """Short names, partial wildcards, bad labels and bad namespaces."""
        for host in (
            "",
            "localhost",
            "::1",
            "*example.com",
            "*-a.example.com",
            "**.example.com",
            "a.*.com",
            "*.*.com",
            "-a.example.com",
            "a..example.com",
            "example.123",
            "/a.example.com",
            "ns/",
            "ns1/a/b.c",
            "n.s/a.example.com",
            "~/*",
        ):
            self.assertEqual(faults(server(hosts=[host])), ["MG1024 servers[0].hosts[0]"], host)

    def test_hints_name_what_was_meant(self) -> None:
        """URLs, ports and underscores are common."""
        for host, meant in {
            "https://a.example.com/x": "a.example.com",
            "a.example.com:443": "a.example.com",
            "ns/my_app.example.com": "ns/my-app.example.com",
            "*example.com": "*.example.com",
            " a.example.com": "a.example.com",
        }.items():
            (problem,) = problems_of("Gateway", {"servers": [server(hosts=[host])]})
            self.assertEqual(problem.hint, f'did you mean "{meant}"?')


class FieldTests(SynchronousTestCase):
    """Names, enums and defaults."""

    def test_the_name_is_a_label(self) -> None:
        """A name that Kubernetes takes may still be none for a Gateway."""
        for name, wrong in (("1-gw", []), ("gw.infra", ["MG1020"]), ("x" * 64, ["MG1020"])):
            reading = read_document(document("Gateway", name, {"servers": [server()]}), Origin())
            self.assertEqual([problem.code for problem in reading.problems], wrong, name)

    def test_enums_by_number(self) -> None:
        """The numbers of protobuf stand for the names."""
        spec = spec_of("Gateway", {"servers": [server("TLS", {"mode": 1, "credentialName": "c"})]})
        self.assertEqual(spec.servers[0].tls.mode, "SIMPLE")
        self.assertEqual(faults(server("TLS", {"mode": 17})), ["MG1004 servers[0].tls.mode"])

    def test_defaults(self) -> None:
        """Empty settings pass TLS through."""
        spec = spec_of("Gateway", {"servers": [server("tls", {})]})
        self.assertEqual(spec.servers[0].tls.mode, "PASSTHROUGH")
        self.assertEqual((spec.servers[0].bind, dict(spec.selector)), ("", {}))
