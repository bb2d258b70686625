"""The relay: bytes, ends of stream, resets and silence, on real sockets and, for time and order, on fakes."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.task import Clock, LoopingCall
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.proxy.relay import GRACE, LAST_RECORD, Relay
from meshgate.proxy.sides import Side
from meshgate.routing.connection_policy import ConnectionPolicy
from meshgate.transport.lean.transport import LeanTransport
from meshgate.transport.wheel import SOON, TICK, Wheel
from tests.fakes import FakeTransport
from tests.peers import GatewayUnderTest, Origin, Peer, on_every_transport, tcp_listener
from tests.support import wait_for

KIB = 1024
MIB = 1024 * KIB


class SideProtocol:
    """Puts a relay's side on a fake transport."""

    def __init__(self, side: Side) -> None:
        self.dataReceived = side.received
        self.readConnectionLost = side.read_finished
        self.writeConnectionLost = side.write_finished
        self._side = side

    def connectionLost(self, reason: Failure) -> None:
        """Tell the side."""
        self._side.lost()


class FakedRelay:
    """A relay between two fake transports."""

    def __init__(self, limits: Limits) -> None:
        self.clock = Clock()
        self.client, self.upstream = FakeTransport(self.clock), FakeTransport(self.clock)
        self.endings: list[Ending] = []
        self.left: list[bool] = []
        self.gone = 0
        self.wheel = Wheel(self.clock)
        self.relay = Relay(
            self.wheel, limits, self.client, self.upstream, self.endings.append, self._gone, self.left.append
        )
        self.client.protocol = SideProtocol(self.relay.client)
        self.upstream.protocol = SideProtocol(self.relay.upstream)
        self.relay.start()

    def _gone(self) -> None:
        self.gone += 1

    def turn(self) -> None:
        """Let happen what happens without time passing."""
        self.clock.advance(0)

    def wait(self, seconds: float) -> None:
        """Let time pass, in steps small enough for every timer."""
        self.clock.pump([seconds / 64] * 64)


