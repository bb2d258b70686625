"""
Dialing on the reactor: a connection to an IP address, or the reason why there is none.

Names are resolved before (:mod:`meshgate.transport.dns.resolver`): Twisted's endpoint for names takes a thread's turn
per connection, and reports a refusal 0.3 s late. The errors of this module are those of lean dials, too.

One source address has some 28,000 local ports for each endpoint (net.ipv4.ip_local_port_range). With more addresses
(``upstream_source``) there can be more connections to one endpoint: dials begin with each address in turn, and go on to
the next one if an address has no port left.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, TypeVar
from typing import Protocol as Interface

from twisted.internet import tcp, unix
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure

from meshgate.routing.addresses import UNIX_PREFIX, host_port

BIND_ADDRESS_NO_PORT: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""
Socket option that leaves the choice of the port to connect, which takes one that is free for this endpoint; bind takes
one that is free for all endpoints.
"""


LONGEST_PATH: Final = 107
"""Bytes of the longest path of a Unix socket on Linux."""


class SourceAddresses:
    """
    The source addresses in force; without any, the kernel chooses.

    :ivar given: True if there are any.
    """

    def __init__(self) -> None:
        self.given = False
        self._by_family: dict[int, tuple[str, ...]] = {}
        self._turn = 0

    def follow(self, addresses: Iterable[str]) -> None:
        """
        Use other addresses from now on.

        :param addresses: IP addresses of either family.
        """
        addresses = tuple(addresses)
        self.given = bool(addresses)
        self._by_family = {
            socket.AF_INET: tuple(address for address in addresses if ":" not in address),
            socket.AF_INET6: tuple(address for address in addresses if ":" in address),
        }

    def order(self, family: int) -> tuple[str, ...]:
        """Return a family's addresses in the order in which the next dial tries them; none if the kernel chooses."""
        addresses = self._by_family.get(family, ())
        if len(addresses) < 2:
            return addresses
        self._turn += 1
        first = self._turn % len(addresses)
        return addresses[first:] + addresses[:first]


P = TypeVar("P", bound=Protocol)

#: No local port is left for this source and destination (EADDRNOTAVAIL; EAGAIN on older kernels) or for this source at
#: all (EADDRINUSE).
NO_LOCAL_PORT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EAGAIN})

#: No descriptor or no memory is left for any connection; socket and connect may both say so.
_NOTHING_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


_IPV4_MAPPED: Final = "::ffff:"


class DialError(Exception):
    """
    A dial that failed. The message says where and why; the cause is the reactor's own error.

    :ivar errno: the kernel's error number; ETIMEDOUT for our own time limit, EINVAL for an invalid address.
    :ivar ours: True if the endpoint is not at fault, so that it must not count as failed.
    :ivar hopeless: True if a dial to any other endpoint would fail for the same reason.
    """

    errno = 0
    ours = False
    hopeless = False

    @property
    def name(self) -> str:
        """The error's name in the access log, as ``ECONNREFUSED``."""
        return errno_name(self.errno)


class DialRefused(DialError):  # noqa: N818 - the word of the access log
    """The endpoint refused the connection, or there is no route to it."""


class DialTimeout(DialError):  # noqa: N818 - the word of the access log
    """The endpoint did not answer in time."""


class LocalShortage(DialError):  # noqa: N818 - the word of the access log
    """
    No local port, descriptor or memory is left for the connection on this machine.

    Local ports run out for one destination at a time, so that another endpoint is worth a dial; descriptors and memory
    run out for all.
    """

    ours = True


class DialLoop(DialError):  # noqa: N818 - the word of the access log
    """One of our own listening sockets would accept the connection, so it was not made."""

    ours = True

    @property
    def name(self) -> str:
        """As :class:`DialError`: ``loop``, for which the kernel has no error number."""
        return "loop"


def dial(
    reactor: Any, address: str, port: int, protocol: P, timeout: float, sources: tuple[str, ...] = ()
) -> Deferred[P]:
    """
    Connect a protocol to an IP address.

    :param reactor: provides IReactorTCP.
    :param address: an IP address, never a name; or that of a Unix socket, with the port 0.
    :param timeout: seconds for this one attempt.
    :param sources: source addresses to try, one after the other, while each has no local port left; without any, the
        kernel chooses.
    :return: fires with the protocol right after its ``connectionMade``, or fails with a :exc:`DialError`; cancelling
        gives up the attempt.
    """
    attempt = _Connecting(reactor, address, port, protocol, timeout, sources)
    try:
        if port and not isIPAddress(address) and not isIPv6Address(address):
            raise OSError("not an IP address")
        if not port and len(os.fsencode(unix_name(address))) > LONGEST_PATH:
            raise OSError("the path is too long for a Unix socket")
        attempt.begin()
    except OSError as error:  # an IPv6 zone that does not exist, for one
        return fail(dial_error(address, port, error))
    return attempt.outcome


class Attempt(Interface):
    """A dial under way."""

    def cancel(self) -> None:
        """Give the attempt up: the dialer gets no outcome."""


class Dialer(Interface):
    """Gets the outcome of a dial by a :class:`meshgate.transport.network.Network`."""

    def dialed(self, protocol: Any) -> None:
        """Use the protocol: it is connected, and its ``connectionMade`` was called."""

    def dial_failed(self, error: DialError) -> None:
        """Act on the failure: there is no connection."""


