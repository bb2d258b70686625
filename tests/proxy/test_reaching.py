"""Reaching a destination: names, attempts, and what their failures are called."""

from __future__ import annotations

import errno
import socket
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import FIRST_PROBE_AGE, Limits
from meshgate.proxy.sides import Upstream
from meshgate.routing.connection_policy import (
    Algorithm,
    Balancing,
    ConnectionPolicy,
    Keepalive,
    Outliers,
    UpstreamPolicy,
)
from meshgate.routing.table import Destination, Endpoint
from meshgate.transport.wheel import TICK
from tests.fakes import FakedGateway, FakeTransport
from tests.peers import LOOPBACK, GatewayUnderTest, Origin, on_every_transport, tcp_listener
from tests.support import free_port, wait_for

ADDRESSES = [f"192.0.2.{number}" for number in range(1, 6)]


IN_TURN = UpstreamPolicy(balancing=Balancing(Algorithm.ROUND_ROBIN))


def several(*addresses: str, policy: UpstreamPolicy = IN_TURN) -> Destination:
    """A destination with an endpoint for each address, in turns; one that is a name has to be resolved."""
    endpoints = tuple(Endpoint(one, 80, dns=not one[-1].isdigit()) for one in addresses)
    return Destination("origin", 80, endpoints=endpoints, policy=policy)


def faked(destination: Destination, limits: Limits = Limits()) -> FakedGateway:  # noqa: B008 - it is frozen
    """A client of a plain listener with this destination."""
    return FakedGateway(tcp_listener(destination), limits)


