"""
The messages between a control process and the one that takes over from it, and the socket that carries them.

The problem: the two may be of different versions, and each has to go on if the other says something that it does not
understand, or nothing any more.

The approach: each message is one JSON object in one packet of a Unix socket (SOCK_SEQPACKET), with its descriptors
beside it (SCM_RIGHTS). Every message has the version of this form; a message of another version is refused before
anything else in it is looked at. Nothing is a pickle: a message can hold nothing but what is named here.

The order: the new process says :attr:`Kind.READY` and gets a :attr:`Kind.SOCKET` for each listening address, a
:attr:`Kind.UNHEALTHY` for each endpoint that fails its health check, and one :attr:`Kind.LOCKS`. Once it serves, it
says :attr:`Kind.KEPT` for each address that it goes on with, and :attr:`Kind.SERVING`; the answer,
:attr:`Kind.OVER`, makes it the only one. Before that it may say :attr:`Kind.FAILED`, or end.
"""

from __future__ import annotations

import enum
import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

VERSION: Final = 1
"""The version of this form. A change that an older process would misunderstand takes the next number."""

LONGEST: Final = 1 << 16
"""The most bytes of a message."""

MOST_DESCRIPTORS: Final = 253
"""The most descriptors beside a message (SCM_MAX_FD of Linux)."""


class HandoverError(Exception):
    """The other process cannot be understood, or is gone. The message is for people."""


class Kind(enum.Enum):
    """The kinds of messages."""

    READY = "ready"
    SOCKET = "socket"
    UNHEALTHY = "unhealthy"
    LOCKS = "locks"
    KEPT = "kept"
    SERVING = "serving"
    FAILED = "failed"
    OVER = "over"


class ListeningAddress(BaseModel):
    """
    An address on which a gateway listens, as its configuration names it.

    :ivar service: True for a port of the control process itself; False for one of the routes.
    :ivar bind: an IP address, or ``unix:///path``.
    :ivar port: 0 for a Unix socket, or if the system has chosen one.
    :ivar dual_stack: True if the bind is unset.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    service: bool
    bind: str
    port: int = Field(ge=0, le=65535)
    dual_stack: bool = False


class Message(BaseModel):
    """
    One message.

    :ivar address: the address of the sockets beside it, or of those that are kept.
    :ivar locks: the names of the descriptors beside it: ``state`` and ``pidfile``.
    :ivar workers: the number of workers that serve.
    :ivar endpoint: an endpoint, as ``address:port``.
    :ivar reason: why it fails its health check, or why the new process has failed, for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Kind = Field(strict=False)
    address: ListeningAddress | None = None
    locks: tuple[str, ...] = Field(default=(), strict=False)
    workers: int = Field(default=0, ge=0)
    endpoint: str = ""
    reason: str = ""


def encode(message: Message) -> bytes:
    """The bytes of a message."""
    return json.dumps({"version": VERSION, **message.model_dump(mode="json", exclude_defaults=True)}).encode()


def decode(packet: bytes) -> Message:
    """
    Read a message.

    :raises HandoverError: if it is none, or one of another version.
    """
    try:
        content = json.loads(packet)
    except (ValueError, RecursionError):
        raise HandoverError("the other process sent something that is not JSON") from None
    version = content.pop("version", None) if isinstance(content, dict) else None
    if version != VERSION:
        raise HandoverError(f"the other process hands over by version {str(version)[:20]}, and this one by {VERSION}")
    try:
        return Message.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:40]
        raise HandoverError(f"the other process sent a malformed message: {where}: {first['msg']}") from None


class HandoverSocket:
    """
    One end of the socket.

    :param end: connected; belongs to this object from now on.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._reactor: Any = None
        self._received: Callable[[Message, list[int]], None] = lambda message, descriptors: None
        self._lost: Callable[[str], None] = lambda reason: None

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """
        Send a message.

        :raises OSError: if the other process is gone, or does not read within the timeout of the socket.
        """
        socket.send_fds(self._end, [encode(message)], descriptors)

    def receive(self) -> tuple[Message, list[int]]:
        """
        Wait for a message.

        :return: the message, and its descriptors, which belong to the caller.
        :raises HandoverError: if the other process is gone, or what it says is no message.
        """
        try:
            packet, descriptors, flags, _ = socket.recv_fds(self._end, LONGEST, MOST_DESCRIPTORS)
        except BlockingIOError:
            raise
        except ConnectionResetError:
            raise HandoverError("the other process is gone") from None
        except OSError as error:
            raise HandoverError(f"the other process does not answer: {error.strerror or error}") from None
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        try:
            if not packet:
                raise HandoverError("the other process is gone")
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise HandoverError("the other process sent more than a message may have")
            return decode(packet), descriptors
        except HandoverError:
            close_all(descriptors)
            raise

    def watch(self, reactor: Any, received: Callable[[Message, list[int]], None], lost: Callable[[str], None]) -> None:
        """
        Wait for messages in the reactor from now on.

        :param reactor: provides IReactorFDSet.
        :param received: called with each message and its descriptors.
        :param lost: called once, with the reason for people, when there will be no further message.
        """
        self._reactor, self._received, self._lost = reactor, received, lost
        self._end.setblocking(False)
        reactor.addReader(self)

    def blocks_for(self, seconds: float) -> None:
        """Have :meth:`send` and :meth:`receive` wait for the other process for so long; 0 for not at all."""
        self._end.settimeout(seconds)

    def close(self) -> None:
        """Close this end."""
        if self._reactor is not None:
            self._reactor.removeReader(self)
            self._reactor = None
        self._end.close()

    # As IReadDescriptor.

    def fileno(self) -> int:
        """The descriptor."""
        return self._end.fileno()

    def logPrefix(self) -> str:
        """The name for the log."""
        return "handover"

    def doRead(self) -> None:
        """Receive one message."""
        try:
            message, descriptors = self.receive()
        except BlockingIOError:
            return
        except HandoverError as error:
            self.close()
            self._lost(str(error))
            return
        self._received(message, descriptors)

    def connectionLost(self, reason: Any) -> None:
        """Close: the reactor stops."""
        self.close()


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that nobody wants."""
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)
