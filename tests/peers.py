"""
Real connections for tests of the data plane: peers that record what happens to them, and a gateway to put
between them. Everything runs in the test's own reactor and is gone when the test is over.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from meshgate.proxy.connection_counts import ConnectionCounts
from meshgate.proxy.dataplane import Dataplane
from meshgate.proxy.limits import Limits
from meshgate.proxy.record import ConnectionRecord
from meshgate.routing.access_lists import AccessList
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from meshgate.transport.dialing import dial
from meshgate.transport.network import LEAN, TWISTED, Port, make_network
from meshgate.transport.ports import Ports, accept_here
from tests.fakes import FakeResolver
from tests.support import reactor, wait_for

LOOPBACK = "127.0.0.1"

C = TypeVar("C", bound=type[TestCase])


def on_every_transport(tests: C) -> C:
    """For a class of tests: have them run on Twisted's transports, and in a class ``Lean…`` on the lean ones."""
    lean = type(f"Lean{tests.__name__}", (tests,), {"transport": LEAN, "__module__": tests.__module__})
    lean.__doc__ = f"{tests.__doc__} On lean transports."
    setattr(sys.modules[tests.__module__], lean.__name__, lean)
    return tests


@implementer(IHalfCloseableProtocol)
class Peer(Protocol):
    """
    One end of a connection.

    :param greeting: written as soon as it is connected.
    :ivar received: every byte so far.
    :ivar finished: the other end's end of stream has come, and this many bytes had come before.
    :ivar lost: why the connection is gone, or None.
    """

    transport: Any

    def __init__(self, greeting: bytes = b"") -> None:
        self.received = bytearray()
        self.finished: int | None = None
        self.lost: Failure | None = None
        self._greeting = greeting

    def connectionMade(self) -> None:
        """Greet."""
        if self._greeting:
            self.transport.write(self._greeting)

    def dataReceived(self, data: bytes) -> None:
        """Record it."""
        self.received += data

    def readConnectionLost(self) -> None:
        """Record it."""
        self.finished = len(self.received)

    def writeConnectionLost(self) -> None:
        """It was us who finished."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Record it."""
        self.lost = reason

    @property
    def was_reset(self) -> bool:
        """True if the other end reset the connection."""
        return self.lost is not None and "ConnectionLost" in type(self.lost.value).__name__

    def send(self, data: bytes) -> None:
        """Write."""
        self.transport.write(data)

    def finish(self) -> None:
        """Send an end of stream after what was written, and go on reading; too late for a lost connection."""
        if self.lost is None:
            self.transport.loseWriteConnection()

    def reset(self) -> None:
        """Reset the connection."""
        self.transport.abortConnection()

    async def got(self, data: bytes) -> None:
        """Wait until exactly these bytes have come."""
        await wait_for(lambda: len(self.received) >= len(data), f"{len(data)} bytes")
        if self.received != data:
            raise AssertionError(f"{bytes(self.received[:80])!r}… instead of {data[:80]!r}…")

    async def got_finish(self) -> None:
        """Wait for the other end's end of stream."""
        await wait_for(lambda: self.finished is not None, "an end of stream")

    async def got_reset(self) -> None:
        """Wait for a reset."""
        await wait_for(lambda: self.lost, "a reset")
        if not self.was_reset:
            raise AssertionError(f"{self.lost} instead of a reset")


class Origin(Factory):
    """
    A listening endpoint.

    :ivar peers: the connections it has accepted, in their order.
    :ivar endpoint: itself, as routes name it.
    """

    noisy = False

    def __init__(self, test: TestCase, greeting: bytes = b"", port: int = 0) -> None:
        self.peers: list[Peer] = []
        self._greeting = greeting
        self._port = reactor.listenTCP(port, self, interface=LOOPBACK)
        self.endpoint = Endpoint(LOOPBACK, self._port.getHost().port)
        test.addCleanup(self._end)

    def buildProtocol(self, addr: IAddress | None) -> Peer:
        """One more connection."""
        self.peers.append(Peer(self._greeting))
        return self.peers[-1]

    async def peer(self, number: int = 0) -> Peer:
        """Wait for a connection."""
        await wait_for(lambda: len(self.peers) > number, f"connection {number} of an endpoint")
        return self.peers[number]

    async def _end(self) -> None:
        await self._port.stopListening()
        await end_all(self.peers)