class SilenceTests(SynchronousTestCase):
    """When nothing happens any more."""

    def test_idle_ends_it(self) -> None:
        """Without a byte either way for the idle time, and not much longer, both sides are closed."""
        faked = FakedRelay(Limits(idle=64))
        faked.wait(63)
        self.assertEqual(faked.endings, [])
        faked.wait(1 + TICK)
        self.assertEqual(faked.endings, [Ending.IDLE])
        self.assertFalse(faked.client.connected or faked.upstream.connected)
        self.assertEqual(faked.gone, 1)

    def test_a_byte_either_way_resets_idle(self) -> None:
        """A byte from any side starts the idle time anew."""
        faked = FakedRelay(Limits(idle=64))
        for side in (faked.client, faked.upstream):
            faked.wait(60)
            side.peer_sends(b"x")
        faked.wait(60)
        self.assertEqual(faked.endings, [])
        faked.wait(4 + TICK)
        self.assertEqual(faked.endings, [Ending.IDLE])

    def test_idle_can_be_off(self) -> None:
        """With idle 0, silence lasts as long as it likes, without a timer."""
        faked = FakedRelay(Limits(idle=0))
        faked.turn()
        self.assertEqual(len(faked.wheel), 0)

    def test_half_closed_silence_ends_it(self) -> None:
        """After one side has finished, the shorter time for half-closed connections holds."""
        for side in ("client", "upstream"):
            faked = FakedRelay(Limits(idle=3600, half_close=64))
            faked.wait(100)
            getattr(faked, side).peer_finishes()
            faked.wait(63)
            self.assertEqual(faked.endings, [])
            faked.wait(1 + TICK)
            self.assertEqual(faked.endings, [Ending.HALF_CLOSE_TIMEOUT])
            self.assertEqual(faked.gone, 1)

    def test_half_closed_is_timed_even_without_idle(self) -> None:
        """Idle 0 does not switch off the time for half-closed connections: a reset would go unnoticed."""
        faked = FakedRelay(Limits(idle=0, half_close=64))
        faked.client.peer_finishes()
        faked.wait(64 + TICK)
        self.assertEqual(faked.endings, [Ending.HALF_CLOSE_TIMEOUT])

    def test_a_shorter_idle_holds_for_half_closed_ones(self) -> None:
        """Finishing does not give a connection more time than it had."""
        faked = FakedRelay(Limits(idle=8, half_close=64))
        faked.client.peer_finishes()
        faked.wait(8 + TICK)
        self.assertEqual(faked.endings, [Ending.IDLE])

    def test_bytes_reset_the_half_closed_time(self) -> None:
        """A half-closed connection lives as long as the other side goes on sending."""
        faked = FakedRelay(Limits(half_close=64))
        faked.client.peer_finishes()
        for _ in range(10):
            faked.wait(50)
            faked.upstream.peer_sends(b"x")
        self.assertEqual(faked.endings, [])
        faked.upstream.peer_finishes()
        faked.turn()
        self.assertEqual(faked.endings, [Ending.OK])

    def test_a_tail_that_nobody_reads_ends_by_time(self) -> None:
        """Both sides have finished, but the client never reads the rest: that ends, too."""
        faked = FakedRelay(Limits(half_close=64))
        faked.client.peer_reads = False
        faked.client.peer_finishes()
        faked.upstream.peer_sends(b"tail")
        faked.upstream.peer_finishes()
        faked.wait(128)
        self.assertEqual(faked.endings, [Ending.HALF_CLOSE_TIMEOUT])
        self.assertTrue(faked.client.reset_sent)
        self.assertEqual(faked.gone, 1)

    def test_closing_aborts_who_does_not_read(self) -> None:
        """When the gateway closes, a peer that reads nothing is waited for only so long; the first reason counts."""
        faked = FakedRelay(Limits())
        faked.client.peer_reads = False
        faked.upstream.peer_sends(b"unread")
        faked.relay.close(Ending.DRAINED)
        faked.relay.close(Ending.IDLE)
        faked.turn()
        self.assertEqual((faked.upstream.connected, faked.client.connected, faked.endings), (False, True, []))
        faked.wait(GRACE * 2)
        self.assertEqual((faked.endings, faked.gone), ([Ending.DRAINED], 1))
        self.assertTrue(faked.client.reset_sent)

    def test_no_timer_outlives_the_relay(self) -> None:
        """Once both sides are gone, nothing is scheduled any more."""
        for end in (
            lambda f: f.client.peer_resets(),
            lambda f: (f.client.peer_finishes(), f.upstream.peer_finishes()),
            lambda f: f.relay.close(Ending.DRAINED),
        ):
            faked = FakedRelay(Limits())
            end(faked)
            faked.turn()
            faked.turn()
            self.assertEqual((len(faked.wheel), faked.gone), (0, 1))


