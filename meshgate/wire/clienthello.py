"""
The ClientHello parser: takes bytes as they arrive, and answers with the hello, or with an error, or asks for more.

Problem: a client may send its ClientHello in any number of TCP segments and, within TLS, of records. Whoever routes by
the server name must find the same name as the server does, whatever the cuts, and with bounded memory and work.

Approach: :class:`HelloParser` reads TLS records (RFC 8446, section 5.1), joins their handshake bytes, and gives the
whole message to :mod:`meshgate.wire.hello`. :func:`read_whole_hello` reads the common case, one record that is
complete, without a copy.

Invariants: bytes are checked strictly in their order, each as soon as it decides something; so every cut of the stream
gives the same answer, and so does every cut of the handshake into records. The message ends where its length says;
what follows, such as early data, is for the server, which alone knows whether its keys change there. The parser keeps
only handshake bytes that it still needs; its caller keeps the stream.
"""

from __future__ import annotations

from typing import Final

from meshgate.wire.hello import BadHello, ClientHello, HelloError, read_client_hello, version_name

__all__ = [
    "MAX_HANDSHAKE",
    "MAX_RECORDS",
    "MAX_RECORD_SIZE",
    "UNRECOGNIZED_NAME",
    "BadHello",
    "ClientHello",
    "HelloError",
    "HelloParser",
    "HelloTooLarge",
    "NotTLS",
    "parse_hello",
    "read_whole_hello",
    "version_name",
]

#: The limit for a ClientHello in bytes, its 4-byte header included: one full record, and several times the size of a
#: hello with post-quantum keys.
MAX_HANDSHAKE: Final = 2**14

#: The number of records that one ClientHello may take: more than any honest client sends, too few to keep us busy.
MAX_RECORDS: Final = 64

#: The limit for a record in bytes, as TLS 1.2 allows it (RFC 5246, section 6.2.3).
MAX_RECORD_SIZE: Final = 2**14 + 2048

_HANDSHAKE: Final = 22
_MAJOR_VERSION: Final = 3
_RECORD_HEADER: Final = 5

_CLIENT_HELLO: Final = 1
_MESSAGE_HEADER: Final = 4


#: A record with the fatal alert unrecognized_name (112), the answer to a hello for a name that no route has. RFC 6066,
#: section 3, defines the alert; RFC 8446, sections 5.1 and 6, its layout: content type alert (21), record version 3.3,
#: length 2, level fatal (2), description. It is not encrypted, since the handshake has only begun.
UNRECOGNIZED_NAME: Final = bytes.fromhex("15 03 03 00 02 02 70")


class NotTLS(HelloError):  # noqa: N818 - the word of the access log
    """The client does not speak TLS, but plain text, for instance, or SSL 2.0, whose hello has no server name."""


class HelloTooLarge(HelloError):  # noqa: N818 - the word of the access log
    """The ClientHello exceeds the limit of bytes or of records."""


