"""The client's side: what decides the route, what is held, and how each connection that goes nowhere ends."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.proxy.connection import LINGER, Phase
from meshgate.proxy.early_bytes import HELD_BYTES
from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.routing.access_lists import AccessEntries
from meshgate.routing.addresses import EVERYWHERE, network
from meshgate.routing.connection_policy import ConnectionPolicy, UpstreamPolicy
from meshgate.routing.proxy_headers import ExpectedHeader
from meshgate.routing.table import Addresses, ByAddress, Destination, Endpoint, Listener
from meshgate.transport.wheel import TICK
from meshgate.wire.clienthello import UNRECOGNIZED_NAME
from tests.fakes import FakedGateway
from tests.hello_builder import build_hello
from tests.peers import GatewayUnderTest, Origin, chain, on_every_transport, sni_listener, tcp_listener
from tests.support import wait_for

A, B = Endpoint("192.0.2.1", 443), Endpoint("192.0.2.2", 443)
HELLO = build_hello("a.example.com")
TO_A = sni_listener({"a.example.com": A})
FULL = Destination("a", 443, endpoints=(A,), policy=UpstreamPolicy(max_connections=0))
HEADED = replace(TO_A, header=ExpectedHeader(True, (EVERYWHERE,)))
SHORT = sni_listener({"a.example.com": chain(A, policy=ConnectionPolicy(max_duration=60))})


def faked(listener: Listener = TO_A, limits: Limits = Limits()) -> FakedGateway:  # noqa: B008 - it is frozen
    """A client that has just been accepted."""
    return FakedGateway(listener, limits)


def dialing(listener: Listener = TO_A, first: bytes = HELLO) -> FakedGateway:
    """A client whose endpoint is being dialed."""
    gateway = faked(listener)
    gateway.client.peer_sends(first)
    return gateway


Script = Callable[[FakedGateway], object]


def relayed(*then: Script) -> Script:
    """Dial, connect, and then these events, each in a turn of its own."""

    def script(gateway: FakedGateway) -> None:
        gateway.client.peer_sends(HELLO)
        gateway.join()
        for event in then:
            event(gateway)
            gateway.turn()

    return script


def send(data: bytes, *then: Script) -> Script:
    """The client sends, and then these events."""

    def script(gateway: FakedGateway) -> None:
        gateway.client.peer_sends(data)
        for event in then:
            event(gateway)

    return script


def fails(how: str) -> Script:
    """The last dial fails."""
    return lambda gateway: getattr(gateway.reactor, how)()


def loop(gateway: FakedGateway) -> None:
    """The endpoint is where the gateway itself listens."""

    class Listening:
        family = socket.AF_INET

        def getsockname(self) -> tuple[str, int]:
            return "192.0.2.1", 443

    network: Any = gateway.plane.network
    network._own.add(Listening())
    gateway.client.peer_sends(HELLO)


def denied(gateway: FakedGateway) -> None:
    """An access list comes that refuses the client."""
    access = AccessEntries("", deny=["198.51.100.0/24"]).access_list()
    gateway.plane.limits = replace(gateway.plane.limits, access=access)


class EndingTests(SynchronousTestCase):
    """Every ending there is, and what brings it about."""

    #: The listener, what happens, and the ending.
    cases: ClassVar[list[tuple[Listener, Script, Ending]]] = [
        (TO_A, relayed(lambda g: g.client.peer_finishes(), lambda g: g.upstream.peer_finishes()), Ending.OK),
        (TO_A, send(build_hello("b.example.com")), Ending.NO_ROUTE),
        (TO_A, send(build_hello(None)), Ending.NO_SNI),
        (TO_A, send(b"GET / HTTP/1.1\r\n\r\n"), Ending.NOT_TLS),
        (TO_A, send(HELLO[:43] + b"\xff" + HELLO[44:]), Ending.BAD_HELLO),
        (TO_A, send(build_hello(extensions=[(21, bytes(16384))])), Ending.HELLO_TOO_LARGE),
        (TO_A, send(HELLO[:-1], lambda g: g.reactor.advance(15 + TICK)), Ending.HELLO_TIMEOUT),
        (TO_A, send(HELLO[:-1], lambda g: g.client.peer_finishes()), Ending.CLIENT_CLOSED_EARLY),
        (HEADED, send(HELLO), Ending.NO_PROXY_HEADER),
        (HEADED, send(b"PROXY \r\n"), Ending.BAD_PROXY_HEADER),
        (HEADED, lambda g: g.reactor.advance(15 + TICK), Ending.PROXY_HEADER_TIMEOUT),
        (replace(HEADED, header=ExpectedHeader(True, ())), lambda g: None, Ending.UNTRUSTED_PROXY),
        (sni_listener({"a.example.com": Destination("a", 80)}), send(HELLO), Ending.NO_ENDPOINT),
        (sni_listener({"a.example.com": chain()}), send(HELLO), Ending.NO_ENDPOINT),
        (
            sni_listener({"a.example.com": chain(A, terminate=True, refusal="terminates TLS")}),
            send(HELLO),
            Ending.NOT_SERVED,
        ),
        (sni_listener({"a.example.com": chain(A, refusal="serves HTTP")}), send(HELLO), Ending.NOT_SERVED),
        (sni_listener({"a.example.com": chain(FULL)}), send(HELLO), Ending.OVER_LIMIT),
        (TO_A, send(HELLO, fails("refuse_dial")), Ending.DIAL_REFUSED),
        (TO_A, send(HELLO, fails("time_out_dial")), Ending.DIAL_TIMEOUT),
        (TO_A, send(HELLO, lambda g: g.reactor.fail_dial(errno.EMFILE)), Ending.LOCAL_SHORTAGE),
        (TO_A, loop, Ending.LOOP),
        (TO_A, send(HELLO[:-1], lambda g: g.client.peer_resets()), Ending.CLIENT_RESET),
        (TO_A, send(HELLO, lambda g: g.client.peer_resets(), fails("refuse_dial")), Ending.CLIENT_RESET),
        (TO_A, send(HELLO, lambda g: g.client.peer_resets(), lambda g: g.plane.drain()), Ending.CLIENT_RESET),
        (tcp_listener(A), lambda g: g.client.peer_resets(), Ending.CLIENT_RESET),
        (TO_A, relayed(lambda g: g.client.peer_resets()), Ending.CLIENT_RESET),
        (TO_A, relayed(lambda g: g.upstream.peer_resets()), Ending.UPSTREAM_RESET),
        (TO_A, send(HELLO[:-1], lambda g: g.client.peer_times_out()), Ending.CLIENT_TIMED_OUT),
        (TO_A, relayed(lambda g: g.client.peer_times_out()), Ending.CLIENT_TIMED_OUT),
        (
            TO_A,
            relayed(lambda g: g.upstream.peer_finishes(), lambda g: g.turn(), lambda g: g.client.peer_times_out()),
            Ending.CLIENT_TIMED_OUT,
        ),
        (TO_A, relayed(lambda g: g.upstream.peer_times_out()), Ending.UPSTREAM_TIMED_OUT),
        (TO_A, relayed(lambda g: g.reactor.pump([450] * 9)), Ending.IDLE),
        (SHORT, relayed(lambda g: g.reactor.advance(60 + TICK)), Ending.MAX_DURATION),
        (SHORT, send(HELLO, lambda g: g.reactor.advance(60 + TICK)), Ending.MAX_DURATION),
        (TO_A, relayed(lambda g: g.inbound.close(Ending.ENDPOINT_UNHEALTHY)), Ending.ENDPOINT_UNHEALTHY),
        (TO_A, relayed(lambda g: g.inbound.close(Ending.ENDPOINT_REMOVED)), Ending.ENDPOINT_REMOVED),
        (
            TO_A,
            relayed(lambda g: g.client.peer_finishes(), lambda g: g.reactor.pump([75] * 9)),
            Ending.HALF_CLOSE_TIMEOUT,
        ),
        (TO_A, denied, Ending.DENIED),
        (TO_A, relayed(denied), Ending.DENIED),
        (TO_A, lambda g: g.plane.drain(), Ending.DRAINED),
        (TO_A, send(HELLO, lambda g: g.plane.drain()), Ending.DRAINED),
        (TO_A, relayed(lambda g: g.plane.drain()), Ending.DRAINED),
    ]

    def test_each_script_has_its_ending(self) -> None:
        """Each course of events ends as the table says, with one record, and leaves nothing behind."""
        for listener, script, expected in self.cases:
            gateway = faked(listener)
            script(gateway)
            self.assertEqual(gateway.ending, expected)
            self.assertIsNot(gateway.inbound.phase, Phase.HELLO)
            gateway.reactor.pump([LINGER / 2] * 8)
            self.assertEqual((len(gateway.records), gateway.plane.count), (1, 0), expected)
            self.assertEqual(len(gateway.plane.wheel), 0, expected)
            self.assertFalse(gateway.client.connected)

    def test_the_table_is_complete(self) -> None:
        """There is no ending without a course of events that brings it about, but those of refused connections."""
        self.assertEqual({ending for _, _, ending in self.cases}, set(Ending) - {Ending.OVER_RATE})


class DurationTests(SynchronousTestCase):
    """The longest duration of a connection."""

    def test_chance_lengthens_it(self) -> None:
        """With a jitter of half of it, 200 connections that begin together end one after the other, none early."""
        durations = []
        for seed in range(200):
            gateway = faked(SHORT, Limits(duration_jitter=50))
            gateway.plane.rng = random.Random(seed)
            relayed(lambda g: g.reactor.pump([5] * 20))(gateway)
            durations.append(gateway.records[0].duration)
        self.assertGreaterEqual(min(durations), 60)
        self.assertLessEqual(max(durations), 95)
        self.assertGreater(max(durations) - min(durations), 15)


class DecisionTests(SynchronousTestCase):
    """The choice of the route."""

    def test_a_plain_listener_dials_at_once(self) -> None:
        """A listener that does not sniff dials without waiting for the first bytes."""
        self.assertEqual(faked(tcp_listener(A)).reactor.dialed, [("192.0.2.1", 443)])

    def test_the_name_decides(self) -> None:
        """Exact names before suffixes; letter case and one trailing dot do not matter."""
        listener = sni_listener({"a.example.com": A, "*.example.com": B})
        for name, expected in [
            ("a.example.com", A),
            ("A.Example.COM.", A),
            ("x.a.example.com", B),
            ("b.example.com", B),
        ]:
            self.assertEqual(dialing(listener, build_hello(name)).reactor.dialed[0][0], expected.address)

    def test_addresses_decide_where_they_count(self) -> None:
        """The client's address and the one it connected to choose among the chains of a name."""
        client, server, other = (network(text) for text in ("198.51.100.0/24", "203.0.113.1", "192.0.2.0/24"))
        assert client is not None
        assert server is not None
        assert other is not None
        for addresses, expected in [
            (Addresses(EVERYWHERE, client), B),
            (Addresses(server, EVERYWHERE), B),
            (Addresses(server, client), B),
            (Addresses(EVERYWHERE, other), A),
            (Addresses(other, client), A),
        ]:
            by_address = {"a.example.com": ByAddress.of({addresses: chain(B)})}
            listener = replace(sni_listener({"a.example.com": A}), by_address=by_address)
            self.assertEqual(dialing(listener).reactor.dialed[0][0], expected.address)

    def test_a_catch_all_takes_what_has_no_name(self) -> None:
        """Plain text, a hello without a name and an unknown name take the chain without names."""
        listener = sni_listener({"a.example.com": A}, catch_all=chain(B))
        for first in (b"SSH-2.0-x\r\n", build_hello(None), build_hello("other.org")):
            self.assertEqual(dialing(listener, first).reactor.dialed, [("192.0.2.2", 443)])

    def test_a_catch_all_never_takes_what_is_malformed(self) -> None:
        """A broken or too large hello is closed, whatever chains there are."""
        listener = sni_listener({}, catch_all=chain(B))
        for first in (HELLO[:43] + b"\xff" + HELLO[44:], build_hello(extensions=[(21, bytes(16384))])):
            gateway = dialing(listener, first)
            self.assertEqual((gateway.reactor.dialed, len(gateway.records)), ([], 1))

    def test_the_table_of_the_moment_decides(self) -> None:
        """Routes that change between accept and hello hold for that hello."""
        gateway = faked()
        gateway.serve(sni_listener({"a.example.com": B}))
        gateway.client.peer_sends(HELLO)
        self.assertEqual(gateway.reactor.dialed, [("192.0.2.2", 443)])

    def test_a_listener_that_has_gone_has_no_route(self) -> None:
        """A client of a port that has just been taken away has no route, whatever it says."""
        for first in (HELLO, build_hello(None), b"plain"):
            gateway = faked()
            gateway.serve()
            gateway.client.peer_sends(first)
            self.assertEqual(gateway.ending, Ending.NO_ROUTE)

    def test_the_record_says_who_and_where(self) -> None:
        """The record names client, listener, name, protocols, route and endpoint."""
        record = dialing().inbound.record
        self.assertEqual((record.id, record.started, record.listener), (1, 1e9, "127.0.0.1:0"))
        self.assertEqual((record.client, record.sni), (("198.51.100.7", 5555), "a.example.com"))
        self.assertEqual((record.alpn, record.gateway), (("h2", "http/1.1"), "istio-system/gw"))
        self.assertEqual((record.virtual_service, record.destination), ("default/vs", "origin:80"))
        self.assertEqual(record.endpoint, "192.0.2.1:443")

    def test_the_name_is_recorded_on_a_miss(self) -> None:
        """The record of a refused client has the server name that it asked for."""
        self.assertEqual(dialing(first=build_hello("other.org")).records[0].sni, "other.org")

    def test_an_ipv4_client_of_both_families_is_shown_as_ipv4(self) -> None:
        """The address of an IPv4 client on an IPv6 socket is written as IPv4."""
        gateway = faked()
        for host, shown in [("::ffff:192.0.2.9", "192.0.2.9"), ("2001:db8::1", "2001:db8::1")]:
            self.assertEqual(gateway.accept(TO_A, host).record.client, (shown, 5555))


