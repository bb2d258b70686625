"""The PROXY protocol: what other receivers' tests send, every cut of every header, and any bytes at all."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.addresses import host_port
from meshgate.wire.proxy_protocol import (
    MAX_HEADER,
    MAX_LINE,
    SIGNATURE_V2,
    HeaderKind,
    HeaderReader,
    MalformedHeader,
    NotProxyProtocol,
    ProxyHeader,
    ProxyProtocolError,
    Tlv,
    TlvType,
    build_v1,
    build_v2,
    crc32c,
    is_signed,
    parse_header,
)

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors" / "proxy_protocol.json").read_text())

INET = bytes.fromhex("c0000201c0000202007b162e")
CLIENT, HERE = ("192.0.2.1", 123), ("192.0.2.2", 5678)


def v2(command: int, family: int, block: bytes) -> bytes:
    """A header of version 2 of any content."""
    return SIGNATURE_V2 + bytes((command, family)) + len(block).to_bytes(2, "big") + block


def verdict(data: bytes) -> str:
    """The parser's verdict, in the words of the vectors."""
    try:
        header = parse_header(data)
    except NotProxyProtocol:
        return "not_proxy"
    except MalformedHeader:
        return "invalid"
    return "need_more" if header is None else header.kind.name.lower()


def read(chunks: Iterable[bytes]) -> ProxyHeader | tuple[type[ProxyProtocolError], str] | None:
    """The answer of a reader to a stream that arrives in these chunks. Other exceptions are not caught."""
    reader = HeaderReader()
    try:
        for chunk in chunks:
            header = reader.feed(chunk)
            if header is not None:
                return header
    except ProxyProtocolError as error:
        return type(error), str(error)
    return None


class VectorTests(SynchronousTestCase):
    """What the tests of other receivers send."""

    def test_verdicts(self) -> None:
        """Every vector gets its verdict, with the addresses and the length."""
        for vector in VECTORS:
            data = bytes.fromhex(vector["hex"])
            self.assertEqual(verdict(data), vector["verdict"], vector["name"])
            if "length" in vector:
                header = parse_header(data)
                assert header is not None
                self.assertEqual(header.length, vector["length"], vector["name"])
                ends = [host_port(*end) if end else None for end in (header.source, header.destination)]
                self.assertEqual(ends, [vector.get("source"), vector.get("destination")], vector["name"])

    def test_byte_by_byte(self) -> None:
        """A vector that comes byte by byte gets the same answer, as soon as that is certain."""
        for vector in VECTORS:
            data = bytes.fromhex(vector["hex"])
            self.assertEqual(read(bytes((byte,)) for byte in data), read([data]), vector["name"])


class Version1Tests(SynchronousTestCase):
    """A line of text is read literally."""

    def test_lines(self) -> None:
        """What is nearly a line of version 1 is refused."""
        for line, wanted in {
            "PROXY TCP4 192.0.2.1 192.0.2.2 123 5678": "proxy",
            "PROXY TCP4 192.0.2.1 192.0.2.2 0 65535": "proxy",
            "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2": "proxy",
            "PROXY UNKNOWN": "unknown",
            "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535": "unknown",
            "PROXY TCP4  192.0.2.1 192.0.2.2 123 5678": "invalid",
            "PROXY TCP4 192.0.2.1 192.0.2.2 123 5678 ": "invalid",
            "PROXY TCP4 192.0.2.01 192.0.2.2 123 5678": "invalid",
            "PROXY TCP4 192.0.2 192.0.2.2 123 5678": "invalid",
            "PROXY TCP6 fe80::1%eth0 ::1 1 2": "invalid",
            "PROXY TCP4 192.0.2.1 192.0.2.2 0123 5678": "invalid",
            "PROXY TCP4 192.0.2.1 192.0.2.2 123 65536": "invalid",
            "PROXY TCP4 192.0.2.1 192.0.2.2 -1 5678": "invalid",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\u00b2 5678": "invalid",
            "PROXY tcp4 192.0.2.1 192.0.2.2 123 5678": "invalid",
            "PROXY UNKNOWNS": "invalid",
            "PROXY ": "invalid",
            "PROXY": "not_proxy",
            "proxy TCP4 192.0.2.1 192.0.2.2 123 5678": "not_proxy",
            "PROXYTCP4": "not_proxy",
        }.items():
            self.assertEqual(verdict(line.encode() + b"\r\n"), wanted, line)

    def test_ends_of_line(self) -> None:
        """The line ends with CR and LF, and nothing else; the bytes after it are the client's."""
        line = b"PROXY TCP4 192.0.2.1 192.0.2.2 123 5678"
        self.assertEqual(verdict(line + b"\n\r\n"), "invalid")
        self.assertEqual(verdict(line + b"\n"), "need_more")
        header = parse_header(line + b"\r\n\r\n")
        self.assertEqual(header, ProxyHeader(HeaderKind.PROXY, 1, len(line) + 2, CLIENT, HERE))

    def test_longest(self) -> None:
        """A line may have 107 bytes, with its end."""
        line = b"PROXY UNKNOWN ".ljust(MAX_LINE - 2, b"x")
        self.assertEqual(verdict(line + b"\r\n"), "unknown")
        self.assertEqual(verdict(line + b"\r"), "need_more")
        self.assertEqual(verdict(line + b"x\r\n"), "invalid")


