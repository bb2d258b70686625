"""Dialing: by address only, from a source that has a port left, failing as soon as that is certain, and saying why."""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
from collections import Counter
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectBindError, ConnectError, TCPTimedOutError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.endings import Ending
from meshgate.routing.connection_policy import Algorithm, Balancing, Outliers, UpstreamPolicy
from meshgate.routing.table import Destination, Endpoint, Listener
from meshgate.transport.dialing import (
    BIND_ADDRESS_NO_PORT,
    DialError,
    DialRefused,
    DialTimeout,
    LocalShortage,
    SourceAddresses,
    dial,
    dial_error,
)
from meshgate.transport.network import TWISTED
from tests.fakes import FakeReactor
from tests.networks import enter_own_network, set_kernel
from tests.peers import LOOPBACK, GatewayUnderTest, Origin, Peer, end_all, on_every_transport, tcp_listener
from tests.support import free_port, reactor, wait_for


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


PORTS = 16
"""Local ports that there are."""


class OrderTests(SynchronousTestCase):
    """Which addresses a dial tries."""

    def test_each_family_has_its_own_in_turn(self) -> None:
        """Every dial begins with another one, and tries all of its family; without any, the kernel chooses."""
        sources = SourceAddresses()
        self.assertEqual((sources.given, sources.order(socket.AF_INET)), (False, ()))
        sources.follow(["192.0.2.1", "2001:db8::1", "192.0.2.2"])
        orders = [sources.order(socket.AF_INET) for _ in range(4)]
        self.assertEqual(Counter(order[0] for order in orders), {"192.0.2.1": 2, "192.0.2.2": 2})
        self.assertEqual({frozenset(order) for order in orders}, {frozenset({"192.0.2.1", "192.0.2.2"})})
        self.assertEqual(sources.order(socket.AF_INET6), ("2001:db8::1",))
        sources.follow([])
        self.assertEqual((sources.given, sources.order(socket.AF_INET)), (False, ()))