class AttemptTests(SynchronousTestCase):
    """One endpoint after the other."""

    def test_the_next_endpoint_is_tried(self) -> None:
        """A dial that fails is followed by another; what was already read goes to the one that answers."""
        gateway = faked(several(*ADDRESSES))
        gateway.client.peer_sends(b"already read")
        gateway.reactor.refuse_dial()
        gateway.reactor.time_out_dial()
        self.assertEqual(gateway.reactor.dialed, [(address, 80) for address in ADDRESSES[:3]])
        gateway.join()
        gateway.turn()
        self.assertEqual(gateway.upstream.written, b"already read")
        self.assertEqual(gateway.inbound.record.endpoint, "192.0.2.3:80")

    def test_attempts_are_limited(self) -> None:
        """Only so many endpoints may stay silent, and the last failure names the ending."""
        for last, endpoints, expected in [
            ("refuse_dial", 2, Ending.DIAL_REFUSED),
            ("time_out_dial", 5, Ending.DIAL_TIMEOUT),
        ]:
            gateway = faked(several(*ADDRESSES[:endpoints]), Limits(dial_attempts=2))
            gateway.reactor.time_out_dial()
            getattr(gateway.reactor, last)()
            self.assertEqual((len(gateway.reactor.dialed), gateway.ending), (2, expected))
            self.assertEqual(gateway.records[0].endpoint, "192.0.2.2:80")
            self.assertIsNone(gateway.records[0].dial)

    def test_refusals_use_up_no_attempt(self) -> None:
        """Of five endpoints the fifth is reached, though only three may be silent; the order is that of the policy."""
        gateway = faked(several(*ADDRESSES), Limits(dial_attempts=3))
        for _ in range(4):
            gateway.reactor.refuse_dial()
        gateway.join()
        self.assertEqual(gateway.reactor.dialed, [(address, 80) for address in ADDRESSES])

    def test_a_single_attempt(self) -> None:
        """With one attempt, a refusal is the end, and endpoints come in the policy's order, whatever has failed."""
        gateway = faked(several(*ADDRESSES[:2]), Limits(dial_attempts=1))
        listener = next(iter(gateway.plane.table.listeners.values()))
        for _ in range(3):
            gateway.reactor.refuse_dial()
            gateway.accept(listener, "198.51.100.8").makeConnection(FakeTransport(gateway.reactor))
        self.assertEqual([record.ending for record in gateway.records], [Ending.DIAL_REFUSED] * 3)
        self.assertEqual([address for address, _ in gateway.reactor.dialed], [*ADDRESSES[:2], *ADDRESSES[:2]])

    def test_what_is_dead_costs_a_client_little(self) -> None:
        """Of many endpoints that have all failed before, a client tries no more than some."""
        gateway = faked(several(*(f"192.0.2.{number}" for number in range(1, 101))))
        for _ in range(100):
            gateway.reactor.refuse_dial()
        self.assertEqual(len(gateway.reactor.dialed), 100)
        listener = next(iter(gateway.plane.table.listeners.values()))
        gateway.accept(listener, "198.51.100.8").makeConnection(FakeTransport(gateway.reactor))
        for _ in range(16):
            gateway.reactor.refuse_dial()
        self.assertEqual([record.ending for record in gateway.records], [Ending.DIAL_REFUSED] * 2)
        self.assertEqual(len(gateway.reactor.dialed), 116)

    def test_no_endpoint_is_tried_twice(self) -> None:
        """One endpoint gets one attempt, however many are allowed."""
        gateway = faked(several(ADDRESSES[0]))
        gateway.reactor.refuse_dial()
        self.assertEqual((len(gateway.reactor.dialed), gateway.ending), (1, Ending.DIAL_REFUSED))

    def test_an_endpoint_that_cannot_be_dialed_at_all(self) -> None:
        """An address that is none counts as refused, and cancelling still reaches the dial that followed."""
        gateway = faked(several("999", ADDRESSES[0]))
        self.assertEqual(gateway.reactor.dialed, [(ADDRESSES[0], 80)])
        gateway.client.peer_resets()
        self.assertTrue(gateway.reactor.dial_is_given_up())

    def test_why_dials_failed(self) -> None:
        """Each reason is noted once, in order, and stays when an endpoint is found."""
        gateway = faked(several(*ADDRESSES), Limits(dial_attempts=5))
        for failed in ("refuse_dial", "time_out_dial", "refuse_dial"):
            getattr(gateway.reactor, failed)()
        gateway.join()
        self.assertEqual(gateway.inbound.record.dial_error, "ECONNREFUSED,ETIMEDOUT")

    def test_a_shortage_of_local_ports(self) -> None:
        """Nothing is held against the endpoint, and the next one is tried: local ports are counted for each."""
        policy = replace(IN_TURN, outliers=Outliers(1, 10, 30, 100, 0))
        gateway = faked(several(*ADDRESSES[:2], policy=policy))
        for _ in range(2):
            gateway.reactor.fail_dial(errno.EADDRNOTAVAIL)
        record = gateway.records[0]
        self.assertEqual((record.ending, record.dial_error), (Ending.LOCAL_SHORTAGE, "EADDRNOTAVAIL"))
        self.assert_all_serve(gateway)

    def test_a_shortage_of_everything(self) -> None:
        """Without a descriptor, no other endpoint is tried, and nothing is held against the one that was."""
        policy = replace(IN_TURN, outliers=Outliers(1, 10, 30, 100, 0))
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            gateway = faked(several(*ADDRESSES[:2], policy=policy))
            gateway.reactor.fail_dial(number)
            record = gateway.records[0]
            self.assertEqual((record.ending, record.dial_error), (Ending.LOCAL_SHORTAGE, errno.errorcode[number]))
            self.assertEqual(len(gateway.reactor.dialed), 1)
            self.assert_all_serve(gateway)

    def assert_all_serve(self, gateway: FakedGateway) -> None:
        """Both endpoints are dialed first, each for one of the next two connections."""
        listener = next(iter(gateway.plane.table.listeners.values()))
        before = len(gateway.reactor.dialed)
        for _ in range(2):
            gateway.accept(listener, "198.51.100.8").makeConnection(FakeTransport(gateway.reactor))
        self.assertCountEqual(gateway.reactor.dialed[before:], [(address, 80) for address in ADDRESSES[:2]])

    def test_round_robin(self) -> None:
        """Connection after connection starts at the next endpoint."""
        gateway = faked(several(*ADDRESSES[:3]))
        listener = next(iter(gateway.plane.table.listeners.values()))
        for _ in range(5):
            gateway.accept(listener, "198.51.100.8").makeConnection(gateway.client)
        self.assertEqual([address for address, _ in gateway.reactor.dialed], ADDRESSES[:3] * 2)

    def test_the_dial_time_counts_from_the_first(self) -> None:
        """The time to the connection holds the attempts that failed."""
        gateway = faked(several(*ADDRESSES))
        gateway.reactor.advance(3)
        gateway.reactor.refuse_dial()
        gateway.reactor.advance(2)
        gateway.join()
        self.assertEqual(gateway.inbound.record.dial, 5)

    def test_each_attempt_has_the_connect_timeout(self) -> None:
        """The reactor is told how long one attempt may take."""
        gateway = faked(several(ADDRESSES[0]), Limits(connect_timeout=7))
        self.assertEqual(gateway.reactor.tcpClients[0][3], 7)


