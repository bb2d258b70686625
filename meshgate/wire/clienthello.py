"""
The ClientHello parser: from bytes as they arrive to what the client states, or to the reason why not.

Knows TLS records (RFC 8446, section 5.1); what the message says is for :mod:`meshgate.wire.hello`.
Knows no socket, clock or log. It keeps only handshake bytes that it still needs, never the stream: whoever
forwards the bytes keeps them.

Bytes are judged strictly in their order, each as soon as it decides something. So any cut of the stream gives
the same answer, and so does any cut of the handshake into records. The message ends where its length says.
What follows it, in the same record or in others (early data, for instance), is for the server, which alone
knows whether its keys change there.
"""

from __future__ import annotations

from typing import Final

from meshgate.wire.hello import BadHello, ClientHello, HelloError, read_client_hello, version_name

__all__ = [
    "MAX_HANDSHAKE",
    "MAX_RECORDS",
    "MAX_RECORD_SIZE",
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

#: Bytes of a ClientHello, its 4-byte header included: one full record, several times what post-quantum keys
#: make of a hello.
MAX_HANDSHAKE: Final = 2**14

#: Records that one ClientHello may take: more than any honest client sends, too few to keep a reader busy.
MAX_RECORDS: Final = 64

#: Bytes of a record: what TLS 1.2 allows any record to take (RFC 5246, section 6.2.3).
MAX_RECORD_SIZE: Final = 2**14 + 2048

_HANDSHAKE: Final = 22
_MAJOR_VERSION: Final = 3
_RECORD_HEADER: Final = 5

_CLIENT_HELLO: Final = 1
_MESSAGE_HEADER: Final = 4


class NotTLS(HelloError):  # noqa: N818 - the word of the access log
    """The connection does not speak TLS: plain text, say, or SSL 2.0, whose hello can name no server."""


class HelloTooLarge(HelloError):  # noqa: N818 - the word of the access log
    """The ClientHello is over the limit of bytes or of records."""


class HelloParser:
    """
    Reads one ClientHello from a stream.

    :param max_bytes: the limit for the message, its 4-byte header included.
    """

    __slots__ = ("_left", "_max_bytes", "_message", "_record_header", "_records", "_wanted")

    def __init__(self, max_bytes: int = MAX_HANDSHAKE) -> None:
        self._max_bytes = max_bytes
        #: What has arrived of the next record's header.
        self._record_header = b""
        #: Bytes still to come in the current record.
        self._left = 0
        self._records = 0
        #: The handshake bytes so far, never more than ``_wanted``.
        self._message = bytearray()
        #: Bytes of the whole message; of its header alone as long as the rest is unknown.
        self._wanted = _MESSAGE_HEADER

    def feed(self, data: bytes) -> ClientHello | None:
        """
        Take the next bytes of the stream. To be called until it answers or raises, and not again after that.

        :param data: any number of bytes, as they came.
        :return: the hello once its last byte is there, None as long as more bytes are needed.
        :raises NotTLS: the stream is not TLS.
        :raises BadHello: it is TLS, but the hello is malformed.
        :raises HelloTooLarge: the hello is over a limit.
        """
        if not self._records and not self._record_header:
            hello = read_whole_hello(data, self._max_bytes)
            if hello is not None:
                return hello
        at, end = 0, len(data)
        while at < end:
            if not self._left:
                at = self._take_record_header(data, at)
                continue
            at = self._take_payload(data, at)
            if len(self._message) == self._wanted:
                return read_client_hello(bytes(self._message), _MESSAGE_HEADER, self._wanted, self._records)
        return None

    def _take_record_header(self, data: bytes, at: int) -> int:
        """
        Take the header of a record, or as much of it as has arrived.

        :return: where the bytes after it start.
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

        Only the first record can show that the stream is not TLS at all. Its major version counts for that: a
        record with another one belongs to another protocol with messages of its own, like TLCP, which has 1.
        The minor version is to be ignored (RFC 8446, section 5.1).
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

    def _take_payload(self, data: bytes, at: int) -> int:
        """
        Take handshake bytes from the current record, up to the end of the message or of its header.

        :return: where the bytes after them start.
        """
        message = self._message
        piece = data[at : at + min(self._left, self._wanted - len(message))]
        message += piece
        self._left -= len(piece)
        if message[0] != _CLIENT_HELLO:
            raise BadHello(f"the first handshake message is of type {message[0]}, which is no ClientHello")
        if len(message) == _MESSAGE_HEADER:
            self._wanted += int.from_bytes(message[1:], "big")
            if self._wanted > self._max_bytes:
                raise HelloTooLarge(f"the ClientHello takes {self._wanted} bytes, {self._max_bytes} are allowed")
        return at + len(piece)


def read_whole_hello(data: bytes, max_bytes: int = MAX_HANDSHAKE) -> ClientHello | None:
    """
    The common case, read where it lies: the first record holds the whole hello, and all of it is here.

    :param data: the stream from its first byte on.
    :return: None for any other case; a :class:`HelloParser` then waits, or says what is wrong.
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
    :return: the hello, or None if it is not complete.
    :raises HelloError: as :meth:`HelloParser.feed` does.
    """
    return HelloParser().feed(data)


#: A whole record with the fatal alert ``unrecognized_name`` (112): no such server here. RFC 6066, section 3
#: names the alert; RFC 8446, sections 5.1 and 6, gives the layout: content type alert (21), record version
#: 3.3, length 2, level fatal (2), description. It answers a ClientHello, so nothing is encrypted yet.
UNRECOGNIZED_NAME: Final = bytes.fromhex("15 03 03 00 02 02 70")
