"""
The clock that a process measures by.

Twisted's reactors count time by the wall clock, which people and time servers set: moved back an hour, no timer would
be due for an hour; moved forward, every session would have been idle for long. So the reactor is given the monotonic
clock, before its first delayed call, and the wall clock is asked only for what people read, and for the dates of
certificates.
"""

from __future__ import annotations

import time
from typing import Any


def follow_monotonic_clock(reactor: Any) -> None:
    """
    Have a reactor, with all its delayed calls, go by the monotonic clock.

    :param reactor: one of Twisted's, without delayed calls so far: theirs would be due at times of another clock.
    """
    reactor.seconds = time.monotonic
