"""Endpoints that are dead, over real sockets: who pays for them, and for how long."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from statistics import median

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from meshgate.proxy.clusters import Cluster
from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.routing.connection_policy import Algorithm, Balancing, ConnectionPolicy, UpstreamPolicy
from meshgate.routing.table import Destination, Endpoint, Listener
from tests.peers import LOOPBACK, GatewayUnderTest, Origin, Peer, on_every_transport, sni_listener, tcp_listener
from tests.support import free_port, reactor, wait_for

CLIENTS = 200
GREETING = b"hello"


def dead_endpoint() -> Endpoint:
    """An endpoint that refuses."""
    return Endpoint(LOOPBACK, free_port())


def balanced(algorithm: Algorithm, *endpoints: Endpoint) -> Listener:
    """A listener with these endpoints, chosen by the client's address where the algorithm hashes."""
    policy = UpstreamPolicy(balancing=Balancing(algorithm, 1021))
    destination = Destination("origin", 80, endpoints=endpoints, policy=policy)
    return tcp_listener(destination, policy=ConnectionPolicy(by_source=True))


class Broken(Origin):
    """An endpoint that accepts, and ends each connection in its own way, once this many bytes have come."""

    after = 0
    by_reset = True

    def buildProtocol(self, addr: object) -> Peer:
        """One more connection."""
        peer = _BrokenPeer(self)
        self.peers.append(peer)
        return peer


class _BrokenPeer(Peer):
    def __init__(self, origin: Broken) -> None:
        super().__init__()
        self._origin = origin

    def connectionMade(self) -> None:
        self._end()

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self._end()

    def _end(self) -> None:
        if len(self.received) >= self._origin.after:
            if self._origin.by_reset:
                self.reset()
            else:
                self.finish()


def all_answered(clients: Sequence[Peer]) -> bool:
    """Whether each has heard something, be it the end."""
    return all(client.received or client.finished is not None or client.lost for client in clients)


def deaf_endpoint(test: TestCase) -> Endpoint:
    """An endpoint that does not answer, since its queue is full."""
    listening = socket.create_server((LOOPBACK, 0), backlog=0)
    test.addCleanup(listening.close)
    endpoint = Endpoint(LOOPBACK, listening.getsockname()[1])
    filling = socket.create_connection((endpoint.address, endpoint.port))
    test.addCleanup(filling.close)
    return endpoint


