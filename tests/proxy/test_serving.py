"""Tests of :mod:`meshgate.proxy.serving`: connections of one worker, with real sockets and a real log."""

from __future__ import annotations

import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.limits import Limits
from meshgate.proxy.log_outputs import AccessLogChoice, AccessLogError
from meshgate.proxy.record import ConnectionRecord
from meshgate.proxy.serving import OpenLines, Serving, ServingSettings
from meshgate.proxy.shared_counts import SharedCounts, bytes_for
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from meshgate.transport.dialing import dial
from meshgate.transport.wheel import Wheel
from tests.peers import LOOPBACK, Origin, Peer, end_all
from tests.support import new_folder, reactor, wait_for

KEY = ListenerKey(LOOPBACK, 443)
FIRST_ID = 7


class ServingTests(TestCase):
    """One port with one endpoint."""

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        """Serve."""
        self.folder = new_folder(self)
        self.log = self.folder / "access.log"
        self.settings = ServingSettings(Limits(), (), AccessLogChoice(str(self.log)))
        self.origin = Origin(self, b"welcome")
        counts = SharedCounts(bytearray(bytes_for(1)), 0, bytes(16))
        self.serving = Serving(reactor, self.settings, lambda: None, counts, FIRST_ID)
        self.serving.start()
        self.serving.install(self.table(1), frozenset())
        listening = socket.create_server((LOOPBACK, 0))
        listening.setblocking(False)
        self.port_number: int = listening.getsockname()[1]
        self.port = self.serving.serve(KEY, [listening])
        self.addCleanup(self.end)

    def table(self, generation: int, endpoint: Endpoint | None = None) -> RoutingTable:
        """A table that routes everything to the origin, or to another endpoint."""
        destination = Destination("db.example.org", 5432, endpoints=(endpoint or self.origin.endpoint,))
        chain = Chain((), "ns/gw", "tcp", "ns/vs", "spec.tcp[0]", (destination,))
        return RoutingTable(generation, {KEY: Listener(KEY, False, False, catch_all=chain)})

    async def end(self) -> None:
        """Stop, as a gateway does."""
        await self.port.stop()
        await self.serving.stop()

    async def client(self, number: int = 0) -> list[Peer]:
        """A client that has been greeted, and the origin's end."""
        client: Peer = await dial(reactor, LOOPBACK, self.port_number, Peer(), timeout=10)
        await client.got(b"welcome")
        return [client, await self.origin.peer(number)]

    async def test_figures(self) -> None:
        """Live and ended connections are counted; their numbers begin with the one given."""
        ends = await self.client()
        self.assertEqual(self.serving.connections, 1)
        await end_all(ends)
        await wait_for(lambda: self.serving.ended(), "the end of the connection")
        self.assertEqual((self.serving.connections, sum(self.serving.ended().values())), (0, 1))
        await wait_for(lambda: f" id={FIRST_ID} " in self.log.read_text(), "the line")

    async def test_a_table_is_live_at_once(self) -> None:
        """The next connection is routed by the installed table."""
        other = Origin(self, b"another welcome")
        self.serving.install(self.table(2, other.endpoint), frozenset())
        client: Peer = await dial(reactor, LOOPBACK, self.port_number, Peer(), timeout=10)
        await client.got(b"another welcome")
        await end_all([client, await other.peer(0)])

    async def test_renewal(self) -> None:
        """New limits hold for new connections, and a rotated log is opened anew."""
        self.log.rename(self.folder / "rotated.log")
        self.serving.apply_settings(replace(self.settings, limits=Limits(idle=0.2)))
        ends = await self.client()
        await wait_for(lambda: self.serving.ended() == {"idle": 1}, "the end by the new limit", timeout=20)
        await end_all(ends)
        await wait_for(lambda: "ending=idle" in self.log.read_text(), "the line in the new file")

    async def test_a_log_that_cannot_be_had_keeps_the_old_one(self) -> None:
        """Everything else is renewed; lines go where they went, also after the file was rotated then."""
        broken = replace(self.settings, access_log=AccessLogChoice(str(self.folder / "none" / "access.log")))
        self.assertRaises(AccessLogError, self.serving.apply_settings, replace(broken, limits=Limits(idle=0.2)))
        ends = await self.client()
        await wait_for(lambda: "ending=idle" in self.log.read_text(), "the line in the old file", timeout=20)
        await end_all(ends)
        self.serving.apply_settings(self.settings)

    async def test_stopping_ends_connections(self) -> None:
        """They end as drained, and their lines are written before it is done."""
        ends = await self.client()
        await self.end()
        self.assertEqual(self.serving.ended(), {"drained": 1})
        self.assertIn("ending=drained", self.log.read_text())
        await end_all(ends)

    async def test_a_connection_that_goes_on_has_lines(self) -> None:
        """Each second one, with the bytes so far, and the last one at its end; none when that is switched off."""
        every = replace(self.settings, access_log=self.settings.access_log._replace(every=1.0))
        self.serving.apply_settings(every)
        ends = await self.client()
        ends[0].send(b"12345")
        await wait_for(lambda: self.log.read_text().count("ending=open") == 2, "two lines")
        lines = self.log.read_text().splitlines()
        for line in lines:
            self.assertIn(" bytes_in=5 bytes_out=7 ", line)
        durations = [float(line.partition("duration=")[2].partition(" ")[0]) for line in lines]
        self.assertTrue(1 <= durations[0] <= 3 and 2 <= durations[1] <= 4, durations)
        self.serving.apply_settings(self.settings)
        await end_all(ends)
        await wait_for(lambda: len(self.log.read_text().splitlines()) == 3, "the last line")
        self.assertNotIn("ending=open", self.log.read_text().splitlines()[-1])


