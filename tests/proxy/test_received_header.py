"""Connections behind a load balancer: the header decides who the client is, and only a trusted one does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.connection import LINGER
from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.routing.addresses import EVERYWHERE, network
from meshgate.routing.connection_policy import ConnectionPolicy, UpstreamPolicy
from meshgate.routing.proxy_headers import ExpectedHeader, HeaderForEndpoint
from meshgate.routing.table import Addresses, ByAddress, Destination, Endpoint, Listener
from meshgate.transport.wheel import TICK
from meshgate.wire.proxy_protocol import Tlv, TlvType, build_v1, build_v2, parse_header
from tests.fakes import FakedGateway
from tests.hello_builder import build_hello
from tests.peers import GatewayUnderTest, Origin, chain, on_every_transport, sni_listener, tcp_listener
from tests.support import reactor, wait_for

A, B = Endpoint("192.0.2.1", 443), Endpoint("192.0.2.2", 443)
HELLO = build_hello("a.example.com")
BALANCER = "198.51.100.7"
CLIENT, FRONT = ("203.0.113.9", 4711), ("203.0.113.80", 443)
V1, V2 = build_v1(CLIENT, FRONT), build_v2(CLIENT, FRONT)
LOCAL = build_v2(("unix", 0), FRONT)
TO_A = sni_listener({"a.example.com": A})


def headed(listener: Listener, required: bool = True, trusted: str = "198.51.100.0/24") -> Listener:
    """A listener that expects a header."""
    found = network(trusted)
    assert found is not None
    return replace(listener, header=ExpectedHeader(required, (found,)))


def faked(
    listener: Listener = TO_A,
    *sent: bytes,
    required: bool = True,
    trusted: str = "198.51.100.0/24",
    limits: Limits = Limits(),  # noqa: B008 - it is frozen
) -> FakedGateway:
    """A connection of the load balancer, which has sent these pieces."""
    gateway = FakedGateway(headed(listener, required, trusted), limits)
    for data in sent:
        gateway.client.peer_sends(data)
    return gateway


class HeaderTests(SynchronousTestCase):
    """What the header changes."""

    def test_the_client_is_the_true_one(self) -> None:
        """The record has the client of the header, and the bytes after it choose the route and reach the endpoint."""
        for header in (V1, V2):
            for pieces in ((header + HELLO,), (header, HELLO), [bytes((byte,)) for byte in header + HELLO]):
                gateway = faked(TO_A, *pieces)
                self.assertEqual(gateway.inbound.record.client, CLIENT)
                self.assertEqual(gateway.reactor.dialed, [("192.0.2.1", 443)])
                gateway.join()
                gateway.turn()
                self.assertEqual(gateway.upstream.written, HELLO)
                gateway.inbound.update_counts()
                self.assertEqual(gateway.inbound.record.bytes_in, len(HELLO))

    def test_a_port_that_dials_at_once_waits_for_the_header(self) -> None:
        """Where a header is required, nobody is dialed before it is there, however long that takes."""
        gateway = faked(tcp_listener(A), V1[:-1])
        gateway.reactor.advance(10)
        self.assertEqual(gateway.reactor.dialed, [])
        gateway.client.peer_sends(V1[-1:])
        self.assertEqual(gateway.reactor.dialed, [("192.0.2.1", 443)])

    def test_local_and_unknown_keep_the_address(self) -> None:
        """A connection of the load balancer itself, or of nobody that it knows, keeps its own address."""
        for header in (LOCAL, b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN x y\r\n"):
            gateway = faked(TO_A, header + HELLO)
            self.assertEqual(gateway.inbound.record.client, (BALANCER, 5555))
            self.assertEqual(len(gateway.reactor.dialed), 1)

    def test_a_client_of_a_unix_socket(self) -> None:
        """A load balancer's client that came over a Unix socket has no address."""
        block = b"/run/a.sock".ljust(108, b"\0") + bytes(108)
        gateway = faked(TO_A, V2[:12] + b"\x21\x31\x00\xd8" + block + HELLO)
        self.assertEqual(gateway.inbound.record.client, ("unix", 0))

    def test_a_second_header_is_the_clients(self) -> None:
        """Only the first header counts; a client cannot send one more."""
        forged = build_v1(("192.0.2.66", 1), FRONT)
        gateway = faked(tcp_listener(A), V2 + forged)
        self.assertEqual(gateway.inbound.record.client, CLIENT)
        gateway.join()
        gateway.turn()
        self.assertEqual(gateway.upstream.written, forged)

    def test_addresses_of_the_header_choose_the_route(self) -> None:
        """Where routes depend on addresses, those of the header count."""
        client, front = network("203.0.113.9"), network("203.0.113.80")
        assert client is not None
        assert front is not None
        for addresses in (Addresses(EVERYWHERE, client), Addresses(front, EVERYWHERE)):
            by_address = {"a.example.com": ByAddress.of({addresses: chain(B)})}
            gateway = faked(replace(TO_A, by_address=by_address), V2 + HELLO)
            self.assertEqual(gateway.reactor.dialed[0][0], B.address)

    def test_the_true_client_is_hashed(self) -> None:
        """Endpoints that are chosen by the client's address are chosen by the one of the header."""
        listener = tcp_listener(A, policy=ConnectionPolicy(by_source=True))
        search: Any = faked(listener, V1).inbound.search
        self.assertEqual(search._source, CLIENT[0])

    def test_limits_count_the_true_client(self) -> None:
        """The limit for a client counts the clients of headers, and not the load balancer."""
        gateway = faked(TO_A, V1 + HELLO, limits=Limits(connections_per_client=1))
        endings = []
        for header in (build_v1(("203.0.113.10", 1), FRONT), V1):
            other = gateway.another(headed(TO_A), BALANCER)
            other.peer_sends(header + HELLO)
            endings.append(other.protocol.record.ending)
        self.assertEqual(endings, [None, Ending.OVER_LIMIT])
        gateway.plane.drain()
        gateway.reactor.pump([LINGER] * 4)
        self.assertEqual(gateway.plane.count, 0)

    def test_new_limits_while_headers_are_awaited(self) -> None:
        """Limits that change before a header is there count the true client, once."""
        gateway = faked(TO_A)
        gateway.plane.limits = Limits(connections_per_client=1)
        gateway.client.peer_sends(V1 + HELLO)
        other = gateway.another(headed(TO_A), BALANCER)
        other.peer_sends(V1 + HELLO)
        self.assertEqual(other.protocol.record.ending, Ending.OVER_LIMIT)


