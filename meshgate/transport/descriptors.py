"""
File descriptors: as many as the system allows, and what happens when they run out.

Knows the process's limit and how ports are paused; knows nothing of connections.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

PAUSE: Final = 1.0
"""Seconds between two attempts to accept while there are no descriptors."""


RESERVE: Final = 64
"""Descriptors that are left for endpoints, files and whatever else when no more connections are accepted."""


def current_limit() -> int:
    """How many descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Pausable(Protocol):
    """A port, as far as running out of descriptors goes."""

    def pause(self) -> None:
        """Leave connections in the kernel's queue."""

    def resume(self) -> None:
        """Take them in again."""


class Shortage:
    """
    While descriptors are short, no port accepts: trying again and again would keep the processor busy for nothing, and
    a connection without a descriptor left for its endpoint is better not accepted.

    :param clock: provides IReactorTime.
    :param limit: gives how many descriptors the process may have.
    :ivar ports: those that are paused then.
    :ivar lasts: whether that is the case now.
    :ivar highest: the number of a descriptor that says that they are running out: the kernel gives the lowest one free.
    """

    _log = Logger()

    def __init__(self, clock: Any, limit: Callable[[], int] = current_limit) -> None:
        self.ports: set[Pausable] = set()
        self.lasts = False
        self._clock = clock
        self._again: IDelayedCall | None = None
        self._told = False
        self._limit = limit
        self.highest = self._highest()

    def begin(self, reason: str) -> None:
        """Descriptors have run out, or memory has, or nearly so."""
        if self.lasts:
            return
        self.stop()
        self.lasts = True
        if not self._told:
            self._told = True
            self._log.error(
                "no connection is accepted for now, new ones wait until others end: {reason}",
                reason=reason,
            )
        for port in self.ports:
            port.pause()
        self._again = self._clock.callLater(PAUSE, self._try_again)

    def stop(self) -> None:
        """Do not try again."""
        again, self._again = self._again, None
        if again is not None and again.active():
            again.cancel()

    def _try_again(self) -> None:
        self._again = None
        self.highest = self._highest()
        if self._next_descriptor() >= self.highest:
            self._again = self._clock.callLater(PAUSE, self._try_again)
            return
        self.lasts = False
        for port in tuple(self.ports):
            port.resume()
        self._again = self._clock.callLater(PAUSE, self._over)

    def _over(self) -> None:
        self._again = None
        if not self.lasts and self._told:
            self._told = False
            self._log.info("connections are accepted again")

    def _highest(self) -> int:
        limit = self._limit()
        return limit - min(RESERVE, limit // 4)

    def _next_descriptor(self) -> int:
        """The number that the next one will have; beyond all numbers if there is none."""
        try:
            probe = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return self._limit()
        os.close(probe)
        return probe


def raise_limit() -> int:
    """
    Allow this process as many descriptors as it may give itself.

    :return: how many that is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard
