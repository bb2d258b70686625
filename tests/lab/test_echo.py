"""Tests of :mod:`meshgate.lab.echo`, over real sockets."""

from __future__ import annotations

import hashlib
import random
import select
import socket
import struct
from typing import Any, cast

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from meshgate.lab.echo import EchoFactory, greeting
from meshgate.settings.service_sections import EchoSettings
from tests.support import reactor, wait_for

GREETING = (
    b"Welcome, you are connected to node minikube.\n"
    b"Running on Pod tcp-echo-1.\n"
    b"In namespace lab.\n"
    b"With IP address 127.0.0.1.\n"
    b"Service default.\n"
)
MIB = 1 << 20


class RecordingFactory(EchoFactory):
    """An echo factory that keeps what it makes."""

    def __init__(self, settings: EchoSettings) -> None:
        super().__init__(settings)
        self.made: list[Protocol] = []

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Make a protocol and keep it."""
        protocol = super().buildProtocol(addr)
        self.made.append(protocol)
        return protocol


class EchoTests(TestCase):
    """An echo service on loopback, and plain sockets as its clients."""

    def setUp(self) -> None:
        """Listen on a port of the system's choice."""
        self.factory = RecordingFactory(EchoSettings(port=1, pod="tcp-echo-1", namespace="lab"))
        port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(self.factory.live.abort)
        self.address = ("127.0.0.1", port.getHost().port)

    def connect(self) -> socket.socket:
        """Connect a client that never blocks."""
        client = socket.create_connection(self.address)
        client.setblocking(False)
        self.addCleanup(client.close)
        return client

    async def read(self, client: socket.socket, size: int) -> bytes:
        """Read so many bytes; fewer only when the service closes."""
        received = bytearray()
        while len(received) < size:
            await wait_for(lambda: select.select([client], [], [], 0)[0], f"byte {len(received)} of {size}")
            data = client.recv(size - len(received))
            if not data:
                break
            received += data
        return bytes(received)

    async def greeted(self) -> socket.socket:
        """Connect a client and read its greeting."""
        client = self.connect()
        self.assertEqual(await self.read(client, len(GREETING)), GREETING)
        return client

    async def until_lost(self, connection: int = 0) -> None:
        """Wait until the service has let go of a connection."""
        await wait_for(lambda: not self.transport(connection).connected, "the end of the connection")

    def transport(self, connection: int = 0) -> Any:
        """The service's transport of a connection, counted from 0."""
        return self.factory.made[connection].transport

    async def fill(self, client: socket.socket, limit: int) -> bytes:
        """
        Send without reading anything, until the service has stopped reading and the kernel takes no more.

        :param limit: the bytes after which to give up.
        :return: what was sent.
        """
        payload = random.Random(7).randbytes(MIB) * (limit // MIB)
        sent = 0
        while sent < limit:
            await wait_for(lambda: self.paused() or _is_writable(client), "the service to read or to pause")
            if not _is_writable(client):
                break
            sent += client.send(payload[sent : sent + 65536])
        return payload[:sent]

    def paused(self) -> bool:
        """Return true if the service has stopped reading from its first client."""
        return self.transport() not in reactor.getReaders()

    async def test_it_greets_before_the_client_says_anything(self) -> None:
        """The five lines come at once, each with its full stop and newline."""
        await self.greeted()

    def test_the_usual_greeting_names_minikube(self) -> None:
        """The defaults are those of the well-known demonstration."""
        lines = greeting(EchoSettings(port=1)).decode().splitlines()
        self.assertEqual(lines[0], "Welcome, you are connected to node minikube.")
        self.assertEqual(lines[2:], ["In namespace default.", "With IP address 127.0.0.1.", "Service default."])

    async def test_it_echoes_bytes_not_lines(self) -> None:
        """Bytes come back without waiting for the end of a line, whatever they are."""
        client = await self.greeted()
        for data in (b"hello", b"\x00\xff\r", b"\n"):
            client.send(data)
            self.assertEqual(await self.read(client, len(data)), data)

    async def test_a_client_that_finishes_gets_the_rest_and_then_the_end(self) -> None:
        """Half-close: what was sent before the end of the stream comes back, and then the service closes."""
        client = await self.greeted()
        client.send(b"last words")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(await self.read(client, MIB), b"last words")
        await self.until_lost()

    def test_it_lets_go_of_the_flow_before_it_closes(self) -> None:
        """A transport may wait for its producer before it closes, so none is left registered by then."""
        transport = StringTransport()
        protocol = self.factory.buildProtocol(None)
        protocol.makeConnection(transport)
        self.assertIs(transport.producer, protocol)
        transport.loseConnection = lambda: self.assertIsNone(transport.producer)  # type: ignore[method-assign]
        cast(IHalfCloseableProtocol, protocol).readConnectionLost()
        protocol.connectionLost(Failure(ConnectionDone()))

    async def test_a_client_that_does_not_read_is_not_read_from(self) -> None:
        """The service stops reading long before 64 MiB, then echoes all it took once the client reads."""
        client = self.connect()
        await wait_for(lambda: self.factory.made, "the connection")
        sent = await self.fill(client, 64 * MIB)
        self.assertLess(len(sent), 64 * MIB)
        self.assertTrue(self.paused())
        client.shutdown(socket.SHUT_WR)
        received = await self.read(client, 65 * MIB)
        self.assertEqual(received[: len(GREETING)], GREETING)
        self.assertEqual(hashlib.sha256(received[len(GREETING) :]).digest(), hashlib.sha256(sent).digest())

    async def test_it_reads_again_once_the_client_does(self) -> None:
        """A pause ends when the client catches up: the conversation goes on."""
        client = self.connect()
        await wait_for(lambda: self.factory.made, "the connection")
        sent = await self.fill(client, 64 * MIB)
        await self.read(client, len(GREETING) + len(sent))
        client.send(b"still there?")
        self.assertEqual(await self.read(client, 12), b"still there?")
        self.assertFalse(self.paused())

    async def test_a_reset_ends_one_connection_only(self) -> None:
        """A client's reset is the end of its own connection, and of nothing else."""
        first, second = await self.greeted(), await self.greeted()
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()
        await self.until_lost(0)
        second.send(b"me too?")
        self.assertEqual(await self.read(second, 7), b"me too?")

    async def test_abort_resets_a_client_that_does_not_read(self) -> None:
        """Stopping does not wait for a client: even with bytes it never read, the connection is reset."""
        client = self.connect()
        await wait_for(lambda: self.factory.made, "the connection")
        await self.fill(client, 64 * MIB)
        await self.factory.live.abort()
        self.assertFalse(self.transport().connected)
        with self.assertRaises(ConnectionResetError):
            await self.read(client, 65 * MIB)


def _is_writable(client: socket.socket) -> bool:
    return bool(select.select([], [client], [], 0)[1])