class HelloParser:
    """
    Reads one ClientHello from a stream.

    :param max_bytes: the limit for the message in bytes, its 4-byte header included.
    """

    __slots__ = ("_left", "_max_bytes", "_message", "_record_header", "_records", "_wanted")

    def __init__(self, max_bytes: int = MAX_HANDSHAKE) -> None:
        self._max_bytes = max_bytes
        #: The part of the next record's header that has arrived.
        self._record_header = b""
        #: Bytes still to come in the current record.
        self._left = 0
        self._records = 0
        #: The handshake bytes so far, never more than ``_wanted``.
        self._message = bytearray()
        #: The size of the message in bytes; that of its header as long as the message's own is unknown.
        self._wanted = _MESSAGE_HEADER

    def feed(self, data: bytes) -> ClientHello | None:
        """
        Read the next bytes of the stream. Call this until it returns a hello or raises, and not again after that.

        :param data: any number of bytes.
        :return: the hello once its last byte is there; None as long as more bytes are needed.
        :raises NotTLS: the stream is not TLS.
        :raises BadHello: the stream is TLS, but the hello is malformed.
        :raises HelloTooLarge: the hello exceeds a limit.
        """
        if not self._records and not self._record_header:
            hello = read_whole_hello(data, self._max_bytes)
            if hello is not None:
                return hello
        at, end = 0, len(data)
        while at < end:
            if not self._left:
                at = self._read_record_header(data, at)
                continue
            at = self._read_payload(data, at)
            if len(self._message) == self._wanted:
                return read_client_hello(bytes(self._message), _MESSAGE_HEADER, self._wanted, self._records)
        return None

    def _read_record_header(self, data: bytes, at: int) -> int:
        """
        Read the header of a record, or as much of it as has arrived.

        :return: the index of the first byte after the header.
        """
        if self._records == MAX_RECORDS:
            raise HelloTooLarge(f"the ClientHello is not complete after {MAX_RECORDS} records")
        stop = at + _RECORD_HEADER - len(self._record_header)
        header = self._record_header + data[at:stop]
        self._check_record_header(header)
        if len(header) < _RECORD_HEADER:
            self._record_header = header
            return len(data)
        self._record_header = b""
        self._left = int.from_bytes(header[3:], "big")
        self._records += 1
        return stop

    def _check_record_header(self, header: bytes) -> None:
        """
        Refuse a record header, complete or not, by its first wrong byte.

        Only the first record can show that the stream is not TLS at all, by its content type or its major version: a
        record of another major version belongs to a protocol with messages of its own, such as TLCP with version 1.
        The minor version is ignored (RFC 8446, section 5.1).
        """
        number = self._records + 1
        if header[0] != _HANDSHAKE:
            if number > 1:
                raise BadHello(f"record {number} has content type {header[0]} in the middle of the ClientHello")
            raise NotTLS(f"the first byte is 0x{header[0]:02x}; TLS starts with 0x{_HANDSHAKE:02x}")
        if len(header) > 1 and header[1] != _MAJOR_VERSION:
            refusal = BadHello if number > 1 else NotTLS
            raise refusal(f"record {number} has major version {header[1]}; in TLS it is {_MAJOR_VERSION}")
        if len(header) < _RECORD_HEADER:
            return
        size = int.from_bytes(header[3:], "big")
        if not size:
            raise BadHello(f"record {number} is empty")
        if size > MAX_RECORD_SIZE:
            raise BadHello(f"record {number} is {size} bytes long, {MAX_RECORD_SIZE} are allowed")

    def _read_payload(self, data: bytes, at: int) -> int:
        """
        Read handshake bytes from the current record, up to the end of the message or of its header.

        :return: the index of the first byte after them.
        """
        message = self._message
        chunk = data[at : at + min(self._left, self._wanted - len(message))]
        message += chunk
        self._left -= len(chunk)
        if message[0] != _CLIENT_HELLO:
            raise BadHello(f"the first handshake message is of type {message[0]}, which is no ClientHello")
        if len(message) == _MESSAGE_HEADER:
            self._wanted += int.from_bytes(message[1:], "big")
            if self._wanted > self._max_bytes:
                raise HelloTooLarge(f"the ClientHello takes {self._wanted} bytes, {self._max_bytes} are allowed")
        return at + len(chunk)


def read_whole_hello(data: bytes, max_bytes: int = MAX_HANDSHAKE) -> ClientHello | None:
    """
    Read the hello in the common case: the first record contains all of it, and has arrived. Nothing is copied.

    :param data: the stream from its first byte on.
    :param max_bytes: the limit for the message in bytes, its 4-byte header included.
    :return: the hello; None in any other case, in which a :class:`HelloParser` waits or says what is wrong.
    :raises BadHello: the hello is malformed.
    """
    body = _RECORD_HEADER + _MESSAGE_HEADER
    if len(data) < body or data[0] != _HANDSHAKE or data[1] != _MAJOR_VERSION or data[5] != _CLIENT_HELLO:
        return None
    record_size = data[3] << 8 | data[4]
    size = _MESSAGE_HEADER + (data[6] << 16 | data[7] << 8 | data[8])
    end = _RECORD_HEADER + size
    if end > len(data) or size > record_size or record_size > MAX_RECORD_SIZE or size > max_bytes:
        return None
    return read_client_hello(data, body, end, 1)


def parse_hello(data: bytes) -> ClientHello | None:
    """
    Read the ClientHello at the start of some bytes.

    :param data: the stream from its first byte on.
    :return: the hello; None if it is not complete.
    :raises HelloError: as :meth:`HelloParser.feed` does.
    """
    return HelloParser().feed(data)
