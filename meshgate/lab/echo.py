"""The echo service of the lab: it greets a client with five lines about itself, then sends every byte back."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from meshgate.lab.listening import LiveConnections
from meshgate.settings.schema import EchoSettings


def greeting(settings: EchoSettings) -> bytes:
    """The greeting's five lines, each ending in a full stop and a newline."""
    lines = (
        f"Welcome, you are connected to node {settings.node}",
        f"Running on Pod {settings.pod}",
        f"In namespace {settings.namespace}",
        f"With IP address {settings.address}",
        f"Service {settings.service}",
    )
    return "".join(f"{line}.\n" for line in lines).encode()


class _Transport(ITCPTransport, IConsumer, IPushProducer):
    """What the transport of a stream socket provides."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoProtocol(Protocol):
    """
    One client: greeted once, then echoed byte for byte until it closes.

    The protocol is its own transport's producer: what it produces is what it reads. While the client does not
    read, neither does the protocol, so that it holds one send buffer and one read at most.

    :param greeting: the first bytes to send.
    :param live: where to report the connection.
    """

    transport: _Transport

    def __init__(self, greeting: bytes, live: LiveConnections) -> None:
        self._greeting = greeting
        self._live = live

    def connectionMade(self) -> None:
        """Greet."""
        self._live.opened(self)
        self.transport.registerProducer(self, True)
        self.transport.write(self._greeting)

    def dataReceived(self, data: bytes) -> None:
        """Send the bytes back."""
        self.transport.write(data)

    def pauseProducing(self) -> None:
        """The client does not read: stop reading from it."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The client has read: read from it again."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is lost; there is nothing to stop."""

    def readConnectionLost(self) -> None:
        """The client has finished: send it what is left, then close."""
        # With a producer registered, the transport would wait for more and never close.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Never called, since this side never closes only its own direction."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Report the end."""
        self._live.closed(self)


class EchoFactory(ServerFactory):
    """
    Makes an :class:`EchoProtocol` per client.

    :param settings: the texts of the greeting.
    :ivar live: the open connections.
    """

    noisy = False

    def __init__(self, settings: EchoSettings) -> None:
        self.live = LiveConnections()
        self._greeting = greeting(settings)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Make the protocol of one client."""
        protocol = EchoProtocol(self._greeting, self.live)
        protocol.factory = self
        return protocol
