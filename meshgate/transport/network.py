"""
The network: listening and dialing by Twisted's own transports, or by lean ones where there is epoll.

All other modules use a :class:`Network` and see no difference between the two but the cost.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from typing import Protocol as Interface

from twisted.internet import unix
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure

from meshgate.routing.connection_policy import Keepalive
from meshgate.transport.binding import accept_waiting, defer_accept
from meshgate.transport.descriptors import PortLoad, Shortage, next_descriptor
from meshgate.transport.dialing import Attempt, Dialer, SourceAddresses, dial, loop_error, unix_name, unmapped
from meshgate.transport.keepalive import keep_alive
from meshgate.transport.lean import connecting as lean_dialing
from meshgate.transport.lean.poller import Poller
from meshgate.transport.lean.port import LeanPort
from meshgate.transport.own_sockets import OwnSockets
from meshgate.transport.wheel import Wheel

AUTO: Final = "auto"
LEAN: Final = "lean"
TWISTED: Final = "twisted"

_BURST: Final = 100
"""Connections that the reactor's port accepts for one event."""


class NoSuchTransport(Exception):  # noqa: N818 - the setting asks for what is not there
    """The transport that the settings ask for does not work on this system. The message is for people."""


class Port(Interface):
    """An open port."""

    def defer_accept(self, wanted: bool) -> None:
        """Have the kernel hand over connections only with their first bytes, or as soon as they are established."""

    def keep_alive(self, keepalive: Keepalive | None) -> None:
        """Set the probes of the connections that will be accepted; None for none."""

    def stop(self) -> Deferred[object]:
        """Stop listening in this process; fires when that is done. Other processes that share the socket go on."""

    def finish(self) -> Deferred[object]:
        """Accept the connections that wait, then stop listening, in all processes that share the socket."""


class Network(Interface):
    """
    Makes connections: accepts them on listening sockets, and dials them.

    :ivar wheel: the clock for time limits of connections.
    :ivar sources: the source addresses of dials.
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
        Connect a protocol to an IP address. The dial fails with :exc:`~meshgate.transport.dialing.DialLoop` if one of
        the sockets of :meth:`listen` would accept it.

        :param address: an IP address, never a name; or ``unix:///path``, with the port 0.
        :param timeout: seconds for this one attempt.
        :param first: bytes to write first; none of them twice.
        :param dialer: gets the outcome, once.
        :return: the attempt; None if the dialer has got the outcome already.
        """

    def close(self) -> None:
        """Close what connections share. All ports and connections must be closed before."""


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
        if not port and os.fsencode(unix_name(address)) in self._own.names:
            dialer.dial_failed(loop_error(address, port))
            return None
        address = unmapped(address)
        sources = self.sources.order(socket.AF_INET6 if ":" in address else socket.AF_INET) if port else ()
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
    The reactor's port, which pauses while descriptors are short. It does not tell which descriptors it gets, so the
    number of the next free one is looked up before each event.
    """

    def __init__(
        self, reactor: Any, listening: socket.socket, factory: Any, shortage: Shortage, forget: Callable[[], None]
    ) -> None:
        self.name: str = getattr(factory, "logPrefix", str)()
        self._load: Callable[[], PortLoad] = getattr(factory, "load", PortLoad)
        self._shortage = shortage
        self._forget = forget
        self._open = True
        if listening.family == socket.AF_UNIX:
            self._port = _unix_port(reactor, listening, factory)
        else:
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


def _unix_port(reactor: Any, listening: socket.socket, factory: Any) -> Any:
    """Adopt a Unix socket as the reactor does, but leave its permissions, its path and its queue, which others use."""
    port: Any = unix.Port._fromListeningDescriptor(reactor, listening.fileno(), factory)  # type: ignore[no-untyped-call]
    name = listening.getsockname()
    if isinstance(name, str):
        port.mode = stat.S_IMODE(os.stat(name).st_mode)
    port.startListening()
    port._bindPath, port._shouldShutdown = b"\0", False
    return port


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
    Choose between lean and Twisted's transports.

    :param choice: the setting: ``lean``, ``twisted``, or ``auto`` for lean where there is epoll.
    :return: ``lean`` or ``twisted``.
    :raises NoSuchTransport: when the setting is ``lean`` and there is no epoll.
    """
    possible = hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor)
    if choice == LEAN and not possible:
        raise NoSuchTransport("the lean transport needs Linux, and a reactor that watches descriptors")
    return LEAN if possible and choice != TWISTED else TWISTED


def make_network(choice: str, reactor: Any) -> Network:
    """Make the network of a transport; the arguments are those of :func:`chosen_transport`."""
    return LeanNetwork(reactor) if chosen_transport(choice, reactor) == LEAN else TwistedNetwork(reactor)
