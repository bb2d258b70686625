"""Dialing: by address only, failing as soon as it is certain, and saying why."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, TCPTimedOutError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.transport.dialing import DialError, DialRefused, DialTimeout, dial
from tests.fakes import FakeReactor
from tests.peers import LOOPBACK, Origin, Peer, end_all
from tests.support import free_port, reactor


class DialTests(TestCase):
    """Dialing real sockets."""

    def peer(self) -> Peer:
        """A protocol to connect, gone at the end of the test."""
        peer = Peer()
        self.addCleanup(end_all, [peer])
        return peer

    async def test_it_connects_the_protocol_itself(self) -> None:
        """The protocol is on the transport without a wrapper, so that it hears of half-close."""
        origin = Origin(self)
        peer = self.peer()
        self.assertIs(await dial(reactor, LOOPBACK, origin.endpoint.port, peer, 10), peer)
        self.assertIs(peer.transport.protocol, peer)
        upstream = await origin.peer()
        upstream.send(b"hello")
        upstream.finish()
        await peer.got_finish()
        self.assertEqual(peer.received, b"hello")

    async def test_small_writes_are_not_delayed(self) -> None:
        """Nagle's algorithm is off and keep-alive is on."""
        origin = Origin(self)
        peer = await dial(reactor, LOOPBACK, origin.endpoint.port, self.peer(), 10)
        self.assertTrue(peer.transport.getTcpNoDelay())
        self.assertTrue(peer.transport.getTcpKeepAlive())

    async def test_refusal_is_immediate(self) -> None:
        """A port where nobody listens is known at once, not after a pause."""
        port = free_port()
        began = reactor.seconds()
        refusal: Any = await self.assertFailure(dial(reactor, LOOPBACK, port, self.peer(), 10), DialRefused)
        self.assertLess(reactor.seconds() - began, 0.2)
        self.assertIn(f"{LOOPBACK}:{port}: ", str(refusal))
        self.assertIsInstance(refusal.__cause__, ConnectError)

    async def test_silence_is_a_timeout(self) -> None:
        """An endpoint whose queue is full does not answer; that ends after the time given."""
        port = self.deaf_port()
        began = reactor.seconds()
        failure = await self.assertFailure(dial(reactor, LOOPBACK, port, self.peer(), 0.2), DialTimeout)
        self.assertGreaterEqual(reactor.seconds() - began, 0.2)
        self.assertIn(f"{LOOPBACK}:{port}: ", str(failure))

    async def test_cancelling_gives_up(self) -> None:
        """A cancelled attempt leaves nothing behind and calls the protocol no more."""
        peer = self.peer()
        attempt = dial(reactor, LOOPBACK, self.deaf_port(), peer, 10)
        attempt.cancel()
        await self.assertFailure(attempt, CancelledError)
        self.assertIsNone(peer.transport)

    async def test_ipv6_is_dialed(self) -> None:
        """An IPv6 address works as an IPv4 one does, and is written in brackets."""
        failure = await self.assertFailure(dial(reactor, "::1", free_port(), self.peer(), 10), DialRefused)
        self.assertIn("[::1]:", str(failure))

    async def test_a_name_is_refused(self) -> None:
        """A name is never looked up here."""
        failure = await self.assertFailure(dial(reactor, "localhost", 80, self.peer(), 10), DialRefused)
        self.assertIn("not an IP address", str(failure))

    async def test_an_unknown_zone_is_refused(self) -> None:
        """An IPv6 zone that this machine does not have is a refusal as others are."""
        attempt = dial(reactor, "fe80::1%nosuchzone", 80, self.peer(), 10)
        await self.assertFailure(attempt, DialRefused)

    def deaf_port(self) -> int:
        """A port that answers no attempt: its queue is full, and nobody accepts."""
        listening = socket.create_server((LOOPBACK, 0), backlog=0)
        self.addCleanup(listening.close)
        port: int = listening.getsockname()[1]
        filling = socket.create_connection((LOOPBACK, port))
        self.addCleanup(filling.close)
        return port


class FailureTests(SynchronousTestCase):
    """What the reactor reports, in the words of the data plane."""

    def outcome(self, reason: Exception) -> DialError:
        """How a dial fails when the reactor reports this."""
        fake: Any = FakeReactor()
        attempt = dial(fake, "192.0.2.1", 80, Peer(), 10)
        factory = fake.tcpClients[0][2]
        factory.clientConnectionFailed(fake.connectors[0], Failure(reason))
        error: DialError = self.failureResultOf(attempt, DialError).value
        return error

    def test_the_kernels_timeout_is_a_timeout(self) -> None:
        """The kernel may give up before we do."""
        self.assertIsInstance(self.outcome(TCPTimedOutError(110, "Connection timed out")), DialTimeout)

    def test_no_way_to_the_endpoint_is_a_refusal(self) -> None:
        """Unreachable hosts and exhausted descriptors count as refusals, with their reason."""
        error = self.outcome(ConnectError(113, "No route to host"))
        self.assertIsInstance(error, DialRefused)
        self.assertIn("No route to host", str(error))

    def test_the_time_limit_is_the_reactors(self) -> None:
        """Address, port and timeout are passed on as they are."""
        fake: Any = FakeReactor()
        dial(fake, "192.0.2.1", 80, Peer(), 7)
        self.assertEqual((*fake.tcpClients[0][:2], fake.tcpClients[0][3]), ("192.0.2.1", 80, 7))
