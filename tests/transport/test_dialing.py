"""Dialing: by address only, failing as soon as it is certain, and saying why."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectBindError, ConnectError, TCPTimedOutError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.transport.dialing import DialError, DialRefused, DialTimeout, LocalShortage, dial, dial_error
from tests.fakes import FakeReactor
from tests.networks import enter_own_network, set_kernel
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
        """Nagle's algorithm is off."""
        origin = Origin(self)
        peer = await dial(reactor, LOOPBACK, origin.endpoint.port, self.peer(), 10)
        self.assertTrue(peer.transport.getTcpNoDelay())

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
    """The reactor's errors, as the data plane's."""

    def outcome(self, reason: Exception) -> DialError:
        """Return the error of a dial for which the reactor reports this one."""
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
        """Unreachable hosts count as refusals, with their reason and its name."""
        error = self.outcome(ConnectError(113, "No route to host"))
        self.assertIsInstance(error, DialRefused)
        self.assertIn("No route to host", str(error))
        self.assertEqual((error.name, error.ours, error.hopeless), ("EHOSTUNREACH", False, False))

    def test_our_own_time_limit_has_the_kernels_word(self) -> None:
        """The kernel's and our own time limit both are ETIMEDOUT."""
        for reason in (ConnectTimeout(), TCPTimedOutError(110, "Connection timed out")):
            error = self.outcome(reason)
            self.assertEqual((type(error), error.name, error.ours), (DialTimeout, "ETIMEDOUT", False))

    def test_nothing_left_is_a_shortage(self) -> None:
        """Descriptors and memory of ours are not the endpoint's fault, and no other endpoint is worth a dial."""
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            for reason in (ConnectBindError(number, os.strerror(number)), ConnectError(number, os.strerror(number))):
                error = self.outcome(reason)
                self.assertEqual((type(error), error.ours, error.hopeless), (LocalShortage, True, True))
                self.assertEqual(error.name, errno.errorcode[number])

    def test_no_local_port_is_a_shortage_of_one_destination(self) -> None:
        """Another endpoint has local ports of its own."""
        for number in (errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EAGAIN):
            error = dial_error(LOOPBACK, 80, OSError(number, os.strerror(number)))
            self.assertEqual((type(error), error.ours, error.hopeless), (LocalShortage, True, False))

    def test_an_error_without_a_name(self) -> None:
        """A number that the system has no name for is shown as it is."""
        self.assertEqual(dial_error(LOOPBACK, 80, OSError(4095, "?")).name, "E4095")

    def test_the_time_limit_is_the_reactors(self) -> None:
        """Address, port and timeout are passed on as they are."""
        fake: Any = FakeReactor()
        dial(fake, "192.0.2.1", 80, Peer(), 7)
        self.assertEqual((*fake.tcpClients[0][:2], fake.tcpClients[0][3]), ("192.0.2.1", 80, 7))


class NetworkTests(TestCase):
    """The kernel's errors, in a network namespace of the test."""

    def test_a_family_that_is_off(self) -> None:
        """Without IPv6, its addresses cannot be reached, though the kernel's word is that for missing ports."""
        enter_own_network(self)
        set_kernel("ipv6.conf.all.disable_ipv6", "1")
        with socket.socket(socket.AF_INET6) as client:
            number = client.connect_ex(("::1", 80))
        error = dial_error("::1", 80, OSError(number, os.strerror(number)))
        self.assertEqual((type(error), error.name), (DialRefused, "EADDRNOTAVAIL"))
