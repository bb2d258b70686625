"""The fallback to Twisted's transports: the same connections where epoll or SO_REUSEPORT is missing."""

from __future__ import annotations

import select
import socket

from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.endings import Ending
from meshgate.routing.table import Listener
from meshgate.transport.network import AUTO, TwistedNetwork
from tests.hello_builder import build_hello
from tests.peers import GatewayUnderTest, Origin, sni_listener, tcp_listener
from tests.support import wait_for

GREETING = b"220 origin\r\n"
NAME = "a.example.com"


def take_away(test: SynchronousTestCase, module: object, name: str) -> None:
    """Have a module without one of its names until the end of a test."""
    if hasattr(module, name):
        test.addCleanup(setattr, module, name, getattr(module, name))
        delattr(module, name)


class StockTransportTests(TestCase):
    """A gateway that chooses its transport by itself."""

    transport = AUTO

    async def serves(self) -> GatewayUnderTest:
        """Serve a connection of plain TCP and one of TLS, each with bytes and ends of stream in both directions."""
        origin = Origin(self, GREETING)
        gateway = GatewayUnderTest(self)
        plain, sniffing = tcp_listener(origin.endpoint), sni_listener({NAME: origin.endpoint}, bind="127.0.0.2")
        gateway.serve(plain, sniffing)
        await self.serves_on(gateway, origin, plain, b"")
        await self.serves_on(gateway, origin, sniffing, build_hello(NAME))
        self.assertEqual([record.ending for record in gateway.records], [Ending.OK, Ending.OK])
        return gateway

    async def serves_on(self, gateway: GatewayUnderTest, origin: Origin, listener: Listener, first: bytes) -> None:
        """Serve one connection of a listener."""
        number = len(origin.peers)
        client = await gateway.connect(listener)
        client.transport.write(first)
        peer = await origin.peer(number)
        await wait_for(lambda: client.received == GREETING, "the greeting")
        client.transport.write(b"question")
        client.transport.loseWriteConnection()
        await wait_for(lambda: peer.finished is not None, "the end of the question")
        self.assertEqual(peer.received, first + b"question")
        peer.transport.write(b"answer")
        peer.transport.loseConnection()
        await wait_for(lambda: client.finished is not None, "the end of the answer")
        self.assertEqual(client.received, GREETING + b"answer")
        client.transport.loseConnection()
        await gateway.record(number)

    async def test_without_epoll(self) -> None:
        """There is no poller, and Twisted's transports serve."""
        take_away(self, select, "epoll")
        gateway = await self.serves()
        self.assertIsInstance(gateway.network, TwistedNetwork)

    async def test_without_reuseport(self) -> None:
        """A port has its one socket, on whatever transport."""
        take_away(self, socket, "SO_REUSEPORT")
        await self.serves()

    async def test_without_either(self) -> None:
        """As on a system that has neither."""
        take_away(self, select, "epoll")
        take_away(self, socket, "SO_REUSEPORT")
        gateway = await self.serves()
        self.assertIsInstance(gateway.network, TwistedNetwork)
