"""The ClientHello parser over records: every cut of a stream, every limit, and real clients' hellos."""

from __future__ import annotations

import json
import ssl
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.wire.clienthello import (
    MAX_HANDSHAKE,
    MAX_RECORD_SIZE,
    MAX_RECORDS,
    UNRECOGNIZED_NAME,
    BadHello,
    ClientHello,
    HelloError,
    HelloParser,
    HelloTooLarge,
    NotTLS,
    parse_hello,
)
from tests.hello_builder import (
    build_body,
    build_hello,
    ech_extension,
    handshake_message,
    padding_extension,
    post_quantum_key_share,
    record,
    split_records,
)

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors" / "clienthello.json").read_text())

#: What a parser said: the hello, the error with its message, or None for "more".
Outcome = ClientHello | tuple[type[HelloError], str] | None


def outcome(chunks: Iterable[bytes], max_bytes: int = MAX_HANDSHAKE) -> Outcome:
    """The answer of a parser to a stream that arrives in these chunks. Other exceptions than its own are not caught."""
    parser = HelloParser(max_bytes)
    try:
        for chunk in chunks:
            hello = parser.feed(chunk)
            if hello is not None:
                return hello
    except HelloError as error:
        return type(error), str(error)
    return None


def single_bytes(data: bytes) -> Iterator[bytes]:
    """The bytes one by one."""
    return (data[at : at + 1] for at in range(len(data)))


