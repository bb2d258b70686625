"""
The PROXY protocol, versions 1 and 2: the header by which a load balancer tells whose connection it passes on.

The source is HAProxy's specification (doc/proxy-protocol.txt); sections are those of it. The answer of
:func:`parse_header` depends on the bytes alone, and so that of :class:`HeaderReader` does not depend on how they were
cut. Neither raises anything but :exc:`ProxyProtocolError`, and a header has at most :data:`MAX_HEADER` bytes.

What is decided here, where receivers differ:

- The checksum of a header (PP2_TYPE_CRC32C) is checked, and a wrong one makes the header malformed (2.2.3), although
  some receivers ignore it.
- A family of addresses that is not defined is passed over by its length, as nginx does, so that the connection keeps
  its own addresses; an undefined transport is malformed (2.2).
- Datagrams cannot come over a stream: their addresses are passed over in the same way.
- After LOCAL and UNSPEC, everything is passed over, for load balancers put there what they like.
- The version 1 is read literally (2.1): one space between fields, no leading zeros, an address of the named family.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, NamedTuple

SIGNATURE_V1: Final = b"PROXY "
SIGNATURE_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"

MAX_LINE: Final = 107
"""The longest header of version 1, with its end of line (2.1)."""

MAX_HEADER: Final = 16 + 0xFFFF
"""The longest header of version 2, whose length has 16 bits."""

_FIXED: Final = 16
_PROXY_V2: Final = 0x21
_LOCAL_V2: Final = 0x20
_STREAM: Final = 1
_DATAGRAM: Final = 2
_INET: Final = 1
_INET6: Final = 2
_UNIX: Final = 3
_UNIX_PATH: Final = 108
_SIZES: Final = {_INET: 12, _INET6: 36, _UNIX: 2 * _UNIX_PATH}


class ProxyProtocolError(Exception):
    """The bytes are no header that may be used. The message is for people."""


class NotProxyProtocol(ProxyProtocolError):  # noqa: N818 - it says what the bytes are
    """The bytes are something else than a header, from the first on that differs."""


class MalformedHeader(ProxyProtocolError):  # noqa: N818 - the same
    """The bytes begin as a header, and break its rules."""


class HeaderKind(Enum):
    """The kinds of headers, by what they say of the connection's addresses."""

    PROXY = "the addresses of the client and of what it has connected to"
    LOCAL = "the sender itself has made the connection, as for a health check"
    UNKNOWN = "the sender does not tell them"


class TlvType(IntEnum):
    """The types of fields after the addresses (2.2)."""

    ALPN = 0x01
    AUTHORITY = 0x02
    CRC32C = 0x03
    NOOP = 0x04
    UNIQUE_ID = 0x05
    SSL = 0x20
    NETNS = 0x30


class Tlv(NamedTuple):
    """A field after the addresses."""

    type: int
    value: bytes


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """
    A header.

    :ivar length: the number of its bytes; those after it are the client's.
    :ivar version: 1 or 2.
    :ivar source: the client's address and port, for PROXY; the path of its socket and 0 if it is a Unix socket.
        Likewise
        :attr:`destination`, to which the client has connected.
    :ivar tlvs: the fields of a PROXY header.
    """

    kind: HeaderKind
    version: int
    length: int
    source: tuple[str, int] | None = None
    destination: tuple[str, int] | None = None
    tlvs: tuple[Tlv, ...] = ()

    def field(self, wanted: TlvType) -> bytes | None:
        """Return the first field of a type; None if there is none, or an empty one."""
        return next((tlv.value for tlv in self.tlvs if tlv.type == wanted), b"") or None


def parse_header(data: bytes) -> ProxyHeader | None:
    """
    Parse the header at the beginning of a connection.

    :param data: all bytes of the connection so far.
    :return: None if more bytes are needed.
    :raises NotProxyProtocol: if the bytes are no header.
    :raises MalformedHeader: if the header is malformed.
    """
    if data.startswith(SIGNATURE_V2):
        return _parse_v2(data)
    if data.startswith(SIGNATURE_V1):
        return _parse_v1(data)
    if SIGNATURE_V2.startswith(data) or SIGNATURE_V1.startswith(data):
        return None
    raise NotProxyProtocol("no PROXY header comes first")


