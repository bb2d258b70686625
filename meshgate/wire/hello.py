"""
The ClientHello message: the facts that a client states in it (RFC 8446, section 4.1.2).

Problem: routing depends on the server name. If a hello could be read in two ways, the gateway might route it by one
name, and the server answer for another.

Approach: the reader walks over the fields and extensions of the complete message, and looks into those that matter.

Invariants: every length agrees exactly with what it measures, and no extension comes twice, or else the whole hello is
malformed. Questions that only a TLS server can answer, such as
which cipher suites and versions are acceptable, or whether there are any suites, are left to the server.
"""

from __future__ import annotations

import functools
import struct
from typing import Final

#: The longest server name that is accepted: the limit of a DNS name (RFC 1035, section 2.3.4).
MAX_NAME: Final = 255

#: The longest legacy_session_id (RFC 8446, section 4.1.2).
MAX_SESSION_ID: Final = 32

#: The number of application protocols that are reported. Clients offer a handful; a hostile hello has room for
#: thousands, whose strings would take thirty times its own size for as long as the connection lives.
MAX_PROTOCOLS: Final = 64

#: Versions that clients offer only to keep servers tolerant of unknown ones (RFC 8701, section 2) …
GREASE_VERSIONS: Final = frozenset(0x0A0A + 0x1010 * n for n in range(16))
#: … and protocol names likewise: the same two bytes.
GREASE_PROTOCOLS: Final = frozenset(value.to_bytes(2, "big") for value in GREASE_VERSIONS)

_SERVER_NAME: Final = 0
_ALPN: Final = 16
_SUPPORTED_VERSIONS: Final = 43
_ENCRYPTED_CLIENT_HELLO: Final = 0xFE0D

_HOST_NAME: Final = 0

#: The size of legacy_version and random in bytes, after which the session id begins.
_SESSION_ID_AT: Final = 34

_VERSION_NAMES: Final = {
    0x0300: "SSL 3.0",
    0x0301: "TLS 1.0",
    0x0302: "TLS 1.1",
    0x0303: "TLS 1.2",
    0x0304: "TLS 1.3",
}


class HelloError(ValueError):
    """The bytes are no ClientHello that can be routed. Only subclasses are raised, which say what the bytes are."""


class BadHello(HelloError):  # noqa: N818 - the word of the access log
    """The client speaks TLS, but its ClientHello is malformed."""


class ClientHello:
    """
    The facts that a client states before anything is encrypted.

    :ivar sni: the server name that the client asks for, in lower case and without one trailing dot: at most
        :data:`MAX_NAME` printable ASCII characters, which may be an IP address. None if it asks for no name.
    :ivar alpn: the application protocols that the client offers, in its order, at most :data:`MAX_PROTOCOLS`, without
        GREASE values. Backslash escapes stand for everything but printable ASCII, so all of it is safe to log.
    :ivar versions: the protocol versions that the client offers, in its order: supported_versions without GREASE
        values, or the version of the message where none is left.
    :ivar ech: True if there is an encrypted_client_hello extension. Only the server can distinguish a real one from a
        GREASE one; if it is real, :attr:`sni` is the outer, public name.
    :ivar records: the number of TLS records that carried the message.
    :ivar size: the size of the message in bytes, its 4-byte header included.
    """

    __slots__ = ("alpn", "ech", "records", "size", "sni", "versions")

    def __init__(
        self, sni: str | None, alpn: tuple[str, ...], versions: tuple[int, ...], ech: bool, records: int, size: int
    ) -> None:
        self.sni = sni
        self.alpn = alpn
        self.versions = versions
        self.ech = ech
        self.records = records
        self.size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClientHello) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def __repr__(self) -> str:
        return f"ClientHello{self._facts()}"

    def _facts(self) -> tuple[str | None, tuple[str, ...], tuple[int, ...], bool, int, int]:
        return self.sni, self.alpn, self.versions, self.ech, self.records, self.size


def version_name(version: int) -> str:
    """
    A protocol version in words, as ``TLS 1.3``, or in hexadecimal where it has no name.

    :param version: the version on the wire, as 0x0304 for TLS 1.3.
    """
    return _VERSION_NAMES.get(version) or f"0x{version:04x}"


def read_client_hello(data: bytes, start: int, end: int, records: int) -> ClientHello:
    """
    Read a complete message. No byte before ``start`` or from ``end`` on is looked at.

    :param data: bytes that contain the message.
    :param start: the index of the message's body, after its 4-byte header.
    :param end: the index after the message's last byte.
    :param records: the number of TLS records that carried the message.
    :raises BadHello: the message is malformed; the error says how.
    """
    server_name, alpn, versions, ech = _find_extensions(data, _skip_to_extensions(data, start, end), end)
    offered = _read_versions(_content(data, versions)) if versions else ()
    return ClientHello(
        _read_server_name(_content(data, server_name)) if server_name else None,
        _read_alpn(_content(data, alpn)) if alpn else (),
        offered or (data[start] << 8 | data[start + 1],),
        ech,
        records,
        end - start + 4,
    )


def _skip_to_extensions(data: bytes, start: int, end: int) -> int:
    """
    Step over the fields before the extensions.

    :return: the index of the length of the extension block; ``end`` if there is none.
    """
    at = start + _SESSION_ID_AT
    if at >= end:
        raise BadHello(f"the ClientHello has only {end - start} bytes and ends before the session id")
    size = data[at]
    if size > MAX_SESSION_ID:
        raise BadHello(f"the session id is {size} bytes long, {MAX_SESSION_ID} are allowed")
    at += 1 + size
    if at + 2 > end:
        raise BadHello("the ClientHello ends before the cipher suites")
    size = data[at] << 8 | data[at + 1]
    if size & 1:
        raise BadHello(f"the cipher suites take {size} bytes, an odd number")
    at += 2 + size
    if at >= end:
        raise BadHello(f"the cipher suites take {size} bytes and leave none for the compression methods")
    at += 1 + data[at]
    if at > end:
        raise BadHello("the compression methods run past the end of the ClientHello")
    return at


