"""
The process of one worker, as the control process sees it: started, sent messages, killed, and waited for.

A process has ended when its exit status is known *and* its end of the channel is closed: its last messages may be read
only after its exit.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from signal import Signals
from typing import Any, Final

from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from meshgate.processes.signals import held_back
from meshgate.workers.channel import Received, open_channel

CHANNEL: Final = 3
"""The descriptor of the worker's end of the channel, in the worker."""

END_WITHIN: Final = 5.0
"""Seconds that a worker may take to exit once its end of the channel is closed."""


class WorkerProcess(ProcessProtocol):
    """
    A running worker process.

    :param reactor: provides IReactorProcess, IReactorSocket and IReactorTime.
    :param number: the worker's number, which its command line shows in lists of processes.
    :param received: called with each message and its descriptors.
    :param ended: called once, with the way it ended, in words, and the seconds it has lived.
    :raises OSError: if it cannot be started.
    :ivar pid: the number of the process.
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
            self._channel = open_channel(reactor, ours, received, self._channel_lost)
        self.pid: int = self._process.pid

    def send(self, message: object, *descriptors: int) -> None:
        """Send a message, as :meth:`meshgate.workers.channel.Channel.send`."""
        self._channel.send(message, *descriptors)

    def kill(self) -> None:
        """Kill the process."""
        try:
            self._process.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def processEnded(self, reason: Failure) -> None:
        """Note the way it ended."""
        self._fate = fate(reason.value)
        if self._killing is not None and self._killing.active():
            self._killing.cancel()
        self._report_end()

    def _channel_lost(self) -> None:
        self._connected = False
        if not self._fate:
            self._killing = self._reactor.callLater(END_WITHIN, self.kill)
        self._report_end()

    def _report_end(self) -> None:
        if self._fate and not self._connected:
            self._ended(self._fate, self._reactor.seconds() - self._started)


def fate(reason: object) -> str:
    """
    The end of a process, in words.

    :param reason: the exception by which Twisted reports it.
    """
    if not isinstance(reason, ProcessTerminated):
        return "ended with status 0"
    if reason.signal is not None:
        return f"was killed by {Signals(reason.signal).name}"
    return f"ended with status {reason.exitCode}"


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module as a program."""
    # -P keeps files in the current folder from being imported as modules; the path comes from the environment.
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """The environment in which a child finds the same modules as this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