class OptionalTests(SynchronousTestCase):
    """Where a header is optional."""

    def test_without_one(self) -> None:
        """First bytes that are no header are the client's, from the first byte on that says so."""
        for first in (HELLO, b"PROXX", b"GET / HTTP/1.1\r\n\r\n"):
            gateway = faked(tcp_listener(A), first, required=False)
            self.assertEqual(gateway.reactor.dialed, [("192.0.2.1", 443)])
            gateway.join()
            gateway.turn()
            self.assertEqual((gateway.upstream.written, gateway.inbound.record.client), (first, (BALANCER, 5555)))

    def test_with_one(self) -> None:
        """A header counts as where it is required."""
        self.assertEqual(faked(tcp_listener(A), V1, required=False).inbound.record.client, CLIENT)

    def test_a_silent_client_is_dialed_for_soon(self) -> None:
        """A port that dials on accept waits for a tenth of a second, since the server may have to speak first."""
        for sent in ((), (b"PRO",)):
            gateway = faked(tcp_listener(A), *sent, required=False)
            gateway.reactor.advance(0.09)
            self.assertEqual(gateway.reactor.dialed, [])
            gateway.reactor.advance(0.011)
            self.assertEqual(gateway.reactor.dialed, [("192.0.2.1", 443)])
            gateway.join()
            gateway.client.peer_sends(V1)
            gateway.turn()
            self.assertEqual(gateway.upstream.written, b"".join(sent) + V1)

    def test_a_header_that_has_begun_is_awaited(self) -> None:
        """After the signature, the rest of the header is awaited: it is no client's bytes."""
        gateway = faked(tcp_listener(A), V2[:20], required=False)
        gateway.reactor.advance(1)
        gateway.client.peer_sends(V2[20:])
        self.assertEqual((gateway.inbound.record.client, len(gateway.reactor.dialed)), (CLIENT, 1))

    def test_strangers_are_served_as_they_are(self) -> None:
        """From an address that is not trusted, a header is bytes like any other, and nothing is waited for."""
        gateway = faked(tcp_listener(A), V1, required=False, trusted="192.0.2.0/24")
        self.assertEqual((gateway.inbound.record.client, len(gateway.reactor.dialed)), ((BALANCER, 5555), 1))
        gateway.join()
        gateway.turn()
        self.assertEqual(gateway.upstream.written, V1)

    def test_a_hello_of_a_stranger(self) -> None:
        """A stranger's ClientHello is routed, and has its time."""
        gateway = faked(TO_A, HELLO, required=False, trusted="192.0.2.0/24")
        self.assertEqual(len(gateway.reactor.dialed), 1)
        silent = faked(TO_A, required=False, trusted="192.0.2.0/24")
        silent.reactor.advance(15 + TICK)
        self.assertEqual(silent.ending, Ending.HELLO_TIMEOUT)


