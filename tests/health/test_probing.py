"""Tests of :mod:`meshgate.health.probing`: checks of real services."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from meshgate.health.probing import MOST_READ, judge_status, probe
from meshgate.routing.connection_policy import HealthCheck
from tests.key_pairs import credential
from tests.peers import LOOPBACK, Origin
from tests.support import free_port, new_folder, reactor, wait_for


class Service(Protocol):
    """Sends what it is made with, and keeps what comes."""

    def __init__(self, service: Services) -> None:
        self._service = service
        self.received = b""
        self.lost = False

    def connectionMade(self) -> None:
        """Greet."""
        self.transport.write(self._service.greeting)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        self.received += data
        self.transport.write(self._service.answer)  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note it."""
        self.lost = True


class Services(Factory):
    """A service, and its connections."""

    def __init__(self, greeting: bytes = b"", answer: bytes = b"") -> None:
        self.greeting, self.answer = greeting, answer
        self.made: list[Service] = []

    def buildProtocol(self, addr: object) -> Any:
        """One more connection."""
        self.made.append(Service(self))
        return self.made[-1]


class Health(Resource):
    """A page that serves only at its own path and host."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """Judge the request."""
        request.setResponseCode(200 if (request.path, request.getHeader("host")) == (b"/up", "a.example.com") else 503)
        return b"x" * 100_000


class ProbeTests(TestCase):
    """Checks of services on loopback addresses."""

    timeout = 60

    def listen(self, factory: Any, tls: Any = None) -> int:
        """Serve."""
        port = (
            reactor.listenTCP(0, factory, interface=LOOPBACK)
            if tls is None
            else reactor.listenSSL(0, factory, tls, interface=LOOPBACK)
        )
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def outcome(self, of: int, **check: Any) -> str:
        """Check the service of a port."""
        return await probe(reactor, HealthCheck(**{"timeout": 10.0, **check}), LOOPBACK, of)

    async def test_a_connection(self) -> None:
        """Who accepts serves, and the check leaves no connection behind; who refuses does not."""
        services = Services()
        port = self.listen(services)
        self.assertEqual(await self.outcome(port), "")
        await wait_for(lambda: [each.lost for each in services.made] == [True], "the end")
        self.assertEqual(await self.outcome(free_port()), "it cannot be connected to: Connection refused")

    async def test_another_port(self) -> None:
        """The check may name a port of its own."""
        port = self.listen(Services())
        self.assertEqual(await self.outcome(free_port(), port=port), "")

    async def test_unix_sockets(self) -> None:
        """A Unix socket is checked likewise, by path or by name, over TLS as well; it has no other port."""
        services = Services(b"220 ready\r\n")
        path, name = f"{new_folder(self)}/x.sock", f"mg-test-probe-{os.getpid()}"
        for listening in (reactor.listenUNIX(path, services), reactor.listenUNIX(f"\0{name}", Site(Health()))):
            self.addCleanup(listening.stopListening)
        check = HealthCheck(timeout=10.0, expect=b"220", port=9)
        self.assertEqual(await probe(reactor, check, f"unix://{path}", 0), "")
        check = HealthCheck(timeout=10.0, protocol="http", path="/up", name="a.example.com", status=(200, 299))
        self.assertEqual(await probe(reactor, check, f"unix://@{name}", 0), "")
        check = HealthCheck(timeout=10.0, protocol="tls")
        self.assertIn("TLS", await probe(reactor, check, f"unix://{path}", 0))
        missing = await probe(reactor, HealthCheck(), "unix:///nowhere.sock", 0)
        self.assertEqual(missing, "it cannot be connected to: No such file or directory")

    async def test_send_and_expect(self) -> None:
        """The answer has to hold what is expected, wherever it comes."""
        services = Services(b"220 ready\r\n", b"+PONG\r\n")
        port = self.listen(services)
        self.assertEqual(await self.outcome(port, send=b"PING\r\n", expect=b"PONG"), "")
        self.assertEqual(services.made[0].received, b"PING\r\n")
        self.assertEqual(await self.outcome(port, expect=b"220"), "")
        found = await self.outcome(port, send=b"PING\r\n", expect=b"PANG", timeout=0.3)
        self.assertEqual(found, "the answer is not complete within 0.3 s")
        await wait_for(lambda: all(each.lost for each in services.made), "the ends")

    async def test_one_who_says_nothing(self) -> None:
        """Silence is a failure when the time is over, and an end of the connection one at once."""
        silent = self.listen(Services())
        self.assertEqual(await self.outcome(silent, expect=b"x", timeout=0.2), "there is no answer within 0.2 s")
        origin = Origin(self)
        checking = probe(reactor, HealthCheck(expect=b"x", timeout=10), LOOPBACK, origin.endpoint.port)
        peer = await origin.peer()
        peer.finish()
        self.assertEqual(await checking, "the endpoint closed the connection: there is no answer")

    async def test_one_who_says_too_much(self) -> None:
        """No more than the first bytes are read."""
        port = self.listen(Services(bytes(MOST_READ)))
        self.assertIn("and not what has to come", await self.outcome(port, expect=b"x"))

    async def test_a_handshake(self) -> None:
        """Certificates do not matter, the handshake does, and the server gets the name; plain text fails."""
        asked: list[object] = []
        port = self.listen(Services(b"hello"), self.tls(asked))
        self.assertEqual(await self.outcome(port, protocol="tls", name="a.example.com"), "")
        self.assertEqual(await self.outcome(port, protocol="tls", expect=b"ell"), "")
        self.assertEqual(asked, [b"a.example.com", None])
        plain = self.listen(Services(b"220 this is not TLS\r\n"))
        found = await self.outcome(plain, protocol="tls")
        self.assertEqual(found, "the endpoint closed the connection: there is no TLS handshake")

    def tls(self, asked: list[object]) -> CertificateOptions:
        """The settings of a server that notes the names it is asked for."""
        made = credential()
        from OpenSSL.crypto import X509, PKey

        options = CertificateOptions(PKey.from_cryptography_key(made.key), X509.from_cryptography(made.certificate))
        options.getContext().set_tlsext_servername_callback(lambda each: asked.append(each.get_servername()))
        return options

    async def test_a_page(self) -> None:
        """The status decides, over TCP and over TLS; the rest of a large page is not waited for."""
        for protocol, tls in (("http", None), ("https", self.tls([]))):
            port = self.listen(Site(Health()), tls)
            check = {"protocol": protocol, "name": "a.example.com"}
            self.assertEqual(await self.outcome(port, path="/up", **check), "")
            self.assertEqual(await self.outcome(port, path="/", **check), "the answer has the status 503")
            self.assertEqual(await self.outcome(port, path="/", status=(500, 599), **check), "")

    async def test_it_can_be_given_up(self) -> None:
        """A check that is given up leaves nothing behind, connected or not."""
        services = Services()
        port = self.listen(services)
        for connected in (False, True):
            checking = probe(reactor, HealthCheck(expect=b"x", timeout=10), LOOPBACK, port)
            if connected:
                await wait_for(lambda: services.made, "the connection")
            checking.cancel()
            self.assertEqual(await checking, "the check was given up")
        await wait_for(lambda: all(each.lost for each in services.made), "the ends")


class StatusTests(SynchronousTestCase):
    """The first line of an answer."""

    def test_lines(self) -> None:
        """Good, bad, not HTTP, and not complete yet."""
        for received, expected in [
            (b"HTTP/1.1 200 OK\r\n", ""),
            (b"HTTP/1.0 204\r\nX: y", ""),
            (b"HTTP/1.1 302 Found\n", ""),
            (b"HTTP/1.1 404 Not Found\r\n", "the answer has the status 404"),
            (b"HTTP/1.1 2000 OK\r\n", "the answer is not HTTP"),
            (b"SSH-2.0-x\r\n", "the answer is not HTTP"),
            (b"SSH-2", "the answer is not HTTP"),
            (b"\n", "the answer is not HTTP"),
            (b"", None),
            (b"HTT", None),
            (b"HTTP/1.1 200", None),
        ]:
            self.assertEqual(judge_status(received, (200, 399)), expected, received)

    @given(st.binary(max_size=40))
    def test_any_bytes(self, received: bytes) -> None:
        """Nothing that comes makes it fail, and a verdict stays what it is when more comes."""
        before = None
        for end in range(len(received) + 1):
            verdict = judge_status(received[:end], (200, 299))
            if before is not None:
                self.assertEqual(verdict, before)
            before = verdict
