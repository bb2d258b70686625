"""
One worker process, seen from its parent: started, talked to, killed, and how it ended.

Knows processes and signals; must not know what is talked about, nor whether there will be another one.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from meshgate.processes.children import fate, held_back, python_command, python_environment
from meshgate.workers.channel import Received, open_channel

CHANNEL: Final = 3
"""The descriptor under which a worker finds its end of the channel."""

END_WITHIN: Final = 5.0
"""Seconds that a worker may take to end once its end of the channel is closed."""


class WorkerProcess(ProcessProtocol):
    """
    One process.

    :param reactor: provides IReactorProcess, IReactorSocket and IReactorTime.
    :param number: for the list of processes, so that people know which is which.
    :param received: called with each message and its descriptors.
    :param ended: called once, with how it ended, in words, and the seconds it has lived.
    :raises OSError: when it cannot be started.
    """

    def __init__(self, reactor: Any, number: int, received: Received, ended: Callable[[str, float], None]) -> None:
        self._reactor = reactor
        self._ended = ended
        self._started = reactor.seconds()
        self._fate = ""
        self._connected = True
        self._killing: IDelayedCall | None = None
        ours, theirs = socket.socketpair()
        with ours, theirs, Path(os.devnull).open("rb") as nothing, held_back():
            self._process = reactor.spawnProcess(
                self,
                sys.executable,
                python_command("meshgate.workers", str(number)),
                python_environment(),
                childFDs={0: nothing.fileno(), 1: 1, 2: 2, CHANNEL: theirs.fileno()},
            )
            self._channel = open_channel(reactor, ours, received, self._hung_up)
        self.pid: int = self._process.pid

    def send(self, message: object, *descriptors: int) -> None:
        """As :meth:`meshgate.workers.channel.Channel.send`; what is sent to a process that has ended is lost."""
        self._channel.send(message, *descriptors)

    def kill(self) -> None:
        """End it without asking."""
        try:
            self._process.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self._fate = _fate(reason.value)
        if self._killing is not None and self._killing.active():
            self._killing.cancel()
        self._tell_when_over()

    def _hung_up(self) -> None:
        self._connected = False
        if not self._fate:
            self._killing = self._reactor.callLater(END_WITHIN, self.kill)
        self._tell_when_over()

    def _tell_when_over(self) -> None:
        # What it said last may be read only after it is gone.
        if self._fate and not self._connected:
            self._ended(self._fate, self._reactor.seconds() - self._started)


def _fate(end: object) -> str:
    if not isinstance(end, ProcessTerminated):
        return fate(0)
    return fate(-end.signal if end.signal is not None else end.exitCode)