class HoldingTests(SynchronousTestCase):
    """The client's bytes and events until the endpoint is connected."""

    def test_the_exact_bytes_come_first(self) -> None:
        """The hello and what came behind it arrive unchanged and in order, and once."""
        gateway = faked()
        for at in range(0, len(HELLO), 7):
            gateway.client.peer_sends(HELLO[at : at + 7])
        gateway.client.peer_sends(b"early data")
        upstream = gateway.reactor.accept_dial()
        gateway.client.peer_sends(b", later data")
        gateway.turn()
        self.assertEqual(upstream.written, HELLO + b"early data, later data")

    def test_only_so_much_is_held(self) -> None:
        """A client that goes on sending is not read any more, until the endpoint is there."""
        gateway = dialing(tcp_listener(A), bytes(HELD_BYTES - 1))
        self.assertTrue(gateway.client.reading)
        gateway.client.peer_sends(b"x")
        self.assertFalse(gateway.client.reading)
        upstream = gateway.reactor.accept_dial()
        self.assertTrue(gateway.client.reading)
        gateway.turn()
        self.assertEqual(len(upstream.written), HELD_BYTES)

    def test_much_data_behind_the_hello_stops_reading(self) -> None:
        """Early data in the same read as the hello counts as well."""
        self.assertFalse(dialing(first=HELLO + bytes(HELD_BYTES)).client.reading)

    def test_a_finish_is_remembered(self) -> None:
        """A client that finishes while its endpoint is dialed gets its bytes and its end of stream through."""
        for size in (10, 100_000):
            gateway = dialing(tcp_listener(A), bytes(size))
            gateway.client.peer_finishes()
            self.assertIsNone(gateway.ending)
            upstream = gateway.reactor.accept_dial()
            gateway.turn()
            gateway.turn()
            gateway.turn()
            self.assertEqual((len(upstream.written), upstream.fin_sent), (size, True))
            self.assertFalse(gateway.client.reading)
            upstream.peer_sends(b"answer")
            gateway.turn()
            self.assertEqual(gateway.client.written, b"answer")

    def test_who_has_finished_is_not_read_again(self) -> None:
        """Reading on after an end of stream would report it once more."""
        gateway = dialing()
        gateway.client.peer_finishes()
        gateway.join()
        self.assertFalse(gateway.client.reading)

    def test_a_reset_gives_up_the_dial(self) -> None:
        """Nobody is dialed for a client that is gone and has said nothing."""
        gateway = faked(tcp_listener(A))
        gateway.client.peer_resets()
        self.assertTrue(gateway.reactor.dial_is_given_up())

    def test_last_words_before_the_endpoint_is_there(self) -> None:
        """The endpoint gets what a client sent before its reset, and then the reset."""
        gateway = dialing()
        gateway.client.peer_sends(b"more")
        gateway.client.peer_resets()
        self.assertFalse(gateway.reactor.dial_is_given_up())
        gateway.join()
        gateway.reactor.pump([LINGER / 4] * 8)
        self.assertEqual((gateway.upstream.written, gateway.upstream.reset_sent), (HELLO + b"more", True))
        self.assertEqual((gateway.ending, gateway.plane.count), (Ending.CLIENT_RESET, 0))

    def test_draining_gives_up_the_dial(self) -> None:
        """Nobody is dialed for a client that is being closed."""
        gateway = dialing()
        gateway.plane.drain()
        self.assertTrue(gateway.reactor.dial_is_given_up())

    def test_the_hello_timeout_ends_with_the_hello(self) -> None:
        """A slow dial is not taken for a slow hello."""
        gateway = dialing()
        gateway.reactor.advance(16)
        self.assertIsNone(gateway.ending)


