"""TLS as Twisted does it, on top of lean transports: its own protocol on both sides of a real connection."""

from __future__ import annotations

import socket
from typing import Any

import trustme
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from meshgate.transport.lean.transport import LeanTransport
from tests.lean_loop import MIB, SMALL, Loop, descriptors, socket_pair
from tests.peers import Peer

NAME = "www.example.com"


class Secured(Peer):
    """
    A peer above TLS.

    :ivar losses: how often it was told of the loss.
    """

    losses = 0

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count it."""
        super().connectionLost(reason)
        self.losses += 1


class TlsTests(SynchronousTestCase):
    """A client and a server, both on lean transports."""

    def setUp(self) -> None:
        """Certificates and two connected sides, which have shaken hands."""
        authority = trustme.CA()
        issued = authority.issue_cert(NAME)
        pem = b"".join(blob.bytes() for blob in (*issued.cert_chain_pems, issued.private_key_pem))
        own = PrivateCertificate.loadPEM(pem)
        trusted = trustRootFromCertificates([Certificate.loadPEM(authority.cert_pem.bytes())])
        self.before = descriptors()
        self.loop = Loop(self)
        ours, theirs = socket_pair(SMALL)
        self.server, self.server_transport = self.side(ours, own.options(), False)
        self.client, self.client_transport = self.side(theirs, optionsForClientTLS(NAME, trusted), True)
        self.client.send(b"ping")
        self.loop.until(lambda: self.server.received, "the first byte")
        self.server.send(b"pong")
        self.loop.until(lambda: self.client.received, "the answer")

    def side(self, sock: socket.socket, options: Any, is_client: bool) -> tuple[Secured, LeanTransport]:
        """A peer above TLS above a lean transport."""
        peer = Secured()
        factory = TLSMemoryBIOFactory(options, is_client, Factory.forProtocol(lambda: peer), self.loop)
        transport = LeanTransport(self.loop.poller, sock)
        transport.protocol = TLSMemoryBIOProtocol(factory, peer)
        transport.protocol.makeConnection(transport)
        transport.watch()
        return peer, transport

    def test_data_both_ways(self) -> None:
        """Far more than any buffer holds, at the same time, arrives unchanged."""
        data = bytes(range(256)) * (MIB // 128)
        self.client.send(data)
        self.server.send(data[::-1])
        self.loop.until(lambda: len(self.server.received) > len(data) + 3, "what the client sent")
        self.loop.until(lambda: len(self.client.received) > len(data) + 3, "what the server sent")
        self.assertTrue(self.server.received == b"ping" + data)
        self.assertTrue(self.client.received == b"pong" + data[::-1])

    def test_the_certificate_is_seen(self) -> None:
        """The transport tells the peer's certificate, and the addresses of the connection below."""
        self.assertIn(NAME, str(self.client.transport.getPeerCertificate().to_cryptography().extensions))
        self.assertEqual(self.client.transport.getPeer(), self.server.transport.getHost())

    def test_closing_waits_for_what_was_written(self) -> None:
        """loseConnection: everything arrives, and both sides are told that it is done."""
        data = bytes(2 * MIB)
        self.server.send(data)
        self.server.transport.loseConnection()
        self.loop.until(lambda: self.client.lost and self.server.lost, "both ends")
        self.assertEqual((len(self.client.received), self.client.losses, self.server.losses), (4 + len(data), 1, 1))
        for peer in (self.client, self.server):
            assert peer.lost is not None
            peer.lost.trap(ConnectionDone)
        self.loop.settle()
        self.loop.network.close()
        self.assertEqual(descriptors(), self.before)

    def test_an_abort_is_a_reset(self) -> None:
        """abortConnection: nothing waits, the other side is told of a loss, each of them once."""
        self.client_transport.pauseProducing()
        self.server.send(bytes(2 * MIB))
        self.server.transport.abortConnection()
        self.client_transport.resumeProducing()
        self.loop.until(lambda: self.client.lost and self.server.lost, "both losses")
        self.assertTrue(self.client.was_reset)
        self.assertEqual((self.client.losses, self.server.losses), (1, 1))

    def test_an_end_of_stream_below_is_the_end(self) -> None:
        """TLS has no half-close: an end without its alert ends the connection, and is no clean end."""
        self.server_transport.loseWriteConnection()
        self.loop.until(lambda: self.client.lost, "the end")
        assert self.client.lost is not None
        self.assertNotIsInstance(self.client.lost.value, ConnectionDone)

    def test_a_producer_is_paused(self) -> None:
        """Backpressure of the connection below reaches who writes above TLS."""
        told: list[str] = []

        class Producer:
            pauseProducing = staticmethod(lambda: told.append("pause"))
            resumeProducing = staticmethod(lambda: told.append("resume"))
            stopProducing = staticmethod(lambda: told.append("stop"))

        self.client_transport.pauseProducing()
        self.server.transport.registerProducer(Producer(), True)
        self.server.send(bytes(2 * MIB))
        self.assertEqual(told, ["pause"])
        self.client_transport.resumeProducing()
        self.loop.until(lambda: "resume" in told, "to go on")
        self.loop.until(lambda: len(self.client.received) == 4 + 2 * MIB, "all of it")
        self.server.transport.unregisterProducer()
