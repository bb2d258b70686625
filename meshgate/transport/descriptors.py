"""
File descriptors: as many as the system allows, and what happens when they run out.

Knows the process's limit and how ports are paused; knows nothing of connections.
"""

from __future__ import annotations

import os
import resource
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

PAUSE: Final = 1.0
"""Seconds between two attempts to accept while there are no descriptors."""


class Pausable(Protocol):
    """A port, as far as running out of descriptors goes."""

    def pause(self) -> None:
        """Leave connections in the kernel's queue."""

    def resume(self) -> None:
        """Take them in again."""


class Shortage:
    """
    While descriptors are short, no port accepts: trying again and again would keep the processor busy for nothing.

    :param clock: provides IReactorTime.
    :ivar ports: those that are paused then.
    :ivar lasts: whether that is the case now.
    """

    _log = Logger()

    def __init__(self, clock: Any) -> None:
        self.ports: set[Pausable] = set()
        self.lasts = False
        self._clock = clock
        self._again: IDelayedCall | None = None
        self._told = False

    def begin(self, error: OSError) -> None:
        """A connection could not be accepted for want of a descriptor, or of memory."""
        if self.lasts:
            return
        self.stop()
        self.lasts = True
        if not self._told:
            self._told = True
            self._log.error(
                "no connection can be accepted: {reason}; new ones wait until others end",
                reason=os.strerror(error.errno or 0),
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
        self.lasts = False
        for port in tuple(self.ports):
            port.resume()
        self._again = self._clock.callLater(PAUSE, self._over)

    def _over(self) -> None:
        self._again = None
        if not self.lasts and self._told:
            self._told = False
            self._log.info("connections are accepted again")


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
