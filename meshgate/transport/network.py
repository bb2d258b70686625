"""
What carries the bytes: Twisted's own transports, or lean ones on a private poll where there is epoll.

Knows both and chooses between them; everybody else listens and dials by a :class:`Network` and sees no difference but
the cost.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from typing import Protocol as Interface

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure

from meshgate.routing.connection_policy import Keepalive
from meshgate.transport.binding import accept_waiting, defer_accept
from meshgate.transport.descriptors import PortLoad, Shortage, next_descriptor
from meshgate.transport.dialing import Attempt, Dialer, dial, loop_error, unmapped
from meshgate.transport.keepalive import keep_alive
from meshgate.transport.lean import connecting as lean_dialing
from meshgate.transport.lean.poller import Poller
from meshgate.transport.lean.port import LeanPort
from meshgate.transport.own_sockets import OwnSockets
from meshgate.transport.source_addresses import SourceAddresses
from meshgate.transport.wheel import Wheel

AUTO: Final = "auto"
LEAN: Final = "lean"
TWISTED: Final = "twisted"

_BURST: Final = 100
"""Connections that the reactor's port takes in for one event."""


class NoSuchTransport(Exception):  # noqa: N818 - the setting asks for what is not there
    """The transport that the settings ask for does not exist here. The message is for people."""


class Port(Interface):
    """A port that listens."""

    def defer_accept(self, wanted: bool) -> None:
        """Have the kernel hand over connections only with their first bytes, or as soon as they are there."""

    def keep_alive(self, keepalive: Keepalive | None) -> None:
        """Have the connections that will be accepted probed; None for no probes."""

    def stop(self) -> Deferred[object]:
        """Stop listening; fires when the port is free. Whoever else holds the socket goes on."""

    def finish(self) -> Deferred[object]:
        """Take in the connections that wait, and stop listening for good, whoever else holds the socket."""


class Network(Interface):
    """
    How connections come about.

    :ivar wheel: the clock for time limits of connections.
    :ivar sources: the addresses that it dials from.
    """

    wheel: Wheel
    sources: SourceAddresses

    def listen(self, listening: socket.socket, factory: Any) -> Port:
        """
        Serve the connections of a listening socket.

        :param listening: a non-blocking socket, which belongs to the port from now on.
        :param factory: provides IProtocolFactory; the address that it gets has a host and a port.
        """

    def dial(
        self, address: str, port: int, protocol: Any, timeout: float, first: bytes, dialer: Dialer, /
    ) -> Attempt | None:
        """
        Connect a protocol to an IP address; it fails as :exc:`~meshgate.transport.dialing.DialLoop` where that is one
        of the sockets of :meth:`listen`.

        :param address: an IP address, never a name.
        :param timeout: seconds for this one attempt.
        :param first: what is written before anything else; none of it twice.
        :param dialer: told of the outcome, once.
        :return: the attempt, or None when the outcome is known already.
        """

    def close(self) -> None:
        """Let go of what is shared. All ports and connections have to be gone."""


