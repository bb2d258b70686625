"""Tests of :mod:`meshgate.proxy.serving`: connections of one worker, with real sockets and a real log."""

from __future__ import annotations

import socket
from dataclasses import replace

from twisted.trial.unittest import TestCase

from meshgate.proxy.access_log import AccessLogError
from meshgate.proxy.limits import Limits
from meshgate.proxy.serving import Serving, ServingSettings
from meshgate.proxy.shared_counts import SharedCounts, bytes_for
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from meshgate.transport.dialing import dial
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
        self.settings = ServingSettings(Limits(), (), str(self.log), "text")
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
        broken = replace(self.settings, access_log=str(self.folder / "none" / "access.log"))
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