class RefusalTests(SynchronousTestCase):
    """Refused clients."""

    def test_it_can_read_the_end(self) -> None:
        """The end of stream is sent, and the connection closed once the client has seen it."""
        gateway = dialing(first=b"plain text")
        gateway.turn()
        self.assertEqual((gateway.client.fin_sent, gateway.client.connected), (True, True))
        gateway.client.peer_sends(b"still talking")
        gateway.client.peer_finishes()
        self.assertEqual((gateway.client.connected, gateway.client.reset_sent), (False, False))
        self.assertEqual(len(gateway.plane.wheel), 0)

    def test_it_is_not_waited_for_long(self) -> None:
        """A client that does not close is closed."""
        gateway = dialing(first=b"plain text")
        gateway.reactor.pump([0, LINGER + TICK])
        self.assertFalse(gateway.client.connected)

    def test_a_full_hold_is_read_again(self) -> None:
        """A client whose bytes were held back is read again, lest the close become a reset."""
        gateway = dialing(tcp_listener(A), bytes(HELD_BYTES))
        gateway.reactor.refuse_dial()
        self.assertTrue(gateway.client.reading)

    def test_the_alert_is_an_option(self) -> None:
        """An unknown name is told by an alert if that is wanted, and only an unknown name."""
        for alert, first, expected in [
            (False, build_hello("other.org"), b""),
            (True, build_hello("other.org"), UNRECOGNIZED_NAME),
            (True, build_hello(None), b""),
            (True, b"plain text", b""),
        ]:
            gateway = faked(limits=Limits(unknown_sni_alert=alert))
            gateway.client.peer_sends(first)
            gateway.turn()
            self.assertEqual((gateway.client.written, gateway.client.fin_sent), (expected, True))

    def test_the_alert_reaches_a_client_that_has_finished(self) -> None:
        """A client that finished right behind its hello can still read the alert."""
        gateway = faked(limits=Limits(unknown_sni_alert=True))
        gateway.client.peer_sends(build_hello("other.org"))
        gateway.client.peer_finishes()
        gateway.turn()
        self.assertEqual((gateway.client.written, gateway.client.connected), (UNRECOGNIZED_NAME, False))

    def test_who_has_finished_is_not_waited_for(self) -> None:
        """A client that finished while its endpoint was dialed is closed at once when that fails."""
        gateway = dialing()
        gateway.client.peer_finishes()
        gateway.reactor.refuse_dial()
        gateway.turn()
        self.assertEqual((gateway.client.connected, len(gateway.plane.wheel)), (False, 0))


