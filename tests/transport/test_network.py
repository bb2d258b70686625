"""The two networks: which one is chosen, and that they do the same."""

from __future__ import annotations

import select
import socket
from typing import Any

from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.transport.dialing import DialError, DialRefused
from meshgate.transport.lean.transport import LeanTransport
from meshgate.transport.network import (
    AUTO,
    LEAN,
    TWISTED,
    LeanNetwork,
    NoSuchTransport,
    TwistedNetwork,
    make_network,
)
from tests.peers import LOOPBACK, Peer, end_all, on_every_transport
from tests.support import free_port, reactor, wait_for


class ChoiceTests(SynchronousTestCase):
    """The setting ``transport``."""

    def chosen(self, choice: str, with_reactor: Any = reactor) -> type:
        """Which network it gives."""
        network = make_network(choice, with_reactor)
        self.addCleanup(network.close)
        return type(network)

    def test_where_all_is_there(self) -> None:
        """With epoll and a reactor that watches descriptors, it is lean unless something else is asked for."""
        self.assertTrue(IReactorFDSet.providedBy(reactor))
        self.assertEqual([self.chosen(each) for each in (AUTO, LEAN)], [LeanNetwork] * 2)
        self.assertIs(self.chosen(TWISTED), TwistedNetwork)

    def lean_cannot_be(self, with_reactor: Any) -> None:
        """It is Twisted's own, unless lean transports are asked for: then it is an error for people."""
        self.assertEqual([self.chosen(each, with_reactor) for each in (AUTO, TWISTED)], [TwistedNetwork] * 2)
        error = self.assertRaises(NoSuchTransport, make_network, LEAN, with_reactor)
        self.assertIn("needs Linux", str(error))

    def test_without_epoll(self) -> None:
        """As on other systems."""
        epoll = select.epoll
        del select.epoll
        self.addCleanup(setattr, select, "epoll", epoll)
        self.lean_cannot_be(reactor)

    def test_without_a_reactor_that_watches(self) -> None:
        """As with reactors that know no descriptors."""
        self.lean_cannot_be(Clock())


class Outcome:
    """A dialer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def dialed(self, protocol: Any) -> None:
        """As Dialer."""
        self.told.append(protocol)

    def dial_failed(self, error: DialError) -> None:
        """As Dialer."""
        self.told.append(error)


class Serving(Factory):
    """Makes a peer of each client."""

    noisy = False

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.hosts: list[str] = []

    def buildProtocol(self, addr: Any) -> Peer:
        """One more."""
        self.hosts.append(addr.host)
        self.peers.append(Peer())
        return self.peers[-1]


@on_every_transport
class NetworkTests(TestCase):
    """Ports and dials of both networks, in a real reactor."""

    transport = TWISTED

    def setUp(self) -> None:
        """A port that listens on one network, and another to dial it: none dials itself."""
        self.network, self.far = (make_network(self.transport, reactor) for _ in range(2))
        self.factory = Serving()
        listening = socket.create_server((LOOPBACK, 0))
        listening.setblocking(False)
        self.number = listening.getsockname()[1]
        self.port = self.far.listen(listening, self.factory)
        self.peer = Peer()
        self.addCleanup(self.end)

    async def end(self) -> None:
        """Leave nothing open."""
        await self.port.stop()
        await end_all([self.peer, *self.factory.peers])
        self.network.close()
        self.far.close()

    async def dial(self, number: int, first: bytes = b"") -> Any:
        """The outcome of a dial."""
        outcome = Outcome()
        self.network.dial(LOOPBACK, number, self.peer, 10, first, outcome)
        await wait_for(lambda: outcome.told, "the outcome")
        self.assertEqual(len(outcome.told), 1)
        return outcome.told[0]

    async def test_a_connection(self) -> None:
        """First bytes, later ones, half-close and the end, by both of its sides."""
        self.assertIs(await self.dial(self.number, b"first"), self.peer)
        self.peer.send(b" second")
        await wait_for(lambda: self.factory.peers, "the client")
        served = self.factory.peers[0]
        await served.got(b"first second")
        served.send(b"answer")
        served.finish()
        await self.peer.got_finish()
        self.assertEqual(self.peer.received, b"answer")
        self.peer.finish()
        await served.got_finish()
        self.assertEqual(self.factory.hosts, [LOOPBACK])
        lean = self.transport == LEAN
        for peer in (self.peer, served):
            self.assertEqual(isinstance(peer.transport, LeanTransport), lean)
            self.assertEqual(peer.transport.getPeer().host, LOOPBACK)

    async def test_a_reset(self) -> None:
        """It arrives as one, either way."""
        await self.dial(self.number, b"first")
        await wait_for(lambda: self.factory.peers, "the client")
        self.factory.peers[0].reset()
        await self.peer.got_reset()
        self.peer = Peer()
        await self.dial(self.number)
        await wait_for(lambda: len(self.factory.peers) == 2, "the next client")
        self.peer.reset()
        await self.factory.peers[1].got_reset()

    async def test_a_refusal(self) -> None:
        """It is told, once."""
        self.assertIsInstance(await self.dial(free_port(), b"first"), DialRefused)

    async def test_a_stopped_port(self) -> None:
        """It refuses as soon as its stop has fired, and the number is free."""
        await self.port.stop()
        self.assertIsInstance(await self.dial(self.number), DialRefused)
        socket.create_server((LOOPBACK, self.number)).close()
