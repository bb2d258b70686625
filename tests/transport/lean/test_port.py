"""Accepting on the poller: everybody is taken in, or waits without harm."""

from __future__ import annotations

import errno
import resource
import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import Factory

from meshgate.transport.descriptors import PAUSE
from meshgate.transport.lean import port as lean_port
from meshgate.transport.network import Port
from tests.lean_loop import COMPILED_IN, Counting, End, LeanCase
from tests.peers import LOOPBACK


class Serving(Factory):
    """
    Makes a counting peer of each client.

    :ivar peers: in their order.
    :ivar addresses: what it was given.
    :ivar running: started, and not stopped yet.
    """

    noisy = False

    def __init__(self) -> None:
        self.peers: list[Any] = []
        self.addresses: list[Any] = []
        self.running = 0

    def doStart(self) -> None:
        """Count it."""
        self.running += 1

    def doStop(self) -> None:
        """Count it."""
        self.running -= 1

    def buildProtocol(self, addr: Any) -> Any:
        """One more."""
        self.addresses.append(addr)
        self.peers.append(self.peer())
        return self.peers[-1]

    def peer(self) -> Any:
        """Make the protocol of a client; None for none."""
        return Counting()


class Eager(Counting):
    """Waits for its client's first bytes."""

    def make_early_connection(self, transport: Any) -> None:
        """They may be there."""
        self.makeConnection(transport)
        transport.read()


class PortCase(LeanCase):
    """A port, and clients on loopback."""

    def setUp(self) -> None:
        """Nothing listens yet."""
        super().setUp()
        self.factory = Serving()

    def listen(self, host: str = LOOPBACK) -> Port:
        """Serve the factory; gives the port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, 0), family=family, backlog=200)
        listening.setblocking(False)
        self.address = listening.getsockname()
        port = self.loop.network.listen(listening, self.factory)
        self.addCleanup(port.stop)
        return port

    def client(self) -> End:
        """One more client."""
        return self.loop.end(socket.create_connection(self.address[:2], timeout=10))


class AcceptTests(PortCase):
    """Clients come."""

    def test_everybody_is_served(self) -> None:
        """More than are accepted for one event, none is left waiting; each has bytes and an end of its own."""
        self.listen()
        clients = [self.client() for _ in range(5 * lean_port.ACCEPTS)]
        for number, client in enumerate(clients):
            client.finish(b"%d" % number)
        self.loop.until(
            lambda: len(self.factory.peers) == len(clients) and all(peer.finishes for peer in self.factory.peers),
            "all of them",
        )
        self.assertEqual(
            sorted(bytes(peer.received) for peer in self.factory.peers),
            sorted(b"%d" % number for number in range(len(clients))),
        )

    def test_others_get_their_turn(self) -> None:
        """For one event only so many are accepted, one where nothing else happens; the rest is reported again."""
        self.patch(lean_port, "ACCEPTS", 2)
        for size, expected in ((2, [2, 4, 5]), (1, [1, 2, 3, 4, 5])):
            self.factory = Serving()
            port: Any = self.listen()
            for _ in range(5):
                self.client()
            counts = []
            while len(self.factory.peers) < 5:
                self.loop.poller.batch_size = size
                port.ready(0)
                counts.append(len(self.factory.peers))
            self.assertEqual(counts, expected)

    test_others_get_their_turn.skip = COMPILED_IN  # type: ignore[attr-defined]

    def test_addresses(self) -> None:
        """A factory is given the client's address as Twisted does, and the transport tells it when asked."""
        for host, kind in ((LOOPBACK, IPv4Address), ("::1", IPv6Address)):
            self.factory = Serving()
            self.listen(host)
            name = self.client().socket.getsockname()
            self.loop.until(lambda: self.factory.peers, "the client")
            address = self.factory.addresses[0]
            self.assertIsInstance(address, kind)
            self.assertEqual((address.host, address.port), name[:2])
            transport = self.factory.peers[0].transport
            self.assertEqual(transport.getPeer().port, name[1])
            self.assertEqual(transport.getHost().port, self.address[1])

    def test_no_address_is_made_for_who_needs_none(self) -> None:
        """A factory that takes host and port gets those."""
        asked: list[tuple[str, int]] = []

        def for_client(host: str, port: int) -> Counting:
            asked.append((host, port))
            return Counting()

        self.factory.for_client = for_client  # type: ignore[attr-defined]
        self.listen()
        name = self.client().socket.getsockname()
        self.loop.until(lambda: asked, "the client")
        self.assertEqual((asked, self.factory.addresses), ([name], []))

    def test_a_factory_may_refuse(self) -> None:
        """Without a protocol the connection is closed."""
        self.factory.peer = lambda: None  # type: ignore[method-assign]
        self.listen()
        client = self.client()
        self.loop.until(lambda: client.over, "the end")

    def test_a_failure_is_that_of_one(self) -> None:
        """If a protocol cannot be made or started, its connection is reset, and the next one served."""

        class Failing(Eager):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

        class FailingLater(Eager):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        def fail() -> Any:
            raise ZeroDivisionError

        self.listen()
        for peer in (fail, Failing, FailingLater):
            self.factory.peer = peer  # type: ignore[method-assign]
            client = self.client()
            client.send(b"x")
            self.loop.until(lambda client=client: client.was_reset, "the reset")  # type: ignore[misc]
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([peer.losses for peer in self.factory.peers], [1, 1])
        self.factory.peer = Counting  # type: ignore[method-assign]
        self.client().send(b"x")
        self.loop.until(lambda: self.factory.peers[-1].received, "the next one")

    def test_first_bytes_are_read_at_once(self) -> None:
        """A protocol that reads early gets the bytes as it is accepted, and the end of stream behind them later."""
        self.factory.peer = Eager  # type: ignore[method-assign]
        port: Any = self.listen()
        client = self.client()
        client.finish(b"hello")
        port.ready(0)
        self.assertEqual(self.factory.peers[0].received, b"hello")
        self.loop.until(lambda: self.factory.peers[0].finishes, "the end")
        silent = self.client()
        port.ready(0)
        self.assertEqual(self.factory.peers[1].received, b"")
        silent.send(b"later")
        self.loop.until(lambda: self.factory.peers[1].received, "the bytes")

    def test_a_client_that_has_gone(self) -> None:
        """One that resets while it waits is served and lost, or never seen; the next one is served."""
        self.factory.peer = Eager  # type: ignore[method-assign]
        self.listen()
        for _ in range(20):
            self.client().reset()
        self.client().send(b"x")
        self.loop.until(lambda: self.factory.peers and self.factory.peers[-1].received, "the last one")
        self.assertTrue(all(peer.losses == 1 for peer in self.factory.peers[:-1]))


