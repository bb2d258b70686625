"""
Fakes for what a test cannot wait for or bring about on real sockets: time, and events in a given order.

:class:`FakeTransport` behaves as Twisted's own TCP transport does, its traps included: Twisted's fakes do not
model half-close. What a test claims about real connections stands in tests on real sockets.
"""

from __future__ import annotations

import errno
import os
import random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, getConnectError
from twisted.internet.error import ConnectionRefusedError as ConnectRefused
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from meshgate.proxy.dataplane import Dataplane
from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.proxy.record import ConnectionRecord
from meshgate.routing.table import Listener, RoutingTable


class FakeTransport:
    """
    A connection whose peer is the test. What is written leaves at the next turn of the clock.

    :param clock: a turn is ``clock.advance(0)``.
    :ivar written: what has left.
    :ivar fin_sent: our end of stream has left, after everything in :attr:`written`.
    :ivar reset_sent: we have aborted the connection.
    :ivar connected: it is not lost yet.
    :ivar reading: it is asked to read.
    :ivar peer_reads: whether anything can leave.
    :ivar timed_out: the kernel has given up the peer.
    """

    bufferSize = 65536

    def __init__(self, clock: Clock) -> None:
        self.protocol: Any = None
        self.written = bytearray()
        self.buffer = bytearray()
        self.fin_sent = False
        self.reset_sent = False
        self.connected = True
        self.reading = True
        self.peer_reads = True
        self.timed_out = False
        self.unwritable = False
        self._clock = clock
        self._writing = False
        self._arrived: list[bytes | None] = []
        self._read_closed = False
        self._disconnecting = False
        self._write_disconnecting = False
        self._producer: Any = None
        self._producer_paused = False

    # What the peer does.

    def getHost(self) -> IPv4Address:
        """The address that the client has connected to."""
        return IPv4Address("TCP", "203.0.113.1", 443)

    def peer_sends(self, data: bytes) -> None:
        """Bytes arrive; they wait while we do not read."""
        self._arrived.append(data)
        self._read()

    def peer_finishes(self) -> None:
        """The peer's end of stream arrives, after its bytes."""
        self._arrived.append(None)
        self._read()

    def peer_resets(self) -> None:
        """A reset arrives; nobody notices it while we neither read nor write."""
        if self.reading or self._writing:
            self._lose(ConnectionLost())

    def peer_times_out(self) -> None:
        """The kernel gives the peer up, as it answers nothing any more."""
        self.timed_out = True
        self._lose(ConnectionLost())

    def peer_reads_again(self) -> None:
        """What has piled up can leave."""
        self.peer_reads = True
        self._flush()

    def unsent(self) -> int:
        """As the lean transport."""
        return len(self.buffer)

    def unacknowledged(self) -> int:
        """As the lean transport; what has left is acknowledged at once."""
        return len(self.buffer)

    # ITCPTransport, as far as it is used.

    def write(self, data: bytes) -> None:
        """As ITransport."""
        if not self.connected or self.fin_sent:
            return
        self.buffer += data
        if self._producer is not None and len(self.buffer) > self.bufferSize:
            self._producer_paused = True
            self._producer.pauseProducing()
        self._start_writing()

    def loseConnection(self) -> None:
        """As ITransport: after what is written, and never while a producer stays."""
        if self.connected and not self._disconnecting:
            self.reading = False
            if self.fin_sent:
                self._lose(ConnectionDone())
            else:
                self._disconnecting = True
                self._start_writing()

    def loseWriteConnection(self) -> None:
        """As ITCPTransport: after what is written, and never while a paused producer stays."""
        if not self.connected:
            raise ValueError("file descriptor cannot be a negative integer (-1)")
        self._write_disconnecting = True
        self._start_writing()

    def abortConnection(self) -> None:
        """As ITCPTransport: the loss is reported at the next turn."""
        if self.connected and not self.reset_sent:
            self.reset_sent = True
            self.reading = self._writing = False
            self._clock.callLater(0, self._lose, ConnectionAborted())

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """As IConsumer, for a push producer."""
        if self._producer is not None or not streaming:
            raise RuntimeError("one push producer at a time")
        self._producer = producer

    def unregisterProducer(self) -> None:
        """As IConsumer."""
        self._producer = None
        if self.connected and self._disconnecting:
            self._start_writing()

    def pauseProducing(self) -> None:
        """As IPushProducer."""
        self.reading = False

    def resumeProducing(self) -> None:
        """As IPushProducer: reads at the next turn; after the end of stream, that is reported again."""
        if self.connected and not self._disconnecting:
            self.reading = True
            if self._read_closed:
                self._arrived.append(None)
            self._clock.callLater(0, self._read)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As ITCPTransport."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """As ITCPTransport."""

    def _read(self) -> None:
        while self._arrived and self.reading and self.connected:
            data = self._arrived.pop(0)
            if data is None:
                self._read_closed = True
                self.reading = False
                self.protocol.readConnectionLost()
            else:
                self.protocol.dataReceived(data)

    def _start_writing(self) -> None:
        self._writing = True
        self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        if not self._writing or not self.peer_reads:
            return
        self.written += self.buffer
        self.buffer.clear()
        self._writing = False
        if self._producer is not None and self._producer_paused:
            self._producer_paused = False
            self._producer.resumeProducing()
        elif self._disconnecting:
            self._lose(ConnectionDone())
        elif self._write_disconnecting and not self.fin_sent:
            self.fin_sent = True
            self.protocol.writeConnectionLost()

    def _lose(self, reason: Exception) -> None:
        if self.connected:
            self.connected = self.reading = self._writing = False
            self.unwritable = True
            if self._producer is not None:
                self._producer.stopProducing()
            self.protocol.connectionLost(Failure(reason))


class FakeReactor(MemoryReactorClock):
    """A reactor whose dials the test answers, and whose time it moves."""

    def accept_dial(self, number: int = -1) -> FakeTransport:
        """Let a dial succeed; gives the endpoint's side."""
        transport = FakeTransport(self)
        transport.protocol = self._factory(number).buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return transport

    def refuse_dial(self, number: int = -1) -> None:
        """Let a dial be refused."""
        self._fail_dial(number, ConnectRefused(errno.ECONNREFUSED, "Connection refused"))

    def time_out_dial(self, number: int = -1) -> None:
        """Let a dial time out."""
        self._fail_dial(number, ConnectTimeout())

    def fail_dial(self, errno_number: int, number: int = -1) -> None:
        """Let a dial fail as the kernel says."""
        self._fail_dial(number, getConnectError((errno_number, os.strerror(errno_number))))

    @property
    def dialed(self) -> list[tuple[str, int]]:
        """Address and port of every dial so far."""
        return [(client[0], client[1]) for client in self.tcpClients]

    def dial_is_given_up(self, number: int = -1) -> bool:
        """Whether a dial was cancelled."""
        return bool(self.connectors[number].stoppedConnecting)

    def _factory(self, number: int) -> Any:
        return self.tcpClients[number][2]

    def _fail_dial(self, number: int, reason: Exception) -> None:
        self._factory(number).clientConnectionFailed(self.connectors[number], Failure(reason))


