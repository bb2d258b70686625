"""
Signals to the process, from the reading of its options on.

By default, a signal ends Python at once, and twistd with exit status 143. Here each signal has a meaning, even before
there is anything to act on: a signal during the start is remembered, and acted on once the reactor runs. The reactor
installs its own handlers when it starts, so signals are blocked for that moment.

A terminal or a service manager sends a signal to all processes of a program, and people may send one to a worker by
mistake. Workers pass the signals on that are meant for the program. Those that come within a second count as one.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from signal import Signals as Number
from typing import Any, Final

from twisted.logger import Logger

ENDING: Final = (Number.SIGTERM, Number.SIGINT, Number.SIGQUIT)
"""The signals that end the process."""

PASSED_ON: Final = (Number.SIGHUP, Number.SIGUSR1, Number.SIGUSR2, Number.SIGQUIT)
"""The signals that a worker passes on."""

HANDLED: Final = (*ENDING, Number.SIGHUP, Number.SIGUSR1, Number.SIGUSR2)
"""The signals that have a meaning. A child is started with them blocked, and unblocks them once it handles them: a
terminal sends them to all processes at once."""

TOGETHER: Final = 1.0
"""Seconds within which signals to several processes count as one."""

GATHER: Final = 0.1
"""Seconds that a signal from a worker waits, in case the same signal reaches this process itself."""


class Signals:
    """
    The signals of this process.

    :ivar asked_to_end: True if a signal that ends the process has come.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._reactor: Any = None
        self._actions: Mapping[Number, Callable[[], None]] = {}
        self._early: list[Number] = []
        self._acted: dict[Number, float] = {}
        self.asked_to_end = False

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in HANDLED:
            signal.signal(number, self._received)

    def hold_back(self) -> None:
        """Block the signals until :meth:`follow`: the reactor is about to install its handlers."""
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)

    def follow(self, reactor: Any, actions: Mapping[Number, Callable[[], None]]) -> None:
        """
        Act on the signals that have come, each once, and on those to come.

        :param reactor: running; provides IReactorTime and IReactorFromThreads.
        :param actions: the action for each signal.
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
        Act on a signal that a worker got, unless this process or another worker got it, too.

        :param when: the moment when it came, in seconds of the monotonic clock.
        """
        if self._reactor is not None:
            self._reactor.callLater(GATHER, self._act_once, number, when)

    def _received(self, number: int, frame: object) -> None:
        got = Number(number)
        again = got in ENDING and self.asked_to_end
        self.asked_to_end |= got in ENDING
        if self._reactor is not None:
            self._acted[got] = time.monotonic()
            self._reactor.callFromThread(self._act, got)
        elif again:
            os._exit(128 + number)  # the second signal to end: do not wait for the start
        elif got not in self._early:
            self._early.append(got)

    def _act_once(self, number: Number, when: float) -> None:
        if when - self._acted.get(number, when - 2 * TOGETHER) > TOGETHER:
            self._acted[number] = when
            self._act(number)

    def _act(self, number: Number) -> None:
        try:
            self._actions[number]()
        except Exception:
            # A bug of ours: log it, and stay ready for the next signal.
            self._log.failure("{signal} could not be followed", signal=number.name)


def restore_defaults(numbers: Iterable[Number] = HANDLED) -> None:
    """Restore the default effect of signals, for a process that only waits for another one."""
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def held_back() -> Iterator[None]:
    """Block the signals for the processes that are started in this context."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
