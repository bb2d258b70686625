"""
Connections that begin with a PROXY header: those of listeners behind a load balancer.

The problem: until the header is there, nobody knows who the client is, and so nothing may be decided by its address.
And where a server speaks first, the header may be waited for only as long as it is sure to come.

The approach: these connections are of a class of their own, so that others pay nothing for them. The phase HELLO
begins with the header. Once it is read, the record has the true client, the limits are asked, and the bytes after the
header are taken as the first ones of the client.

The invariants: a header counts only from a trusted address, and once. A connection whose header is malformed, or
missing where it is required, is reset, and nothing of it reaches an endpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from zope.interface import classImplements

from meshgate.proxy.connection import Inbound, Phase
from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord
from meshgate.routing.proxy_headers import ExpectedHeader
from meshgate.wire.proxy_protocol import HeaderReader, MalformedHeader, NotProxyProtocol, ProxyHeader, is_signed

if TYPE_CHECKING:
    from meshgate.proxy.dataplane import Dataplane, ServedListener

SHORT_WAIT: Final = 0.1
"""Seconds that an optional header is waited for where the endpoint is dialed before the client has said anything."""

UNIX_CLIENT: Final = ("unix", 0)
"""The client of a Unix socket, which has no address."""

_UNIX: Final = "unix:"


class HeadedInbound(Inbound):
    """
    The protocol of one client behind a load balancer.

    :param expected: the listener's.
    """

    _short_wait: Any = None

    def __init__(
        self, dataplane: Dataplane, listener: ServedListener, record: ConnectionRecord, expected: ExpectedHeader
    ) -> None:
        super().__init__(dataplane, listener, record)
        self._expected = expected
        self._reader: HeaderReader | None = None
        self.client_is_certain = False

    def _begin(self, transport: Any, early: bool) -> None:
        self.transport = transport
        plane, expected = self._dataplane, self._expected
        plane.opened(self)
        if not expected.trusts(self.record.client[0]):
            if expected.required:
                self.close(Ending.UNTRUSTED_PROXY, at_once=True)
            else:
                self._client_known(b"")
            return
        self._reader = HeaderReader()
        if expected.required or self.listener.sniffs:
            self._wait_long()
        else:
            self._short_wait = plane.reactor.callLater(SHORT_WAIT, self._short_wait_over)
        if early:
            transport.read()

    def local_address(self) -> tuple[str, int]:
        """As :class:`Inbound`: the address that the load balancer names, if it does."""
        header = self.received_header
        if header is not None and header.destination is not None:
            return header.destination
        return super().local_address()

    def dataReceived(self, data: bytes) -> None:
        """Read the header, or act on bytes of the client."""
        if self._reader is not None and self.phase is Phase.HELLO:
            self._read_header(self._reader, data)
        else:
            self._reactions.received(self, data)

    def _read_header(self, reader: HeaderReader, data: bytes) -> None:
        try:
            header = reader.feed(data)
        except NotProxyProtocol:
            if self._expected.required:
                self.close(Ending.NO_PROXY_HEADER, at_once=True)
            else:
                self._client_known(bytes(reader.held))
        except MalformedHeader:
            self.close(Ending.BAD_PROXY_HEADER, at_once=True)
        else:
            if header is not None:
                self._header_read(header, bytes(reader.held[header.length :]))

    def _header_read(self, header: ProxyHeader, rest: bytes) -> None:
        self.received_header = header
        if header.source is not None:
            self.record.client = UNIX_CLIENT if header.source[0].startswith(_UNIX) else header.source
        self._client_known(rest)

    def _client_known(self, rest: bytes) -> None:
        """Go on as a connection without a header does, with these bytes as the first ones."""
        self._reader = None
        self.client_is_certain = True
        self._stop_short_wait()
        plane = self._dataplane
        if self.listener.guarded and not plane.admit(self):
            self.close(self.record.ending or Ending.OVER_LIMIT)  # the record is complete
        elif self.listener.sniffs:
            if self._timer is None:
                self._wait_long()
            if rest:
                self._sniff(rest)
        else:
            if rest:
                self.early.keep(rest)
            self._decide(None, Ending.NO_ROUTE)

    def _wait_long(self) -> None:
        plane = self._dataplane
        self._timer = plane.wheel.callLater(plane.limits.hello_timeout, self._waited_long)

    def _waited_long(self) -> None:
        reader = self._reader
        if reader is not None and (self._expected.required or is_signed(reader.held)):
            self.close(Ending.PROXY_HEADER_TIMEOUT, at_once=True)
        else:
            self._hello_timed_out()

    def _short_wait_over(self) -> None:
        self._short_wait = None
        reader = self._reader
        if reader is None:
            return
        if is_signed(reader.held):
            self._wait_long()
        else:
            self._client_known(bytes(reader.held))

    def _stop_short_wait(self) -> None:
        waiting, self._short_wait = self._short_wait, None
        if waiting is not None:
            waiting.cancel()

    def _stop_timer_and_search(self) -> None:
        self._stop_short_wait()
        super()._stop_timer_and_search()


classImplements(HeadedInbound, IProtocol, IHalfCloseableProtocol)