class EndTests(SynchronousTestCase):
    """Connections that end before their client is known."""

    def test_endings(self) -> None:
        """Each fault has its ending, resets the connection, and leaves nothing behind."""
        stranger = {"trusted": "192.0.2.0/24"}
        optional = {"required": False}
        for sent, waits, options, expected in [
            (b"", False, stranger, Ending.UNTRUSTED_PROXY),
            (HELLO, False, {}, Ending.NO_PROXY_HEADER),
            (b"PROXY TCP4 nonsense\r\n", False, {}, Ending.BAD_PROXY_HEADER),
            (b"PROXY TCP4 nonsense\r\n", False, optional, Ending.BAD_PROXY_HEADER),
            (b"", True, {}, Ending.PROXY_HEADER_TIMEOUT),
            (V2[:-1], True, {}, Ending.PROXY_HEADER_TIMEOUT),
            (V2[:-1], True, optional, Ending.PROXY_HEADER_TIMEOUT),
            (V2, True, {}, Ending.HELLO_TIMEOUT),
            (V2 + HELLO[:50], True, {}, Ending.HELLO_TIMEOUT),
            (b"", True, optional, Ending.HELLO_TIMEOUT),
        ]:
            gateway = faked(TO_A, *([sent] if sent else []), **options)  # type: ignore[arg-type]
            if waits:
                self.assertIsNone(gateway.ending)
                gateway.reactor.advance(15 + TICK)
            self.assertEqual(gateway.ending, expected, sent)
            gateway.reactor.pump([LINGER / 2] * 8)
            self.assertEqual((len(gateway.records), gateway.plane.count, len(gateway.plane.wheel)), (1, 0, 0))
            self.assertFalse(gateway.client.connected)
            self.assertEqual(gateway.client.reset_sent, expected is not Ending.HELLO_TIMEOUT)
            self.assertEqual((gateway.reactor.dialed, gateway.reactor.getDelayedCalls()), ([], []))

    def test_who_leaves_early(self) -> None:
        """A load balancer that connects and closes, as many check health, leaves no call behind."""
        for required in (True, False):
            for leaves, expected in (
                ("peer_finishes", Ending.CLIENT_CLOSED_EARLY),
                ("peer_resets", Ending.CLIENT_RESET),
            ):
                gateway = faked(tcp_listener(A), b"PRO", required=required)
                getattr(gateway.client, leaves)()
                self.assertEqual(gateway.ending, expected)
                gateway.reactor.pump([LINGER / 2] * 8)
                self.assertEqual((gateway.plane.count, gateway.reactor.getDelayedCalls()), (0, []))


