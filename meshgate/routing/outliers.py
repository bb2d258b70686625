"""
Endpoints that fail are left out for a time, as by Envoy's outlier detection for TCP, where a connection that cannot be
made is a failure (Envoy, outlier_detection_impl.cc). Pure: the time comes in.

Envoy looks at the endpoints that are out every ``interval``. Nothing here runs by itself: what would have happened at
those looks is worked out when somebody asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from meshgate.routing.connection_policy import Outliers
from meshgate.routing.endpoint_load import EndpointLoad

LONGEST: Final = 300.0
"""Seconds for which an endpoint is out at the most, unless ``baseEjectionTime`` is longer."""


EJECTED: Final = "ejected"
TRIED_LAST: Final = "tried_last"
"""What becomes of a failing endpoint: by a DestinationRule it gets no connections, else those that no other takes."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """
    An endpoint that gets no connections for a time, or is tried last.

    :ivar destination: in words; likewise :attr:`endpoint`.
    :ivar state: :data:`EJECTED` or :data:`TRIED_LAST`.
    :ivar until: when it is back, or tried by one connection, in seconds.
    :ivar workers: how many leave it out.
    """

    destination: str
    endpoint: str
    state: str
    until: float
    workers: int = 1


@dataclass(slots=True)
class _Standing:
    """
    What there is to know of an endpoint that has failed.

    :ivar failures: in a row.
    :ivar until: it is out until then, or None.
    :ivar backoff: how many times the base it was out for last.
    :ivar returned: when it came back last.
    """

    failures: int = 0
    until: float | None = None
    backoff: int = 0
    returned: float = 0.0


class Ejections:
    """
    The endpoints of one destination that are left out.

    :param start: in the clock's seconds; the endpoints are looked at every interval from then on.
    """

    def __init__(self, policy: Outliers, start: float) -> None:
        self._policy = policy
        self._start = start
        self._standings: dict[EndpointLoad, _Standing] = {}
        self._out: dict[EndpointLoad, float] = {}
        self._next = math.inf

    def succeeded(self, load: EndpointLoad) -> None:
        """A connection to an endpoint was made."""
        standing = self._standings.get(load)
        if standing is not None:
            standing.failures = 0

    def failed(self, load: EndpointLoad, among: int, now: float) -> float | None:
        """
        A connection to an endpoint could not be made.

        :param among: how many endpoints there are, those that are out among them.
        :return: when it will be back, if it is left out from now on.
        """
        policy, standing = self._policy, self._standings.setdefault(load, _Standing())
        if standing.until is not None:
            return None
        standing.failures += 1
        if standing.failures < policy.failures:
            return None
        standing.failures = 0
        if 100 * (len(self._out) + 1) > policy.most * among:
            return None
        longest = max(LONGEST, policy.base)
        # Each look that finds an endpoint in takes one off.
        backoff = max(0, standing.backoff - int((now - standing.returned) / policy.interval))
        standing.backoff = backoff + 1 if backoff * policy.base < longest + policy.base else backoff
        standing.until = self._look_after(now + min(standing.backoff * policy.base, longest))
        self._out[load] = standing.until
        self._next = min(self._next, standing.until)
        return standing.until

    def returned(self, now: float) -> bool:
        """Whether an endpoint has come back since this was asked last."""
        if now < self._next:
            return False
        for load, until in tuple(self._out.items()):
            if until <= now:
                del self._out[load]
                standing = self._standings[load]
                standing.failures, standing.until, standing.returned = 0, None, until
        self._next = min(self._out.values(), default=math.inf)
        return True

    def out(self) -> Iterator[tuple[EndpointLoad, float]]:
        """The endpoints that are out, each with when it is back; those whose time is over among them."""
        return iter(self._out.items())

    def serving(self, loads: Sequence[EndpointLoad]) -> Sequence[EndpointLoad]:
        """Those that are not out; all of them where fewer are left than ``minHealthPercent`` says."""
        left = [load for load in loads if load not in self._out]
        return loads if 100 * len(left) < self._policy.panic * len(loads) else left

    def forget_all_but(self, loads: Iterable[EndpointLoad]) -> None:
        """Drop what is known of endpoints that are gone."""
        kept = set(loads)
        self._standings = {load: each for load, each in self._standings.items() if load in kept}
        self._out = {load: until for load, until in self._out.items() if load in kept}
        self._next = min(self._out.values(), default=math.inf)

    def _look_after(self, when: float) -> float:
        return self._start + math.ceil((when - self._start) / self._policy.interval) * self._policy.interval