async def end_all(peers: Iterable[Peer]) -> None:
    """Reset the connections that still live, and wait until they are gone."""
    for peer in peers:
        if peer.transport is not None and peer.lost is None:
            peer.reset()
    await wait_for(lambda: all(peer.lost or peer.transport is None for peer in peers), "the end of peers")


class GatewayUnderTest:
    """
    A data plane with its ports, on the transport that the test's class names in ``transport``.

    :param metrics: counts its connections.
    :ivar records: of the connections that have ended.
    :ivar addresses: the addresses on which its listeners were opened.
    """

    def __init__(
        self,
        test: TestCase,
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
        metrics: ConnectionCounts | None = None,
    ) -> None:
        self.records: list[ConnectionRecord] = []
        self.resolver = FakeResolver()
        self.network = make_network(getattr(test, "transport", TWISTED), reactor)
        self.plane = Dataplane(
            reactor,
            self.resolver,
            random.Random(1),
            self.records.append,
            limits,
            network=self.network,
            metrics=metrics,
        )
        self.addresses: dict[ListenerKey, tuple[str, int]] = {}
        self._accept = accept_here(self.network, self.plane.factory)
        self.ports = Ports(reactor, self._accept_and_note, lambda: None)
        if limits.client_keepalive is not None:
            self.ports.keepalive = limits.client_keepalive
        self._clients: list[Peer] = []
        test.addCleanup(self._end)

    def serve(self, *listeners: Listener, access: Mapping[str, AccessList] | None = None) -> None:
        """Make these the routes, and these the access lists of Gateways."""
        self.plane.table = RoutingTable(
            self.plane.table.generation + 1, {listener.key: listener for listener in listeners}, access or {}
        )
        failures = self.ports.reconcile(listeners)
        if failures:
            raise AssertionError(failures)

    def _accept_and_note(self, key: ListenerKey, sockets: Sequence[socket.socket]) -> Port:
        """Accept on a listener's socket, and note the port that the kernel has chosen."""
        self.addresses[key] = sockets[0].getsockname()[:2]
        return self._accept(key, sockets)

    async def connect(self, listener: Listener, peer: Callable[[], Peer] = Peer) -> Peer:
        """A new client of a listener."""
        address, port = self.addresses[listener.key]
        client: Peer = await dial(reactor, address, port, peer(), timeout=10)
        self._clients.append(client)
        return client

    def live_records(self) -> list[ConnectionRecord]:
        """The records of the live connections, with their counts up to date."""
        for connection in self.plane.connections:
            connection.update_counts()
        return [connection.record for connection in self.plane.connections]

    async def record(self, number: int = 0) -> ConnectionRecord:
        """Wait for a connection to end."""
        await wait_for(lambda: len(self.records) > number, f"record {number}")
        return self.records[number]

    async def _end(self) -> None:
        await self.ports.close()
        await self.plane.drain()
        self.network.close()
        await end_all(self._clients)


def chain(*destinations: Destination | Endpoint, names: tuple[str, ...] = (), **rest: Any) -> Chain:
    """A chain; an endpoint stands for a destination that has just this one."""
    return Chain(
        names=names,
        gateway="istio-system/gw",
        server="port",
        virtual_service="default/vs",
        rule="spec.tls[0]",
        destinations=tuple(
            one if isinstance(one, Destination) else Destination("origin", 80, endpoints=(one,)) for one in destinations
        ),
        **rest,
    )


def tcp_listener(*destinations: Destination | Endpoint, bind: str = LOOPBACK, port: int = 0, **rest: Any) -> Listener:
    """A listener of plain TCP."""
    return Listener(ListenerKey(bind, port), dual_stack=False, sniffs=False, catch_all=chain(*destinations, **rest))


def sni_listener(
    names: Mapping[str, Chain | Destination | Endpoint],
    catch_all: Chain | None = None,
    bind: str = LOOPBACK,
    port: int = 0,
) -> Listener:
    """A listener that sniffs; its names may be ``*.suffix`` ones."""
    chains = {name: one if isinstance(one, Chain) else chain(one, names=(name,)) for name, one in names.items()}
    return Listener(
        ListenerKey(bind, port),
        dual_stack=False,
        sniffs=True,
        exact={name: one for name, one in chains.items() if not name.startswith("*.")},
        suffixes={name[2:]: one for name, one in chains.items() if name.startswith("*.")},
        catch_all=catch_all,
    )