class OrderTests(SynchronousTestCase):
    """The order of calls on a transport with a producer."""

    def test_finish_comes_through_a_full_buffer(self) -> None:
        """An end of stream right behind more bytes than the other side takes still arrives after them."""
        faked = FakedRelay(Limits())
        big = bytes(faked.upstream.bufferSize + 1)
        faked.relay.client.received(big)
        faked.relay.client.read_finished()
        faked.turn()
        self.assertEqual((faked.upstream.written, faked.upstream.fin_sent), (big, True))

    def test_backpressure_pauses_the_other_side_only(self) -> None:
        """The side whose bytes cannot be written is not read any more, until they could be."""
        faked = FakedRelay(Limits())
        faked.client.peer_reads = False
        faked.upstream.peer_sends(bytes(faked.client.bufferSize + 1))
        self.assertEqual((faked.upstream.reading, faked.client.reading), (False, True))
        faked.client.peer_reads_again()
        self.assertTrue(faked.upstream.reading)

    def test_second_finish_closes_after_the_tail(self) -> None:
        """The end of stream that comes second lets what was written leave before the connections close."""
        faked = FakedRelay(Limits())
        faked.client.peer_finishes()
        faked.turn()
        faked.upstream.peer_sends(b"tail")
        faked.upstream.peer_finishes()
        faked.turn()
        self.assertEqual((faked.client.written, faked.endings, faked.gone), (b"tail", [Ending.OK], 1))

    def test_closing_flushes_a_full_buffer(self) -> None:
        """A close waits until everything that was written has left, even if the other side was paused for it."""
        for ending in (Ending.IDLE, Ending.DRAINED):
            faked = FakedRelay(Limits())
            big = bytes(faked.client.bufferSize + 1)
            faked.client.peer_reads = False
            faked.upstream.peer_sends(big)
            faked.relay.close(ending)
            faked.client.peer_reads_again()
            faked.wait(2 * SOON)
            self.assertTrue(faked.client.written == big)
            self.assertEqual((faked.client.connected, faked.client.reset_sent), (False, ending is Ending.DRAINED))

    def test_each_order_of_events_gives_one_ending(self) -> None:
        """Whatever happens in whatever order, there is one ending, and both connections go."""
        events: list[Any] = [
            lambda f: f.client.peer_finishes(),
            lambda f: f.upstream.peer_finishes(),
            lambda f: f.client.peer_resets(),
            lambda f: f.upstream.peer_resets(),
            lambda f: f.relay.close(Ending.DRAINED),
            lambda f: f.upstream.peer_sends(b"x"),
            lambda f: f.turn(),
        ]
        for first in events:
            for second in events:
                for third in events:
                    faked = FakedRelay(Limits(half_close=1, idle=1))
                    for event in (first, second, third):
                        event(faked)
                    faked.wait(8)
                    self.assertEqual((len(faked.endings), faked.gone), (1, 1))
                    self.assertEqual(len(faked.wheel), 0)


class ResetTests(SynchronousTestCase):
    """A reset means an ending that depends on what had been sent before."""

    def test_after_the_whole_answer_a_reset_is_a_close(self) -> None:
        """A client that resets after the endpoint's end of stream was sent to it has just closed."""
        faked = FakedRelay(Limits())
        faked.upstream.peer_sends(b"answer")
        faked.upstream.peer_finishes()
        faked.turn()
        faked.client.peer_resets()
        faked.turn()
        self.assertEqual((faked.endings, faked.gone), ([Ending.OK], 1))
        self.assertTrue(faked.upstream.reset_sent)

    def test_an_answer_that_is_cut_short_is_reset(self) -> None:
        """The endpoint has finished, but the client resets before all of it was sent."""
        faked = FakedRelay(Limits())
        faked.client.peer_reads = False
        faked.upstream.peer_sends(b"answer")
        faked.upstream.peer_finishes()
        faked.turn()
        faked.client.peer_resets()
        self.assertEqual(faked.endings, [Ending.CLIENT_RESET])

    def test_an_endpoint_that_resets_after_the_request_has_not_answered(self) -> None:
        """The endpoint was sent everything and resets: the client lacks the rest of the answer."""
        faked = FakedRelay(Limits())
        faked.client.peer_finishes()
        faked.turn()
        faked.upstream.peer_resets()
        faked.turn()
        self.assertEqual(faked.endings, [Ending.UPSTREAM_RESET])
        self.assertTrue(faked.client.reset_sent)

    def client_that_closed(self) -> FakedRelay:
        """A client that has finished, and answers a last record of the endpoint with a reset."""
        faked = FakedRelay(Limits())
        faked.client.peer_finishes()
        faked.client.peer_reads = False
        faked.upstream.peer_sends(b"record")
        faked.turn()
        faked.client.peer_resets()
        faked.turn()
        self.assertFalse(faked.client.connected)
        self.assertEqual(faked.endings, [])
        return faked

    def test_a_finished_client_that_closes_before_the_last_word_is_in_order(self) -> None:
        """If the endpoint has nothing more to send but its own end, the client has just closed."""
        faked = self.client_that_closed()
        faked.upstream.peer_finishes()
        faked.turn()
        self.assertEqual((faked.endings, faked.gone), ([Ending.OK], 1))

    def test_a_finished_client_that_does_not_wait_for_its_answer_has_reset(self) -> None:
        """More than a last record for a client that is gone: it was cut short, and the endpoint is reset."""
        faked = self.client_that_closed()
        faked.upstream.peer_sends(bytes(LAST_RECORD))
        faked.turn()
        self.assertEqual(faked.endings, [])
        faked.upstream.peer_sends(b"m")
        faked.turn()
        self.assertEqual((faked.endings, faked.gone), ([Ending.CLIENT_RESET], 1))
        self.assertTrue(faked.upstream.reset_sent)

    def test_a_finished_client_is_not_waited_for_long(self) -> None:
        """An endpoint that stays silent is reset after a moment."""
        faked = self.client_that_closed()
        faked.wait(GRACE + TICK)
        self.assertEqual((faked.endings, faked.gone), ([Ending.CLIENT_RESET], 1))
        self.assertTrue(faked.upstream.reset_sent)
        self.assertEqual(len(faked.wheel), 0)


