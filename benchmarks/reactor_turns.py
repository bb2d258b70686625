"""
twistd with a stopwatch: notes the long turns of the control process' reactor.

``python -m benchmarks.reactor_turns FILE ARGUMENTS...`` runs twistd with the arguments. For each turn that takes longer
than :data:`NOTED`, it appends a line to FILE: the milliseconds by the clock, and those of processor time. A turn lasts
from one return of ``epoll_wait`` to the next call of it: for so long no other event is handled. Workers are started by
another command, so they are not watched.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from twisted.internet import epollreactor
from twisted.scripts.twistd import run

NOTED = 0.01
"""Seconds from which on a turn is noted."""


class WatchedPoll:
    """
    An epoll object that measures the time between two waits.

    :param notes: a descriptor of the file for the notes.
    """

    notes: int

    def __init__(self, size: int = -1) -> None:
        self._epoll = _EPOLL(size)
        self._returned = 0.0
        self._used = 0.0

    def poll(self, *arguments: Any) -> Any:
        """Note the turn that ends here, and wait."""
        took, used = time.monotonic() - self._returned, time.thread_time() - self._used
        if self._returned and took > NOTED:
            os.write(self.notes, b"%.1f %.1f\n" % (took * 1000, used * 1000))
        found = self._epoll.poll(*arguments)
        self._returned, self._used = time.monotonic(), time.thread_time()
        return found

    def __getattr__(self, name: str) -> Any:
        """Everything else is as it was."""
        return getattr(self._epoll, name)


_EPOLL: Any = epollreactor.epoll

if __name__ == "__main__":
    WatchedPoll.notes = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    epollreactor.epoll = WatchedPoll
    sys.argv = ["twistd", *sys.argv[2:]]
    run()  # type: ignore[no-untyped-call]
