"""Drains: when connections are ended, by a clock of the test's own, and which of them have lost their routes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from meshgate.proxy.draining import SHORTEST_PAUSE, SPREAD, Drain, next_turn
from meshgate.proxy.endings import Ending
from tests.hello_builder import build_hello
from tests.peers import GatewayUnderTest, Origin, Peer, chain, on_every_transport, sni_listener, tcp_listener
from tests.support import reactor, wait_for


class FakeRecord:
    """A record, of which only the ending counts."""

    ending: Ending | None = None


class FakeConnection:
    """A connection that notes when it is closed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.record = FakeRecord()
        self.closed: float | None = None

    def close(self, ending: Ending) -> None:
        """Note the moment."""
        self.record.ending = ending
        self.closed = self._clock.seconds()


class NextTurnTests(TestCase):
    """The plan of a drain's last part."""

    @given(st.integers(1, 100_000), st.floats(0, 1000))
    def test_all_are_ended_in_time(self, remaining: int, left: float) -> None:
        """Turn after turn, everything is ended within the time, at an even pace, with pauses that are not too short."""
        began, whole, passed = remaining, left, 0.0
        for _ in range(300):
            if not remaining:
                break
            pause, size = next_turn(remaining, whole - passed)
            self.assertTrue(1 <= size <= remaining)
            self.assertGreaterEqual(pause + 1e-6, min(SHORTEST_PAUSE, whole - passed))
            remaining, passed = remaining - size, passed + pause
            self.assertAlmostEqual(passed, whole * (began - remaining) / began, places=6)

    def test_one_connection_has_all_the_time(self) -> None:
        """The last connection is ended with the last second."""
        self.assertEqual(next_turn(1, 15.0), (15.0, 1))
        self.assertEqual(next_turn(3, 0.0), (0.0, 3))


class DrainTests(TestCase):
    """A drain of connections that do nothing."""

    def setUp(self) -> None:
        """Begin at 0."""
        self.clock = Clock()

    def drain(self, count: int, time: float) -> list[FakeConnection]:
        """Begin a drain."""
        connections = [FakeConnection(self.clock) for _ in range(count)]
        live = cast("list[Any]", connections)
        self.drained = Drain(
            self.clock, time, lambda: [each for each in live if each.record.ending is None], lambda _: True
        )
        return connections

    def pass_time(self, seconds: float) -> None:
        """Pass time in small steps."""
        self.clock.pump([0.01] * round(seconds * 100))

    def test_the_rest_is_spread_over_the_last_part(self) -> None:
        """Nothing is ended in the first half; in the second, each tenth of the time ends a tenth of the connections."""
        connections = self.drain(1000, 30.0)
        self.pass_time(30 * (1 - SPREAD))
        self.assertEqual([each.closed for each in connections if each.closed is not None], [])
        for number in range(1, 11):
            self.pass_time(1.5)
            closed = sum(each.closed is not None for each in connections)
            self.assertLessEqual(abs(closed - number * 100), 10)
        self.pass_time(0.1)
        self.assertTrue(all(each.record.ending is Ending.DRAINED for each in connections))

    def test_those_that_end_by_themselves_are_left_alone(self) -> None:
        """A connection that has ended before its turn is not closed, and hastens no other."""
        connections = self.drain(10, 20.0)
        self.pass_time(5)
        connections[0].record.ending = Ending.OK
        self.pass_time(6)
        for each in connections[4:8]:
            if each.closed is None:
                each.record.ending = Ending.OK
        self.pass_time(9.2)
        ended = sorted(each.closed for each in connections if each.closed is not None)
        self.assertTrue(18.5 < ended[-1] <= 20.02, ended)
        self.assertTrue(all(each.record.ending is not None for each in connections))
        self.assertIs(connections[0].record.ending, Ending.OK)

    def test_a_stopped_drain_ends_nothing_more(self) -> None:
        """Neither before the spreading nor within it."""
        for seconds in (5.0, 15.0):
            connections = self.drain(10, 20.0)
            self.pass_time(seconds)
            self.drained.stop()
            before = [each.closed for each in connections]
            self.pass_time(20)
            self.assertEqual([each.closed for each in connections], before)
            self.assertEqual(self.clock.getDelayedCalls(), [])


