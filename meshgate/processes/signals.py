"""
Signals to the process, from the reading of its options on.

Python's own way is to die of them, and twistd's to end with exit status 143. Here each has a meaning, also before
there is anything to act on: what comes during the start is remembered, and acted on once when the reactor runs. The
reactor installs handlers of its own when it starts, so signals are held back for that moment.

A signal to all processes of a program, as a terminal or a service manager sends it, reaches the worker processes too,
and so does one that was meant for the program but sent to a worker. They pass it on, and it counts once.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from signal import Signals as Number
from typing import Any, Final

from twisted.logger import Logger

ENDING: Final = (Number.SIGTERM, Number.SIGINT, Number.SIGQUIT)
"""Signals that end the process."""

PASSED_ON: Final = (Number.SIGHUP, Number.SIGUSR1, Number.SIGUSR2, Number.SIGQUIT)
"""Signals that a worker process passes on."""

HANDLED: Final = (*ENDING, Number.SIGHUP, Number.SIGUSR1, Number.SIGUSR2)

TOGETHER: Final = 1.0
"""Seconds within which a signal to several processes is one."""

GATHER: Final = 0.1
"""Seconds that one which was passed on waits, in case it reaches this process too."""


class Signals:
    """
    The signals that this process gets.

    :ivar asked_to_end: one came that ends the process.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._reactor: Any = None
        self._actions: Mapping[Number, Callable[[], None]] = {}
        self._early: list[Number] = []
        self._taken: dict[Number, float] = {}
        self.asked_to_end = False

    def install(self) -> None:
        """Handle them from now on."""
        for number in HANDLED:
            signal.signal(number, self._received)

    def hold_back(self) -> None:
        """Let them wait until :meth:`follow`: the reactor is about to install its handlers."""
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)

    def follow(self, reactor: Any, actions: Mapping[Number, Callable[[], None]]) -> None:
        """
        Act on those that came before, each once, and on those to come.

        :param reactor: running; provides IReactorTime and IReactorFromThreads.
        :param actions: what each means.
        """
        self._reactor = reactor
        self._actions = actions
        self.install()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        early, self._early = self._early, []
        for number in early:
            self._act(number)

    def passed_on(self, number: Number, when: float) -> None:
        """
        Act on a signal that a worker process got, unless this process got it too, or another worker did.

        :param when: it came, on the monotonic clock.
        """
        if self._reactor is not None:
            self._reactor.callLater(GATHER, self._take, number, when)

    def _received(self, number: int, frame: object) -> None:
        got = Number(number)
        again = got in ENDING and self.asked_to_end
        self.asked_to_end |= got in ENDING
        if self._reactor is not None:
            self._taken[got] = time.monotonic()
            self._reactor.callFromThread(self._act, got)
        elif again:
            os._exit(128 + number)  # nobody is served yet, and somebody is in a hurry
        elif got not in self._early:
            self._early.append(got)

    def _take(self, number: Number, when: float) -> None:
        if when - self._taken.get(number, when - 2 * TOGETHER) > TOGETHER:
            self._taken[number] = when
            self._act(number)

    def _act(self, number: Number) -> None:
        try:
            self._actions[number]()
        except Exception:
            # A bug of ours; the next signal has to find everything as it was.
            self._log.failure("{signal} could not be followed", signal=number.name)


def restore_defaults(numbers: Iterable[Number] = HANDLED) -> None:
    """Have signals do what they do to any process; for one that only waits for another."""
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