class _LiveConnection:
    """A live connection, as far as its lines are concerned."""

    def __init__(self, accepted: float) -> None:
        self.record = ConnectionRecord(1, 0.0, accepted, "0.0.0.0:443", ("192.0.2.1", 1))
        self.updates = 0

    def update_counts(self) -> None:
        """Note that the counts were asked for."""
        self.updates += 1


class OpenLinesTests(SynchronousTestCase):
    """Lines for connections that live long, by a clock of the test's own."""

    def setUp(self) -> None:
        """Make a data plane without sockets."""
        self.clock = Clock()
        self.connections: set[_LiveConnection] = set()
        self.lines: list[tuple[float, float]] = []
        plane: Any = SimpleNamespace(connections=self.connections, wheel=Wheel(self.clock))
        ended: Any = SimpleNamespace(access_log=self)
        self.open_lines = OpenLines(plane, ended, self.clock)

    def write(self, record: ConnectionRecord) -> None:
        """Note the time of a line, and the age of its connection."""
        self.lines.append((self.clock.seconds(), record.duration))

    def pass_time(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.pump([1.0] * seconds)

    def test_one_line_each_time(self) -> None:
        """Whenever a connection was accepted, it has a line at each multiple of the time, late by a twentieth."""
        self.open_lines.follow(600.0)
        for accepted in (0, 7, 1234):
            self.pass_time(accepted - round(self.clock.seconds()))
            self.connections.add(_LiveConnection(accepted))
        self.pass_time(6000)
        now = self.clock.seconds()
        for accepted in (0, 7, 1234):
            ages = [age for when, age in self.lines if when - age == accepted]
            self.assertEqual([int(age // 600) for age in ages], list(range(1, len(ages) + 1)))
            self.assertIn(len(ages), ((now - accepted - 31) // 600, (now - accepted) // 600))
            self.assertLess(max(age % 600 for age in ages), 32)

    def test_short_connections_have_none(self) -> None:
        """A connection that ends before the time has no such line, and is not even asked for its bytes."""
        self.open_lines.follow(60.0)
        one = _LiveConnection(0.0)
        self.connections.add(one)
        self.pass_time(58)
        self.connections.clear()
        self.pass_time(100)
        self.assertEqual((self.lines, one.updates), ([], 0))

    def test_many_take_turns(self) -> None:
        """Others get their turn while the lines of thousands are written."""
        self.open_lines.follow(60.0)
        self.connections.update(_LiveConnection(0.0) for _ in range(1200))
        counts: list[int] = []

        def count() -> None:
            counts.append(len(self.lines))
            if len(self.lines) < 1200:
                self.clock.callLater(0, count)

        self.pass_time(59)
        self.clock.callLater(1.0, count)
        self.clock.advance(1.0)
        self.clock.advance(1.0)
        self.assertEqual(sorted(set(counts) | {0}), [0, 500, 1000, 1200])

    def test_switched_off(self) -> None:
        """Then there is no timer, however many connections there are."""
        self.open_lines.follow(1.0)
        self.open_lines.follow(0.0)
        self.connections.add(_LiveConnection(0.0))
        self.pass_time(10)
        self.assertEqual((self.lines, self.clock.getDelayedCalls()), ([], []))