class FakeResolver:
    """Names that resolve when the test says so."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, ...]] = {}
        self.asked: dict[str, Deferred[tuple[str, ...]]] = {}

    def cached(self, name: str) -> tuple[str, ...] | None:
        """As Resolver."""
        return self.answers.get(name)

    def resolve(self, name: str) -> Deferred[tuple[str, ...]]:
        """As Resolver."""
        return self.asked.setdefault(name, Deferred())

    def answer(self, name: str, *addresses: str) -> None:
        """Answer the question for a name."""
        if addresses:
            self.answers[name] = addresses
        self.asked.pop(name).callback(addresses)


class FakedGateway:
    """
    A data plane on fakes, with one client of one listener.

    :ivar client: the client's side.
    :ivar upstream: the endpoint's side, there after :meth:`join`.
    """

    upstream: FakeTransport

    def __init__(self, listener: Listener, limits: Limits) -> None:
        self.reactor: Any = FakeReactor()
        self.records: list[ConnectionRecord] = []
        self.resolver = FakeResolver()
        self.plane = Dataplane(self.reactor, self.resolver, random.Random(1), self.records.append, limits, lambda: 1e9)
        self.serve(listener)
        self.client = FakeTransport(self.reactor)
        self.inbound = self.accept(listener, "198.51.100.7")
        self.client.protocol = self.inbound
        self.inbound.makeConnection(self.client)

    def serve(self, *listeners: Listener) -> None:
        """Replace the routes."""
        self.plane.table = RoutingTable(1, {listener.key: listener for listener in listeners})

    def accept(self, listener: Listener, host: str) -> Any:
        """The protocol of a client from this address."""
        return self.plane.factory(listener.key).buildProtocol(IPv4Address("TCP", host, 5555))

    def another(self, listener: Listener, host: str) -> FakeTransport:
        """One more client, from this address."""
        client = FakeTransport(self.reactor)
        client.protocol = self.accept(listener, host)
        client.protocol.makeConnection(client)
        return client

    def join(self) -> None:
        """Let the dial succeed."""
        self.upstream = self.reactor.accept_dial()

    def turn(self) -> None:
        """Let happen what happens without time passing."""
        self.reactor.advance(0)

    @property
    def ending(self) -> Ending | None:
        """How the connection has ended."""
        return self.records[0].ending if self.records else None