def dial_error(address: str, port: int, cause: BaseException | None) -> DialError:
    """
    Make the error of a dial that failed.

    :param cause: the error of the reactor or of the kernel.
    """
    number = _errno_of(cause)
    kind: type[DialError] = DialRefused
    if number == errno.ETIMEDOUT:
        kind = DialTimeout
    elif number in _NOTHING_LEFT or (port and number in NO_LOCAL_PORT and _has_source(address)):
        kind = LocalShortage
    error = kind(f"{host_port(address, port) if port else address}: {cause}")
    error.errno = number
    error.hopeless = number in _NOTHING_LEFT
    error.__cause__ = cause
    return error


def unmapped(address: str) -> str:
    """Return the IPv4 address of an IPv4-mapped IPv6 address, so that IPv4 source addresses fit; others unchanged."""
    mapped = address[: len(_IPV4_MAPPED)].lower() == _IPV4_MAPPED and "." in address
    return address[len(_IPV4_MAPPED) :] if mapped else address


def unix_name(address: str) -> str:
    """Return the name of a Unix socket as the kernel takes it; an abstract one begins with ``@`` in the address."""
    name = address.removeprefix(UNIX_PREFIX)
    return f"\0{name[1:]}" if name.startswith("@") else name


def loop_error(address: str, port: int) -> DialLoop:
    """Make the error of a dial that one of our own sockets would accept."""
    return DialLoop(f"{host_port(address, port) if port else address} is our own")


@lru_cache(128)
def errno_name(number: int) -> str:
    """Return the name of an error number, as ``ECONNREFUSED``; ``E`` and the number if it has none."""
    return errno.errorcode.get(number) or f"E{number}"


def _errno_of(cause: BaseException | None) -> int:
    if isinstance(cause, ConnectTimeout):
        return errno.ETIMEDOUT
    number = cause.errno if isinstance(cause, OSError) else getattr(cause, "osError", None)
    # getaddrinfo has error numbers of its own, all of them negative.
    return number if isinstance(number, int) and number > 0 else errno.EINVAL


def _has_source(address: str) -> bool:
    """
    Return True if this machine has an address from which the given one can be reached. If it has none, as with IPv6
    switched off, the kernel gives the same error as without a free port. Nothing is sent.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EAFNOSUPPORT)
    return True


class _Connecting(ClientFactory):
    """The reactor's side of one attempt."""

    noisy = False
    connector: IConnector

    def __init__(
        self, reactor: Any, address: str, port: int, protocol: Protocol, timeout: float, sources: tuple[str, ...]
    ) -> None:
        self._reactor = reactor
        self._address = (address, port)
        self._timeout = timeout
        self._sources = list(sources)
        self._protocol = protocol
        self._given_up = False
        self.outcome: Deferred[Any] = Deferred(self._give_up)

    def begin(self) -> None:
        """Connect, from the next source address if there are any."""
        address, port = self._address
        if not port:
            self.connector = self._reactor.connectUNIX(unix_name(address), self, timeout=self._timeout)
        elif self._sources:
            source = (self._sources.pop(0), 0)
            connector = _ConnectorFrom(address, port, self, self._timeout, source, self._reactor)
            self.connector = connector
            connector.connect()
        else:
            self.connector = self._reactor.connectTCP(address, port, self, timeout=self._timeout)

    def _give_up(self, _: Deferred[Any]) -> None:
        self._given_up = True
        self.connector.stopConnecting()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Give the reactor a protocol that hands over to the real one at once."""
        return _Arrival(self._protocol, self.outcome)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Report why there is no connection, unless the attempt was given up."""
        if self._given_up:
            return
        if self._sources and _errno_of(reason.value) in NO_LOCAL_PORT:
            self.begin()
        else:
            self.outcome.errback(dial_error(*self._address, reason.value))


class _ClientFrom(tcp.Client):
    """The reactor's client, with the choice of the local port left to connect."""

    def createInternetSocket(self) -> socket.socket:
        """As tcp.Client."""
        made: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        with contextlib.suppress(OSError):  # older kernels do without
            made.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
        return made


class _ConnectorFrom(tcp.Connector):
    """The reactor's connector, which makes such clients."""

    def _makeTransport(self) -> tcp.Client:
        return _ClientFrom(  # type: ignore[no-untyped-call]
            self.host, self.port, self.bindAddress, self, self.reactor
        )


class _Arrival(Protocol):
    """
    Takes the place of the real protocol until the connection is made, so that the attempt can fire after
    ``connectionMade`` without a wrapper around every later event, which would also hide half-close.
    """

    def __init__(self, protocol: Protocol, outcome: Deferred[Any]) -> None:
        self._protocol = protocol
        self._outcome = outcome

    def makeConnection(self, transport: Any) -> None:
        """Put the real protocol on the transport, and report the outcome."""
        transport.protocol = self._protocol
        # Bytes are forwarded as they come: waiting for more (Nagle's algorithm) only adds delay.
        if not isinstance(transport, unix.Client):
            transport.setTcpNoDelay(True)
        self._protocol.makeConnection(transport)  # type: ignore[no-untyped-call]
        self._outcome.callback(self._protocol)
