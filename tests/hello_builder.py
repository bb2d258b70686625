"""
Builds ClientHello bytes for tests, honest ones and broken ones.

Knows the layout of RFC 8446 4.1.2 from the sender's side only: shares no code with the parser it is used
against, and checks nothing, so that a test can ask for any nonsense.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

RANDOM = bytes(range(32))
SESSION_ID = bytes(range(32, 64))
CIPHER_SUITES = bytes.fromhex("1301 1302 1303 c02b c02f")

SERVER_NAME = 0
SUPPORTED_GROUPS = 10
ALPN = 16
PADDING = 21
SUPPORTED_VERSIONS = 43
KEY_SHARE = 51
ECH = 0xFE0D
GREASE = 0x0A0A

#: What a TLS record may hold in plain text (RFC 8446 5.1).
RECORD_LIMIT = 2**14

Extension = tuple[int, bytes]


def uint(value: int, size: int) -> bytes:
    """A big-endian number of so many bytes."""
    return value.to_bytes(size, "big")


def vector(size: int, body: bytes) -> bytes:
    """The body behind its own length, which takes so many bytes."""
    return uint(len(body), size) + body


def sni_extension(*names: str | bytes) -> Extension:
    """A server_name extension; every name is a host_name entry."""
    raw = [name if isinstance(name, bytes) else name.encode() for name in names]
    return SERVER_NAME, vector(2, b"".join(b"\x00" + vector(2, name) for name in raw))


def alpn_extension(protocols: Iterable[str | bytes]) -> Extension:
    """An application_layer_protocol_negotiation extension."""
    raw = [name if isinstance(name, bytes) else name.encode() for name in protocols]
    return ALPN, vector(2, b"".join(vector(1, name) for name in raw))


def versions_extension(versions: Iterable[int]) -> Extension:
    """A supported_versions extension as a client sends it."""
    return SUPPORTED_VERSIONS, vector(1, b"".join(uint(version, 2) for version in versions))


def ech_extension(payload_size: int = 144) -> Extension:
    """An outer encrypted_client_hello extension with a made-up payload."""
    outer = b"\x00" + uint(1, 2) + uint(1, 2) + b"\x2a"
    return ECH, outer + vector(2, bytes(32)) + vector(2, bytes(payload_size))


def post_quantum_key_share() -> Extension:
    """A key_share extension as large as one with X25519MLKEM768 and X25519 (1,216 and 32 bytes)."""
    shares = uint(0x11EC, 2) + vector(2, bytes(1216)) + uint(0x001D, 2) + vector(2, bytes(32))
    return KEY_SHARE, vector(2, shares)


def padding_extension(size: int) -> Extension:
    """A padding extension (RFC 7685) of so many zero bytes."""
    return PADDING, bytes(size)


def build_body(
    extensions: Sequence[Extension] | None = (),
    *,
    client_version: int = 0x0303,
    session_id: bytes = SESSION_ID,
    cipher_suites: bytes = CIPHER_SUITES,
    compression: bytes = b"\x00",
) -> bytes:
    """
    A ClientHello without its handshake header.

    :param extensions: in the order they are sent; None leaves out the whole block.
    """
    head = uint(client_version, 2) + RANDOM + vector(1, session_id) + vector(2, cipher_suites)
    head += vector(1, compression)
    if extensions is None:
        return head
    return head + vector(2, b"".join(uint(number, 2) + vector(2, data) for number, data in extensions))


def handshake_message(body: bytes, kind: int = 1) -> bytes:
    """A handshake message; kind 1 is a ClientHello."""
    return uint(kind, 1) + vector(3, body)


def record(payload: bytes, kind: int = 22, version: int = 0x0301) -> bytes:
    """A TLS record; kind 22 is handshake."""
    return uint(kind, 1) + uint(version, 2) + vector(2, payload)


def split_records(handshake: bytes, sizes: Sequence[int] = (), version: int = 0x0301) -> bytes:
    """
    Cut handshake bytes into TLS records.

    :param sizes: how many handshake bytes the first records take; what is left over goes into further records
        as large as allowed. Empty for as few records as possible.
    """
    wire = b""
    at = 0
    for size in [*sizes, *[RECORD_LIMIT] * (len(handshake) // RECORD_LIMIT + 1)]:
        if at >= len(handshake):
            break
        wire += record(handshake[at : at + size], version=version)
        at += size
    return wire


def build_hello(
    sni: str | bytes | None = "example.com",
    alpn: Sequence[str | bytes] = ("h2", "http/1.1"),
    extensions: Sequence[Extension] = (),
    records: Sequence[int] = (),
    versions: Sequence[int] = (0x0304, 0x0303),
    session_id: bytes = SESSION_ID,
) -> bytes:
    """
    A whole ClientHello as it crosses the wire.

    :param sni: the server name; None sends no server_name extension.
    :param alpn: the protocols offered; empty sends no ALPN extension.
    :param extensions: sent after those that the other parameters ask for.
    :param records: sizes for :func:`split_records`; empty for one record.
    :param versions: for supported_versions; empty sends no such extension.
    """
    block: list[Extension] = []
    if sni is not None:
        block.append(sni_extension(sni))
    if alpn:
        block.append(alpn_extension(alpn))
    if versions:
        block.append(versions_extension(versions))
    block.extend(extensions)
    return split_records(handshake_message(build_body(block, session_id=session_id)), records)
