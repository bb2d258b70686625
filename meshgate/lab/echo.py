"""The echo service of the lab: it greets a client with five lines about itself, then sends every byte back."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTCP,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from meshgate.lab.listening import ListeningService, LiveConnections
from meshgate.settings.service_sections import EchoSettings


def greeting(settings: EchoSettings) -> bytes:
    """Return the five lines of a greeting, each with a full stop and a newline."""
    lines = (
        f"Welcome, you are connected to node {settings.node}",
        f"Running on Pod {settings.pod}",
        f"In namespace {settings.namespace}",
        f"With IP address {settings.address}",
        f"Service {settings.service}",
    )
    return "".join(f"{line}.\n" for line in lines).encode()


class _Transport(ITCPTransport, IConsumer, IPushProducer):
    """The interfaces that the transport of a stream socket provides."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoProtocol(Protocol):
    """
    The connection of one client: it sends a greeting, then every byte back, until the client closes.

    The protocol is the producer of its own transport: it produces the bytes that it reads. While the client does not
    read, the protocol does not read either, so that it never holds more than a send buffer and one read.

    :param greeting: the first bytes to send.
    :param live: the connections of the service, of which this becomes one.
    """

    transport: _Transport

    def __init__(self, greeting: bytes, live: LiveConnections) -> None:
        self._greeting = greeting
        self._live = live

    def connectionMade(self) -> None:
        """Send the greeting."""
        self._live.opened(self)
        self.transport.registerProducer(self, True)
        self.transport.write(self._greeting)

    def dataReceived(self, data: bytes) -> None:
        """Send the bytes back."""
        self.transport.write(data)

    def pauseProducing(self) -> None:
        """Stop reading: the client does not read."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again: the client has read."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost already."""

    def readConnectionLost(self) -> None:
        """Send what is left, then close: the client has finished."""
        # While a producer is registered, the transport waits for more to send and never closes.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: this side never closes one direction only."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Remove the connection from those of the service."""
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


def echo_service(settings: EchoSettings, reactor: IReactorTCP) -> ListeningService:
    """Make an echo service."""
    factory = EchoFactory(settings)
    return ListeningService("the lab's echo service", settings.bind, settings.port, factory, factory.live, reactor)
