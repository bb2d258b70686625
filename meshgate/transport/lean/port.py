"""Accepting on the poller: one listening socket whose connections get lean transports."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, ClassVar, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from meshgate.routing.connection_policy import Keepalive
from meshgate.transport.binding import accept_waiting, defer_accept
from meshgate.transport.descriptors import PortLoad, Shortage
from meshgate.transport.keepalive import keep_alive
from meshgate.transport.lean.poller import ACCEPTABLE, IN, Poller
from meshgate.transport.lean.sockets import Socket, accept, accept_unix
from meshgate.transport.lean.transport import LeanTransport
from meshgate.transport.own_sockets import OwnSockets

ACCEPTS: Final = 16
"""Connections accepted for one event before other sockets get their turn, while several events are ready."""

_SHORT: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class LeanPort:
    """
    A listening socket on the poller.

    :param listening: a non-blocking socket, which belongs to the port from now on.
    :param factory: provides IProtocolFactory. It may make protocols by ``for_client(host, port)``, which saves making
        an address, and count its connections by ``load``. A protocol may have ``make_early_connection``, which is
        called in place of ``makeConnection``: the first bytes are likely there by then, and it may read them at once.
    :param shortage: decides whether the port may accept while descriptors are short.
    :param own: the process's listening sockets, among which the socket is as long as it listens.
    """

    _log: ClassVar = Logger()

    def __init__(
        self,
        poller: Poller,
        listening: socket.socket,
        factory: Any,
        shortage: Shortage,
        own: OwnSockets,
    ) -> None:
        self._poller = poller
        self._socket = listening
        self._descriptor = listening.fileno()
        self._family = listening.family
        self._take: Callable[..., Any] = accept_unix if listening.family == socket.AF_UNIX else accept
        self._factory = factory
        self._build = getattr(factory, "for_client", None) or self._build_by_address
        self._shortage = shortage
        self.name: str = getattr(factory, "logPrefix", str)()
        self._load: Callable[[], PortLoad] = getattr(factory, "load", PortLoad)
        self._open = True
        self._watching = False
        factory.doStart()
        self.resume()
        shortage.add(self)
        self._forget = own.add(listening)

    def stop(self) -> Deferred[object]:
        """Stop listening, at once."""
        if self._open:
            self._open = False
            self._shortage.forget(self)
            self._forget()
            self.pause()
            self._socket.close()
            self._factory.doStop()
        return succeed(None)

    def finish(self) -> Deferred[object]:
        """As :class:`~meshgate.transport.network.Port`."""
        if self._open:
            accept_waiting(self._socket, self._accept_some)
        return self.stop()

    def _accept_some(self) -> bool:
        self.ready(IN)
        return self._open and self._shortage.allows(self)

    def defer_accept(self, wanted: bool) -> None:
        """As :class:`~meshgate.transport.network.Port`."""
        defer_accept(self._socket, wanted)

    def keep_alive(self, keepalive: Keepalive | None) -> None:
        """As :class:`~meshgate.transport.network.Port`."""
        keep_alive(self._socket, keepalive)

    def pause(self) -> None:
        """Leave connections in the kernel's queue, for others that share the socket or for later."""
        if self._watching:
            self._watching = False
            self._poller.drop(self._descriptor)

    def resume(self) -> None:
        """Accept connections again, the longest waiting ones first."""
        if self._open and self._shortage.allows(self):
            if not self._watching:
                self._watching = True
                # Level-triggered: connections that are left in the queue are reported again.
                self._poller.watch(self._descriptor, self.ready, ACCEPTABLE)
        else:
            self.pause()

    def load(self) -> PortLoad:
        """As :class:`~meshgate.transport.descriptors.Pausable`."""
        return self._load()

    def ready(self, event: int) -> None:
        """Accept the connections that wait."""
        # With a single event, one more accept that finds nobody costs more than one more event.
        accepts = ACCEPTS if self._poller.batch_size > 1 else 1
        for _ in range(accepts):
            if not self._open:
                return
            try:
                accepted = self._take(self._socket)
            except OSError as error:
                if error.errno in _SHORT:
                    self._shortage.begin(os.strerror(error.errno or 0))
                    return
                continue  # the client has left the queue
            if accepted is None:
                return
            sock, peer = accepted
            descriptor = sock.fileno()
            self._serve(sock, peer)
            if descriptor >= self._shortage.threshold and self._shortage.stops(self, descriptor):
                return

    def crashed(self) -> None:
        """Go on after an exception in :meth:`ready`: the next connection may be served."""

    def _build_by_address(self, host: str, port: int) -> Any:
        kind = IPv6Address if self._family == socket.AF_INET6 else IPv4Address
        return self._factory.buildProtocol(kind("TCP", host, port))

    def _serve(self, sock: Socket, peer: tuple[Any, ...]) -> None:
        transport = LeanTransport(self._poller, sock, peer)
        try:
            protocol = self._build(peer[0], peer[1])
            if protocol is None:
                sock.close()
                return
            transport.protocol = protocol
            early = getattr(protocol, "make_early_connection", None)
            (early or protocol.makeConnection)(transport)
        except Exception:
            transport.abortConnection()
            raise
        transport.watch()
