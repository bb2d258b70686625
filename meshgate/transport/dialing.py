"""
Dialing: a connection to an IP address, or the reason why there is none.

Knows sockets by way of the reactor; knows nothing of names (an endpoint that resolves names costs a thread's
turn per connection and reports a refusal 0.3 s late), nor of which endpoint to try next.
"""

from __future__ import annotations

from typing import Any, TypeVar
from typing import Protocol as Interface

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import TCPTimedOutError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure

P = TypeVar("P", bound=Protocol)


class DialError(Exception):
    """No connection. The message says where and why; the cause is the reactor's own error."""


class DialRefused(DialError):  # noqa: N818 - the word of the access log
    """The endpoint refused, or there is no way to it."""


class DialTimeout(DialError):  # noqa: N818 - the word of the access log
    """The endpoint did not answer in time."""


def dial(reactor: Any, address: str, port: int, protocol: P, timeout: float) -> Deferred[P]:
    """
    Connect a protocol to an IP address.

    :param reactor: provides IReactorTCP.
    :param address: an IP address, never a name.
    :param timeout: seconds for this one attempt.
    :return: fires with the protocol right after its ``connectionMade``, or fails with a :exc:`DialError`;
        cancelling gives up the attempt.
    """
    attempt = _Connecting(address, port, protocol)
    try:
        if not isIPAddress(address) and not isIPv6Address(address):
            raise OSError("not an IP address")
        attempt.connector = reactor.connectTCP(address, port, attempt, timeout=timeout)
    except OSError as error:  # an IPv6 zone that does not exist, for one
        return fail(dial_error(address, port, error))
    return attempt.outcome


class Attempt(Interface):
    """A dial under way."""

    def cancel(self) -> None:
        """Give it up; nobody hears of it any more."""


class Dialer(Interface):
    """Who dials, by a :class:`meshgate.transport.network.Network`."""

    def dialed(self, protocol: Any) -> None:
        """The protocol is connected, and its ``connectionMade`` was called."""

    def dial_failed(self, error: DialError) -> None:
        """There is no connection."""


def dial_error(address: str, port: int, cause: BaseException | None) -> DialError:
    """What went wrong, in this module's words."""
    kind = DialTimeout if isinstance(cause, (ConnectTimeout, TCPTimedOutError)) else DialRefused
    error = kind(f"[{address}]:{port}: {cause}" if ":" in address else f"{address}:{port}: {cause}")
    error.__cause__ = cause
    return error


class _Connecting(ClientFactory):
    """The reactor's side of one attempt."""

    noisy = False
    connector: IConnector

    def __init__(self, address: str, port: int, protocol: Protocol) -> None:
        self._place = (address, port)
        self._protocol = protocol
        self._given_up = False
        self.outcome: Deferred[Any] = Deferred(self._give_up)

    def _give_up(self, _: Deferred[Any]) -> None:
        self._given_up = True
        self.connector.stopConnecting()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Give the reactor something that hands over to the real protocol at once."""
        return _Arrival(self._protocol, self.outcome)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Report why there is no connection, unless nobody wants it any more."""
        if not self._given_up:
            self.outcome.errback(dial_error(*self._place, reason.value))


class _Arrival(Protocol):
    """
    Stands in for the real protocol until the connection is there, so that the attempt can fire after
    ``connectionMade`` without a wrapper around every later event (which would also hide half-close).
    """

    def __init__(self, protocol: Protocol, outcome: Deferred[Any]) -> None:
        self._protocol = protocol
        self._outcome = outcome

    def makeConnection(self, transport: Any) -> None:
        """Put the real protocol on the transport, and tell."""
        transport.protocol = self._protocol
        # What we write is forwarded as it comes: waiting for more (Nagle) only adds delay.
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self._protocol.makeConnection(transport)  # type: ignore[no-untyped-call]
        self._outcome.callback(self._protocol)