@on_every_transport
class RealTests(TestCase):
    """The same on real sockets, where the kernel has a say."""

    async def test_a_greeting_comes_before_the_client_types(self) -> None:
        """A server that speaks first is heard without a byte from the client."""
        origin = Origin(self, b"Welcome, you are connected.\n")
        gateway = GatewayUnderTest(self)
        listener = tcp_listener(origin.endpoint)
        gateway.serve(listener)
        client = await gateway.connect(listener)
        await client.got(b"Welcome, you are connected.\n")

    async def test_one_byte_per_segment(self) -> None:
        """A hello that comes byte by byte is routed and forwarded as any other."""
        origin = Origin(self)
        gateway = GatewayUnderTest(self)
        listener = sni_listener({"a.example.com": origin.endpoint})
        gateway.serve(listener)
        client = await gateway.connect(listener)
        client.transport.setTcpNoDelay(True)
        for number in range(len(HELLO)):
            client.send(HELLO[number : number + 1])
            await wait_for(lambda sent=number + 1: self.held(gateway) >= sent or origin.peers, "a byte")  # type: ignore[misc]
        await (await origin.peer()).got(HELLO)

    def held(self, gateway: GatewayUnderTest) -> int:
        """Return the number of bytes that the only connection holds for its endpoint."""
        return sum(connection.early.size for connection in gateway.plane.connections)

    async def test_the_alert_survives_pending_bytes(self) -> None:
        """A client that keeps sending behind its hello still reads the alert and an orderly end."""
        gateway = GatewayUnderTest(self, Limits(unknown_sni_alert=True))
        gateway.serve(listener := sni_listener({}))
        client = await gateway.connect(listener)
        client.send(build_hello("nobody.example.com") + bytes(500_000))
        await client.got_finish()
        self.assertEqual((client.received, client.lost), (UNRECOGNIZED_NAME, None))
        client.finish()
        self.assertEqual((await gateway.record()).ending, Ending.NO_ROUTE)
        await wait_for(lambda: gateway.plane.count == 0, "the connection's end")

    async def test_half_a_hello_and_silence(self) -> None:
        """Half a hello and nothing more is closed after the hello's time."""
        gateway = GatewayUnderTest(self, Limits(hello_timeout=0.2))
        gateway.serve(listener := sni_listener({}))
        client = await gateway.connect(listener)
        client.send(HELLO[:100])
        await client.got_finish()
        self.assertEqual((await gateway.record()).ending, Ending.HELLO_TIMEOUT)