class SentHeaderTests(SynchronousTestCase):
    """What an endpoint gets first."""

    def sent(self, wanted: HeaderForEndpoint, received: bytes = b"", first: bytes = HELLO) -> bytes:
        """The endpoint's first bytes, without the client's."""
        to_a = Destination("a", 443, endpoints=(A,), policy=UpstreamPolicy(header=wanted))
        listener = sni_listener({"a.example.com": to_a}, catch_all=chain(to_a))
        gateway = faked(listener, received + first) if received else FakedGateway(listener, Limits())
        if not received:
            gateway.client.peer_sends(first)
        gateway.join()
        gateway.client.peer_sends(b"more")
        gateway.turn()
        gateway.inbound.update_counts()
        self.assertEqual(gateway.inbound.record.bytes_in, len(first) + 4)
        written = bytes(gateway.upstream.written)
        self.assertTrue(written.endswith(first + b"more"))
        return written.removesuffix(first + b"more")

    def test_addresses(self) -> None:
        """The header has the client's address and the one that it has connected to."""
        here = (BALANCER, 5555), ("203.0.113.1", 443)
        self.assertEqual(self.sent(HeaderForEndpoint(1)), build_v1(*here))
        self.assertEqual(self.sent(HeaderForEndpoint(2)), build_v2(*here))

    def test_addresses_of_a_load_balancer(self) -> None:
        """Behind a load balancer, both addresses are those that it names; of its own connections, the real ones."""
        for received in (V1, V2):
            self.assertEqual(self.sent(HeaderForEndpoint(1), received), V1)
            self.assertEqual(self.sent(HeaderForEndpoint(2), received), V2)
        self.assertEqual(self.sent(HeaderForEndpoint(2), LOCAL), build_v2((BALANCER, 5555), ("203.0.113.1", 443)))

    def test_fields(self) -> None:
        """Authority, protocol and identity are added where they are asked for and there."""
        every = HeaderForEndpoint(2, authority=True, alpn=True, unique_id=True)
        header = parse_header(self.sent(every))
        assert header is not None
        self.assertEqual(
            header.tlvs, (Tlv(TlvType.ALPN, b"h2"), Tlv(TlvType.AUTHORITY, b"a.example.com"), Tlv(5, b"1-e8d4a51000"))
        )
        plain = parse_header(self.sent(every, first=b"plain text"))
        assert plain is not None
        self.assertEqual([tlv.type for tlv in plain.tlvs], [TlvType.UNIQUE_ID])

    def test_fields_of_a_load_balancer(self) -> None:
        """What the load balancer tells is passed on; of names, the one that has chosen the route goes first."""
        told = (Tlv(1, b"h3"), Tlv(2, b"b.example.com"), Tlv(5, b"its own"), Tlv(0xE0, b"private"))
        every = HeaderForEndpoint(2, authority=True, alpn=True, unique_id=True)
        for first, name in ((HELLO, b"a.example.com"), (b"plain text", b"b.example.com")):
            header = parse_header(self.sent(every, build_v2(CLIENT, FRONT, told), first))
            assert header is not None
            self.assertEqual(header.tlvs, (Tlv(1, b"h3"), Tlv(2, name), Tlv(5, b"its own")))


@on_every_transport
class RealTests(TestCase):
    """The same on real sockets."""

    async def test_cut_anywhere(self) -> None:
        """Headers of both versions, cut at any byte, with the hello in the same segment or later."""
        origin = Origin(self)
        gateway = GatewayUnderTest(self)
        to_origin = Destination(
            "o", 443, endpoints=(origin.endpoint,), policy=UpstreamPolicy(header=HeaderForEndpoint(2))
        )
        listener = headed(sni_listener({"a.example.com": to_origin}), trusted="127.0.0.0/8")
        gateway.serve(listener)
        for number, header in enumerate((V1, V2)):
            client = await gateway.connect(listener)
            client.transport.setTcpNoDelay(True)
            for byte in header + HELLO[:10]:
                client.send(bytes((byte,)))
                await self.turn()
            client.send(HELLO[10:])
            peer = await origin.peer(number)
            await peer.got(V2 + HELLO)
            peer.send(b"answer")
            await client.got(b"answer")
            client.finish()
            peer.finish()
            record = await gateway.record(number)
            self.assertEqual((record.client, record.ending), (CLIENT, Ending.OK))
            self.assertEqual((record.bytes_in, record.bytes_out), (len(HELLO), 6))

    async def turn(self) -> None:
        """Let the reactor have a turn."""
        turned: list[bool] = []
        reactor.callLater(0, turned.append, True)
        await wait_for(lambda: turned, "a turn")

    async def test_the_server_speaks_first(self) -> None:
        """With an optional header, a greeting comes to a client that says nothing, and the endpoint has our header."""
        origin = Origin(self, b"Welcome\n")
        gateway = GatewayUnderTest(self)
        to_origin = Destination(
            "o", 25, endpoints=(origin.endpoint,), policy=UpstreamPolicy(header=HeaderForEndpoint(1))
        )
        listener = headed(tcp_listener(to_origin), required=False, trusted="127.0.0.0/8")
        gateway.serve(listener)
        client = await gateway.connect(listener)
        await client.got(b"Welcome\n")
        here, there = client.transport.getHost(), gateway.addresses[listener.key]
        await (await origin.peer()).got(build_v1((here.host, here.port), there))

    async def test_a_fault_is_a_reset(self) -> None:
        """A header that is malformed or missing resets the connection."""
        gateway = GatewayUnderTest(self)
        gateway.serve(listener := headed(sni_listener({}), trusted="127.0.0.0/8"))
        for data, expected in ((b"PROXY x\r\n", Ending.BAD_PROXY_HEADER), (HELLO, Ending.NO_PROXY_HEADER)):
            client = await gateway.connect(listener)
            client.send(data)
            await client.got_reset()
            self.assertEqual(gateway.records[-1].ending, expected)