class TwistedNetwork:
    """
    Twisted's own transports.

    :param reactor: provides IReactorTCP, IReactorSocket and IReactorTime.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._own = OwnSockets(reactor.seconds)
        self._shortage = Shortage(reactor)
        self.sources = SourceAddresses()
        self.wheel = Wheel(reactor)

    def listen(self, listening: socket.socket, factory: Any) -> Port:
        """As :class:`Network`."""
        port = _TwistedPort(self._reactor, listening, factory, self._shortage, self._own.add(listening))
        listening.close()  # the reactor has a duplicate of its own
        return port

    def dial(
        self, address: str, port: int, protocol: Any, timeout: float, first: bytes, dialer: Dialer, /
    ) -> Attempt | None:
        """As :class:`Network`."""
        if port in self._own.ports and self._own.would_accept(address, port):
            dialer.dial_failed(loop_error(address, port))
            return None
        address = unmapped(address)
        sources = self.sources.order(socket.AF_INET6 if ":" in address else socket.AF_INET)
        outcome: Deferred[Any] = dial(self._reactor, address, port, protocol, timeout, sources)

        def arrived(protocol: Any) -> None:
            if first:
                protocol.transport.write(first)
            dialer.dialed(protocol)

        def missed(failure: Failure) -> None:
            if not failure.check(CancelledError):  # type: ignore[no-untyped-call]
                dialer.dial_failed(failure.value)  # type: ignore[arg-type]

        outcome.addCallbacks(arrived, missed)
        return None if outcome.called else outcome

    def close(self) -> None:
        """As :class:`Network`."""
        self.wheel.stop()
        self._shortage.stop()


class _TwistedPort:
    """
    The reactor's port, made to accept with an eye on descriptors: it says nothing of those that it gets, so the number
    of the next one is asked for before each event.
    """

    def __init__(
        self, reactor: Any, listening: socket.socket, factory: Any, shortage: Shortage, forget: Callable[[], None]
    ) -> None:
        self.name: str = getattr(factory, "logPrefix", str)()
        self._load: Callable[[], PortLoad] = getattr(factory, "load", PortLoad)
        self._shortage = shortage
        self._forget = forget
        self._open = True
        self._port = reactor.adoptStreamPort(listening.fileno(), listening.family, factory)
        self._accept = self._port.doRead
        self._port.doRead = self._read
        shortage.add(self)
        self.resume()

    def defer_accept(self, wanted: bool) -> None:
        defer_accept(self._port.socket, wanted)

    def keep_alive(self, keepalive: Keepalive | None) -> None:
        keep_alive(self._port.socket, keepalive)

    def stop(self) -> Deferred[object]:
        if self._open:
            self._open = False
            self._forget()
            self._shortage.forget(self)
        return maybeDeferred(self._port.stopListening)

    def finish(self) -> Deferred[object]:
        def take() -> bool:
            self._port.doRead()
            return bool(self._port.connected) and self._shortage.allows(self)

        if self._port.connected:
            accept_waiting(self._port.socket, take)
        return self.stop()

    def pause(self) -> None:
        self._port.stopReading()

    def resume(self) -> None:
        if self._open and self._shortage.allows(self):
            self._port.startReading()
        elif self._open:
            self._port.stopReading()

    def load(self) -> PortLoad:
        return self._load()

    def _read(self) -> Any:
        descriptor = next_descriptor()
        if not descriptor:
            self._shortage.begin("there is no file descriptor left")
            return None
        self._port.numberAccepts = 1 if descriptor + _BURST >= self._shortage.threshold else _BURST
        result = self._accept()
        if descriptor >= self._shortage.threshold:
            self._shortage.stops(self, descriptor)
        return result


class LeanNetwork:
    """
    Lean transports.

    :param reactor: provides IReactorFDSet and IReactorTime, on Linux.
    """

    def __init__(self, reactor: Any) -> None:
        self._poller = Poller(reactor)
        self._shortage = Shortage(reactor)
        self._own = OwnSockets(reactor.seconds)
        self.sources = SourceAddresses()
        self.wheel = Wheel(reactor)
        #: As :class:`Network`.
        self.dial = partial(lean_dialing.dial, self._poller, self.wheel, self._own, self.sources)

    def listen(self, listening: socket.socket, factory: Any) -> Port:
        """As :class:`Network`."""
        return LeanPort(self._poller, listening, factory, self._shortage, self._own)

    def close(self) -> None:
        """As :class:`Network`."""
        self.wheel.stop()
        self._shortage.stop()
        self._poller.close()


def chosen_transport(choice: str, reactor: Any) -> str:
    """
    The transport that the settings ask for.

    :param choice: ``lean``, ``twisted``, or ``auto`` for lean where that is possible.
    :return: one of the first two.
    :raises NoSuchTransport: when lean transports are asked for where they cannot be.
    """
    possible = hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor)
    if choice == LEAN and not possible:
        raise NoSuchTransport("the lean transport needs Linux, and a reactor that watches descriptors")
    return LEAN if possible and choice != TWISTED else TWISTED


def make_network(choice: str, reactor: Any) -> Network:
    """The network of a transport; the arguments are those of :func:`chosen_transport`."""
    return LeanNetwork(reactor) if chosen_transport(choice, reactor) == LEAN else TwistedNetwork(reactor)
