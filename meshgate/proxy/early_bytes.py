"""
The bytes that a client sends before its endpoint is connected: its ClientHello is read from them, and they reach the
endpoint first.
"""

from __future__ import annotations

from typing import Final

from meshgate.wire.clienthello import ClientHello, HelloParser, read_whole_hello

HELD_BYTES: Final = 16384
"""
Number of held bytes at which reading stops until the endpoint is connected. Below it, reading goes on, since a loss is
noticed only while the connection is read.
"""


class EarlyBytes:
    """
    The early bytes of one client. Nearly always they came in one read, and are not copied.

    :ivar size: number of bytes that the client has sent.
    :ivar sent: number of them that went out with the dial.
    """

    def __init__(self) -> None:
        self.size = 0
        self.sent = 0
        self._held: list[bytes] | bytes = b""
        #: Set once a ClientHello has not come in one read.
        self._parser: HelloParser | None = None

    def keep(self, data: bytes) -> None:
        """Hold what was read."""
        held = self._held
        if not held:
            self._held = data
        elif isinstance(held, list):
            held.append(data)
        else:
            self._held = [held, data]
        self.size += len(data)

    def read_hello(self, data: bytes, limit: int) -> ClientHello | None:
        """
        Hold what was read, and return the ClientHello as soon as it is complete.

        :param limit: the most bytes of a ClientHello.
        :raises HelloError: if no ClientHello comes.
        """
        self.keep(data)
        parser = self._parser
        if parser is None:
            hello = read_whole_hello(data, limit)
            if hello is not None:
                return hello
            parser = self._parser = HelloParser(limit)
        return parser.feed(data)

    def full(self) -> bool:
        """Return True if no more is to be read until the endpoint is connected."""
        return self.size >= HELD_BYTES

    def send(self) -> bytes:
        """Return everything so far, which goes out with the dial."""
        self.sent = self.size
        return self._whole()

    def release(self) -> bytes:
        """Return what did not go out with the dial, and hold nothing any more."""
        rest = self._whole()[self.sent :] if self.size > self.sent else b""
        self._held = b""
        return rest

    def _whole(self) -> bytes:
        held = self._held
        if isinstance(held, list):
            held = self._held = b"".join(held)
        return held
