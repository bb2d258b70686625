"""
One health check of one endpoint: connect, speak as the check says, and judge the answer.

The outcome is a text: empty if the endpoint serves, else the reason for people. A check never takes longer than its
timeout, reads no more than :data:`MOST_READ` bytes, and leaves no connection behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from meshgate.routing.addresses import UNIX_PREFIX, host_port
from meshgate.routing.connection_policy import HealthCheck
from meshgate.transport.dialing import unix_name

MOST_READ: Final = 16384
"""Bytes in which the answer has to be."""

CLOSE_WITHIN: Final = 1.0
"""Seconds that an endpoint has to end its side of a TLS connection."""

Judge = Callable[[bytes], "str | None"]
"""Judges what has come so far: empty for a good answer, a reason for a bad one, None if more has to come."""


def probe(reactor: Any, check: HealthCheck, address: str, port: int, source: str = "") -> Deferred[str]:
    """
    Check an endpoint.

    :param reactor: provides IReactorTCP, IReactorUNIX and IReactorTime.
    :param address: an IP address, or a Unix socket as ``unix:///path``, which has no other port.
    :param port: of the endpoint; the check may name another one.
    :param source: the local address to connect from; empty for the kernel's choice.
    :return: fires with the outcome, and never fails. It may be cancelled, and fires then as well.
    """
    return _Probe(reactor, check, address, check.port or port, source).start()


class _Probe:
    """One check under way."""

    def __init__(self, reactor: Any, check: HealthCheck, address: str, port: int, source: str) -> None:
        self._check = check
        self._outcome: Deferred[str] = Deferred(lambda _: self._end("the check was given up"))
        self._reactor = reactor
        timeout, is_unix = check.timeout + 1, address.startswith(UNIX_PREFIX)
        endpoint: Any
        if is_unix:
            endpoint = UNIXClientEndpoint(reactor, unix_name(address), timeout)  # type: ignore[no-untyped-call]
        else:
            tcp = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            endpoint = tcp(reactor, address, port, timeout, (source, 0) if source else None)
        self._with_tls = check.protocol in ("tls", "https")
        self._endpoint: Any = wrapClientTLS(_unverified(check.name), endpoint) if self._with_tls else endpoint
        first, judge = _conversation(check, "localhost" if is_unix else host_port(address, port))
        self._conversation = _Conversation(self._with_tls, first, judge, self._end)
        self._connecting: Deferred[Any] | None = None
        self._timer: Any = None
        self._ended = False

    def start(self) -> Deferred[str]:
        """Connect."""
        self._timer = self._reactor.callLater(self._check.timeout, self._timed_out)
        self._connecting = self._endpoint.connect(Factory.forProtocol(lambda: self._conversation))
        self._connecting.addErrback(self._not_connected)
        return self._outcome

    def _timed_out(self) -> None:
        self._end(f"{self._conversation.missing} within {self._check.timeout:g} s")

    def _not_connected(self, failure: Failure) -> None:
        if not isinstance(failure.value, CancelledError):
            self._end(_reason(failure))

    def _end(self, failure: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self._timer.active():
            self._timer.cancel()
        transport: Any = self._conversation.transport
        if transport is not None:
            self._close(transport, at_once=bool(failure))
        elif self._connecting is not None:
            self._connecting.cancel()
        self._outcome.callback(failure)

    def _close(self, transport: Any, *, at_once: bool) -> None:
        """Close the connection, at once or with what TLS says at its end."""
        if at_once:
            transport.abortConnection()
            return
        transport.loseConnection()
        if self._with_tls:
            closing = self._reactor.callLater(CLOSE_WITHIN, transport.abortConnection)
            self._conversation.lost.addCallback(lambda _: closing.active() and closing.cancel())


@implementer(IHandshakeListener)
class _Conversation(Protocol):
    """
    Sends the first bytes, and judges what comes.

    :ivar missing: what has not happened yet, as text for people.
    :ivar lost: fires when the connection is gone.
    """

    def __init__(self, with_tls: bool, first: bytes, judge: Judge | None, end: Callable[[str], None]) -> None:
        self.missing = "there is no connection"
        self.lost: Deferred[None] = Deferred()
        self._with_tls = with_tls
        self._first = first
        self._judge = judge
        self._end = end
        self._received = b""

    def connectionMade(self) -> None:
        """Begin, or wait for the handshake."""
        self.missing = "there is no TLS handshake"
        if not self._with_tls:
            self._begin()

    def handshakeCompleted(self) -> None:
        """Begin."""
        self._begin()

    def _begin(self) -> None:
        self.missing = "there is no answer"
        transport: Any = self.transport
        if self._first:
            transport.write(self._first)
        if self._judge is None:
            self._end("")

    def dataReceived(self, data: bytes) -> None:
        """Judge what has come so far."""
        if self._judge is None:
            return
        self._received = (self._received + data)[:MOST_READ]
        self.missing = "the answer is not complete"
        verdict = self._judge(self._received)
        if verdict is None and len(self._received) == MOST_READ:
            verdict = f"{MOST_READ} bytes came, and not what has to come"
        if verdict is not None:
            self._end(verdict)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: the endpoint has closed before it was judged."""
        self._end(f"the endpoint closed the connection: {self.missing}")
        self.lost.callback(None)


def _conversation(check: HealthCheck, where: str) -> tuple[bytes, Judge | None]:
    """The bytes to send, and the judge of the answer; None if no answer is needed."""
    if check.protocol in ("http", "https"):
        head = f"GET {check.path} HTTP/1.1\r\nHost: {check.name or where}\r\n"
        first = f"{head}User-Agent: meshgate-health-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        return first.encode(), lambda received: judge_status(received, check.status)
    if check.expect:
        return check.send, lambda received: "" if check.expect in received else None
    return check.send, None


def judge_status(received: bytes, wanted: tuple[int, int]) -> str | None:
    """
    Judge the first line of an answer of HTTP.

    :param wanted: the first and the last good status.
    :return: as :data:`Judge` does.
    """
    line, end, _ = received.partition(b"\n")
    if not end:
        return None if b"HTTP/".startswith(received[:5]) else "the answer is not HTTP"
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not (words[1].isdigit() and len(words[1]) == 3):
        return "the answer is not HTTP"
    status = int(words[1])
    return "" if wanted[0] <= status <= wanted[1] else f"the answer has the status {status}"


def _reason(failure: Failure) -> str:
    """Why there is no connection."""
    error = failure.value
    number = getattr(error, "osError", None)
    if isinstance(error, ConnectError) and number:
        return f"it cannot be connected to: {os.strerror(number)}"
    return f"it cannot be connected to: {failure.getErrorMessage()}"


def _unverified(name: str) -> Any:
    """Makes TLS connections that ask for a server name and accept any certificate: a check is about the handshake."""
    from OpenSSL import SSL  # most gateways check nothing by TLS

    context = SSL.Context(SSL.TLS_METHOD)
    context.set_verify(SSL.VERIFY_NONE)

    @implementer(IOpenSSLClientConnectionCreator)
    class Creator:
        def clientConnectionForTLS(self, tls_protocol: Any) -> SSL.Connection:
            connection = SSL.Connection(context, None)
            if name:
                connection.set_tlsext_host_name(name.encode())
            return connection

    return Creator()
