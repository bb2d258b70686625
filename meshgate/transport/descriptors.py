"""
File descriptors: raising the limit, and sharing what is left when they run short.

The problem: a connection takes two descriptors, one for its client and, later, one for its endpoint. If clients take
them all, no endpoint can be dialed; and one busy route can take those of all others.

The approach: the kernel gives the lowest free descriptor, so the number of the accepted one tells how many are in use.
Below half of the limit, nothing else is checked. Ports that may not accept pause, clients wait in the kernel's queues,
and the ports are checked again each second.

The invariants:

- A port accepts only while there are descriptors for all endpoints that are still to be dialed; else all ports pause.
- While fewer than a quarter of the descriptors are free, only ports with less than their equal share of connections
  accept. Whatever one route does, even a loop over other machines, which cannot be seen here, the others go on.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

PAUSE: Final = 1.0
"""Seconds between two attempts to accept while descriptors are short."""

RESERVE: Final = 32
"""Descriptors that are left for files, pipes and the like when no more connections are accepted; a sixteenth of all if
the limit is low."""

LOG_PAUSE: Final = 60.0
"""Seconds between two log lines about the same port."""


def current_limit() -> int:
    """Return the number of descriptors that this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class PortLoad(NamedTuple):
    """
    Numbers of connections.

    :ivar connections: live connections of the port.
    :ivar waiting: connections of all ports that have no endpoint yet.
    """

    connections: int = 0
    waiting: int = 0


class Pausable(Protocol):
    """
    A port that can pause.

    :ivar name: the listener's name for people; several ports of one listener have the same.
    """

    name: str

    def pause(self) -> None:
        """Leave connections in the kernel's queue."""

    def resume(self) -> None:
        """Accept connections again, if :meth:`Shortage.allows` it."""

    def load(self) -> PortLoad:
        """Count the connections."""


class Shortage:
    """
    Decides which ports accept while descriptors are short.

    :param clock: provides IReactorTime.
    :param limit: returns the number of descriptors that the process may have.
    :ivar ports: all ports.
    :ivar exhausted: True while no port accepts.
    :ivar threshold: the lowest number of an accepted descriptor for which :meth:`stops` must be called.
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
        """Read the process's limit again."""
        limit = self._limit()
        self._highest = limit - min(RESERVE, max(1, limit // 16))
        self._scarce = limit - limit // 4
        self.threshold = min(self._highest // 2, self._scarce)

    def allows(self, port: Pausable) -> bool:
        """Return True if a port may accept."""
        return not self.exhausted and port not in self._over_share

    def stops(self, port: Pausable, descriptor: int) -> bool:
        """
        Decide whether a port must stop accepting, and pause it, or all ports, if so.

        :param descriptor: the number of the descriptor that it has got, not below :attr:`threshold`.
        :return: True if the port must stop.
        """
        load = port.load()
        if descriptor + load.waiting >= self._highest:
            self.begin("there are hardly any file descriptors left")
        elif descriptor >= self._scarce and load.connections >= self.share:
            self._pause_over_share(port, load)
        return not self.allows(port)

    @property
    def share(self) -> int:
        """The number of connections for which each listener has descriptors if all get the same."""
        return max(1, self._highest // 2 // max(1, len({port.name for port in self.ports})))

    def add(self, port: Pausable) -> None:
        """Register a port. The limit is read again, since it may have been raised since the last port."""
        self.ports.add(port)
        self.measure()

    def forget(self, port: Pausable) -> None:
        """Forget a port that does not listen any more."""
        self.ports.discard(port)
        self._over_share.discard(port)

    def begin(self, reason: str) -> None:
        """
        Pause all ports, since descriptors or memory have run out or nearly so.

        :param reason: for the log.
        """
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
        """Cancel the timed calls."""
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
        """Pause a port that has its share of connections."""
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
        """Let ports accept again that have less than their share, or all if descriptors are free again."""
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
    """Return the number of the next descriptor; 0 if there is none."""
    try:
        probe = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    os.close(probe)
    return probe


def raise_limit() -> int:
    """
    Raise this process's limit of descriptors as far as it may do so itself.

    :return: the new limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard
