"""Tests of :mod:`meshgate.proxy.pacing`: bandwidth, with a clock of the test's own and on real connections."""

from __future__ import annotations

import time
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.proxy.pacing import BURST, SMALLEST_BURST
from meshgate.routing.connection_policy import UpstreamPolicy
from meshgate.routing.table import Destination, Endpoint
from tests.fakes import FakedGateway
from tests.peers import GatewayUnderTest, Origin, Peer, on_every_transport, tcp_listener
from tests.support import wait_for

KIB, MIB = 1 << 10, 1 << 20
ENDPOINT = Endpoint("192.0.2.9", 80)


def limited(endpoint: Endpoint, bandwidth: int) -> Destination:
    """A destination whose connections share a bandwidth."""
    return Destination("origin", 80, endpoints=(endpoint,), policy=UpstreamPolicy(bandwidth=bandwidth))


def paced(rate: int, burst: int = 0, shared: int = 0) -> FakedGateway:
    """A joined connection with a bandwidth."""
    gateway = FakedGateway(tcp_listener(limited(ENDPOINT, shared)), Limits(bandwidth=rate, bandwidth_burst=burst))
    gateway.join()
    return gateway


class PacedTests(SynchronousTestCase):
    """A clock of the test's own."""

    def test_ten_seconds(self) -> None:
        """Within 5 % over ten seconds, each way, at any bandwidth."""
        for rate in (KIB, 10 * KIB, 300 * KIB, 5 * MIB):
            gateway = paced(rate)
            for _ in range(rate * 12 // 65536 + 2):
                gateway.client.peer_sends(bytes(65536))
                gateway.upstream.peer_sends(bytes(65536))
            gateway.reactor.pump([0.005] * 2000)
            burst = max(SMALLEST_BURST, rate * BURST)
            for written in (gateway.upstream.written, gateway.client.written):
                self.assertLessEqual(len(written), 10 * rate + burst + 0.05 * 10 * rate)
                self.assertGreaterEqual(len(written), 0.95 * 10 * rate)
            gateway.client.peer_resets()
            gateway.reactor.pump([1.0] * 3)

    def test_a_burst_after_a_silence(self) -> None:
        """As many bytes as the settings say come at once, and then only what the bandwidth allows."""
        gateway = paced(10 * KIB, burst=30 * KIB)
        gateway.upstream.peer_sends(bytes(65536))
        gateway.turn()
        self.assertLessEqual(abs(len(gateway.client.written) - (30 * KIB)), 256)
        gateway.reactor.pump([0.01] * 100)
        self.assertLessEqual(abs(len(gateway.client.written) - (40 * KIB)), 512)

    def test_nothing_more_is_read_meanwhile(self) -> None:
        """What waits is one read, and all of it comes at last."""
        gateway = paced(KIB)
        gateway.upstream.peer_sends(bytes(65536))
        self.assertFalse(gateway.upstream.reading)
        gateway.reactor.pump([0.05] * 1200)
        self.assertEqual(len(gateway.client.written), 65536)
        self.assertTrue(gateway.upstream.reading)

    def test_an_end_of_stream_comes_after_all_bytes(self) -> None:
        """At its time, and not before."""
        gateway = paced(10 * KIB)
        gateway.upstream.peer_sends(bytes(60 * KIB))
        gateway.upstream.peer_finishes()
        gateway.reactor.pump([0.05] * 60)
        self.assertFalse(gateway.client.fin_sent)
        gateway.reactor.pump([0.05] * 60)
        self.assertEqual((len(gateway.client.written), gateway.client.fin_sent), (60 * KIB, True))
        gateway.client.peer_finishes()
        gateway.reactor.pump([0.5] * 4)
        self.assertEqual(gateway.ending, Ending.OK)

    def test_a_peer_that_does_not_read(self) -> None:
        """It stops the flow as without a bandwidth, which then goes on."""
        gateway = paced(100 * KIB)
        gateway.client.peer_reads = False
        for _ in range(4):
            gateway.upstream.peer_sends(bytes(65536))
        gateway.reactor.pump([0.05] * 100)
        self.assertEqual(len(gateway.client.written), 0)
        gateway.client.peer_reads_again()
        gateway.reactor.pump([0.05] * 100)
        self.assertEqual(len(gateway.client.written), 4 * 65536)

    def test_what_was_read_is_sent_before_a_loss(self) -> None:
        """Neither a reset by the endpoint nor the end of the gateway's patience loses what was read."""
        gateway = paced(KIB)
        gateway.upstream.peer_sends(bytes(40 * KIB))
        gateway.upstream.peer_times_out()
        gateway.reactor.pump([0.5] * 4)
        self.assertEqual(len(gateway.client.written), 40 * KIB)
        self.assertEqual((gateway.ending, gateway.plane.count), (Ending.UPSTREAM_TIMED_OUT, 0))
        gateway = paced(KIB)
        gateway.upstream.peer_sends(bytes(40 * KIB))
        gateway.inbound.close(Ending.IDLE)
        gateway.reactor.pump([0.5] * 4)
        self.assertEqual((len(gateway.client.written), gateway.ending), (40 * KIB, Ending.IDLE))
        self.assertEqual(gateway.reactor.getDelayedCalls(), [])

    def test_a_destination_shares(self) -> None:
        """Connections to one destination get its bandwidth together, and about the same each."""
        listener = tcp_listener(limited(ENDPOINT, 100 * KIB))
        gateway = FakedGateway(listener, Limits())
        gateway.join()
        clients, upstreams = [gateway.client], [gateway.upstream]
        for _ in range(3):
            client = type(gateway.client)(gateway.reactor)
            client.protocol = gateway.accept(listener, "198.51.100.8")
            client.protocol.makeConnection(client)
            gateway.join()
            clients.append(client)
            upstreams.append(gateway.upstream)
        for upstream in upstreams:
            for _ in range(16):
                upstream.peer_sends(bytes(65536))
        gateway.reactor.pump([0.005] * 2000)
        got = [len(client.written) for client in clients]
        self.assertLessEqual(abs(sum(got) - (1000 * KIB)), 50 * KIB)
        self.assertLess(max(got) - min(got), 60 * KIB)

    def test_without_a_bandwidth_nothing_is_paced(self) -> None:
        """The sides are the usual ones."""
        gateway = paced(0)
        relay = gateway.inbound.relay
        self.assertEqual([side.joins() for side in (relay.client, relay.upstream)], [True, True])


@on_every_transport
class RealPacedTests(TestCase):
    """Real connections."""

    async def seconds(self, gateway: GatewayUnderTest, sender: Peer, receivers: list[tuple[Peer, int]]) -> float:
        """How long it takes until each of the receivers has got its bytes."""
        begin = time.monotonic()
        await wait_for(lambda: all(len(peer.received) >= count for peer, count in receivers), "the bytes")
        return time.monotonic() - begin

    async def test_each_way(self) -> None:
        """Two seconds' worth of bytes take two seconds, to 10 %, each way at once; then ends are in order."""
        rate = 4 * MIB
        origin, gateway = Origin(self), GatewayUnderTest(self, Limits(bandwidth=rate))
        gateway.serve(listener := tcp_listener(origin.endpoint))
        client = await gateway.connect(listener)
        endpoint = await origin.peer()
        content = bytes(2 * rate)
        client.send(content)
        endpoint.send(content)
        endpoint.finish()
        taken = await self.seconds(gateway, client, [(client, len(content)), (endpoint, len(content))])
        self.assertLessEqual(abs(taken - (2 - BURST)), 0.2)
        await client.got_finish()
        client.finish()
        record = await gateway.record()
        found = (record.ending, record.bytes_in, record.bytes_out)
        self.assertEqual(found, (Ending.OK, len(content), len(content)))

    async def test_a_destination(self) -> None:
        """Two connections share its bandwidth."""
        rate = 4 * MIB
        origin, gateway = Origin(self), GatewayUnderTest(self)
        gateway.serve(listener := tcp_listener(limited(origin.endpoint, rate)))
        clients = [await gateway.connect(listener) for _ in range(2)]
        endpoints = [await origin.peer(number) for number in range(2)]
        content = bytes(rate)
        for endpoint in endpoints:
            endpoint.send(content)
        taken = await self.seconds(gateway, endpoints[0], [(client, len(content)) for client in clients])
        self.assertLessEqual(abs(taken - (2 - BURST)), 0.2)

    async def test_a_reset_loses_nothing_that_was_read(self) -> None:
        """An endpoint that sends and resets is heard as without a bandwidth."""
        origin, gateway = Origin(self), GatewayUnderTest(self, Limits(bandwidth=100 * KIB))
        gateway.serve(listener := tcp_listener(origin.endpoint))
        client = await gateway.connect(listener)
        endpoint = await origin.peer()
        client.send(b"hello")
        await endpoint.got(b"hello")
        endpoint.send(bytes(60 * KIB))
        await wait_for(lambda: bool(client.received), "the first bytes")
        endpoint.reset()
        record = await gateway.record()
        self.assertEqual(record.ending, Ending.UPSTREAM_RESET)
        self.assertEqual(len(client.received), 60 * KIB)

    async def test_new_settings_hold_for_new_connections(self) -> None:
        """A connection that is there stays as it is."""
        origin, gateway = Origin(self), GatewayUnderTest(self, Limits(bandwidth=KIB))
        gateway.serve(listener := tcp_listener(origin.endpoint))
        slow = await gateway.connect(listener)
        first = await origin.peer()
        gateway.plane.limits = replace(gateway.plane.limits, bandwidth=0)
        fast = await gateway.connect(listener)
        second = await origin.peer(1)
        for endpoint in (first, second):
            endpoint.send(bytes(MIB))
        await wait_for(lambda: len(fast.received) == MIB, "the bytes of the new one")
        self.assertLess(len(slow.received), 64 * KIB)
