"""Keepalive: probes are set, silent peers are noticed in time, and living ones are left alone."""

from __future__ import annotations

import re
import signal
import socket
import struct
import sys
import time

from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import FIRST_PROBE_AGE, Limits
from meshgate.routing.connection_policy import Keepalive, UpstreamPolicy
from meshgate.routing.table import Destination, Endpoint
from meshgate.transport.keepalive import keep_alive, unanswered_since
from tests.installation import ECHO
from tests.lab_with_workers import END_OF_GREETING, Client, WorkersTestCase
from tests.lean_loop import socket_pair
from tests.networks import FAR, NEAR, FarNetwork
from tests.peers import GatewayUnderTest, Origin, Peer, on_every_transport, tcp_listener
from tests.support import free_port, wait_for

OPTIONS = (socket.TCP_KEEPCNT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)


class KeepAliveTests(SynchronousTestCase):
    """Options of a real connection."""

    def setUp(self) -> None:
        """Two ends, and the system's own values."""
        self.ours, self.theirs = socket_pair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        self.own = self.values()

    def values(self) -> list[int]:
        """Probes, time and interval as the kernel has them."""
        return [self.ours.getsockopt(socket.IPPROTO_TCP, option) for option in OPTIONS]

    def test_all_of_them(self) -> None:
        """Each number goes where it belongs, and probes are on."""
        keep_alive(self.ours, Keepalive(probes=4, time=90, interval=5))
        self.assertEqual(self.values(), [4, 90, 5])
        self.assertTrue(self.ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_what_is_not_given(self) -> None:
        """It stays the system's own, but probes are on."""
        keep_alive(self.ours, Keepalive(probes=0, time=90, interval=0))
        self.assertEqual(self.values(), [self.own[0], 90, self.own[2]])
        self.assertTrue(self.ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_a_lost_connection(self) -> None:
        """It is left alone, without a failure."""
        self.ours.close()
        keep_alive(self.ours, Keepalive(probes=4, time=90, interval=5))
        self.assertEqual(self.ours.fileno(), -1)


PROBES = Keepalive(probes=2, time=1, interval=1)
PATIENCE = 3.0
"""Seconds of silence after which these probes give up."""

LATE = 8.0
"""Seconds by which the end may be late: looks go by the second, and two processors are shared by many."""

LIMITS = Limits(client_keepalive=PROBES, upstream_keepalive=PROBES)


class Unanswering:
    """
    A connection as its kernel tells of it.

    :ivar tries: how many times something was sent again.
    :ivar silence: seconds since the last acknowledgement.
    """

    def __init__(self) -> None:
        self.tries, self.silence = 0, 0.0

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """The struct tcp_info. Tries began 0.2 s after the first one, and wait twice as long each time."""
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        pause = int(200_000 * 2**self.tries)
        return struct.pack("=BBBBBBBBI44xI", 1, 0, self.tries, 0, self.tries, 0, 0, 0, pause, int(self.silence * 1000))


class UnansweredTests(SynchronousTestCase):
    """Since when a side has been tried without an answer."""

    if sys.platform != "linux":
        skip = "only Linux tells"

    def setUp(self) -> None:
        """One that nothing is known of."""
        self.connection = Unanswering()
        self.since: float | None = None

    def look(self, now: float, tries: int, silence: float) -> float | None:
        """Look at a connection with so many tries, after so many seconds of silence."""
        self.connection.tries, self.connection.silence = tries, silence
        self.since = unanswered_since(self.connection, self.since, now)
        return self.since

    def test_silence_alone_is_no_death(self) -> None:
        """Nobody need say anything as long as nothing is under way to him, or has been tried once only."""
        self.assertIsNone(self.look(1000.0, 0, 900.0))
        self.assertIsNone(self.look(1030.0, 1, 930.0))

    def test_silence_before_counts_for_nothing(self) -> None:
        """Bytes sent after a long silence count from their first try, as far as the kernel tells."""
        began = 1000.0 - 0.2 * (2**6 - 1)
        self.assertAlmostEqual(self.look(1000.0, 6, 900.0) or 0, began)
        self.assertAlmostEqual(self.look(1050.0, 8, 950.0) or 0, began)

    def test_an_answer_begins_it_anew(self) -> None:
        """A peer that acknowledges anything lives, even if there are unanswered tries again."""
        self.look(1000.0, 2, 900.0)
        self.assertEqual(self.look(1060.0, 3, 5.0), 1055.0)
        self.assertEqual(self.look(1115.0, 8, 60.0), 1055.0)
        self.assertIsNone(self.look(1116.0, 0, 61.0))

    def test_a_lost_connection_is_left_alone(self) -> None:
        """It has an end of its own."""
        with socket.socket() as closed:
            pass
        self.assertIsNone(unanswered_since(closed, None, 1000.0))


@on_every_transport
class VanishingTests(TestCase):
    """A gateway, and a host at the other end of a cable."""

    timeout = 60

    def setUp(self) -> None:
        """The network."""
        self.far = FarNetwork(self)

    def far_client(self, address: tuple[str, int]) -> socket.socket:
        """A client on the far host."""
        with self.far.inside():
            client = socket.create_connection(address, timeout=5)
        self.addCleanup(client.close)
        return client

    def far_endpoint(self) -> Endpoint:
        """An endpoint on the far host, which takes connections and says nothing."""
        with self.far.inside():
            listening = socket.create_server((FAR, 0))
        self.addCleanup(listening.close)
        return Endpoint(FAR, listening.getsockname()[1])

    async def all_end(
        self, gateway: GatewayUnderTest, number: int, ending: Ending, vanished: float, settling: float = 0.0
    ) -> None:
        """
        Wait for the ends of all connections, which come in time.

        :param settling: seconds that connections live before anything is done.
        """
        for each in range(number):
            self.assertEqual((await gateway.record(each)).ending, ending)
        silence = time.monotonic() - vanished
        self.assertTrue(PATIENCE - 1.5 < silence < settling + PATIENCE + LATE, f"noticed after {silence} s")

    async def clients_vanish(self, unreachable: bool) -> None:
        """One that nothing is said to, one that something is sent to, one that has finished, one that is full."""
        origin = Origin(self)
        gateway = GatewayUnderTest(self, LIMITS)
        gateway.serve(listener := tcp_listener(origin.endpoint, bind=NEAR))
        clients: list[socket.socket] = []
        peers: list[Peer] = []
        for number in range(3):
            clients.append(self.far_client(gateway.addresses[listener.key]))
            clients[-1].sendall(b"hello")
            peers.append(await origin.peer(number))
            await peers[-1].got(b"hello")
        clients[2].shutdown(socket.SHUT_WR)
        await peers[2].got_finish()
        self.far.vanish(unreachable)
        vanished = time.monotonic()
        for peer in peers[1:]:
            peer.send(b"is anybody there?")
        await self.all_end(gateway, 3, Ending.CLIENT_TIMED_OUT, vanished)
        for peer in peers[:2]:  # Twisted's transport of one that has read the end notices no reset any more
            await peer.got_reset()

    async def test_clients(self) -> None:
        """Vanished clients end as client_timed_out, with bytes on their way to them or without."""
        await self.clients_vanish(unreachable=False)

    async def test_clients_that_the_network_misses(self) -> None:
        """The same where the neighbourhood knows that they are gone, which is the error then."""
        await self.clients_vanish(unreachable=True)

    async def endpoints_vanish(self, limits: Limits, *policies: UpstreamPolicy) -> None:
        """Of each pair of connections, one says nothing, and one sends something."""
        gateway = GatewayUnderTest(self, limits)
        clients: list[Peer] = []
        for number, policy in enumerate(policies, 1):
            destination = Destination("far", 80, endpoints=(self.far_endpoint(),), policy=policy)
            gateway.serve(listener := tcp_listener(destination, bind=f"127.0.0.{number}"))
            clients += [await gateway.connect(listener) for _ in range(2)]
        await wait_for(
            lambda: len([r for r in gateway.live_records() if r.dial is not None]) == len(clients), "the dials"
        )
        self.far.vanish()
        vanished = time.monotonic()
        for client in clients[::2]:
            client.send(b"is anybody there?")
        settling = FIRST_PROBE_AGE if policies[0].keepalive is not None else 0.0
        await self.all_end(gateway, len(clients), Ending.UPSTREAM_TIMED_OUT, vanished, settling)
        for client in clients:
            await client.got_reset()

    async def test_endpoints(self) -> None:
        """Vanished endpoints end as upstream_timed_out, and their clients are reset."""
        await self.endpoints_vanish(LIMITS, UpstreamPolicy())

    async def test_a_destination_rule_wins(self) -> None:
        """The probes of a destination count for its endpoints, and not those of the settings."""
        far_too_seldom = Limits(upstream_keepalive=Keepalive(probes=9, time=7200, interval=75))
        await self.endpoints_vanish(far_too_seldom, UpstreamPolicy(keepalive=PROBES))


@on_every_transport
class LivingTests(TestCase):
    """Living peers are never given up."""

    timeout = 60

    async def test_who_does_not_read_lives(self) -> None:
        """A client that reads nothing for long, and one that is silent, lose nothing."""
        origin = Origin(self)
        gateway = GatewayUnderTest(self, LIMITS)
        gateway.serve(listener := tcp_listener(origin.endpoint))
        silent, busy = await gateway.connect(listener), await gateway.connect(listener)
        peers = [await origin.peer(number) for number in (0, 1)]
        busy.transport.pauseProducing()
        data = bytes(16_000_000)
        # Which of the two peers is whose does not matter: the silent client's stays as it is.
        busy.send(b"mine")
        await wait_for(lambda: any(peer.received for peer in peers), "the request")
        peer = next(peer for peer in peers if peer.received)
        peer.send(data)
        began = time.monotonic()
        await wait_for(lambda: time.monotonic() - began > 2.5 * PATIENCE, "a long pause", 5 * PATIENCE)
        self.assertEqual(gateway.records, [])
        busy.transport.resumeProducing()
        await busy.got(data)
        silent.send(b"still here")
        await next(each for each in peers if each is not peer).got(b"still here")


class WorkerTests(WorkersTestCase):
    """A real gateway with two workers."""

    async def test_a_reload_brings_probes_to_open_ports(self) -> None:
        """New clients of open ports get the new probes, and so do their endpoints."""
        far = FarNetwork(self)
        with far.inside():
            endpoint = socket.create_server((FAR, 0))
        self.addCleanup(endpoint.close)
        lab = await self.start()
        port = free_port()
        await self.serve_fleet(lab, port, (FAR, endpoint.getsockname()[1]))
        quick = "keepalive:\n  client: &quick {idle: 1s, interval: 1s, count: 2}\n  upstream: *quick\n"
        lab.settings.write_text(re.sub(r"(?m)^keepalive:\n(?:[ #].*\n)+", quick, lab.settings.read_text()))
        lab.process.signal(signal.SIGHUP)
        await lab.process.wait_for_output("everything was read again")
        with far.inside():
            client = Client(self, lab.ports[ECHO], NEAR)
        client.read_until(END_OF_GREETING)
        near = Client(self, port)
        endpoint.settimeout(10)
        self.addCleanup(endpoint.accept()[0].close)
        far.vanish()
        for line in (
            await lab.logged(ending="client_timed_out", client=client.name),
            await lab.logged(ending="upstream_timed_out", client=near.name),
        ):
            self.assertLess(line["duration"], PATIENCE + LATE + FIRST_PROBE_AGE)
