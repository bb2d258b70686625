"""Tests of :mod:`meshgate.transport.service_ports`: ports that another process goes on with."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from meshgate.transport.service_ports import ServicePorts
from tests.peers import LOOPBACK, Peer, end_all
from tests.support import free_port, reactor


class Greeting(Factory):
    """Greets with a name."""

    noisy = False

    def __init__(self, name: bytes, peers: list[Peer]) -> None:
        self._name = name
        self._peers = peers

    def buildProtocol(self, addr: Any) -> Peer:
        """One more client."""
        self._peers.append(Peer(self._name))
        return self._peers[-1]


class ServicePortsTests(TestCase):
    """Two sets of ports, as of two processes."""

    def setUp(self) -> None:
        """Both."""
        self.peers: list[Peer] = []
        self.before, self.after = ServicePorts(reactor), ServicePorts(reactor)
        self.addCleanup(lambda: end_all(self.peers))
        self.addCleanup(self.before.leave)
        self.addCleanup(self.after.leave)

    def inherit(self) -> None:
        """Have the second set inherit from the first one."""
        shared = [(wanted, socket.socket(fileno=os.dup(number))) for wanted, number in self.before.shares()]
        self.after.inherit({wanted: [each for key, each in shared if key == wanted] for wanted, _ in shared})

    async def greeting(self, port: int) -> bytes:
        """The greeting of a new client."""

        def connect() -> bytes:
            with socket.create_connection((LOOPBACK, port), timeout=20) as client:
                return client.recv(100)

        return await deferToThread(connect)

    async def test_a_port_goes_over(self) -> None:
        """Its queue is never shut down: a client that waits in it is served by whoever still listens."""
        number = self.before.listen(0, Greeting(b"before", self.peers), interface=LOOPBACK).getHost().port
        self.assertEqual(await self.greeting(number), b"before")
        self.inherit()
        self.before.leave()
        self.assertEqual(self.before.shares(), [])
        with socket.create_connection((LOOPBACK, number), timeout=20) as waiting:
            taken = self.after.listen(0, Greeting(b"after", self.peers), interface=LOOPBACK)
            self.assertEqual(taken.getHost().port, number)
            self.assertEqual(await deferToThread(waiting.recv, 100), b"after")

    async def test_ports_that_nobody_wants(self) -> None:
        """An inherited port that is not opened is closed; one for another address is opened anew."""
        number = self.before.listen(0, Greeting(b"before", self.peers), interface=LOOPBACK).getHost().port
        self.inherit()
        self.before.leave()
        other = self.after.listen(free_port(), Greeting(b"after", self.peers), interface=LOOPBACK)
        self.assertNotEqual(other.getHost().port, number)
        self.after.close_unused()
        with self.assertRaises(ConnectionRefusedError):
            await self.greeting(number)

    async def test_a_port_that_is_closed(self) -> None:
        """What is closed by its owner is not handed over."""
        port = self.before.listen(0, Greeting(b"before", self.peers), interface=LOOPBACK)
        await port.stopListening()
        self.assertEqual(self.before.shares(), [])

    def test_in_use(self) -> None:
        """An address that cannot be bound is refused as the reactor does."""
        with socket.create_server((LOOPBACK, 0)) as taken:
            number = taken.getsockname()[1]
            error = self.assertRaises(
                CannotListenError, self.before.listen, number, Greeting(b"", self.peers), interface=LOOPBACK
            )
        self.assertIn("in use", error.socketError.strerror)
