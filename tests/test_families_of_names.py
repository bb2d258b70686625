"""Names with addresses of both families, some of them silent: real sockets in a network of the test's own."""

from __future__ import annotations

import time
from statistics import median

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.routing.connection_policy import Algorithm, Balancing, UpstreamPolicy
from meshgate.routing.table import Destination, Endpoint, Listener
from meshgate.transport.dns.resolver import Resolver
from tests.dns_server import DnsServer
from tests.networks import enter_own_network
from tests.peers import GatewayUnderTest, Peer, end_all, on_every_transport, sni_listener, tcp_listener
from tests.support import reactor, wait_for

NAME, PORT = "db.example.com", 5432
GREETING = b"hello"
IN_TURN = UpstreamPolicy(balancing=Balancing(Algorithm.ROUND_ROBIN))

NETWORK = (
    "ip link add nowhere type veth peer name nobody",
    "ip link set nowhere arp off",
    "ip link set nowhere up",
    "ip link set nobody up",
    "ip address add 10.9.0.1/24 dev nowhere",
    "ip -6 address add fd00:9::1/64 dev nowhere nodad",
    "ip address add 127.0.0.2/8 dev lo",
    "ip -6 address add fd00:1::1/128 dev lo nodad",
    "ip -6 address add fd00:1::2/128 dev lo nodad",
)
SILENT_4, SILENT_6 = ("10.9.0.2", "10.9.0.3"), ("fd00:9::2", "fd00:9::3")
"""What is sent there is lost."""
LIVING_4, LIVING_6 = ("127.0.0.1", "127.0.0.2"), ("fd00:1::1", "fd00:1::2")
"""Addresses of this machine."""


class Host(Factory):
    """An endpoint on one address."""

    noisy = False

    def __init__(self, test: TestCase, address: str) -> None:
        self.address = address
        self.peers: list[Peer] = []
        self._port = reactor.listenTCP(PORT, self, interface=address)
        test.addCleanup(self._end)

    def buildProtocol(self, addr: IAddress | None) -> Peer:
        """One more connection."""
        self.peers.append(Peer(GREETING))
        return self.peers[-1]

    async def _end(self) -> None:
        await self._port.stopListening()
        await end_all(self.peers)


