"""Tests of :mod:`meshgate.proxy.endpoint_endings`."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.endpoint_endings import EndpointEndings, SpreadEndings
from meshgate.proxy.record import ConnectionRecord
from meshgate.routing.connection_policy import Algorithm, Balancing, HealthCheck, UpstreamPolicy
from meshgate.routing.table import Destination
from tests.peers import GatewayUnderTest, Origin, Peer, on_every_transport, tcp_listener
from tests.support import reactor, wait_for

ENDS = HealthCheck(ends=True)


class FakedConnection:
    """A connection that only ends."""

    def __init__(self, clock: Clock) -> None:
        self.record = ConnectionRecord(1, 0, 0, "l", ("192.0.2.1", 1))
        self._clock = clock
        self.ended: tuple[float, Ending] | None = None

    def close(self, ending: Ending) -> None:
        """Note when."""
        assert self.ended is None
        self.ended = self._clock.seconds(), ending
        self.record.ending = ending


class SpreadTests(SynchronousTestCase):
    """Ends over a time."""

    def spread(self, number: int, within: float, still: Any = lambda each: True) -> tuple[Clock, list[FakedConnection]]:
        """So many connections that are to end."""
        clock = Clock()
        connections = [FakedConnection(clock) for _ in range(number)]
        taken: list[Any] = list(connections)
        SpreadEndings(clock, random.Random(1)).end(taken, Ending.ENDPOINT_UNHEALTHY, within, still)
        return clock, connections

    def test_at_even_intervals(self) -> None:
        """Of a thousand over ten seconds, a hundred end in each, in no order; and no timer is left."""
        clock, connections = self.spread(1000, 10)
        clock.pump([0.01] * 1001)
        times = [each.ended[0] for each in connections if each.ended is not None]
        self.assertEqual(len(times), 1000)
        for second in range(10):
            self.assertLess(abs(sum(second < each <= second + 1 for each in times) - 100), 4)
        self.assertNotEqual(times, sorted(times))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_at_once(self) -> None:
        """With no time, all end at once, and no timer runs."""
        clock, connections = self.spread(3, 0)
        self.assertEqual([each.ended for each in connections], [(0, Ending.ENDPOINT_UNHEALTHY)] * 3)
        self.assertEqual(clock.getDelayedCalls(), [])
        self.spread(0, 10)

    def test_who_is_to_live_on(self) -> None:
        """Who has ended meanwhile ends no second time, and who is to stay stays."""
        lives: set[Any] = set()
        clock, connections = self.spread(10, 10, lambda each: each not in lives)
        connections[0].close(Ending.OK)
        lives.add(connections[1])
        clock.pump([1] * 11)
        self.assertEqual(connections[0].ended, (0, Ending.OK))
        self.assertIsNone(connections[1].ended)
        self.assertEqual(sum(each.ended is not None for each in connections), 9)


@on_every_transport
class EndpointTests(TestCase):
    """Two endpoints with connections."""

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        """Serve four clients in turn."""
        self.gateway = GatewayUnderTest(self)
        self.origins = [Origin(self, b"welcome"), Origin(self, b"welcome")]
        self.serve(ENDS)
        self.endings = EndpointEndings(self.gateway.plane, reactor)
        self.clients = []
        for _ in range(4):
            self.clients.append(await self.gateway.connect(self.listener))
            await self.clients[-1].got(b"welcome")
        self.first, self.second = (origin.endpoint for origin in self.origins)

    def serve(self, check: HealthCheck) -> None:
        """Lead to both endpoints in turn."""
        policy = UpstreamPolicy(balancing=Balancing(Algorithm.ROUND_ROBIN), check=check)
        endpoints = tuple(origin.endpoint for origin in self.origins)
        self.listener = tcp_listener(Destination("db", 80, endpoints=endpoints, policy=policy))
        self.gateway.serve(self.listener)

    async def are_reset(self, *clients: Peer) -> None:
        """Wait until these clients are reset."""
        for each in clients:
            await each.got_reset()

    async def test_an_endpoint_gets_unhealthy(self) -> None:
        """Its connections end by reset, on both sides; those of the other stay, and new ones go there."""
        self.endings.follow_health({ENDS: frozenset([str(self.first)])})
        await self.are_reset(self.clients[0], self.clients[2])
        for number in range(2):
            await (await self.origins[0].peer(number)).got_reset()
        for number in range(2):
            record = await self.gateway.record(number)
            self.assertEqual((record.ending, record.endpoint), (Ending.ENDPOINT_UNHEALTHY, str(self.first)))
        for each in (self.clients[1], self.clients[3]):
            self.assertIsNone(each.lost)
        await (await self.gateway.connect(self.listener)).got(b"welcome")
        await self.origins[1].peer(2)

    async def test_an_endpoint_that_is_healthy_again(self) -> None:
        """The connections whose turn has not come live on; and one that stays unhealthy ends nobody a second time."""
        clock = Clock()
        endings = EndpointEndings(self.gateway.plane, clock)
        endings.spread = 20.0
        endings.follow_health({ENDS: frozenset([str(self.first)])})
        endings.follow_health({ENDS: frozenset([str(self.second)])})
        clock.pump([1] * 21)
        await self.are_reset(self.clients[1], self.clients[3])
        await self.lives(0, 2)
        endings.follow_health({ENDS: frozenset([str(self.second), "192.0.2.1:80"])})
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual(len(self.gateway.records), 2)

    async def test_connections_are_kept(self) -> None:
        """Where a check is to end none, it does not; nobody can use the endpoint all the same."""
        check = HealthCheck()
        self.serve(check)
        (await self.gateway.connect(self.listener)).reset()
        self.endings.follow_health({check: frozenset([str(self.first), str(self.second)])})
        client = await self.gateway.connect(self.listener)
        await client.got_finish()
        refused = next(each for each in self.gateway.records if each.ending is Ending.NO_ENDPOINT)
        self.assertEqual(refused.dial_error, "left_out")
        await self.lives(0, 1, 2, 3)

    async def test_an_endpoint_is_removed(self) -> None:
        """Its connections end only if they are to; by its name, its address counts as it was resolved last."""
        gone = frozenset([(self.first.address, self.first.port, False)])
        key = ("db", 80, "")
        self.endings.removed({key: gone})
        self.endings.on_removed = True
        self.endings.removed({})
        self.endings.removed({("other", 80, ""): gone})
        await self.lives(0, 1, 2, 3)
        self.endings.removed({key: gone})
        await self.are_reset(self.clients[0], self.clients[2])
        self.assertEqual((await self.gateway.record()).ending, Ending.ENDPOINT_REMOVED)
        self.gateway.resolver.resolve("db.example.com")
        self.gateway.resolver.answer("db.example.com", self.second.address)
        self.endings.removed({key: frozenset([("db.example.com", self.second.port, True)])})
        await self.are_reset(self.clients[1], self.clients[3])

    async def lives(self, *numbers: int) -> None:
        """Clients of these numbers still reach their endpoints."""
        for number in numbers:
            upstream = await self.origins[number % 2].peer(number // 2)
            before = len(upstream.received)
            self.clients[number].send(b"x")
            await wait_for(lambda: len(upstream.received) > before, "a byte")  # noqa: B023 -- it is awaited here