class Version2Tests(SynchronousTestCase):
    """Addresses and fields of the binary form."""

    def test_commands_and_families(self) -> None:
        """Each version, command, family and transport gets its verdict."""
        unix = b"/run/a".ljust(108, b"\0") + bytes(108)
        for command, family, block, wanted in [
            (0x21, 0x11, INET, "proxy"),
            (0x21, 0x11, INET[:-1], "invalid"),
            (0x21, 0x21, bytes(36), "proxy"),
            (0x21, 0x21, bytes(35), "invalid"),
            (0x21, 0x31, unix, "proxy"),
            (0x21, 0x31, unix[:-1], "invalid"),
            (0x21, 0x12, INET, "unknown"),
            (0x21, 0x10, INET, "unknown"),
            (0x21, 0x13, INET, "invalid"),
            (0x21, 0x00, b"", "unknown"),
            (0x21, 0x00, b"\xff" * 9, "unknown"),
            (0x21, 0x51, b"", "unknown"),
            (0x20, 0x00, b"", "local"),
            (0x20, 0x11, INET, "local"),
            (0x20, 0x11, b"\xff", "local"),
            (0x20, 0xFF, b"", "local"),
            (0x22, 0x11, INET, "invalid"),
            (0x11, 0x11, INET, "invalid"),
            (0x31, 0x11, INET, "invalid"),
        ]:
            self.assertEqual(verdict(v2(command, family, block)), wanted, (hex(command), hex(family), block))

    def test_unix_paths(self) -> None:
        """The addresses of Unix sockets are paths, and abstract ones begin with @."""
        block = b"/run/client".ljust(108, b"\0") + b"\0name".ljust(108, b"\0")
        header = parse_header(v2(0x21, 0x31, block))
        assert header is not None
        self.assertEqual((header.source, header.destination), (("unix:/run/client", 0), ("unix:@name", 0)))

    def test_fields(self) -> None:
        """Fields are read in order, and one that reaches beyond the header is refused."""
        tlvs = (Tlv(TlvType.ALPN, b"h2"), Tlv(TlvType.AUTHORITY, b"a.example.com"), Tlv(0xE0, b""), Tlv(1, b"x"))
        header = parse_header(build_v2(CLIENT, HERE, tlvs) + b"payload")
        assert header is not None
        self.assertEqual(header.tlvs, tlvs)
        self.assertEqual(header.field(TlvType.ALPN), b"h2")
        self.assertIsNone(header.field(TlvType.UNIQUE_ID))
        for end in (b"\x01", b"\x01\x00", b"\x01\x00\x01", b"\x01\xff\xff" + bytes(99)):
            self.assertEqual(verdict(v2(0x21, 0x11, INET + end)), "invalid", end)

    def test_checksum(self) -> None:
        """A checksum has to be right, wherever it stands; a header without one needs none."""
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)
        for before, after in ((b"", b""), (b"\x04\x00\x02ab", b"\x02\x00\x01a")):
            empty = v2(0x21, 0x11, INET + before + b"\x03\x00\x04" + bytes(4) + after)
            at = 28 + len(before) + 3
            right = empty[:at] + crc32c(empty).to_bytes(4, "big") + empty[at + 4 :]
            self.assertEqual(verdict(right), "proxy")
            # Of the checksum itself, one byte says that it is one.
            for index in set(range(len(right))) - {at - 3}:
                wrong = right[:index] + bytes((right[index] ^ 1,)) + right[index + 1 :]
                self.assertNotEqual(verdict(wrong), "proxy", index)
        self.assertEqual(verdict(v2(0x21, 0x11, INET + b"\x03\x00\x03" + bytes(3))), "invalid")

    def test_longest(self) -> None:
        """The longest header is read, also byte by byte, and memory stays within its size."""
        data = v2(0x21, 0x11, INET + b"\x04" + (0xFFFF - 15).to_bytes(2, "big") + bytes(0xFFFF - 15))
        self.assertEqual(len(data), MAX_HEADER)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        header = read(data[at : at + 7] for at in range(0, len(data), 7))
        self.assertLess(tracemalloc.get_traced_memory()[1], 4 * MAX_HEADER)
        assert isinstance(header, ProxyHeader)
        self.assertEqual(header.length, MAX_HEADER)