class HeaderReader:
    """
    Reads the header at the beginning of a connection, however it is cut.

    :ivar held: all bytes so far.
    """

    def __init__(self) -> None:
        self.held = bytearray()
        self._wanted = 1

    def feed(self, data: bytes) -> ProxyHeader | None:
        """As :func:`parse_header`, for all bytes so far and these. After an answer, it must not be called again."""
        self.held += data
        if len(self.held) < self._wanted:
            return None
        header = parse_header(bytes(self.held))
        if header is None and self.held.startswith(SIGNATURE_V2) and len(self.held) >= _FIXED:
            self._wanted = _FIXED + int.from_bytes(self.held[14:16], "big")
        return header


def is_signed(data: bytes | bytearray) -> bool:
    """Return True if the bytes are certainly a header, or the beginning of one."""
    return data.startswith((SIGNATURE_V1, SIGNATURE_V2))


# Version 1


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, MAX_LINE)
    if end < 0:
        if len(data) >= MAX_LINE:
            raise MalformedHeader(f"the line of version 1 does not end within {MAX_LINE} bytes")
        return None
    words = data[:end].split(b" ")
    length = end + 2
    if words[1] == b"UNKNOWN":
        return ProxyHeader(HeaderKind.UNKNOWN, 1, length)
    if words[1] not in (b"TCP4", b"TCP6"):
        raise MalformedHeader("the line of version 1 names none of TCP4, TCP6 and UNKNOWN")
    if len(words) != 6:
        raise MalformedHeader("the line of version 1 does not have two addresses and two ports")
    source, destination = (_address_v1(word, words[1] == b"TCP6") for word in words[2:4])
    source_port, destination_port = map(_port_v1, words[4:6])
    return ProxyHeader(HeaderKind.PROXY, 1, length, (source, source_port), (destination, destination_port))


def _address_v1(word: bytes, is_ipv6: bool) -> str:
    try:
        text = word.decode("ascii")
        if "%" in text:
            raise ValueError
        return _unmapped(ipaddress.IPv6Address(text) if is_ipv6 else ipaddress.IPv4Address(text))
    except ValueError:
        raise MalformedHeader("an address of the line of version 1 is not of its family") from None


def _port_v1(word: bytes) -> int:
    if word.isdigit() and len(word) <= 5 and (word == b"0" or word[:1] != b"0") and int(word) <= 0xFFFF:
        return int(word)
    raise MalformedHeader("a port of the line of version 1 is no number from 0 to 65535")


# Version 2


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED:
        return None
    command, family, transport = data[12], data[13] >> 4, data[13] & 0xF
    size = int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL_V2, _PROXY_V2):
        what = "version" if command >> 4 != 2 else "command"
        raise MalformedHeader(f"the {what} of the header is not defined")
    if command == _PROXY_V2:
        if transport not in (0, _STREAM, _DATAGRAM):
            raise MalformedHeader("the transport of the header is not defined")
        if size < _SIZES.get(family, 0):
            raise MalformedHeader("the header is too short for its addresses")
    length = _FIXED + size
    if len(data) < length:
        return None
    if command == _LOCAL_V2:
        return ProxyHeader(HeaderKind.LOCAL, 2, length)
    if family not in _SIZES:
        return ProxyHeader(HeaderKind.UNKNOWN, 2, length)
    after = _FIXED + _SIZES[family]
    tlvs = tuple(_tlvs(data, after, length))
    _check_sum(data[:length], after, tlvs)
    if transport != _STREAM:
        return ProxyHeader(HeaderKind.UNKNOWN, 2, length, tlvs=tlvs)
    source, destination = _addresses_v2(data[_FIXED:after], family)
    return ProxyHeader(HeaderKind.PROXY, 2, length, source, destination, tlvs)