class Slow(Peer):
    """A peer that reads nothing until it is told to."""

    def connectionMade(self) -> None:
        """Read nothing yet."""
        self.transport.pauseProducing()


def waiting(transport: Any) -> int:
    """Return the number of bytes that a transport holds because the kernel has not taken them."""
    if isinstance(transport, LeanTransport):
        return len(transport.pending or b"")
    return len(transport.dataBuffer) + int(transport._tempDataLen)


@on_every_transport
class RealTests(TestCase):
    """Two real connections joined by a gateway."""

    def setUp(self) -> None:
        """An endpoint and a gateway in front of it."""
        self.origin = Origin(self)
        self.gateway = GatewayUnderTest(self)
        self.listener = tcp_listener(self.origin.endpoint)
        self.gateway.serve(self.listener)

    async def joined(self) -> tuple[Peer, Peer]:
        """A client and the endpoint's side of its connection."""
        client = await self.gateway.connect(self.listener)
        return client, await self.origin.peer()

    async def test_bytes_go_both_ways(self) -> None:
        """Exactly what is sent arrives, and the counters are exact."""
        client, upstream = await self.joined()
        client.send(b"question")
        await upstream.got(b"question")
        upstream.send(b"a longer answer")
        await client.got(b"a longer answer")
        client.finish()
        upstream.finish()
        record = await self.gateway.record()
        self.assertEqual((record.ending, record.bytes_in, record.bytes_out), (Ending.OK, 8, 15))
        assert record.first_byte is not None
        assert record.dial is not None
        self.assertTrue(0 < record.dial < record.first_byte < record.duration)

    async def test_the_idle_time_of_its_policy(self) -> None:
        """A chain's own idle time ends a silent connection, whatever the gateway's; 0 keeps one that would end."""
        impatient = tcp_listener(self.origin.endpoint, bind="127.0.0.2", policy=ConnectionPolicy(idle=0.1))
        patient = tcp_listener(self.origin.endpoint, bind="127.0.0.3", policy=ConnectionPolicy(idle=0))
        self.gateway.serve(impatient, patient)
        self.gateway.plane.limits = Limits(idle=0.2)
        kept = await self.gateway.connect(patient)
        await (await self.gateway.connect(impatient)).got_finish()
        self.assertEqual((await self.gateway.record()).ending, Ending.IDLE)
        self.gateway.serve(impatient, patient, self.listener)
        await (await self.gateway.connect(self.listener)).got_finish()
        self.assertEqual((await self.gateway.record(1)).ending, Ending.IDLE)
        self.assertIsNone(kept.lost)

    async def test_the_longest_duration(self) -> None:
        """A connection ends when it has lasted so long, however busy it is, and both sides see its end."""
        listener = tcp_listener(self.origin.endpoint, bind="127.0.0.2", policy=ConnectionPolicy(max_duration=0.3))
        self.gateway.serve(listener)
        client = await self.gateway.connect(listener)
        upstream = await self.origin.peer()
        busy = LoopingCall(client.send, b"x")
        busy.start(0.01)
        self.addCleanup(busy.stop)
        await upstream.got_finish()
        record = await self.gateway.record()
        self.assertEqual(record.ending, Ending.MAX_DURATION)
        self.assertGreaterEqual(record.duration, 0.3)
        self.assertGreater(record.bytes_in, 0)

    async def test_client_finishes_first(self) -> None:
        """After the client has finished, the endpoint's bytes still come."""
        client, upstream = await self.joined()
        client.send(b"request")
        client.finish()
        await upstream.got_finish()
        self.assertEqual(upstream.received, b"request")
        upstream.send(b"answer")
        await client.got(b"answer")
        upstream.finish()
        await client.got_finish()
        self.assertEqual((await self.gateway.record()).ending, Ending.OK)

    async def test_endpoint_finishes_first(self) -> None:
        """After the endpoint has finished, the client's bytes still come."""
        client, upstream = await self.joined()
        upstream.send(b"answer")
        upstream.finish()
        await client.got_finish()
        client.send(b"more")
        await upstream.got(b"more")
        client.finish()
        await upstream.got_finish()
        self.assertEqual((await self.gateway.record()).ending, Ending.OK)

    async def test_finish_comes_after_a_big_tail(self) -> None:
        """An end of stream right behind 4 MiB comes after the last of them, either way."""
        client, upstream = await self.joined()
        tail = os.urandom(4 * MIB)
        upstream.send(tail)
        upstream.finish()
        client.send(tail)
        client.finish()
        await client.got_finish()
        await upstream.got_finish()
        self.assertEqual((client.finished, upstream.finished), (len(tail), len(tail)))
        self.assertTrue(client.received == upstream.received == tail)
        record = await self.gateway.record()
        self.assertEqual((record.bytes_in, record.bytes_out), (len(tail), len(tail)))

    async def test_client_reset_is_passed_on(self) -> None:
        """A reset by the client resets the endpoint's connection."""
        client, upstream = await self.joined()
        client.reset()
        await upstream.got_reset()
        self.assertEqual((await self.gateway.record()).ending, Ending.CLIENT_RESET)

    async def test_endpoint_reset_is_passed_on(self) -> None:
        """A reset by the endpoint resets the client's connection."""
        client, upstream = await self.joined()
        upstream.reset()
        await client.got_reset()
        self.assertEqual((await self.gateway.record()).ending, Ending.UPSTREAM_RESET)

    async def test_a_client_that_leaves_the_last_bytes_unread_has_closed(self) -> None:
        """Closing with unread bytes makes the kernel send a reset; after the whole answer that is no failure."""
        client = socket.create_connection(self.gateway.addresses[self.listener.key])
        self.addCleanup(client.close)
        upstream = await self.origin.peer()
        upstream.send(b"answer, and a last record that nobody reads")
        upstream.finish()
        (connection,) = self.gateway.plane.connections
        assert connection.relay is not None
        side = connection.relay.client
        await wait_for(lambda: side.fin_sent, "the end of the answer")
        client.close()
        await upstream.got_reset()
        self.assertEqual((await self.gateway.record()).ending, Ending.OK)

    async def test_reset_after_finish_is_noticed_when_writing(self) -> None:
        """A client that finished and then went away is noticed by the endpoint's next bytes."""
        client, upstream = await self.joined()
        client.finish()
        await upstream.got_finish()
        client.reset()
        await wait_for(lambda: client.lost, "the client's end")

        def goes_on_sending() -> bool:
            upstream.send(b"x")
            return bool(upstream.lost)

        await wait_for(goes_on_sending, "the endpoint's end")
        self.assertEqual((await self.gateway.record()).ending, Ending.CLIENT_RESET)

    async def test_slow_reader_bounds_memory(self) -> None:
        """16 MiB each way wait at their sender while nobody reads; then they all arrive."""
        client = await self.gateway.connect(self.listener, Slow)
        upstream = await self.origin.peer()
        upstream.transport.pauseProducing()
        data = os.urandom(16 * MIB)
        client.send(data)
        upstream.send(data)
        await self.no_more_progress()
        for transport in self.gateway_transports():
            self.assertLess(waiting(transport), 256 * KIB)
        client.transport.resumeProducing()
        upstream.transport.resumeProducing()
        await client.got(data)
        await upstream.got(data)

    def gateway_transports(self) -> list[Any]:
        """Both transports of the one live connection, seen from inside: their buffers are the memory."""
        (connection,) = self.gateway.plane.connections
        assert connection.relay is not None
        return [connection.relay.client.transport, connection.relay.upstream.transport]

    async def no_more_progress(self) -> None:
        """Wait until the gateway has read nothing for a while, after it has read something."""
        seen: list[int] = []

        def stalled() -> bool:
            (record,) = self.gateway.live_records()
            seen.append(record.bytes_in + record.bytes_out)
            return seen[-1] > 0 and len(seen) > 20 and seen[-20] == seen[-1]

        await wait_for(stalled, "backpressure")

    async def test_half_closed_connection_ends_in_time(self) -> None:
        """A client that finished and vanished without a sound does not stay for ever."""
        self.gateway.plane.limits = Limits(half_close=0.2)
        client, upstream = await self.joined()
        client.finish()
        await upstream.got_finish()
        record = await self.gateway.record()
        self.assertEqual(record.ending, Ending.HALF_CLOSE_TIMEOUT)
        self.assertGreater(record.duration, 0.2)

    async def test_idle_connection_ends_in_time(self) -> None:
        """Silence ends both sides by an orderly end of stream."""
        self.gateway.plane.limits = Limits(idle=0.2)
        client, upstream = await self.joined()
        await client.got_finish()
        await upstream.got_finish()
        self.assertEqual((await self.gateway.record()).ending, Ending.IDLE)

    async def test_many_at_once(self) -> None:
        """Fifty connections at once, each with bytes of its own, do not mix."""
        clients = [await self.gateway.connect(self.listener) for _ in range(50)]
        for number, client in enumerate(clients):
            client.send(b"%d" % number * 5000)
            client.finish()
        upstreams = [await self.origin.peer(number) for number in range(50)]
        for upstream in upstreams:
            await upstream.got_finish()
            upstream.send(bytes(upstream.received))
            upstream.finish()
        for number, client in enumerate(clients):
            await client.got_finish()
            self.assertEqual(client.received, b"%d" % number * 5000)
        await self.gateway.record(49)
        self.assertEqual({record.ending for record in self.gateway.records}, {Ending.OK})
        await wait_for(lambda: self.gateway.plane.count == 0, "the last connection's end")
        self.assertEqual(sorted(record.id for record in self.gateway.records), list(range(1, 51)))

    async def test_endings_come_once(self) -> None:
        """One record for each connection, however it ended, and none lives on."""
        for number, end in enumerate([Peer.reset, Peer.finish, Peer.reset]):
            client = await self.gateway.connect(self.listener)
            upstream = await self.origin.peer(number)
            end(client)
            end(upstream)
            await self.gateway.record(number)
        await wait_for(lambda: self.gateway.plane.count == 0, "the last connection's end")
        self.assertEqual(len(self.gateway.records), 3)
