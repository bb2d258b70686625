"""
The process that reads files, seen from its parent: started, asked, killed, and how it ended.

Knows processes; must not know what a reading is, nor whether there will be another process.
"""

from __future__ import annotations

import pickle
import socket
import subprocess
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from meshgate import __version__
from meshgate.processes.starting import fate, held_back, python_command, python_environment
from meshgate.providers.reading_messages import Request

REAP_EVERY: Final = 0.01
"""Seconds between two looks at whether it has ended, once its end of the socket is closed: a moment before."""


class NotReadError(Exception):
    """There is no answer. The message says why, and begins with what the process did."""


class ReadingProcess(Int32StringReceiver):
    """
    One process.

    Not by ``spawnProcess``, which looks at each open descriptor before: 70 ms with 10,000 connections.

    :param reactor: provides IReactorSocket and IReactorTime.
    :ivar ended: fires when it has ended.
    :raises OSError: when it cannot be started.
    """

    #: Bytes of one message.
    MAX_LENGTH = 1 << 30

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._parts: list[bytes] = []
        self._answer: Deferred[list[bytes]] | None = None
        self.ended: Deferred[None] = Deferred()
        command = python_command("meshgate.providers.reading_child", __version__)
        ours, theirs = socket.socketpair()
        with ours, theirs, held_back():
            self._process = subprocess.Popen(command, env=python_environment(), stdin=theirs.fileno())  # noqa: S603
            ours.setblocking(False)
            reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _Only(self))
        self.pid = self._process.pid

    def ask(self, request: Request) -> Deferred[list[bytes]]:
        """
        Have it read a file, once it has answered what it was asked before.

        :return: fires with the parts of the answer; fails with :exc:`NotReadError`.
        """
        answer: Deferred[list[bytes]] = Deferred()
        self._parts, self._answer = [], answer
        self.sendString(pickle.dumps(request, pickle.HIGHEST_PROTOCOL))  # type: ignore[no-untyped-call]
        return answer

    def kill(self) -> None:
        """End it without asking; it has nothing to lose."""
        self._process.kill()

    def stringReceived(self, string: bytes) -> None:
        """One more part, or the end of the answer."""
        if string:
            self._parts.append(string)
        elif self._answer is not None:
            answer, self._answer = self._answer, None
            answer.callback(self._parts)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It has ended, or is about to."""
        super().connectionLost(reason)
        self._reap()

    def _reap(self) -> None:
        status = self._process.poll()
        if status is None:
            self._reactor.callLater(REAP_EVERY, self._reap)
            return
        self.ended.callback(None)
        # After that, lest whoever hears of it asks this process again.
        if self._answer is not None:
            self._answer.errback(NotReadError(fate(status)))


class _Only(Factory):
    """Gives out the one protocol."""

    noisy = False

    def __init__(self, process: ReadingProcess) -> None:
        self._process = process

    def buildProtocol(self, addr: object) -> ReadingProcess:
        return self._process