class PolicyTests(SynchronousTestCase):
    """Settings of a destination's policy."""

    def test_its_own_connect_timeout(self) -> None:
        """It counts instead of the gateway's, for dials and for names alike."""
        policy = UpstreamPolicy(connect_timeout=2)
        gateway = faked(several(ADDRESSES[0], policy=policy), Limits(connect_timeout=7))
        self.assertEqual(gateway.reactor.tcpClients[0][3], 2)
        gateway = faked(several("slow.example.com", policy=policy), Limits(connect_timeout=7))
        gateway.reactor.advance(2 + TICK)
        self.assertEqual(gateway.ending, Ending.NO_ENDPOINT)

    def test_fewer_connections_first(self) -> None:
        """Connections that stay count, dials that are under way too, and those that are gone do not."""
        listener = tcp_listener(several(*ADDRESSES[:2], policy=UpstreamPolicy()))
        gateway = FakedGateway(listener, Limits())
        first = gateway.reactor.dialed[0][0]
        for _ in range(3):
            client = FakeTransport(gateway.reactor)
            client.protocol = gateway.accept(listener, "198.51.100.8")
            client.protocol.makeConnection(client)
            client.peer_resets()
        self.assertEqual({address for address, _ in gateway.reactor.dialed[1:]}, {*ADDRESSES[:2]} - {first})

    def test_the_endpoint_that_failed_is_not_counted(self) -> None:
        """A connection counts for the endpoint it is dialing or has, for no other, and for none when it has failed."""
        destination = several(*ADDRESSES[:2])
        gateway = faked(destination)
        cluster = gateway.plane.clusters.of(destination)
        counts = [load.active for load in cluster.loads]
        self.assertEqual((cluster.active, counts), (1, [1, 0]))
        gateway.reactor.refuse_dial()
        counts = [load.active for load in cluster.loads]
        self.assertEqual((cluster.active, counts), (1, [0, 1]))
        gateway.reactor.refuse_dial()
        counts = [load.active for load in cluster.loads]
        self.assertEqual((gateway.ending, cluster.active, counts), (Ending.DIAL_REFUSED, 0, [0, 0]))

    def test_by_the_clients_address(self) -> None:
        """A chain that hashes addresses gives a client the same endpoint each time, and others other ones."""
        policy = UpstreamPolicy(balancing=Balancing(Algorithm.RING_HASH, 1024))
        listener = tcp_listener(several(*ADDRESSES, policy=policy), policy=ConnectionPolicy(by_source=True))
        gateway = FakedGateway(listener, Limits())
        chosen = []
        for number in [*range(8), *range(8)]:
            gateway.accept(listener, f"198.51.100.{number}").makeConnection(gateway.client)
            chosen.append(gateway.reactor.dialed[-1][0])
        self.assertEqual(chosen[:8], chosen[8:])
        self.assertGreater(len(set(chosen)), 1)

    def test_addresses_that_change(self) -> None:
        """When a name gets other addresses, the next connection goes there; what stays keeps its connections' count."""
        destination = several("db.example.com", policy=UpstreamPolicy())
        gateway = faked(destination)
        gateway.resolver.answer("db.example.com", "192.0.2.1")
        gateway.resolver.answers["db.example.com"] = ("192.0.2.1", "192.0.2.2")
        listener = next(iter(gateway.plane.table.listeners.values()))
        gateway.accept(listener, "198.51.100.8").makeConnection(gateway.client)
        self.assertEqual([address for address, _ in gateway.reactor.dialed], ["192.0.2.1", "192.0.2.2"])


