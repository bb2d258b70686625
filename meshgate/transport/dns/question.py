"""
One question to one name server: over UDP, and again over TCP if the reply was truncated.

Cancelling a question closes its socket and ends its timer. :class:`twisted.names.client.Resolver` cannot do that: its
timers and its TCP connection outlive the questions, it reads ``resolv.conf`` by a timer that cannot be stopped, and
each of its UDP ports logs two lines.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IReadDescriptor, ITCPTransport
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from meshgate.routing.addresses import host_port

Server = tuple[str, int]
"""A name server: its IP address as text, and its port."""


class QuestionError(Exception):
    """
    No usable reply came. The message says why, and names the server.

    :ivar silent: True if nothing came back at all, so that asking again may help.
    """

    def __init__(self, server: Server, why: str, silent: bool = False) -> None:
        super().__init__(f"{host_port(*server)} {why}")
        self.silent = silent


async def ask(reactor: Any, server: Server, question: dns.Query, timeout: float) -> dns.Message:
    """
    Put one question to one server.

    Each question has a socket of its own, hence a source port that cannot be guessed (RFC 5452, section 9),
    and the socket is connected: the kernel drops what others send, and reports a refusal.

    :param reactor: provides ``IReactorTime``, ``IReactorFDSet`` and ``IReactorTCP``.
    :param timeout: seconds to wait, for UDP and again for TCP.
    :return: the reply, whatever its response code.
    :raises QuestionError: when no reply to this very question came.
    """
    query = dns.Message(id=dns.randomSource(), recDes=1)
    query.queries = [question]
    try:
        reply = await _Datagram(reactor, server, query).reply.addTimeout(timeout, reactor)
        if reply.trunc:
            reply = await _ask_over_tcp(reactor, server, query, timeout)
    except DeferredTimeoutError:
        raise QuestionError(server, f"did not answer within {timeout:g} s", silent=True) from None
    except ConnectionClosed:
        raise QuestionError(server, "closed the connection without an answer") from None
    except (OSError, ConnectError) as error:
        raise QuestionError(server, f"cannot be asked: {_reason(error)}") from None
    return reply


async def _ask_over_tcp(reactor: Any, server: Server, query: dns.Message, timeout: float) -> dns.Message:
    endpoint_type = TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint
    endpoint = endpoint_type(reactor, *server, timeout=timeout)
    stream: _Stream = await connectProtocol(endpoint, _Stream(query))  # type: ignore[no-untyped-call]
    try:
        return await stream.reply.addTimeout(timeout, reactor)
    finally:
        stream.transport.abortConnection()
        await stream.closed


def reply_to(query: dns.Message, data: bytes) -> dns.Message | None:
    """
    Parse the message in ``data``; return None unless it answers this query: same identifier, same question (RFC 5452,
    section 9.1).
    """
    reply = dns.Message()
    try:
        reply.fromStr(data)
    except (EOFError, ValueError):
        return None
    answers_query = reply.answer and reply.id == query.id and reply.queries == query.queries
    return reply if answers_query else None


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None) or getattr(error, "osError", None)
    return os.strerror(number) if isinstance(number, int) else str(error)


@implementer(IReadDescriptor)
class _Datagram:
    """
    A UDP socket for one query.

    :ivar reply: fires with the first datagram that answers the query; cancelling it closes the socket.
    """

    def __init__(self, reactor: Any, server: Server, query: dns.Message) -> None:
        self._reactor = reactor
        self._query = query
        self.reply: Deferred[dns.Message] = Deferred(lambda _: self._close())
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect(server)
            self._socket.send(query.toStr())
        except OSError:
            self._socket.close()
            raise
        reactor.addReader(self)

    def fileno(self) -> int:
        """The socket's descriptor, -1 once closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """The socket's name in the reactor's log lines."""
        return "DNS question"

    def doRead(self) -> None:
        """Read one datagram. One that does not answer the query is dropped, and the wait goes on."""
        try:
            data = self._socket.recv(65535)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        reply = reply_to(self._query, data)
        if reply is not None:
            self._close()
            self.reply.callback(reply)

    def connectionLost(self, reason: Failure) -> None:
        """Fail with the error of the socket, which the reactor does not tell."""
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._fail(OSError(number, os.strerror(number)))

    def _fail(self, error: OSError) -> None:
        self._close()
        self.reply.errback(error)

    def _close(self) -> None:
        self._reactor.removeReader(self)
        self._socket.close()


class _Stream(Int16StringReceiver):
    """
    A TCP connection for one query; two bytes of length precede each message (RFC 1035, section 4.2.2).

    :ivar reply: fires with the answer.
    :ivar closed: fires when the socket is gone.
    """

    transport: ITCPTransport

    def __init__(self, query: dns.Message) -> None:
        self._query = query
        self.reply: Deferred[dns.Message] = Deferred()
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.sendString(self._query.toStr())  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        reply = reply_to(self._query, string)
        if reply is not None and not self.reply.called:
            self.reply.callback(reply)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if not self.reply.called:
            self.reply.errback(reason)
        self.closed.callback(None)
