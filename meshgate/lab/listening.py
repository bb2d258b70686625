"""The common base of the lab's services: one bound port, and connections that end when the service stops."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP, ITCPTransport
from twisted.internet.protocol import Protocol, ServerFactory

from meshgate.routing.addresses import host_port


class WorkloadError(Exception):
    """A service of the lab cannot start. The message is a sentence for people."""


class LiveConnections:
    """The open connections of one service."""

    def __init__(self) -> None:
        self._protocols: set[Protocol] = set()
        self._waiting: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._protocols)

    def opened(self, protocol: Protocol) -> None:
        """Add a connection; called when it is made."""
        self._protocols.add(protocol)

    def closed(self, protocol: Protocol) -> None:
        """Remove a connection; called when it is lost."""
        self._protocols.discard(protocol)
        if not self._protocols:
            waiting, self._waiting = self._waiting, []
            for deferred in waiting:
                deferred.callback(None)

    def ended(self) -> Deferred[None]:
        """Return a result that comes when the last connection is gone."""
        if not self._protocols:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._waiting.append(gone)
        return gone

    def abort(self) -> Deferred[None]:
        """
        Reset every connection. An orderly close could wait for ever for a peer that does not read.

        :return: fires when the last one is gone.
        """
        gone = self.ended()
        for protocol in tuple(self._protocols):
            cast(ITCPTransport, protocol.transport).abortConnection()
        return gone


class ListeningService(Service):
    """
    One port of the lab, bound while the service runs.

    :param title: the workload in a few words, for messages.
    :param bind: the IP address to listen on.
    :param port: the TCP port; 0 lets the system choose.
    :param factory: makes the protocols, which add themselves to ``live``.
    :param live: the connections to end when the service stops.
    """

    def __init__(
        self,
        title: str,
        bind: str,
        port: int,
        factory: ServerFactory,
        live: LiveConnections,
        reactor: IReactorTCP,
    ) -> None:
        self._title = title
        self._bind = bind
        self._port = port
        self._factory = factory
        self._live = live
        #: Opens the port, as IReactorTCP.listenTCP does.
        self.listen: Callable[..., IListeningPort] = reactor.listenTCP
        self._listening: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The port that it listens on; the one that was asked for while it does not listen."""
        if self._listening is None:
            return self._port
        return int(cast(Any, self._listening.getHost()).port)

    def startService(self) -> None:
        """
        Bind the port.

        :raises WorkloadError: if the port cannot be bound.
        """
        try:
            self._listening = self.listen(self._port, self._factory, interface=self._bind)
        except CannotListenError as error:
            raise WorkloadError(self._refusal(error.socketError)) from error
        except OSError as error:  # of listen(), which may fail where bind() has not
            raise WorkloadError(self._refusal(error)) from error
        super().startService()  # type: ignore[no-untyped-call]

    def drain(self) -> Deferred[None]:
        """
        Free the port, and leave the connections as they are.

        :return: fires when the port is free and the last connection is gone.
        """
        return self._freed().addCallback(lambda _: self._live.ended())

    def _freed(self) -> Deferred[Any]:
        listening, self._listening = self._listening, None
        return maybeDeferred(listening.stopListening) if listening else succeed(None)

    def stopService(self) -> Deferred[None]:
        """
        Free the port and reset the connections.

        :return: fires when the port is free and the connections are closed.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        freed = self._freed()
        gone = self._live.abort()
        return freed.addCallback(lambda _: gone)

    def _refusal(self, error: OSError) -> str:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return f"port {host_port(self._bind, self._port)} for {self._title} cannot be bound: {reason}"