ADDRESSES = st.ip_addresses().map(lambda address: str(getattr(address, "ipv4_mapped", None) or address))
PORTS = st.integers(0, 65535)
ENDS = st.tuples(ADDRESSES, PORTS)
TLVS = st.lists(st.builds(Tlv, st.integers(0, 255).filter(lambda kind: kind != 3), st.binary(max_size=40)), max_size=5)
STREAMS = st.one_of(
    st.binary(max_size=80),
    st.builds(lambda end: b"PROXY " + end, st.binary(max_size=120)),
    st.builds(lambda end: SIGNATURE_V2 + end, st.binary(max_size=300)),
    st.builds(v2, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=300)),
    st.builds(v2, st.just(0x21), st.sampled_from((0x11, 0x21, 0x31)), st.binary(max_size=300)),
    st.builds(build_v1, ENDS, ENDS),
    st.builds(build_v2, ENDS, ENDS, TLVS),
)


class PropertyTests(SynchronousTestCase):
    """What holds for any bytes."""

    @given(STREAMS, st.data())
    def test_any_cut(self, stream: bytes, data: st.DataObject) -> None:
        """The answer does not depend on the cuts, and nothing but the parser's own errors is raised."""
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
        edges = [0, *cuts, len(stream)]
        chunks = [stream[one:other] for one, other in pairwise(edges)]
        whole = read([stream])
        self.assertEqual(read(chunks), whole)
        self.assertEqual(read(bytes((byte,)) for byte in stream), whole)

    @given(STREAMS, st.binary(max_size=20))
    def test_bytes_after(self, stream: bytes, after: bytes) -> None:
        """Bytes after a header do not change it, and an error stays one."""
        first = read([stream])
        if first is not None:
            self.assertEqual(read([stream + after]), first)

    @given(STREAMS)
    def test_need_of_more(self, stream: bytes) -> None:
        """More is asked for only within the longest header of the version."""
        if read([stream]) is None and stream:
            self.assertLess(len(stream), MAX_HEADER if stream.startswith(SIGNATURE_V2[:1]) else MAX_LINE)
            self.assertTrue(is_signed(stream) or len(stream) < len(SIGNATURE_V2))

    @given(ENDS, ENDS, TLVS)
    def test_round_trip(self, source: tuple[str, int], destination: tuple[str, int], tlvs: list[Tlv]) -> None:
        """What is written is read again."""
        for header, fields in (
            (build_v1(source, destination), ()),
            (build_v2(source, destination, tlvs), tuple(tlvs)),
        ):
            read_again = parse_header(header)
            assert read_again is not None
            self.assertEqual(read_again.kind, HeaderKind.PROXY)
            self.assertEqual((read_again.source, read_again.destination), (source, destination))
            self.assertEqual((read_again.length, read_again.tlvs), (len(header), fields))


class BuildTests(SynchronousTestCase):
    """What is written."""

    def test_exact_bytes(self) -> None:
        """The headers of both versions and families are these bytes."""
        v6 = ("2001:db8::1", 1), ("2001:db8::2", 2)
        self.assertEqual(build_v1(CLIENT, HERE), b"PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\n")
        self.assertEqual(build_v1(*v6), b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n")
        self.assertEqual(build_v2(CLIENT, HERE), v2(0x21, 0x11, INET))
        self.assertEqual(build_v2(CLIENT, HERE, [Tlv(5, b"id")]), v2(0x21, 0x11, INET + b"\x05\x00\x02id"))

    def test_without_addresses(self) -> None:
        """A client of a Unix socket has no address: version 1 says so, and version 2 is a local connection."""
        for source, destination in ((("unix:", 0), HERE), (CLIENT, ("unix:/run/a", 0))):
            self.assertEqual(build_v1(source, destination), b"PROXY UNKNOWN\r\n")
            self.assertEqual(build_v2(source, destination), v2(0x20, 0, b""))

    def test_two_families(self) -> None:
        """An IPv4 address beside an IPv6 one is written as IPv6."""
        self.assertEqual(build_v1(CLIENT, ("::1", 2)), b"PROXY TCP6 ::ffff:c000:201 ::1 123 2\r\n")
        self.assertEqual(build_v1(("fe80::1%eth0", 1), ("::1", 2)), b"PROXY TCP6 fe80::1 ::1 1 2\r\n")
