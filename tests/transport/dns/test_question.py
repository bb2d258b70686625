"""Tests of meshgate.transport.dns.question: one question to one real server."""

from __future__ import annotations

import socket

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.names import dns
from twisted.trial.unittest import TestCase

from meshgate.transport.dns.question import QuestionError, ask, reply_to
from tests.dns_server import DnsServer, Fault
from tests.support import free_port, reactor, wait_for

QUESTION = dns.Query(b"a.example", dns.A)


class AskTests(TestCase):
    """Questions over real sockets."""

    def setUp(self) -> None:
        """Start a name server."""
        self.server = DnsServer(reactor)
        self.server.start()
        self.addCleanup(self.server.stop)
        self.server.set("a.example", a=["192.0.2.1"])

    async def ask(self, timeout: float = 5.0) -> dns.Message:
        """Ask the server for the A records of a.example."""
        return await ask(reactor, self.server.address, QUESTION, timeout)

    async def test_a_reply_comes_over_udp(self) -> None:
        """A small reply needs one datagram each way and no TCP connection."""
        reply = await self.ask()
        self.assertEqual([record.type for record in reply.answers], [dns.A])
        self.assertEqual(self.server.count("a.example"), 1)
        self.assertEqual(self.server.count("a.example", tcp=True), 0)

    async def test_an_error_code_is_a_reply(self) -> None:
        """SERVFAIL is handed to the caller, who knows what it means."""
        self.server.break_down("a.example", Fault.SERVFAIL)
        self.assertEqual((await self.ask()).rCode, dns.ESERVER)

    async def test_a_cut_reply_is_asked_for_over_tcp(self) -> None:
        """More addresses than fit into 512 bytes arrive complete, over TCP."""
        self.server.set("a.example", a=[f"192.0.2.{n}" for n in range(100)])
        reply = await self.ask()
        self.assertEqual(len(reply.answers), 100)
        self.assertEqual(self.server.count("a.example", tcp=True), 1)

    async def test_a_server_that_hangs_up_on_tcp_fails(self) -> None:
        """A TCP connection closed without an answer is reported as such."""
        self.server.break_down("a.example", Fault.HANG_UP)
        with self.assertRaisesRegex(QuestionError, "closed the connection without an answer"):
            await self.ask()

    async def test_forged_replies_are_dropped(self) -> None:
        """Garbage, another identifier and another question do not count; the true reply after them does."""
        self.server.break_down("a.example", Fault.FORGERIES)
        [record] = (await self.ask()).answers
        self.assertEqual(record.payload, dns.Record_A("192.0.2.1", 60))

    async def test_a_strangers_datagram_is_dropped(self) -> None:
        """A datagram from another address than the server's never reaches the question."""
        server = _Listener(self)
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(stranger.close)
        asking = Deferred.fromCoroutine(ask(reactor, server.address, QUESTION, 5.0))
        await wait_for(lambda: server.received, "the query")
        [(data, client)] = server.received
        forged = dns.Message()
        forged.fromStr(data)
        forged.answer = 1
        stranger.sendto(forged.toStr(), client)
        forged.rCode = dns.EREFUSED
        server.port.write(forged.toStr(), client)
        self.assertEqual((await asking).rCode, dns.EREFUSED)

    async def test_silence_ends_with_the_timeout(self) -> None:
        """A server that says nothing fails the question after the timeout, and is marked as silent."""
        self.server.break_down("a.example", Fault.SILENCE)
        with self.assertRaisesRegex(QuestionError, r"127\.0\.0\.1:\d+ did not answer within 0\.05 s") as caught:
            await self.ask(timeout=0.05)
        self.assertTrue(caught.exception.silent)

    async def test_silence_on_tcp_ends_with_the_timeout(self) -> None:
        """The timeout holds for a TCP connection that is accepted and never answered, too."""
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        _Listener(self, port.getHost().port, cut=True)
        with self.assertRaisesRegex(QuestionError, "did not answer within"):
            await ask(reactor, ("127.0.0.1", port.getHost().port), QUESTION, 0.05)

    async def test_a_port_without_a_server_fails_at_once(self) -> None:
        """A refusal is told apart from silence, long before the timeout."""
        with self.assertRaisesRegex(QuestionError, "cannot be asked: Connection refused") as caught:
            await ask(reactor, ("127.0.0.1", free_port()), QUESTION, 60.0)
        self.assertFalse(caught.exception.silent)

    async def test_an_unreachable_server_fails_at_once(self) -> None:
        """An address that cannot be sent to fails the question, and leaves no socket behind."""
        with self.assertRaisesRegex(QuestionError, "cannot be asked"):
            await ask(reactor, ("255.255.255.255", 53), QUESTION, 60.0)

    async def test_cancelling_closes_the_socket(self) -> None:
        """A cancelled question leaves neither its socket nor its timer to the reactor."""
        self.server.break_down("a.example", Fault.SILENCE)
        asking = Deferred.fromCoroutine(self.ask(timeout=60.0))
        await wait_for(lambda: self.server.asked, "the question")
        before = len(reactor.getReaders())
        asking.cancel()
        self.assertEqual(len(reactor.getReaders()), before - 1)
        with self.assertRaises(CancelledError):
            await asking


class ReplyTests(TestCase):
    """Which bytes count as a reply."""

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_no_damage_raises(self, data: st.DataObject) -> None:
        """Whatever happens to a reply's bytes, it is either taken as a message or dropped."""
        query = dns.Message(7, recDes=1)
        query.queries = [QUESTION]
        reply = dns.Message(7, answer=1)
        reply.queries = query.queries
        alias = dns.Record_CNAME(b"b.example", 60)
        address = dns.Record_A("192.0.2.1", 60)
        reply.answers = [
            dns.RRHeader(b"a.example", dns.CNAME, dns.IN, 60, alias),
            dns.RRHeader(b"b.example", dns.A, dns.IN, 60, address),
        ]
        damaged = bytearray(reply.toStr())
        for place, byte in data.draw(st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)))):
            damaged[place] = byte
        taken = reply_to(query, bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
        self.assertTrue(taken is None or taken.queries == query.queries)

    def test_a_name_that_points_to_itself_is_dropped(self) -> None:
        """A reply whose question is a pointer to its own place is no reply."""
        query = dns.Message(7, recDes=1)
        query.queries = [QUESTION]
        header = bytes.fromhex("0007 8180 0001 0000 0000 0000")
        self.assertIsNone(reply_to(query, header + bytes.fromhex("c00c 0001 0001")))

    def test_a_query_is_no_reply(self) -> None:
        """The query itself, sent back, is not taken for an answer."""
        query = dns.Message(7, recDes=1)
        query.queries = [QUESTION]
        self.assertIsNone(reply_to(query, query.toStr()))


class _Listener(DatagramProtocol):
    """A UDP port that keeps what it receives; it may send everything back as a reply that was cut."""

    def __init__(self, test: TestCase, port: int = 0, cut: bool = False) -> None:
        self.received: list[tuple[bytes, tuple[str, int]]] = []
        self._cut = cut
        self.port = reactor.listenUDP(port, self, interface="127.0.0.1")
        self.address = ("127.0.0.1", self.port.getHost().port)
        test.addCleanup(self.port.stopListening)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Keep a datagram."""
        self.received.append((datagram, addr))
        if self._cut:
            reply = dns.Message()
            reply.fromStr(datagram)
            reply.answer = reply.trunc = 1
            self.port.write(reply.toStr(), addr)