class StopTests(PortCase):
    """The port goes."""

    def test_stopping(self) -> None:
        """Nobody is accepted any more, those accepted live on, and the factory is told, once."""
        port = self.listen()
        self.assertEqual(self.factory.running, 1)
        client = self.client()
        self.loop.until(lambda: self.factory.peers, "the client")
        self.assertTrue(port.stop().called)
        self.assertTrue(port.stop().called)
        self.assertEqual(self.factory.running, 0)
        self.assertRaises(ConnectionRefusedError, self.client)
        client.finish(b"x")
        self.loop.until(lambda: self.factory.peers[0].finishes, "the end")
        self.factory.peers[0].transport.loseConnection()
        self.nothing_is_left(client)

    def test_stopping_while_it_accepts(self) -> None:
        """A client whose protocol stops the port is served; those behind it are not."""
        port = self.listen()

        def stop() -> Counting:
            port.stop()
            return Counting()

        self.factory.peer = stop  # type: ignore[method-assign]
        clients = [self.client() for _ in range(3)]
        self.loop.until(lambda: sum(client.over for client in clients) == 2, "the end of the others")
        self.assertEqual(len(self.factory.peers), 1)
        self.assertEqual(self.flushLoggedErrors(), [])


class ShortageTests(PortCase):
    """Descriptors run out."""

    def setUp(self) -> None:
        """A limit of the test's."""
        super().setUp()
        self.shortage = self.loop.network._shortage

    def test_near_the_limit_clients_wait(self) -> None:
        """The last descriptors are kept for endpoints; who waits is served as soon as there are more."""
        limit = 4
        self.shortage._limit = lambda: limit
        self.shortage.measure()
        self.listen()
        first, second = self.client(), self.client()
        first.send(b"a")
        second.send(b"b")
        self.loop.until(lambda: self.factory.peers and self.factory.peers[0].received, "the first one")
        self.assertTrue(self.shortage.exhausted)
        for _ in range(3):
            self.loop.advance(PAUSE)
            self.loop.settle()
        self.assertEqual(len(self.factory.peers), 1)
        limit = 100_000
        self.loop.advance(PAUSE)
        self.loop.until(lambda: len(self.factory.peers) == 2 and self.factory.peers[1].received, "the second one")
        self.assertEqual((self.shortage.exhausted, second.was_reset), (False, False))

    def test_the_kernel_gives_none(self) -> None:
        """An accept that fails for want of a descriptor is not tried again at once, but it is tried again."""
        self.listen()
        client = self.client()
        client.send(b"x")
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        with socket.socket() as probe:
            lowest = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
        self.loop.poller.doRead()
        self.assertTrue(self.shortage.exhausted)
        self.loop.advance(PAUSE)
        self.assertEqual((self.shortage.exhausted, self.factory.peers), (True, []))
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        self.loop.advance(PAUSE)
        self.loop.until(lambda: self.factory.peers and self.factory.peers[0].received, "the client")
        self.assertFalse(client.was_reset)

    def test_a_port_opened_meanwhile_waits(self) -> None:
        """A new port accepts nobody while descriptors are short, and goes on with the others."""
        self.shortage.begin(errno.errorcode[errno.EMFILE])
        self.listen()
        self.client().send(b"x")
        self.loop.settle()
        self.assertEqual(self.factory.peers, [])
        self.loop.advance(PAUSE)
        self.loop.until(lambda: self.factory.peers, "the client")

    def test_nothing_stays(self) -> None:
        """Ports that are stopped during a shortage leave nothing behind."""
        port = self.listen()
        self.shortage.begin(errno.errorcode[errno.EMFILE])
        port.stop()
        self.loop.advance(PAUSE)
        self.assertEqual(self.shortage.ports, set())
        self.nothing_is_left()