def cut(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """The bytes in chunks of these sizes, the rest as the last chunk."""
    at = 0
    for size in sizes:
        yield data[at : at + size]
        at += size
    yield data[at:]


def handshake_of(wire: bytes) -> bytes:
    """The content of a stream of records, one after another."""
    content, at = b"", 0
    while at < len(wire):
        size = int.from_bytes(wire[at + 3 : at + 5], "big")
        content += wire[at + 5 : at + 5 + size]
        at += 5 + size
    return content


def stated(hello: Outcome) -> tuple[str | None, tuple[str, ...], tuple[int, ...], bool, int]:
    """A hello without what depends on how it was cut into records."""
    assert isinstance(hello, ClientHello), hello
    return hello.sni, hello.alpn, hello.versions, hello.ech, hello.size


class VectorTests(SynchronousTestCase):
    """Hellos captured from real clients."""

    def test_captured_hellos_say_what_the_client_was_told_to_send(self) -> None:
        """Every captured hello is read as the command line of its client asked for it."""
        for vector in VECTORS:
            hello = parse_hello(bytes.fromhex(vector["hex"]))
            assert hello is not None
            self.assertEqual(hello.sni, vector["sni"], vector["name"])
            self.assertEqual(hello.alpn, tuple(vector["alpn"]), vector["name"])
            versions = tuple(int(version, 16) for version in vector["versions"])
            self.assertEqual(hello.versions, versions, vector["name"])

    def test_a_captured_hello_needs_its_last_byte(self) -> None:
        """Every captured hello is incomplete one byte short of its end; its size is all of its handshake."""
        for vector in VECTORS:
            data = bytes.fromhex(vector["hex"])
            self.assertIsNone(parse_hello(data[:-1]), vector["name"])
            self.assertEqual(stated(parse_hello(data))[4], len(handshake_of(data)), vector["name"])

    def test_a_client_that_fragments_is_read(self) -> None:
        """OpenSSL limited to 512 bytes a record sends its hello in three, and the name is found."""
        (vector,) = [vector for vector in VECTORS if vector["name"] == "openssl-fragmented"]
        hello = parse_hello(bytes.fromhex(vector["hex"]))
        assert hello is not None
        self.assertEqual((hello.sni, hello.records), ("echo.example.com", 3))

    def test_one_byte_at_a_time_says_the_same(self) -> None:
        """A captured hello that trickles in is read as if it came at once."""
        for vector in VECTORS:
            data = bytes.fromhex(vector["hex"])
            self.assertEqual(outcome(single_bytes(data)), parse_hello(data), vector["name"])

    def test_other_records_say_the_same(self) -> None:
        """A captured hello that is cut into other records, at most 64, is read as before."""
        for vector in VECTORS:
            handshake = handshake_of(bytes.fromhex(vector["hex"]))
            whole = stated(parse_hello(split_records(handshake)))
            for count in (2, 3, 16, MAX_RECORDS):
                size = -(-len(handshake) // count)
                wire = split_records(handshake, [size] * count, version=0x0303)
                self.assertEqual(stated(parse_hello(wire)), whole, vector["name"])
                self.assertEqual(stated(outcome(single_bytes(wire))), whole, vector["name"])


class RecordTests(SynchronousTestCase):
    """The records around the message, and the byte at which a wrong one is noticed."""

    def decides_at(self, data: bytes, size: int, error: type[HelloError]) -> str:
        """Check that these bytes are refused as soon as so many of them are there; return the reason."""
        self.assertIsNone(parse_hello(data[: size - 1]))
        early, whole = outcome([data[:size]]), outcome([data])
        assert not isinstance(whole, ClientHello | None)
        self.assertEqual(whole[0], error)
        self.assertEqual(early, whole)
        self.assertEqual(outcome(single_bytes(data)), whole)
        return whole[1]

    def test_nothing_is_not_enough(self) -> None:
        """No bytes at all decide nothing, however often they come."""
        self.assertIsNone(outcome([b"", b"", b""]))

    def test_plain_text_is_not_tls_by_its_first_byte(self) -> None:
        """An HTTP request is recognized as plain text at once, and the reason names the byte."""
        reason = self.decides_at(b"GET / HTTP/1.1\r\n\r\n", 1, NotTLS)
        self.assertIn("0x47", reason)

    def test_plain_text_over_the_limit_is_not_tls(self) -> None:
        """A first read of plain text larger than the hello limit is still plain text, not a large hello."""
        self.decides_at(b"x" * (MAX_HANDSHAKE * 2), 1, NotTLS)

    def test_every_other_first_byte_is_not_tls(self) -> None:
        """Only 0x16 can start a ClientHello: alerts, application data and SSL 2.0 hellos are not TLS."""
        for first in set(range(256)) - {0x16}:
            self.decides_at(bytes([first]) + build_hello()[1:], 1, NotTLS)

    def test_an_ssl2_hello_is_not_tls(self) -> None:
        """A hello in the format of SSL 2.0, which has no room for a name, is not TLS."""
        self.decides_at(bytes.fromhex("802e0100020015001000000010") + bytes(40), 1, NotTLS)

    def test_another_major_version_is_not_tls(self) -> None:
        """A first record of version 1.1, as TLCP has it, is another protocol, known by its second byte."""
        self.decides_at(split_records(handshake_of(build_hello()), version=0x0101), 2, NotTLS)

    def test_any_minor_version_is_taken(self) -> None:
        """The minor version of a record is ignored, SSL 3.0's and unknown ones included."""
        for minor in range(256):
            wire = split_records(handshake_of(build_hello()), [20], version=0x0300 | minor)
            self.assertEqual(stated(parse_hello(wire)), stated(parse_hello(build_hello())))

    def test_an_empty_record_is_refused(self) -> None:
        """A record without content is refused at its header: leading, between others, in great numbers."""
        empty, wire = record(b""), build_hello(records=[30])
        self.decides_at(empty + wire, 5, BadHello)
        self.decides_at(wire[:35] + empty + wire[35:], 40, BadHello)
        self.decides_at(empty * 200_000, 5, BadHello)

    def test_a_record_over_the_limit_is_refused(self) -> None:
        """A record that announces more than TLS allows is refused at its header; one at the limit is read."""
        self.decides_at(b"\x16\x03\x01" + (MAX_RECORD_SIZE + 1).to_bytes(2, "big"), 5, BadHello)
        message = handshake_of(build_hello())
        self.decides_at(record(message + bytes(MAX_RECORD_SIZE + 1 - len(message))), 5, BadHello)
        full = record(message + bytes(MAX_RECORD_SIZE - len(message)))
        self.assertEqual(stated(parse_hello(full)), stated(parse_hello(build_hello())))

    def test_another_record_type_inside_is_refused(self) -> None:
        """Within the hello, an alert, a change of ciphers and application data are refused by their type."""
        for kind in (20, 21, 23, 24, 0):
            first = build_hello(records=[30])[:35]
            self.decides_at(first + record(b"\x01", kind=kind), 36, BadHello)

    def test_another_major_version_inside_is_refused(self) -> None:
        """Once the first record was TLS, a later one with another major version is malformed, not plain."""
        first = build_hello(records=[30])[:35]
        self.decides_at(first + record(b"\x01", version=0x0101), 37, BadHello)

    def test_another_message_is_refused_by_its_type(self) -> None:
        """A handshake that starts with anything but a ClientHello is refused at the first byte of it."""
        for kind in set(range(256)) - {1}:
            self.decides_at(record(handshake_message(build_body(), kind=kind)), 6, BadHello)

    def test_a_length_bomb_is_refused_at_its_header(self) -> None:
        """A hello that announces 16 MiB is refused when its length is there, however the header is cut."""
        self.decides_at(record(b"\x01\xff\xff\xff" + bytes(100)), 9, HelloTooLarge)
        self.decides_at(record(b"\x01\xff") + record(b"\xff\xff\x00"), 14, HelloTooLarge)

    def test_the_limit_of_bytes_is_exact(self) -> None:
        """A hello of exactly the limit is read, in one record or many; one byte more is too large."""
        room = MAX_HANDSHAKE - len(handshake_of(build_hello(extensions=[padding_extension(0)])))
        full = build_hello(extensions=[padding_extension(room)])
        self.assertEqual(stated(parse_hello(full))[4], MAX_HANDSHAKE)
        many = split_records(handshake_of(full), [MAX_HANDSHAKE // MAX_RECORDS] * MAX_RECORDS)
        self.assertEqual(stated(parse_hello(many)), stated(parse_hello(full)))
        self.decides_at(
            split_records(handshake_of(build_hello(extensions=[padding_extension(room + 1)]))),
            9,
            HelloTooLarge,
        )

    def test_the_limit_of_bytes_can_be_set(self) -> None:
        """A parser with a smaller limit refuses what the usual one takes."""
        wire = build_hello()
        size = len(wire) - 5
        self.assertIsInstance(outcome([wire], max_bytes=size), ClientHello)
        refused = outcome([wire], max_bytes=size - 1)
        assert not isinstance(refused, ClientHello | None)
        self.assertEqual(refused[0], HelloTooLarge)
        self.assertIn(str(size - 1), refused[1])

    def test_the_limit_of_records_is_exact(self) -> None:
        """A hello in 64 records is read; one that starts a 65th is too large, whatever that record is."""
        handshake = handshake_of(build_hello())
        hello = parse_hello(split_records(handshake, [1] * (MAX_RECORDS - 1)))
        assert hello is not None
        self.assertEqual(hello.records, MAX_RECORDS)
        one_more = split_records(handshake, [1] * MAX_RECORDS)
        self.decides_at(one_more, 6 * MAX_RECORDS + 1, HelloTooLarge)

    def test_what_follows_the_hello_is_not_looked_at(self) -> None:
        """Early data, garbage, or another message, in the hello's record or behind it, changes nothing."""
        wire = build_hello()
        expected = parse_hello(wire)
        for rest in (
            record(b"\x01", kind=20),
            record(bytes(8000), kind=23) * 2,
            b"garbage",
            b"\x16\x03\x01\x00\x00",
        ):
            self.assertEqual(parse_hello(wire + rest), expected)
        message = handshake_of(wire)
        for rest in (bytes(1), message, handshake_message(b"", kind=5)):
            self.assertEqual(parse_hello(record(message + rest)), expected)
            self.assertEqual(parse_hello(record(message + rest)[: len(wire)]), expected)

    def test_a_hello_cut_short_by_its_length_is_refused(self) -> None:
        """A message length a byte too small ends inside the extensions: no name is read across the end."""
        message = handshake_of(build_hello(alpn=(), versions=()))
        for missing in (1, 2, 10):
            short = b"\x01" + (len(message) - 4 - missing).to_bytes(3, "big") + message[4:]
            self.decides_at(record(short), len(message) + 5 - missing, BadHello)

    def test_a_hello_within_a_hello_is_not_taken(self) -> None:
        """A part of the stream that looks like a whole hello, inside an extension, is only content."""
        inner = build_hello("inner.example")
        outer = build_hello("outer.example", extensions=[(0x4469, inner)])
        at = outer.index(inner, 5)
        hello = outcome(cut(outer, [at]))
        self.assertEqual(hello, parse_hello(outer))
        self.assertEqual(stated(hello)[0], "outer.example")

    def test_an_empty_hello_is_refused_alike_however_it_comes(self) -> None:
        """A ClientHello of no bytes is malformed as soon as its length is there."""
        self.decides_at(record(b"\x01\x00\x00\x00"), 9, BadHello)


class PropertyTests(SynchronousTestCase):
    """Properties that hold for any bytes in any chunks."""

    HELLO = build_hello(extensions=[post_quantum_key_share(), ech_extension()])

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.integers(0, 400), max_size=30))
    def test_any_pieces_give_the_same_hello(self, sizes: list[int]) -> None:
        """The answer to a hello is the same for every cut, and comes with its last byte."""
        data = self.HELLO + b"\x17\x03\x03"
        self.assertEqual(outcome(cut(data, sizes)), parse_hello(data))
        self.assertIsNone(outcome(cut(self.HELLO[:-1], sizes)))

    @settings(deadline=None, max_examples=200)
    @given(
        st.lists(st.integers(1, 300), max_size=MAX_RECORDS - 1),
        st.lists(st.integers(0, 400), max_size=30),
        st.sampled_from(VECTORS),
    )
    def test_any_records_in_any_pieces_give_the_same_hello(
        self, records: list[int], chunks: list[int], vector: dict[str, Any]
    ) -> None:
        """Every cut of a handshake into at most 64 records, and of those into chunks, gives the same answer."""
        handshake = handshake_of(bytes.fromhex(vector["hex"]))
        wire = split_records(handshake, records)
        whole = parse_hello(split_records(handshake))
        self.assertEqual(stated(outcome(cut(wire, chunks))), stated(whole))

    @settings(deadline=None, max_examples=300)
    @given(
        st.one_of(
            st.binary(max_size=300),
            st.binary(max_size=300).map(lambda rest: b"\x16\x03\x01" + rest),
            st.binary(max_size=300).map(record),
            st.binary(max_size=300).map(lambda body: record(handshake_message(body))),
        ),
        st.lists(st.integers(0, 40), max_size=30),
    )
    def test_any_bytes_raise_only_the_parsers_own_errors(self, data: bytes, sizes: list[int]) -> None:
        """Any bytes in any chunks give the same hello, the same error, or need more."""
        self.assertEqual(outcome(cut(data, sizes)), outcome([data]))
        self.assertEqual(outcome(single_bytes(data)), outcome([data]))

    @settings(deadline=None, max_examples=400)
    @given(st.sampled_from(VECTORS), st.data())
    def test_a_damaged_hello_raises_only_the_parsers_own_errors(
        self, vector: dict[str, Any], data: st.DataObject
    ) -> None:
        """A real hello with some bytes changed, cut out or put in: one answer, the same for any chunks."""
        wire = bytearray.fromhex(vector["hex"])
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(wire) - 1))
            wire[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        damaged = bytes(wire)
        self.assertEqual(outcome(cut(damaged, data.draw(st.lists(st.integers(0, 300))))), outcome([damaged]))

    def test_a_waiting_parser_holds_no_more_than_the_limit(self) -> None:
        """One byte short of the largest hello, in many records and small reads, only its bytes take memory."""
        room = MAX_HANDSHAKE - len(handshake_of(build_hello(extensions=[padding_extension(0)])))
        handshake = handshake_of(build_hello(extensions=[padding_extension(room)]))
        wire = split_records(handshake, [MAX_HANDSHAKE // MAX_RECORDS] * MAX_RECORDS)
        parsers = [HelloParser() for _ in range(50)]
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for parser in parsers:
            for at in range(0, len(wire) - 1, 100):
                self.assertIsNone(parser.feed(wire[at : min(at + 100, len(wire) - 1)]))
        kept = tracemalloc.get_traced_memory()[0] / len(parsers)
        self.assertLess(kept, MAX_HANDSHAKE * 1.3)


class AlertTests(SynchronousTestCase):
    """The bytes as a client takes them."""

    def test_a_client_understands_unrecognized_name(self) -> None:
        """OpenSSL, answered with the alert, ends its handshake with that alert as the reason."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="unknown.example")
        self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
        incoming.write(UNRECOGNIZED_NAME)
        error = self.assertRaises(ssl.SSLError, client.do_handshake)
        self.assertEqual(error.reason, "TLSV1_UNRECOGNIZED_NAME")

    def test_the_bytes_are_exact(self) -> None:
        """One record, fatal, description 112, in seven bytes."""
        self.assertEqual(UNRECOGNIZED_NAME, b"\x15\x03\x03\x00\x02\x02\x70")