class NameTests(SynchronousTestCase):
    """Endpoints that are names."""

    def test_a_known_name_is_dialed_at_once(self) -> None:
        """Each address of a known name is an endpoint of its own, beside those that are addresses."""
        gateway = faked(several("198.51.100.1"))
        gateway.resolver.answers["db.example.com"] = ("192.0.2.1", "192.0.2.2")
        listener = tcp_listener(several("db.example.com", "198.51.100.2"))
        gateway.serve(listener)
        gateway.accept(listener, "198.51.100.8").makeConnection(gateway.client)
        for _ in range(2):
            gateway.reactor.refuse_dial()
        self.assertCountEqual(
            [address for address, _ in gateway.reactor.dialed[1:]], ["192.0.2.1", "192.0.2.2", "198.51.100.2"]
        )
        self.assertEqual(gateway.resolver.asked, {})

    def test_an_unknown_name_is_waited_for(self) -> None:
        """A name never resolved before is, and then dialed."""
        gateway = faked(several("db.example.com"))
        self.assertEqual(gateway.reactor.dialed, [])
        gateway.resolver.answer("db.example.com", "192.0.2.1")
        self.assertEqual(gateway.reactor.dialed, [("192.0.2.1", 80)])

    def test_a_name_without_an_address(self) -> None:
        """A name that does not resolve leaves no endpoint."""
        gateway = faked(several("db.example.com"))
        gateway.resolver.answer("db.example.com")
        self.assertEqual(gateway.ending, Ending.NO_ENDPOINT)

    def test_one_answer_is_enough_in_the_end(self) -> None:
        """When the time is over, the names that have been answered are dialed."""
        gateway = faked(several("slow.example.com", "db.example.com"))
        gateway.resolver.answer("db.example.com", "192.0.2.1")
        self.assertEqual(gateway.reactor.dialed, [])
        gateway.reactor.advance(10 + TICK)
        self.assertEqual(gateway.reactor.dialed, [("192.0.2.1", 80)])
        gateway.resolver.answer("slow.example.com", "192.0.2.2")
        self.assertEqual(len(gateway.reactor.dialed), 1)

    def test_an_answer_that_never_comes(self) -> None:
        """Names are waited for no longer than a dial."""
        gateway = faked(several("slow.example.com"))
        gateway.reactor.advance(10 + TICK)
        self.assertEqual(gateway.ending, Ending.NO_ENDPOINT)

    def test_a_client_that_leaves_waits_no_more(self) -> None:
        """The answer to a client's name is not used when the client is gone."""
        gateway = faked(several("db.example.com"))
        gateway.client.peer_resets()
        gateway.resolver.answer("db.example.com", "192.0.2.1")
        self.assertEqual((gateway.ending, gateway.reactor.dialed), (Ending.CLIENT_RESET, []))
        self.assertEqual(len(gateway.plane.wheel), 0)