@on_every_transport
class RemovedRoutesTests(TestCase):
    """Connections through a real data plane, whose routes are then removed."""

    timeout = 60

    def setUp(self) -> None:
        """Have an endpoint that greets."""
        self.origin = Origin(self, b"a")
        self.gateway = GatewayUnderTest(self)
        self.gateway.plane.removed_routes.time = 0.2

    async def joined(self, client: Peer) -> Peer:
        """A client that has its endpoint."""
        await client.got(b"a")
        return client

    async def test_a_removed_listener(self) -> None:
        """Its connections are reset in time, as drained; those of another listener go on."""
        removed, kept = tcp_listener(self.origin.endpoint), tcp_listener(self.origin.endpoint, bind="127.0.0.2")
        self.gateway.serve(removed, kept)
        one = await self.joined(await self.gateway.connect(removed))
        other = await self.joined(await self.gateway.connect(kept))
        self.gateway.serve(kept)
        await one.got_reset()
        self.assertIs((await self.gateway.record()).ending, Ending.DRAINED)
        self.assertGreaterEqual(self.gateway.records[0].duration, 0.1)
        other.send(b"still here")
        await wait_for(lambda: any(peer.received == b"still here" for peer in self.origin.peers), "the bytes")

    async def test_without_the_setting_they_are_kept(self) -> None:
        """By default a connection outlasts its listener."""
        self.gateway.plane.removed_routes.time = None
        self.gateway.serve(listener := tcp_listener(self.origin.endpoint))
        client = await self.joined(await self.gateway.connect(listener))
        self.gateway.serve()
        client.send(b"still here")
        await (await self.origin.peer()).got(b"still here")
        self.assertEqual(self.gateway.records, [])

    async def test_a_removed_route_of_a_listener(self) -> None:
        """A name that is gone, or that another VirtualService has now, drains its own connections and no others."""
        end = self.origin.endpoint
        taken = replace(chain(end, names=("b.example",)), virtual_service="default/other")
        before = sni_listener({"a.example": end, "b.example": end, "c.example": end})
        self.gateway.serve(before)
        clients = {}
        for name in ("a.example", "b.example", "c.example"):
            client = clients[name] = await self.gateway.connect(before)
            client.send(build_hello(name))
            await client.got(b"a")
        self.gateway.serve(sni_listener({"b.example": taken, "c.example": end}))
        for name in ("a.example", "b.example"):
            await clients[name].got_reset()
        await wait_for(lambda: len(self.gateway.records) == 2, "two records")
        self.assertEqual({record.ending for record in self.gateway.records}, {Ending.DRAINED})
        self.assertEqual([record.sni for record in self.gateway.live_records()], ["c.example"])

    async def test_a_route_that_comes_back_keeps_its_connections(self) -> None:
        """A listener that is there again before the time is over has lost nothing."""
        self.gateway.plane.removed_routes.time = 1.0
        self.gateway.serve(listener := tcp_listener(self.origin.endpoint))
        client = await self.joined(await self.gateway.connect(listener))
        self.gateway.serve()
        await wait_for(lambda: self.gateway.plane.removed_routes.draining, "the look")
        self.gateway.serve(listener)
        await deferLater(reactor, 1.2)
        client.send(b"still here")
        await (await self.origin.peer()).got(b"still here")

    async def test_a_stop_spreads_what_is_left(self) -> None:
        """A drain with a time lets connections end by themselves, and ends the rest one after the other."""
        self.gateway.serve(listener := tcp_listener(self.origin.endpoint))
        clients = [await self.joined(await self.gateway.connect(listener)) for _ in range(4)]
        began = reactor.seconds()
        drained = self.gateway.plane.drain(0.8)
        clients[0].finish()
        (await self.origin.peer()).finish()
        await drained
        self.assertGreaterEqual(reactor.seconds() - began, 0.7)
        endings = [record.ending for record in self.gateway.records]
        self.assertEqual(endings, [Ending.OK, Ending.DRAINED, Ending.DRAINED, Ending.DRAINED])
        times = [record.accepted + record.duration - began for record in self.gateway.records[1:]]
        self.assertTrue(all(time > 0.4 for time in times), times)