def _addresses_v2(block: bytes, family: int) -> tuple[tuple[str, int], tuple[str, int]]:
    if family == _UNIX:
        return (_path(block[:_UNIX_PATH]), 0), (_path(block[_UNIX_PATH:]), 0)
    size = 4 if family == _INET else 16
    make = ipaddress.IPv4Address if family == _INET else ipaddress.IPv6Address
    source, destination = _unmapped(make(block[:size])), _unmapped(make(block[size : 2 * size]))
    ports = block[2 * size :]
    return (source, int.from_bytes(ports[:2], "big")), (destination, int.from_bytes(ports[2:4], "big"))


def _path(block: bytes) -> str:
    """The path of a Unix socket; an abstract one begins with a zero byte, for which @ stands."""
    abstract = block[:1] == b"\0" and block.strip(b"\0") != b""
    text = block.strip(b"\0") if abstract else block.partition(b"\0")[0]
    return "unix:" + ("@" if abstract else "") + text.decode("utf-8", "backslashreplace")


def _tlvs(data: bytes, at: int, end: int) -> Iterator[Tlv]:
    while at < end:
        value = at + 3
        after = value + int.from_bytes(data[at + 1 : value], "big")
        if value > end or after > end:
            raise MalformedHeader("a field of the header reaches beyond its end")
        yield Tlv(data[at], data[value:after])
        at = after


def _check_sum(header: bytes, at: int, tlvs: Iterable[Tlv]) -> None:
    """Compare the checksum, which is that of the header with zeros in its place (2.2.3)."""
    for tlv in tlvs:
        at += 3
        if tlv.type == TlvType.CRC32C:
            zeroed = header[:at] + bytes(4) + header[at + 4 :]
            if len(tlv.value) != 4 or crc32c(zeroed) != int.from_bytes(tlv.value, "big"):
                raise MalformedHeader("the checksum of the header is wrong")
        at += len(tlv.value)


def _unmapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _crc_table() -> Iterator[int]:
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


_CRC: Final = tuple(_crc_table())


def crc32c(data: bytes) -> int:
    """Compute the checksum of Castagnoli (RFC 4960, appendix B)."""
    table, value = _CRC, 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


# Writing


def build_v1(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """
    Make a header of version 1.

    :param source: the client's address and port. If either address is no IP address, or the families differ and
        IPv4 cannot stand as an IPv6 address, the header says UNKNOWN.
    :param destination: the address and port to which the client has connected.
    """
    pair = _same_family(source[0], destination[0])
    if pair is None:
        return b"PROXY UNKNOWN\r\n"
    one, other = pair
    text = f"PROXY TCP{one.version} {one} {other} {source[1]} {destination[1]}\r\n"
    return text.encode("ascii")


def build_v2(source: tuple[str, int], destination: tuple[str, int], tlvs: Iterable[Tlv] = ()) -> bytes:
    """
    Make a header of version 2; the arguments are those of :func:`build_v1`, and the fields after the addresses.
    Without addresses, it says LOCAL, which every receiver takes for the addresses of the connection itself.
    """
    pair = _same_family(source[0], destination[0])
    fields = b"".join(bytes((type_,)) + len(value).to_bytes(2, "big") + value for type_, value in tlvs)
    if pair is None:
        return SIGNATURE_V2 + bytes((_LOCAL_V2, 0)) + len(fields).to_bytes(2, "big") + fields
    one, other = pair
    family = (_INET if one.version == 4 else _INET6) << 4 | _STREAM
    addresses = one.packed + other.packed + source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")
    size = len(addresses) + len(fields)
    return SIGNATURE_V2 + bytes((_PROXY_V2, family)) + size.to_bytes(2, "big") + addresses + fields


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _same_family(source: str, destination: str) -> tuple[_Address, _Address] | None:
    """Both addresses in one family: if they differ, IPv4 as an IPv4-mapped IPv6 address."""
    try:
        one, other = (ipaddress.ip_address(text.partition("%")[0]) for text in (source, destination))
    except ValueError:
        return None
    if one.version == other.version:
        return one, other
    return _mapped(one), _mapped(other)


def _mapped(address: _Address) -> ipaddress.IPv6Address:
    return ipaddress.IPv6Address(f"::ffff:{address}") if address.version == 4 else ipaddress.IPv6Address(str(address))
