"""
The private socket between the control process and a worker: messages in order, some of them with descriptors.

A message is a pickle behind its length in four bytes (:class:`~twisted.protocols.basic.Int32StringReceiver`). Its
descriptors are sent before it, and the kernel delivers a descriptor no later than the bytes that were written after it
(unix(7), SCM_RIGHTS). So the receiver keeps descriptors in a queue, and each message takes from it as many as it says.
Pickle is safe here, since both ends are ours: the socket has no name, and only these two processes hold it.
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
    One end of the socket.

    :param received: called with each message and its descriptors, which then belong to the callee.
    :param lost: called once, when the other end is gone.
    """

    #: The most bytes of one message. Messages are small, except for routes with thousands of endpoints.
    MAX_LENGTH = 1 << 30

    transport: Any

    def __init__(self, received: Received, lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._descriptors: deque[int] = deque()

    def send(self, message: object, *descriptors: int) -> None:
        """
        Send a message; nothing happens if the other end is gone.

        :param descriptors: open descriptors, which must stay open until an answer shows that the message has arrived.
        """
        if self.connected:
            for descriptor in descriptors:
                self.transport.sendFileDescriptor(descriptor)
            content = pickle.dumps((len(descriptors), message), pickle.HIGHEST_PROTOCOL)
            self.sendString(content)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close this end, once everything has been sent."""
        self.transport.loseConnection()

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """Keep a descriptor for the message that comes next."""
        self._descriptors.append(descriptor)

    def stringReceived(self, string: bytes) -> None:
        """Unpickle a message, and pass it on with its descriptors."""
        count, message = pickle.loads(string)  # noqa: S301 -- both ends are ours
        self._received(message, [self._descriptors.popleft() for _ in range(count)])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Close the descriptors whose message will never come, and report the loss."""
        super().connectionLost(reason)
        self.connected = 0
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self._lost()


class _OneProtocolFactory(Factory):
    """Builds one given protocol, for a socket that is connected already."""

    noisy = False

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def buildProtocol(self, addr: object) -> Channel:
        return self._channel


def open_channel(reactor: Any, end: socket.socket, received: Received, lost: Callable[[], None]) -> Channel:
    """
    Open a channel over one end of a socket pair.

    :param reactor: provides IReactorSocket.
    :param end: a stream socket of the family AF_UNIX, which is closed: the channel has a copy of it.
    """
    channel = Channel(received, lost)
    with end:
        end.setblocking(False)
        reactor.adoptStreamConnection(end.fileno(), socket.AF_UNIX, _OneProtocolFactory(channel))
    return channel