@on_every_transport
class RealTests(TestCase):
    """Real endpoints, some of them dead."""

    async def test_max_connections(self) -> None:
        """One more than allowed is closed without a dial, on every port of the destination; then one ends."""
        origin = Origin(self, b"hello")
        policy = UpstreamPolicy(max_connections=2)
        listeners = [
            tcp_listener(Destination("origin", 80, endpoints=(origin.endpoint,), policy=policy), bind=bind)
            for bind in ("127.0.0.1", "127.0.0.2")
        ]
        gateway = GatewayUnderTest(self)
        gateway.serve(*listeners)
        clients = [await gateway.connect(listener) for listener in listeners]
        for client in clients:
            await client.got(b"hello")
        await (await gateway.connect(listeners[0])).got_finish()
        self.assertEqual((await gateway.record()).ending, Ending.OVER_LIMIT)
        self.assertEqual(len(origin.peers), 2)
        clients[1].reset()
        self.assertEqual((await gateway.record(1)).ending, Ending.CLIENT_RESET)
        await (await gateway.connect(listeners[0])).got(b"hello")

    async def test_a_dead_endpoint_is_left_out(self) -> None:
        """After as many failures as the policy says, no connection tries a dead endpoint any more."""
        origin = Origin(self, b"hello")
        dead = Endpoint(LOOPBACK, free_port())
        policy = replace(IN_TURN, outliers=Outliers(2, 10, 30, 50, 0))
        listener = tcp_listener(Destination("origin", 80, endpoints=(dead, origin.endpoint), policy=policy))
        gateway = GatewayUnderTest(self, Limits(dial_attempts=1))
        gateway.serve(listener)
        for number in range(6):
            client = await gateway.connect(listener)
            await client.got_finish() if number in (0, 2) else await client.got(b"hello")
        self.assertEqual([record.ending for record in gateway.records], [Ending.DIAL_REFUSED] * 2)

    async def test_keepalive_reaches_the_socket(self) -> None:
        """
        What the policy asks for is set on the endpoint's connection, once that has lived for some seconds; what it
        leaves out is the system's own.
        """
        origin = Origin(self, b"hello")
        options = [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            *((socket.IPPROTO_TCP, name) for name in (socket.TCP_KEEPCNT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)),
        ]
        with socket.socket() as untouched:
            own = [untouched.getsockopt(*option) for option in options]
        found = []
        connected = Upstream.makeConnection

        def noted(upstream: Upstream, transport: Any) -> None:
            found.append(transport.getHandle())
            connected(upstream, transport)

        self.patch(Upstream, "makeConnection", noted)
        gateway = GatewayUnderTest(self)
        for number, keepalive in enumerate([Keepalive(probes=4, time=30), Keepalive(interval=7)], 1):
            policy = UpstreamPolicy(keepalive=keepalive)
            destination = Destination("origin", 80, endpoints=(origin.endpoint,), policy=policy)
            listener = tcp_listener(destination, bind=f"127.0.0.{number}")
            gateway.serve(listener)
            await (await gateway.connect(listener)).got(b"hello")

        def values() -> list[list[int]]:
            return [[handle.getsockopt(*option) for option in options] for handle in found]

        self.assertEqual(values(), [own, own])
        await wait_for(lambda: all(on for on, *_ in values()), "the probes", FIRST_PROBE_AGE + 2 * TICK)
        self.assertEqual(values(), [[1, 4, 30, own[3]], [1, own[1], own[2], 7]])

    async def test_a_dead_endpoint_costs_nobody_a_connection(self) -> None:
        """With one of three endpoints dead, every connection succeeds, whichever it starts with."""
        origins = [Origin(self, b"1"), Origin(self, b"2")]
        endpoints = (origins[0].endpoint, Endpoint(LOOPBACK, free_port()), origins[1].endpoint)
        gateway = GatewayUnderTest(self)
        listener = tcp_listener(Destination("origin", 80, endpoints=endpoints, policy=IN_TURN))
        gateway.serve(listener)
        for _ in range(9):
            client = await gateway.connect(listener)
            client.send(b"request")
        for origin, expected in zip(origins, (4, 5), strict=True):
            for number in range(expected):
                await (await origin.peer(number)).got(b"request")
            self.assertEqual(len(origin.peers), expected)

    async def test_a_deaf_endpoint_ends_in_time(self) -> None:
        """An endpoint that does not answer is left after the connect timeout, for the next one."""
        listening = socket.create_server((LOOPBACK, 0), backlog=0)
        self.addCleanup(listening.close)
        deaf = Endpoint(LOOPBACK, listening.getsockname()[1])
        filling = socket.create_connection((deaf.address, deaf.port))
        self.addCleanup(filling.close)
        origin = Origin(self, b"hello")
        gateway = GatewayUnderTest(self, Limits(connect_timeout=0.2))
        listener = tcp_listener(Destination("origin", 80, endpoints=(deaf, origin.endpoint), policy=IN_TURN))
        only_deaf = tcp_listener(deaf, bind="127.0.0.2")
        gateway.serve(listener, only_deaf)
        await (await gateway.connect(listener)).got(b"hello")
        client = await gateway.connect(only_deaf)
        await client.got_finish()
        record = await gateway.record()
        self.assertEqual(record.ending, Ending.DIAL_TIMEOUT)
        self.assertGreaterEqual(record.duration, 0.2)
