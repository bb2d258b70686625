"""
One worker process, seen from its parent: started, talked to, killed, and how it ended.

Knows processes and signals; must not know what is talked about, nor whether there will be another one.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from meshgate.workers.channel import Received, open_channel

CHANNEL: Final = 3
"""The descriptor under which a worker finds its end of the channel."""

HELD_BACK: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a worker is started with blocked, until it knows what to do on them."""

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
        with ours, theirs, Path(os.devnull).open("rb") as nothing, _held_back():
            self._process = reactor.spawnProcess(
                self,
                sys.executable,
                # -P, lest a file in the folder we run in is taken for a module; the path is ours, given below.
                [sys.executable, "-P", "-m", "meshgate.workers", str(number)],
                {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
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
    if isinstance(end, ProcessTerminated) and end.signal is not None:
        return f"was killed by {signal.Signals(end.signal).name}"
    return f"ended with status {end.exitCode if isinstance(end, ProcessTerminated) else 0}"


@contextmanager
def _held_back() -> Iterator[None]:
    """What is started in here has the signals blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
