"""
Lean transports without the reactor: a loop that the test turns by hand, and real sockets at the other end of what is
tested. So each event comes when the test wants it, time passes only as the test says, and thousands of turns take no
time at all.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from meshgate.transport.lean import transport as lean
from meshgate.transport.lean.poller import Poller
from meshgate.transport.lean.transport import LeanTransport
from meshgate.transport.network import LeanNetwork
from tests.peers import LOOPBACK, Peer

T = TypeVar("T")

SMALL = 16 * 1024
"""A socket's buffer that is soon full."""

MIB = 1024 * 1024

DEADLINE = 30.0
"""Seconds that a test waits for an event."""


COMPILED_IN = None if str(lean.__file__).endswith(".py") else "the constant that it changes is compiled in"
"""Why a test is skipped where the data path is compiled."""


class Loop(Clock):
    """
    As much of a reactor as lean transports need: its time is the test's, its events are the kernel's.

    :ivar network: lean connections and ports on this loop.
    :ivar poller: what they share.
    :ivar ends: whom :meth:`until` has send and receive.
    """

    def __init__(self, test: SynchronousTestCase) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.ends: list[End] = []
        self.network = LeanNetwork(self)
        self.poller: Poller = self.network._poller
        test.addCleanup(self._end)

    def addReader(self, reader: Any) -> None:
        """As IReactorFDSet."""
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        """As IReactorFDSet."""
        self.readers.discard(reader)

    def turn(self, wait: float = 0.0) -> bool:
        """
        Hand out what has happened.

        :param wait: seconds in which something may happen yet.
        :return: whether there was anything.
        """
        happened = False
        self.advance(0)
        for reader in tuple(self.readers):
            if select.select([reader], [], [], wait)[0]:
                reader.doRead()
                happened = True
        self.advance(0)
        return happened

    def until(self, condition: Callable[[], T], what: str) -> T:
        """Turn, and have all ends send and receive, until a condition is true; gives its value."""
        deadline = time.monotonic() + DEADLINE
        while True:
            for end in self.ends:
                end.act()
            self.turn()
            if value := condition():
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {DEADLINE:g} s in vain for {what}")

    def settle(self, turns: int = 5) -> None:
        """
        Turn until whatever is on its way has been acted on: nothing has happened in so many turns in a row. What is
        ready all the time ends it too.
        """
        quiet = 0
        for _ in range(10 * turns):
            for end in self.ends:
                end.act()
            quiet = 0 if self.turn(0.002) else quiet + 1
            if quiet == turns:
                return

    def connection(self, protocol: Any = None, buffer: int = 0, family: int = socket.AF_INET) -> tuple[Any, End]:
        """
        A lean transport with its protocol, watched, and the other end.

        :param protocol: a :class:`tests.peers.Peer` unless given.
        :param buffer: the size of the kernel's buffers between them, if they shall be small.
        """
        ours, theirs = socket_pair(buffer, family)
        transport = LeanTransport(self.poller, ours)
        transport.protocol = protocol or Peer()
        transport.protocol.makeConnection(transport)
        transport.watch()
        return transport, self.end(theirs)

    def end(self, sock: socket.socket) -> End:
        """Have a socket take part in the turns."""
        self.ends.append(End(sock))
        return self.ends[-1]

    def _end(self) -> None:
        for end in self.ends:
            end.close()
        for call in tuple(self.poller._calls.values()):
            owner: Any = getattr(call, "__self__", None)
            transport = getattr(owner, "transport", owner)
            if isinstance(transport, LeanTransport):
                transport.abortConnection()
        self.turn()
        self.network.close()


class End:
    """
    The other end of a connection: a real socket, without any of our code.

    :ivar received: every byte so far.
    :ivar finished: the end of stream has come.
    :ivar was_reset: a reset has come.
    :ivar reads: whether it takes what comes.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.received = bytearray()
        self.finished = False
        self.was_reset = False
        self.reads = True
        self._unsent = bytearray()
        self._finishing = False

    @property
    def over(self) -> bool:
        """Nothing more can come."""
        return self.finished or self.was_reset or self.socket.fileno() < 0

    @property
    def unsent(self) -> int:
        """Return the number of bytes that the kernel has not taken."""
        return len(self._unsent)

    def send(self, data: bytes) -> None:
        """Send, as far as the kernel takes it now, and the rest in the turns to come."""
        self._unsent += data
        self._send()

    def finish(self, data: bytes = b"") -> None:
        """Send an end of stream, in the same segment as the last bytes if there are few."""
        if data:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self._unsent += data
        self._finishing = True
        self._send()

    def reset(self) -> None:
        """Reset the connection."""
        if self.socket.fileno() >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def close(self) -> None:
        """Close, whatever is unread."""
        self.socket.close()

    def act(self) -> None:
        """Send and receive what can be."""
        if self.socket.fileno() < 0:
            return
        self._send()
        while self.reads and not self.over:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(error)
                return
            self.received += data
            self.finished = not data

    def _send(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(memoryview(bytes(self._unsent[: 1 << 20])))]
            if self._finishing:
                self._finishing = False
                self.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
            raise error
        self.was_reset = True
        self._unsent.clear()


def socket_pair(buffer: int = 0, family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
    """Two TCP sockets, connected over loopback."""
    address = ("::1" if family == socket.AF_INET6 else LOOPBACK, 0)
    with socket.socket(family, socket.SOCK_STREAM) as listening, socket.socket(family, socket.SOCK_STREAM) as one:
        for sock in (listening, one):
            # Ports whose connections have just ended are as good as any.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        listening.bind(address)
        listening.listen()
        one.connect(listening.getsockname())
        other, _ = listening.accept()
        for sock in (one, other):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return socket.socket(fileno=one.detach()), other


def descriptors() -> int:
    """Return the number of descriptors that this process has open."""
    return len(os.listdir("/proc/self/fd"))


class Counting(Peer):
    """
    Counts what is to happen once.

    :ivar reads: the size of each piece that came.
    :ivar finishes: how often the end of stream was reported.
    :ivar served: how often it was said that ours was sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []
        self.finishes = self.served = self.losses = 0

    def dataReceived(self, data: bytes) -> None:
        """Note it."""
        super().dataReceived(data)
        self.reads.append(len(data))

    def readConnectionLost(self) -> None:
        """Note it."""
        super().readConnectionLost()
        self.finishes += 1

    def writeConnectionLost(self) -> None:
        """Note it."""
        self.served += 1

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note it."""
        super().connectionLost(reason)
        self.losses += 1


class LeanCase(SynchronousTestCase):
    """A loop, and connections on it."""

    def setUp(self) -> None:
        """Remember what is open."""
        self.before = descriptors()
        self.loop = Loop(self)

    def connection(self, buffer: int = 0, family: int = socket.AF_INET) -> tuple[LeanTransport, Counting, End]:
        """A transport, its protocol, and the other end."""
        transport, end = self.loop.connection(Counting(), buffer, family)
        return transport, transport.protocol, end

    def nothing_is_left(self, *ends: End) -> None:
        """Check that everything is closed, once these descriptors are."""
        for end in ends:
            end.close()
        self.loop.settle()
        self.assertEqual(self.loop.readers, set())
        self.loop.network.close()
        self.assertEqual(descriptors(), self.before)
