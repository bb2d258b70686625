"""
The private socket between the parent and a worker: messages in order, some with descriptors.

Knows framing, pickling and descriptors in flight; must not know what the messages mean. Pickle is safe here because
both ends are ours: the socket has no name, and only these two processes hold it.
"""

from __future__ import annotations

import os
import pickle
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

Received = Callable[[Any, list[int]], None]


@implementer(IFileDescriptorReceiver)
class Channel(Int32StringReceiver):
    """
    One end.

    :param received: called with each message and the descriptors that came with it, which then belong to it.
    :param lost: called once, when the other end is gone.
    """

    #: Bytes of one message. The messages are small but for the routes with thousands of endpoints.
    MAX_LENGTH = 1 << 30

    transport: Any

    def __init__(self, received: Received, lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._descriptors: deque[int] = deque()

    def send(self, message: object, *descriptors: int) -> None:
        """
        Send a message.

        :param descriptors: open ones, which have to stay so until an answer shows that the message has arrived.
        """
        if self.connected:
            # They never come later than the bytes that are written after them.
            for descriptor in descriptors:
                self.transport.sendFileDescriptor(descriptor)
            content = pickle.dumps((len(descriptors), message), pickle.HIGHEST_PROTOCOL)
            self.sendString(content)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close it once everything was sent."""
        self.transport.loseConnection()

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """One more descriptor; the message that it belongs to comes next."""
        self._descriptors.append(descriptor)

    def stringReceived(self, string: bytes) -> None:
        """One message."""
        count, message = pickle.loads(string)  # noqa: S301 -- see above
        self._received(message, [self._descriptors.popleft() for _ in range(count)])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other end is gone, and with it whoever the descriptors were for."""
        super().connectionLost(reason)
        self.connected = 0
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self._lost()


class _Only(Factory):
    """Gives out the one protocol."""

    noisy = False

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def buildProtocol(self, addr: object) -> Channel:
        return self._channel


def open_channel(reactor: Any, end: socket.socket, received: Received, lost: Callable[[], None]) -> Channel:
    """
    A channel over one end of a socket pair.

    :param reactor: provides IReactorSocket.
    :param end: a stream socket of the family AF_UNIX. It is used up.
    """
    channel = Channel(received, lost)
    with end:
        end.setblocking(False)
        reactor.adoptStreamConnection(end.fileno(), socket.AF_UNIX, _Only(channel))
    return channel