@on_every_transport
class FamilyTests(TestCase):
    """How long a client waits for its greeting."""

    timeout = 60

    async def gateway(
        self,
        a: tuple[str, ...],
        aaaa: tuple[str, ...],
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
    ) -> tuple[GatewayUnderTest, Listener]:
        """A gateway with a route to a name that has these addresses, and has been resolved."""
        enter_own_network(self, *NETWORK)
        names = DnsServer(reactor)
        names.start()
        self.addCleanup(names.stop)
        names.set(NAME, a=a, aaaa=aaaa)
        gateway = GatewayUnderTest(self, limits)
        resolver = Resolver(reactor, [names.address])
        gateway.plane.resolver = resolver
        self.addCleanup(resolver.stop)
        resolver.watch([NAME])
        await wait_for(lambda: resolver.cached(NAME), "the addresses")
        destination = Destination("db", PORT, endpoints=(Endpoint(NAME, PORT, dns=True),), policy=IN_TURN)
        listener = tcp_listener(destination)
        gateway.serve(listener)
        return gateway, listener

    async def greeted(self, gateway: GatewayUnderTest, listener: Listener) -> float:
        """The seconds that one more client waits."""
        begun = time.monotonic()
        client = await gateway.connect(listener)
        await client.got(GREETING)
        took = time.monotonic() - begun
        client.reset()
        return took

    async def test_a_family_that_is_silent(self) -> None:
        """Only the first client waits, a quarter of a second; then the family that answers is used first."""
        gateway, listener = await self.gateway(SILENT_4, LIVING_6)
        hosts = [Host(self, address) for address in LIVING_6]
        self.assertTrue(0.25 <= await self.greeted(gateway, listener) < 5)
        self.assertLess(median([await self.greeted(gateway, listener) for _ in range(9)]), 0.2)
        self.assertEqual(sum(len(host.peers) for host in hosts), 10)
        for host in hosts:  # they share the connections
            self.assertTrue(4 <= len(host.peers) <= 6)
        loads = gateway.plane.clusters.of(listener.catch_all.destinations[0]).loads  # type: ignore[union-attr]
        self.assertFalse(any(load.marked for load in loads))
        self.assertEqual(sum(load.active for load in loads if load.address in SILENT_4), 0)
        record = await gateway.record()
        self.assertEqual((record.endpoint, record.dial_error), (f"[{LIVING_6[0]}]:{PORT}", ""))

    async def test_the_other_family_is_silent(self) -> None:
        """Nobody notices where the family that is used first answers."""
        gateway, listener = await self.gateway(LIVING_4, SILENT_6)
        hosts = [Host(self, address) for address in LIVING_4]
        self.assertLess(median([await self.greeted(gateway, listener) for _ in range(6)]), 0.2)
        self.assertEqual([len(host.peers) for host in hosts], [3, 3])

    async def test_both_families_answer(self) -> None:
        """One of them is used: A and AAAA are two ways to the same hosts, and no more endpoints."""
        gateway, listener = await self.gateway(LIVING_4, LIVING_6)
        hosts = [Host(self, address) for address in (*LIVING_4, *LIVING_6)]
        self.assertLess(median([await self.greeted(gateway, listener) for _ in range(6)]), 0.2)
        self.assertEqual([len(host.peers) for host in hosts], [3, 3, 0, 0])

    async def test_several_of_one_family(self) -> None:
        """An address that is silent costs one client a quarter of a second, and then nobody until its back-off ends."""
        gateway, listener = await self.gateway((SILENT_4[0], *LIVING_4), ())
        hosts = [Host(self, address) for address in LIVING_4]
        waits = [await self.greeted(gateway, listener) for _ in range(7)]
        self.assertTrue(0.25 <= max(waits) < 5, waits)
        self.assertLess(median(waits), 0.2)
        for host in hosts:
            self.assertTrue(3 <= len(host.peers) <= 4)

    async def test_a_family_that_refuses(self) -> None:
        """The next address is tried at once."""
        gateway, listener = await self.gateway(LIVING_4, LIVING_6)
        host = Host(self, LIVING_6[1])
        self.assertLess(median([await self.greeted(gateway, listener) for _ in range(4)]), 0.2)
        self.assertEqual(len(host.peers), 4)

    async def test_all_silent(self) -> None:
        """The connection ends with the time limit of the dials, not after one for each address."""
        gateway, listener = await self.gateway(SILENT_4, SILENT_6, Limits(connect_timeout=1))
        begun = time.monotonic()
        client = await gateway.connect(listener)
        await client.got_finish()
        self.assertTrue(1 <= time.monotonic() - begun < 3.9)  # and not 1 to 2 seconds for each of the four
        self.assertEqual((await gateway.record()).ending, Ending.DIAL_TIMEOUT)

    async def test_a_single_attempt(self) -> None:
        """One attempt is for a name: the other family is a part of it."""
        gateway, listener = await self.gateway(SILENT_4, LIVING_6, Limits(dial_attempts=1))
        Host(self, LIVING_6[0])
        self.assertTrue(0.25 <= await self.greeted(gateway, listener) < 5)

    async def test_what_the_client_says_meanwhile(self) -> None:
        """Whatever it says before and during the race reaches the winner, once and in order."""
        gateway, _ = await self.gateway(SILENT_4, LIVING_6)
        host = Host(self, LIVING_6[0])
        name = Destination("db", PORT, endpoints=(Endpoint(NAME, PORT, dns=True),))
        listener = sni_listener({}, catch_all=tcp_listener(name).catch_all, bind="127.0.0.2")
        gateway.serve(listener)
        client = await gateway.connect(listener)
        client.send(b"one ")
        await wait_for(lambda: any(record.destination for record in gateway.live_records()), "the dial")
        client.send(b"two ")
        await wait_for(lambda: host.peers, "the winner")
        client.send(b"three")
        await host.peers[0].got(b"one two three")
        await client.got(GREETING)