@on_every_transport
class ShortageTests(TestCase):
    """A network with a handful of local ports."""

    transport = TWISTED

    def setUp(self) -> None:
        """A gateway in it, and endpoints."""
        enter_own_network(self)
        set_kernel("ipv4.ip_local_port_range", f"40000 {40000 + PORTS - 1}")
        self.gateway = GatewayUnderTest(self)
        self.held: list[socket.socket] = []
        self.addCleanup(self.free)

    def free(self) -> None:
        """Close what was opened."""
        while self.held:
            self.held.pop().close()

    def origin(self, address: str = "127.0.0.1", port: int = 8001) -> Endpoint:
        """An endpoint that takes connections and says nothing."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = socket.create_server((address, port), family=family, backlog=200)
        self.addCleanup(listening.close)
        return Endpoint(address, port)

    def serve(self, *endpoints: Endpoint) -> Listener:
        """Endpoints in turns, which the first failure would have left out for long."""
        policy = UpstreamPolicy(balancing=Balancing(Algorithm.ROUND_ROBIN), outliers=Outliers(1, 10, 600, 100, 0))
        destination = Destination("origin", 80, endpoints=endpoints, policy=policy)
        listener = tcp_listener(destination, bind="127.0.0.99", port=30000)
        self.gateway.serve(listener)
        return listener

    def new_socket(self, family: int = socket.AF_INET) -> socket.socket:
        """A socket that is closed by a reset, after which its port is free at once."""
        made = socket.socket(family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.held.append(made)
        return made

    def use_up(self, endpoint: Endpoint, source: str = "") -> None:
        """Take all local ports for an endpoint."""
        while True:
            family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
            client = self.new_socket(family)
            if source:
                client.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
                client.bind((source, 0))
            if client.connect_ex((endpoint.address, endpoint.port)):
                return

    def client(self, number: int) -> socket.socket:
        """A client of the gateway, with local ports of its own."""
        client = self.new_socket()
        client.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
        client.bind((f"127.0.1.{number}", 0))
        client.setblocking(False)
        client.connect_ex(("127.0.0.99", 30000))
        return client

    async def clients(self, number: int) -> list[socket.socket]:
        """So many clients, all of which have got to an endpoint."""
        before = self.gateway.plane.joined
        clients = [self.client(each + 1) for each in range(number)]
        await wait_for(lambda: self.gateway.plane.joined == before + number, f"{number} connections")
        return clients

    async def ends(self, ending: Ending, dial_error: str) -> None:
        """A client is turned away like this."""
        number = len(self.gateway.records)
        self.client(100 + number)
        record = await self.gateway.record(number)
        self.assertEqual((record.ending, record.dial_error), (ending, dial_error))

    async def test_no_port_is_left(self) -> None:
        """It is not the endpoint's fault: as soon as there is one again, the endpoint is dialed."""
        self.serve(endpoint := self.origin())
        self.use_up(endpoint)
        for _ in range(5):
            await self.ends(Ending.LOCAL_SHORTAGE, "EADDRNOTAVAIL")
        self.free()
        await self.clients(5)

    async def test_another_endpoint_has_ports(self) -> None:
        """It is dialed instead, and nobody is turned away; the first one is dialed again when it has some, too."""
        first, second = self.origin(), self.origin(port=8002)
        self.serve(first, second)
        self.use_up(first)
        held = len(self.held)
        await self.clients(6)
        for taken in self.held[:held]:
            taken.close()
        await self.clients(6)
        names = {load.name: load.active for load in self.loads()}
        self.assertEqual(names, {str(first): 3, str(second): 9})

    def loads(self) -> Sequence[Any]:
        """The endpoints with their counts."""
        (listener,) = self.gateway.plane.table.listeners.values()
        assert listener.catch_all is not None
        return self.gateway.plane.clusters.of(listener.catch_all.destinations[0]).loads

    def sources(self) -> Counter[str]:
        """From where the endpoint was dialed."""
        names = [inbound.relay.upstream.transport.getHost().host for inbound in self.gateway.plane.connections]  # type: ignore[union-attr]
        return Counter(names)

    async def test_several_sources_are_used_alike(self) -> None:
        """Connections are spread, and twice as many go to one endpoint as there are local ports."""
        self.gateway.network.sources.follow(["127.0.0.11", "127.0.0.12"])
        self.serve(self.origin())
        await self.clients(2 * PORTS - 4)
        self.assertEqual(self.sources(), {"127.0.0.11": PORTS - 2, "127.0.0.12": PORTS - 2})

    async def test_one_source_has_no_port_left(self) -> None:
        """The next one is tried, for each connection; when all are used up, it is a shortage."""
        self.gateway.network.sources.follow(["127.0.0.11", "127.0.0.12"])
        self.serve(endpoint := self.origin())
        self.use_up(endpoint, "127.0.0.11")
        await self.clients(6)
        self.assertEqual(self.sources(), {"127.0.0.12": 6})
        self.use_up(endpoint, "127.0.0.12")
        await self.ends(Ending.LOCAL_SHORTAGE, "EADDRNOTAVAIL")

    async def test_each_destination_has_all_ports_of_a_source(self) -> None:
        """A port in use for one endpoint is free for another, though the source is fixed."""
        self.gateway.network.sources.follow(["127.0.0.11"])
        first, second = self.origin(), self.origin(port=8002)
        self.serve(second)
        self.use_up(first, "127.0.0.11")
        await self.clients(6)

    async def test_both_families(self) -> None:
        """An endpoint is dialed from an address of its own family; without any, the kernel chooses."""
        subprocess.run(["ip", "-6", "address", "add", "fd00::11/128", "dev", "lo", "nodad"], check=True)
        self.gateway.network.sources.follow(["fd00::11", "127.0.0.11"])
        for endpoint, source in [
            (self.origin("::1", 8003), "fd00::11"),
            (self.origin("127.0.0.1", 8003), "127.0.0.11"),
            (self.origin("127.0.0.1", 8004), "127.0.0.11"),
        ]:
            self.serve(endpoint if endpoint.port == 8003 else Endpoint("::ffff:127.0.0.1", 8004))
            (client,) = await self.clients(1)
            self.assertEqual(self.sources(), {source: 1})
            client.close()
            await wait_for(lambda: not self.gateway.plane.count, "the end")
        self.gateway.network.sources.follow(["127.0.0.11"])
        self.serve(Endpoint("::1", 8003))
        await self.clients(1)
        self.assertEqual(self.sources(), {"::1": 1})

    async def test_a_source_that_is_not_there(self) -> None:
        """An address that this machine lacks is passed over; alone, it is a shortage, and not the endpoint's fault."""
        self.gateway.network.sources.follow(["192.0.2.1", "127.0.0.11"])
        self.serve(self.origin())
        await self.clients(4)
        self.assertEqual(self.sources(), {"127.0.0.11": 4})
        self.gateway.network.sources.follow(["192.0.2.1"])
        await self.ends(Ending.LOCAL_SHORTAGE, "EADDRNOTAVAIL")