@on_every_transport
class DeadEndpointTests(TestCase):
    """Clients of a destination of which some endpoints are dead."""

    timeout = 60

    async def served(self, gateway: GatewayUnderTest, listener: Listener, clients: int, saying: bytes = b"") -> int:
        """How many of so many clients, who come ten at a time, are greeted."""
        served = 0
        while clients > 0:
            those = [await gateway.connect(listener) for _ in range(min(clients, 10))]
            clients -= len(those)
            for client in those:
                client.send(saying)
            await wait_for(partial(all_answered, those), "an answer for all")
            served += sum(client.received == GREETING for client in those)
            for client in those:
                client.reset()
        return served

    async def test_three_dead_of_four_and_a_long_session(self) -> None:
        """All clients are served in every policy, though the one that lives always has a connection more."""
        for algorithm in Algorithm:
            origin = Origin(self, GREETING)
            listener = balanced(algorithm, *(dead_endpoint() for _ in range(3)), origin.endpoint)
            gateway = GatewayUnderTest(self)
            gateway.serve(listener)
            session = await gateway.connect(listener)
            await session.got(GREETING)
            self.assertEqual((algorithm, await self.served(gateway, listener, CLIENTS)), (algorithm, CLIENTS))
            self.assertFalse(session.lost)

    async def test_addresses_of_a_name(self) -> None:
        """So it is with a name that has four addresses, of which three refuse."""
        origin = Origin(self, GREETING)
        gateway = GatewayUnderTest(self)
        gateway.resolver.answers["fleet.example.com"] = ("127.0.0.2", "127.0.0.3", "127.0.0.4", LOOPBACK)
        for algorithm in Algorithm:
            name = Endpoint("fleet.example.com", origin.endpoint.port, dns=True)
            listener = balanced(algorithm, name)
            gateway.serve(listener)
            session = await gateway.connect(listener)
            await session.got(GREETING)
            self.assertEqual((algorithm, await self.served(gateway, listener, 40)), (algorithm, 40))

    async def test_all_dead_until_one_is_back(self) -> None:
        """Where nothing lives, each client tries everything, so the first endpoint that is back is found at once."""
        ports = [free_port() for _ in range(5)]
        listener = balanced(Algorithm.ROUND_ROBIN, *(Endpoint(LOOPBACK, port) for port in ports))
        gateway = GatewayUnderTest(self)
        gateway.serve(listener)
        for _ in range(2):
            self.assertEqual(await self.served(gateway, listener, 5), 0)
        Origin(self, GREETING, ports[3])
        self.assertEqual(await self.served(gateway, listener, 50), 50)

    async def test_where_the_client_speaks_first(self) -> None:
        """What a client has said goes to the endpoint that lives, whole and once, whichever were tried before."""
        origin = Origin(self, GREETING)
        plain = balanced(Algorithm.LEAST_REQUEST, *(dead_endpoint() for _ in range(3)), origin.endpoint)
        listener = sni_listener({}, catch_all=plain.catch_all)
        gateway = GatewayUnderTest(self)
        gateway.serve(listener)
        session = await gateway.connect(listener)
        session.send(b"session")
        await session.got(GREETING)
        self.assertEqual(await self.served(gateway, listener, CLIENTS, b"request"), CLIENTS)
        self.assertEqual({bytes(peer.received) for peer in origin.peers}, {b"session", b"request"})

    async def test_the_living_share_evenly(self) -> None:
        """With three dead of seven, each of the others gets a quarter: in turn nearly exactly, by chance about."""
        for algorithm, off in ((Algorithm.ROUND_ROBIN, 5), (Algorithm.RANDOM, 25), (Algorithm.LEAST_REQUEST, 25)):
            origins = [Origin(self, GREETING) for _ in range(4)]
            endpoints = [*(dead_endpoint() for _ in range(3)), *(origin.endpoint for origin in origins)]
            gateway = GatewayUnderTest(self)
            listener = balanced(algorithm, *endpoints)
            gateway.serve(listener)
            self.assertEqual(await self.served(gateway, listener, CLIENTS), CLIENTS)
            shares = [len(origin.peers) for origin in origins]
            self.assertEqual(sum(shares), CLIENTS)
            for share in shares:
                self.assertLessEqual(abs(share - CLIENTS / 4), off, (algorithm, shares))

    async def test_sessions_that_stay_are_spread(self) -> None:
        """When no connection ends, the living have about as many, by the policy that looks at that."""
        origins = [Origin(self, GREETING) for _ in range(4)]
        endpoints = [*(dead_endpoint() for _ in range(3)), *(origin.endpoint for origin in origins)]
        gateway = GatewayUnderTest(self)
        listener = balanced(Algorithm.LEAST_REQUEST, *endpoints)
        gateway.serve(listener)
        for _ in range(80):
            await (await gateway.connect(listener)).got(GREETING)
        shares = [len(origin.peers) for origin in origins]
        self.assertTrue(all(17 <= share <= 23 for share in shares), shares)

    async def test_it_is_back_within_its_back_off(self) -> None:
        """An endpoint that answers again has connections within a second of its first failure, in every policy."""
        for algorithm in Algorithm:
            living, port = Origin(self, GREETING), free_port()
            listener = balanced(algorithm, Endpoint(LOOPBACK, port), living.endpoint)
            gateway = GatewayUnderTest(self)
            gateway.serve(listener)
            await self.served(gateway, listener, 20)
            (failed,) = [load for load in self.cluster(gateway, listener).loads if load.port == port]
            if not failed.marked:
                self.assertIn(algorithm, (Algorithm.RING_HASH, Algorithm.MAGLEV))  # it is not this client's own
                continue
            healed = Origin(self, GREETING, port)
            since = time.monotonic()
            while not healed.peers:
                self.assertEqual(await self.served(gateway, listener, 1), 1)
                self.assertLess(time.monotonic() - since, 3, algorithm)
            self.assertEqual(await self.served(gateway, listener, 20), 20)
            self.assertFalse(failed.marked)

    def cluster(self, gateway: GatewayUnderTest, listener: Listener) -> Cluster:
        """What the connections of a listener share."""
        if listener.catch_all is None:
            raise AssertionError("it has no route")
        return gateway.plane.clusters.of(listener.catch_all.destinations[0])

    async def test_a_silent_endpoint_costs_one_client_once(self) -> None:
        """After the first client, who waits for the whole time, nobody waits for longer than a probe's head start."""
        origin = Origin(self, GREETING)
        gateway = GatewayUnderTest(self, Limits(connect_timeout=2))
        listener = balanced(Algorithm.ROUND_ROBIN, deaf_endpoint(self), origin.endpoint)
        gateway.serve(listener)
        self.assertEqual(await self.served(gateway, listener, 1), 1)
        waits, until = [], time.monotonic() + 1.6
        while time.monotonic() < until:
            begun = time.monotonic()
            self.assertEqual(await self.served(gateway, listener, 1), 1)
            waits.append(time.monotonic() - begun)
            await deferLater(reactor, 0.02)
        self.assertTrue(0.25 <= max(waits) < 1.5, waits)
        self.assertLess(median(waits), 0.2)

    async def test_one_that_resets_before_the_client_speaks(self) -> None:
        """An endpoint that accepts and resets, or finishes, at once is tried last after its first client."""
        for by_reset in (True, False):
            broken, origin = Broken(self), Origin(self, GREETING)
            broken.by_reset = by_reset
            gateway = GatewayUnderTest(self)
            listener = balanced(Algorithm.ROUND_ROBIN, broken.endpoint, origin.endpoint)
            gateway.serve(listener)
            await self.served(gateway, listener, 1)
            self.assertEqual(await self.served(gateway, listener, 50), 50)
            self.assertEqual(len(broken.peers), 1)

    async def test_what_the_client_brought_about_marks_nobody(self) -> None:
        """An endpoint that resets once the client has spoken is as good as before."""
        broken, origin = Broken(self), Origin(self, GREETING)
        broken.after = 4
        gateway = GatewayUnderTest(self)
        listener = balanced(Algorithm.ROUND_ROBIN, broken.endpoint, origin.endpoint)
        gateway.serve(listener)
        for number in range(6):
            client = await gateway.connect(listener)
            client.send(b"junk")
            await (client.got(GREETING) if number % 2 else client.got_reset())
        self.assertEqual((len(broken.peers), len(origin.peers)), (3, 3))
        self.assertEqual(Counter(record.ending for record in gateway.records), {Ending.UPSTREAM_RESET: 3})