def _find_extensions(data: bytes, at: int, end: int) -> tuple[int, int, int, bool]:
    """
    Find the extensions that matter in their block, which ends with the message.

    No type may come twice (RFC 8446, section 4.2): with two server names, each reader could choose another one.

    :return: the index of the content of server_name, of ALPN and of supported_versions, or 0; and True if there is an
        encrypted_client_hello.
    """
    server_name = alpn = versions = 0
    ech = False
    if at == end:
        return server_name, alpn, versions, ech
    if at + 2 > end:
        raise BadHello("one byte follows the compression methods, too little for extensions")
    size = data[at] << 8 | data[at + 1]
    at += 2
    if at + size != end:
        raise BadHello(f"the extensions take {size} bytes, but the ClientHello has {end - at} for them")
    kinds: set[int] = set()
    count = 0
    while at < end:
        start = at + 4
        if start > end:
            raise BadHello("the extensions end within the header of one")
        kind, size = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
        at = start + size
        if at > end:
            raise BadHello(f"extension {kind} takes {size} bytes, but {end - start} are left")
        kinds.add(kind)
        count += 1
        if len(kinds) < count:
            raise BadHello(f"extension {kind} comes twice")
        if kind == _SERVER_NAME:
            server_name = start
        elif kind == _ALPN:
            alpn = start
        elif kind == _SUPPORTED_VERSIONS:
            versions = start
        elif kind == _ENCRYPTED_CLIENT_HELLO:
            ech = True
    return server_name, alpn, versions, ech


def _content(data: bytes, start: int) -> bytes:
    """The content of an extension; the two bytes before it are its size."""
    return data[start : start + (data[start - 2] << 8 | data[start - 1])]


def _check_list(content: bytes, extension: str) -> None:
    """Refuse the content of an extension that is not exactly one list behind a 2-byte length."""
    there = len(content) - 2
    if there < 0:
        raise BadHello(f"the {extension} extension is too short for the length of its list")
    size = content[0] << 8 | content[1]
    if size != there:
        raise BadHello(f"the list in the {extension} extension takes {size} bytes, but {there} are there")


def _read_server_name(content: bytes) -> str | None:
    """
    The host name in a server_name extension (RFC 6066, section 3), or None if there is none.

    A list without entries and an empty name mean that there is no name, as their senders intend. Entries of other
    types are skipped; the RFC demands that they have a length of 16 bits, too.
    """
    _check_list(content, "server_name")
    host_name: bytes | None = None
    at, end = 2, len(content)
    while at < end:
        name = at + 3
        if name > end:
            raise BadHello("the server_name extension ends within the header of an entry")
        kind = content[at]
        at = name + (content[at + 1] << 8 | content[at + 2])
        if at > end:
            raise BadHello(f"the server name takes {at - name} bytes, but {end - name} are left")
        if kind == _HOST_NAME:
            if host_name is not None:
                raise BadHello("the server_name extension has two host names")
            host_name = content[name:at]
    return _host_name(host_name) if host_name else None


def _host_name(raw: bytes) -> str | None:
    """
    A server name in the form in which routes have it.

    All control characters are refused, not only NUL: no host has one, and the name is logged.
    """
    if len(raw) > MAX_NAME:
        raise BadHello(f"the server name is {len(raw)} bytes long, {MAX_NAME} are allowed")
    if not raw.isascii():
        raise BadHello("the server name has bytes that are not ASCII")
    name = raw.decode("ascii")
    if not name.isprintable():
        raise BadHello("the server name has control characters")
    return name.lower().removesuffix(".") or None


# Clients send the same lists again and again. This cache saves a fifth of the time that a hello takes.
@functools.lru_cache(maxsize=64)
def _read_alpn(content: bytes) -> tuple[str, ...]:
    """The protocols in an ALPN extension: at least one, and none of them empty (RFC 7301, section 3.1)."""
    _check_list(content, "ALPN")
    names: list[str] = []
    at, end = 2, len(content)
    if at == end:
        raise BadHello("the ALPN extension offers no protocol")
    while at < end:
        name = at + 1
        at = name + content[at]
        if at > end:
            raise BadHello(f"an ALPN protocol takes {at - name} bytes, but {end - name} are left")
        if at == name:
            raise BadHello("the ALPN extension offers a protocol without a name")
        if len(names) < MAX_PROTOCOLS and content[name:at] not in GREASE_PROTOCOLS:
            names.append(_protocol_name(content[name:at]))
    return tuple(names)


def _protocol_name(raw: bytes) -> str:
    """A protocol name as text that is safe to show."""
    name = raw.decode("latin-1")
    if name.isascii() and name.isprintable():
        return name
    return name.encode("unicode_escape").decode("ascii")


@functools.lru_cache(maxsize=64)
def _read_versions(content: bytes) -> tuple[int, ...]:
    """The versions in a client's supported_versions extension (RFC 8446, section 4.2.1), without GREASE."""
    size = len(content) - 1
    if size < 2 or content[0] != size or size & 1:
        raise BadHello("the supported_versions extension is not a list of versions")
    versions = struct.unpack_from(f">{size // 2}H", content, 1)
    return tuple([version for version in versions if version not in GREASE_VERSIONS])
