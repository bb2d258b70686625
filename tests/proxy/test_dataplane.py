"""All connections together: their number, the listeners and routes they share, reload and drain."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from meshgate.lab.certificates import make_leaf, make_root
from meshgate.proxy.connection import LINGER
from meshgate.proxy.dataplane import ServedListener
from meshgate.proxy.endings import Ending
from meshgate.proxy.relay import GRACE
from meshgate.proxy.sides import Upstream
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from tests.hello_builder import build_hello
from tests.key_pairs import pem
from tests.peers import LOOPBACK, GatewayUnderTest, Origin, Peer, chain, on_every_transport, sni_listener, tcp_listener
from tests.support import free_port, new_folder, reactor, require_program, wait_for

KEY = ListenerKey("0.0.0.0", 443)
EXACT, SUFFIX, ANY = (Chain((), name, "tls", "", "", ()) for name in ("exact", "suffix", "any"))


class ServedListenerTests(SynchronousTestCase):
    """A served listener finds the routes of the table in force."""

    def found(self, served: ServedListener) -> list[str | None]:
        """Return the gateways of the chains for a full name, a name below a suffix, another name, and no name."""
        chains = [served.chain(sni) for sni in ("a.com", "x.b.com", "c.org", None)]
        return [None if chain is None else chain.gateway for chain in chains]

    def test_it_follows_the_table(self) -> None:
        """A listener has no routes before it is in the table, new ones when it changes, and none when it has left."""
        served = ServedListener(KEY)
        self.assertEqual((served.in_table, served.sniffs, self.found(served)), (None, False, [None] * 4))
        for catch_all, other in ((None, None), (ANY, "any")):
            listener = Listener(KEY, False, True, {"a.com": EXACT}, {"b.com": SUFFIX}, catch_all)
            served.update(RoutingTable(listeners={KEY: listener}))
            self.assertEqual((served.in_table, served.sniffs, served.by_address), (listener, True, False))
            self.assertEqual(self.found(served), ["exact", "suffix", other, other])
        served.update(RoutingTable())
        self.assertEqual((served.in_table, served.sniffs, self.found(served)), (None, False, [None] * 4))


HELLO_A, HELLO_B = build_hello("a.example.com"), build_hello("b.example.com")


@on_every_transport
class DataplaneTests(TestCase):
    """A data plane on real sockets."""

    def setUp(self) -> None:
        """Two endpoints that say who they are, and a gateway."""
        self.a, self.b = Origin(self, b"a"), Origin(self, b"b")
        self.gateway = GatewayUnderTest(self)

    async def test_names_lead_to_their_endpoints(self) -> None:
        """Each name reaches its own endpoint, with the hello's exact bytes."""
        listener = sni_listener({"a.example.com": self.a.endpoint, "b.example.com": self.b.endpoint})
        self.gateway.serve(listener)
        for origin, hello, greeting in [(self.a, HELLO_A, b"a"), (self.b, HELLO_B, b"b")]:
            client = await self.gateway.connect(listener)
            client.send(hello)
            await client.got(greeting)
            await (await origin.peer()).got(hello)

    async def test_certificates_pass_through(self) -> None:
        """The endpoint verifies the client's certificate, and the client that of the endpoint, as without a gateway."""
        now = datetime.now(UTC)
        root, folder = make_root(now), new_folder(self)
        (folder / "server").write_bytes(b"".join(pem(make_leaf(root, "server", ["a.example.com"], now))))
        (folder / "ca").write_bytes(pem(root)[0])
        made = [require_program("openssl"), *["req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=client"]]
        made += ["-keyout", str(folder / "key"), "-out", str(folder / "client")]
        subprocess.run(made, check=True, capture_output=True)
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "client"))
        server.verify_mode = ssl.CERT_REQUIRED
        server.load_cert_chain(folder / "server")
        client = ssl.create_default_context(cafile=str(folder / "ca"))
        client.load_cert_chain(folder / "client", folder / "key")

        def serve(listening: socket.socket) -> str:
            with server.wrap_socket(listening.accept()[0], server_side=True) as end:
                end.sendall(b"welcome")
                return str(end.getpeercert()["subject"][0][0][1])  # type: ignore[index]

        def ask(port: int) -> bytes:
            connected = socket.create_connection((LOOPBACK, port), timeout=20)
            with client.wrap_socket(connected, server_hostname="a.example.com") as end:
                return end.recv(7)

        with socket.create_server((LOOPBACK, 0)) as listening:
            listening.settimeout(20)
            listener = sni_listener({"a.example.com": Endpoint(LOOPBACK, listening.getsockname()[1])})
            self.gateway.serve(listener)
            seen = deferToThread(serve, listening)
            self.assertEqual(await deferToThread(ask, self.gateway.addresses[listener.key][1]), b"welcome")
            self.assertEqual(await seen, "client")

    async def test_weights_split_connections(self) -> None:
        """Connections follow the weights; a weight of 0 gets none."""
        c = Origin(self, b"c")
        destinations = [
            Destination(name, 80, weight=weight, endpoints=(origin.endpoint,))
            for name, weight, origin in [("a", 75, self.a), ("b", 25, self.b), ("c", 0, c)]
        ]
        self.gateway.serve(listener := tcp_listener(*destinations))
        clients = [await self.gateway.connect(listener) for _ in range(200)]
        await wait_for(lambda: all(client.received for client in clients), "the greetings")
        counts = Counter(bytes(client.received) for client in clients)
        self.assertEqual((counts.total(), counts[b"c"]), (200, 0))
        self.assertTrue(120 <= counts[b"a"] <= 180, counts)

    async def test_endpoints_take_turns(self) -> None:
        """The endpoints of a destination get the same number of connections."""
        endpoints = (self.a.endpoint, self.b.endpoint)
        self.gateway.serve(listener := tcp_listener(Destination("ab", 80, endpoints=endpoints)))
        clients = [await self.gateway.connect(listener) for _ in range(30)]
        await wait_for(lambda: all(client.received for client in clients), "the greetings")
        self.assertEqual((len(self.a.peers), len(self.b.peers)), (15, 15))

    async def test_a_reload_leaves_live_connections_alone(self) -> None:
        """A connection goes on where it is, while new ones on the same port follow the new routes."""
        port = free_port()
        self.gateway.serve(before := tcp_listener(self.a.endpoint, port=port))
        old = await self.gateway.connect(before)
        await old.got(b"a")
        self.gateway.serve(after := sni_listener({"b.example.com": self.b.endpoint}, port=port))
        new = await self.gateway.connect(after)
        new.send(HELLO_B)
        await new.got(b"b")
        self.gateway.serve()
        await self.gateway.ports.close()
        old.send(b"still here")
        await (await self.a.peer()).got(b"still here")
        self.assertEqual((self.gateway.plane.count, self.gateway.records), (2, []))

    async def test_the_new_routes_hold_for_a_hello_under_way(self) -> None:
        """A client that was accepted before the reload and speaks after it follows the new routes."""
        self.gateway.serve(listener := sni_listener({}))
        client = await self.gateway.connect(listener)
        await wait_for(lambda: self.gateway.plane.count, "the connection")
        self.gateway.serve(sni_listener({"a.example.com": self.a.endpoint}))
        client.send(HELLO_A)
        await client.got(b"a")

    async def test_live_connections_are_listed(self) -> None:
        """The records of live connections are up to date."""
        self.gateway.serve(listener := tcp_listener(self.a.endpoint))
        client = await self.gateway.connect(listener)
        client.send(b"question")
        await client.got(b"a")
        await (await self.a.peer()).got(b"question")
        (record,) = self.gateway.live_records()
        self.assertEqual((record.bytes_in, record.bytes_out, record.ending), (8, 1, None))
        self.assertEqual(record.endpoint, str(self.a.endpoint))
        self.assertEqual(record.client, (LOOPBACK, client.transport.getHost().port))
        self.assertIsNotNone(record.first_byte)

    async def test_draining_ends_every_connection(self) -> None:
        """Draining closes connections in every phase, lets what was written arrive, and then is done."""
        plain, sniffing = tcp_listener(self.a.endpoint), sni_listener({}, bind="127.0.0.2")
        self.gateway.serve(plain, sniffing)
        relayed = await self.gateway.connect(plain)
        silent = await self.gateway.connect(sniffing)
        refused = await self.gateway.connect(sniffing)
        refused.send(b"plain text")
        await relayed.got(b"a")
        await refused.got_finish()
        await wait_for(lambda: self.gateway.plane.count == 3, "three connections")
        (await self.a.peer()).send(b" and a last word")
        await relayed.got(b"a and a last word")
        began = reactor.seconds()
        await self.gateway.plane.drain()
        self.assertLess(reactor.seconds() - began, LINGER)
        self.assertEqual(self.gateway.plane.count, 0)
        for client in (relayed, silent):
            await client.got_reset()
        endings = Counter(record.ending for record in self.gateway.records)
        self.assertEqual(endings, {Ending.DRAINED: 2, Ending.NOT_TLS: 1})

    async def test_draining_does_not_wait_for_a_stuck_reader(self) -> None:
        """A peer that reads nothing holds up the drain only for the time of grace."""
        self.gateway.serve(listener := tcp_listener(self.a.endpoint))
        client = await self.gateway.connect(listener)
        await client.got(b"a")
        client.transport.pauseProducing()
        upstream = await self.a.peer()
        upstream.send(bytes(32 * 1024 * 1024))
        await wait_for(lambda: self.reads_nothing_more(), "a full pipe")
        began = reactor.seconds()
        await self.gateway.plane.drain()
        self.assertLess(reactor.seconds() - began, GRACE + 1)
        await upstream.got_reset()

    def reads_nothing_more(self) -> bool:
        """Return True if the gateway has stopped reading from the endpoint."""
        (connection,) = self.gateway.plane.connections
        assert connection.relay is not None
        transport: Any = connection.relay.upstream.transport
        return transport not in reactor.getReaders()

    async def test_nobody_is_taken_while_draining(self) -> None:
        """A client that comes when everything is closing is turned away, without a record."""
        self.gateway.serve(listener := tcp_listener(self.a.endpoint))
        await self.gateway.plane.drain()
        client = await self.gateway.connect(listener)
        await wait_for(lambda: client.lost or client.finished is not None, "the end")
        self.assertEqual((self.gateway.records, self.a.peers), ([], []))

    async def test_draining_nothing_is_done_at_once(self) -> None:
        """Without connections there is nothing to wait for."""
        self.successResultOf(self.gateway.plane.drain())

    async def test_both_sides_hear_of_half_close(self) -> None:
        """Both protocols say that they can be half-closed; the reactor would otherwise close them."""
        self.gateway.serve(listener := tcp_listener(self.a.endpoint))
        factory: Any = self.gateway.plane.factory(listener.key)
        for protocol in (factory.buildProtocol(IPv4Address("TCP", LOOPBACK, 1)), Upstream()):
            self.assertTrue(verifyObject(IHalfCloseableProtocol, protocol))

    async def test_random_lives(self) -> None:
        """A hundred connections that end in all sorts of ways leave a hundred records and nothing else."""
        listener = sni_listener({"a.example.com": self.a.endpoint}, catch_all=chain(self.b.endpoint))
        self.gateway.serve(listener)
        openings = [HELLO_A, b"plain", HELLO_A[:50]]
        ways = [Peer.reset, Peer.finish, lambda peer: peer.transport.loseConnection()]
        for number in range(100):
            client = await self.gateway.connect(listener)
            opening = openings[number % 3]
            client.send(opening)
            if number % 2 and opening is not openings[2]:
                await wait_for(lambda client=client: client.received, "a greeting")  # type: ignore[misc]
            ways[number // 3 % 3](client)

        def all_over() -> bool:
            for peer in (*self.a.peers, *self.b.peers):
                peer.finish()
            return len(self.gateway.records) == 100 and not self.gateway.plane.count

        await wait_for(all_over, "the ends")
        self.assertEqual(sorted(record.id for record in self.gateway.records), list(range(1, 101)))
