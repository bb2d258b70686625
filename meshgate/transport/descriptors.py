"""
File descriptors: as many as the system allows, and who still gets some when they run out.

A connection takes two, one for its client and one for its endpoint, and the second comes later. So a port accepts only
while there are descriptors for all endpoints that are still to be dialed; otherwise all ports pause, and clients wait
in the kernel's queues. Before that, while fewer than a quarter of all descriptors are free, only ports that have less
than their equal share of connections accept: whatever one route does, be it a loop over other machines that nobody can
see here, the others keep what is theirs.

The kernel gives the lowest descriptor that is free. So the number of the one just accepted tells how many are in use at
least, and below half of the limit nothing else has to be looked at.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

PAUSE: Final = 1.0
"""Seconds between two attempts to accept while there are no descriptors."""


RESERVE: Final = 32
"""Descriptors that are left for files, pipes and whatever else when no more connections are accepted; a sixteenth of
all, where there are few."""

LOG_PAUSE: Final = 60.0
"""Seconds between two lines about the same port."""


def current_limit() -> int:
    """How many descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class PortLoad(NamedTuple):
    """
    The connections of a port.

    :ivar connections: how many of its live.
    :ivar waiting: how many of all ports have no endpoint yet.
    """

    connections: int = 0
    waiting: int = 0


class Pausable(Protocol):
    """
    A port, as far as running out of descriptors goes.

    :ivar name: what people call it; several sockets of one listener have the same.
    """

    name: str

    def pause(self) -> None:
        """Leave connections in the kernel's queue."""

    def resume(self) -> None:
        """Take them in again, if :meth:`Shortage.allows` it."""

    def load(self) -> PortLoad:
        """Count its connections."""


class Shortage:
    """
    Decides which ports accept while descriptors are short. Trying again and again would keep the processor busy for
    nothing, so ports pause, and are looked at each second.

    :param clock: provides IReactorTime.
    :param limit: gives how many descriptors the process may have.
    :ivar ports: all of them.
    :ivar exhausted: no port accepts now.
    :ivar threshold: the number of a descriptor from which on :meth:`stops` is to be asked.
    """

    _log = Logger()

    def __init__(self, clock: Any, limit: Callable[[], int] = current_limit) -> None:
        self.ports: set[Pausable] = set()
        self.exhausted = False
        self._over_share: set[Pausable] = set()
        self._clock = clock
        self._again: IDelayedCall | None = None
        self._release_again: IDelayedCall | None = None
        self._reported = False
        self._reported_until: dict[str, float] = {}
        self._limit = limit
        self.measure()

    def measure(self) -> None:
        """Take over the process's limit as it is now."""
        limit = self._limit()
        self._highest = limit - min(RESERVE, max(1, limit // 16))
        self._scarce = limit - limit // 4
        self.threshold = min(self._highest // 2, self._scarce)

    def allows(self, port: Pausable) -> bool:
        """Whether a port may accept."""
        return not self.exhausted and port not in self._over_share

    def stops(self, port: Pausable, descriptor: int) -> bool:
        """
        Judge whether a port has to stop accepting, and pause it or all then.

        :param descriptor: the number of the one that it has got, not below :attr:`threshold`.
        """
        load = port.load()
        if descriptor + load.waiting >= self._highest:
            self.begin("there are hardly any file descriptors left")
        elif descriptor >= self._scarce and load.connections >= self.share:
            self._pause_over_share(port, load)
        return not self.allows(port)

    @property
    def share(self) -> int:
        """How many connections each listener has descriptors for, if all get the same."""
        return max(1, self._highest // 2 // max(1, len({port.name for port in self.ports})))

    def add(self, port: Pausable) -> None:
        """Take a port in. The limit may have been raised since the last one."""
        self.ports.add(port)
        self.measure()

    def forget(self, port: Pausable) -> None:
        """Drop a port that does not listen any more."""
        self.ports.discard(port)
        self._over_share.discard(port)

    def begin(self, reason: str) -> None:
        """Descriptors have run out, or memory has, or nearly so."""
        if self.exhausted:
            return
        self._cancel(self._again)
        self.exhausted = True
        if not self._reported:
            self._reported = True
            self._log.error(
                "no connection is accepted for now, new ones wait until others end: {reason}",
                reason=reason,
            )
        for port in self.ports:
            port.pause()
        self._again = self._clock.callLater(PAUSE, self._try_again)

    def stop(self) -> None:
        """Do not try again."""
        self._cancel(self._again)
        self._cancel(self._release_again)
        self._again = self._release_again = None

    def _try_again(self) -> None:
        self._again = None
        self.measure()
        waiting = max((port.load().waiting for port in self.ports), default=0)
        if self._next_descriptor() + waiting >= self._highest:
            self._again = self._clock.callLater(PAUSE, self._try_again)
            return
        self.exhausted = False
        for port in tuple(self.ports):
            port.resume()
        self._again = self._clock.callLater(PAUSE, self._over)

    def _over(self) -> None:
        self._again = None
        if not self.exhausted and self._reported:
            self._reported = False
            self._log.info("connections are accepted again")

    def _pause_over_share(self, port: Pausable, load: PortLoad) -> None:
        """Have a port wait that has its share."""
        self._over_share.add(port)
        port.pause()
        if self._release_again is None:
            self._release_again = self._clock.callLater(PAUSE, self._release)
        now = self._clock.seconds()
        if self._reported_until.get(port.name, now) <= now:
            self._reported_until[port.name] = now + LOG_PAUSE
            self._log.error(
                "{listener} accepts no connection for now: fewer than a quarter of the {limit} descriptors are free, "
                "and with {connections} connections it has its share of {share}; listeners that have less go on",
                listener=port.name,
                limit=self._limit(),
                connections=load.connections,
                share=self.share,
            )

    def _release(self) -> None:
        """Have ports accept again that have less than their share, or all if there are descriptors again."""
        self._release_again = None
        self.measure()
        share, plenty = self.share, self._next_descriptor() < self._scarce
        for port in tuple(self._over_share):
            if plenty or port.load().connections < share:
                self._over_share.discard(port)
                port.resume()
        if self._over_share:
            self._release_again = self._clock.callLater(PAUSE, self._release)

    def _next_descriptor(self) -> int:
        return next_descriptor() or self._limit()

    @staticmethod
    def _cancel(call: IDelayedCall | None) -> None:
        if call is not None and call.active():
            call.cancel()


def next_descriptor() -> int:
    """The number that the next descriptor will have; 0 if there is none."""
    try:
        probe = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
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
