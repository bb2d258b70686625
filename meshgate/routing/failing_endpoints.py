"""
Endpoints that are left out while they fail: by outlier detection, or by their active health check.

Outlier detection ejects failing endpoints for a time, as Envoy does it for TCP (outlier_detection_impl.cc). A
connection that cannot be made is a failure. After as many failures in a row as the policy says, an endpoint is ejected
for ``baseEjectionTime`` times the number of its recent ejections, for :data:`LONGEST` seconds at most, and only if not
more than ``maxEjectionPercent`` of the endpoints are ejected then. Envoy checks the ejected endpoints with a timer,
every ``interval``. Here no timer runs: what Envoy would have done at its checks is worked out when a connection asks.

By its active checks, an endpoint is unhealthy after so many failures in a row, and healthy after so many successes. One
that was never checked is healthy, and its first check decides alone, as in Envoy
(source/extensions/health_checkers/common/health_checker_base_impl.cc): a dead one should not serve until it has failed
several times. Pure: the time and chance are arguments.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from meshgate.routing.connection_policy import HealthCheck, Outliers
from meshgate.routing.endpoint_load import EndpointLoad

LONGEST: Final = 300.0
"""The longest ejection in seconds, unless ``baseEjectionTime`` is longer."""


EJECTED: Final = "ejected"
TRIED_LAST: Final = "tried_last"
UNHEALTHY: Final = "unhealthy"
"""
States of a failing endpoint: outlier detection gives it no connections; a back-off, those that no other takes; and its
health check gives it none.
"""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """
    An endpoint that gets no connections for a time, or is tried last.

    :ivar destination: the name of the destination.
    :ivar endpoint: the name of the endpoint.
    :ivar state: :data:`EJECTED`, :data:`TRIED_LAST` or :data:`UNHEALTHY`.
    :ivar until: the time in seconds at which it is back, or tried by one connection; None if that is not known.
    :ivar workers: how many workers leave it out.
    :ivar reason: why its health check fails; empty for the other states.
    """

    destination: str
    endpoint: str
    state: str
    until: float | None
    workers: int = 1
    reason: str = ""


@dataclass(slots=True)
class _FailureRecord:
    """
    The record of an endpoint that has failed.

    :ivar failures: failures in a row.
    :ivar until: the time at which its ejection ends; None if it is not ejected.
    :ivar backoff: the last ejection, in multiples of the base.
    :ivar returned: the time at which its last ejection ended.
    """

    failures: int = 0
    until: float | None = None
    backoff: int = 0
    returned: float = 0.0


class Ejections:
    """
    The ejected endpoints of one destination.

    :param start: the time from which the checks of every interval are counted, in the clock's seconds.
    """

    def __init__(self, policy: Outliers, start: float) -> None:
        self._policy = policy
        self._start = start
        self._records: dict[EndpointLoad, _FailureRecord] = {}
        self._ejected: dict[EndpointLoad, float] = {}
        self._next = math.inf

    def succeeded(self, load: EndpointLoad) -> None:
        """Note a connection to an endpoint that was made."""
        record = self._records.get(load)
        if record is not None:
            record.failures = 0

    def failed(self, load: EndpointLoad, among: int, now: float) -> float | None:
        """
        Note a connection to an endpoint that could not be made.

        :param among: the number of endpoints, ejected ones included.
        :return: the time at which its ejection ends, if it is ejected now; None if it is not.
        """
        policy, record = self._policy, self._records.setdefault(load, _FailureRecord())
        if record.until is not None:
            return None
        record.failures += 1
        if record.failures < policy.failures:
            return None
        record.failures = 0
        if 100 * (len(self._ejected) + 1) > policy.most * among:
            return None
        longest = max(LONGEST, policy.base)
        # Each check that finds an endpoint not ejected shortens its next ejection by one base.
        backoff = max(0, record.backoff - int((now - record.returned) / policy.interval))
        record.backoff = backoff + 1 if backoff * policy.base < longest + policy.base else backoff
        record.until = self._check_after(now + min(record.backoff * policy.base, longest))
        self._ejected[load] = record.until
        self._next = min(self._next, record.until)
        return record.until

    def readmit(self, now: float) -> bool:
        """End the ejections whose time is over; True if there were any."""
        if now < self._next:
            return False
        for load, until in tuple(self._ejected.items()):
            if until <= now:
                del self._ejected[load]
                record = self._records[load]
                record.failures, record.until, record.returned = 0, None, until
                load.added = until
        self._next = min(self._ejected.values(), default=math.inf)
        return True

    def ejected(self) -> Iterator[tuple[EndpointLoad, float]]:
        """The ejected endpoints, each with the end of its ejection; also those that :meth:`readmit` has yet to end."""
        return iter(self._ejected.items())

    def healthy(self, loads: Sequence[EndpointLoad]) -> Sequence[EndpointLoad]:
        """The endpoints that are not ejected; the same sequence if none is."""
        return [load for load in loads if load not in self._ejected] if self._ejected else loads

    def forget_all_but(self, loads: Iterable[EndpointLoad]) -> None:
        """Drop the records of endpoints that are gone."""
        kept = set(loads)
        self._records = {load: each for load, each in self._records.items() if load in kept}
        self._ejected = {load: until for load, until in self._ejected.items() if load in kept}
        self._next = min(self._ejected.values(), default=math.inf)

    def _check_after(self, when: float) -> float:
        """The first check of Envoy's timer at or after a time."""
        return self._start + math.ceil((when - self._start) / self._policy.interval) * self._policy.interval


class HealthState:
    """
    The health of one endpoint.

    :param before: the health of the endpoint by another check, which counts until this one knows better.
    :ivar healthy: True if it gets connections.
    :ivar reason: why its last check failed, as text for people; empty if it did not.
    """

    __slots__ = ("_check", "_in_a_row", "_is_known", "healthy", "reason")

    healthy: bool
    reason: str
    _is_known: bool

    def __init__(self, check: HealthCheck, before: HealthState | None = None) -> None:
        self._check = check
        self.healthy = True if before is None else before.healthy
        self.reason = "" if before is None else before.reason
        self._is_known = before is not None and before._is_known
        self._in_a_row = 0

    def judge(self, failure: str) -> bool:
        """
        Judge the outcome of a check.

        :param failure: why it has failed; empty if it has succeeded.
        :return: True if the endpoint's health has changed.
        """
        succeeded = not failure
        self.reason = failure
        first, self._is_known = not self._is_known, True
        if succeeded is self.healthy:
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        if not first and self._in_a_row < (self._check.rise if succeeded else self._check.fall):
            return False
        self.healthy, self._in_a_row = succeeded, 0
        return True


def pause(check: HealthCheck, rng: random.Random) -> float:
    """The seconds from the end of a check to the next one."""
    return check.interval * (1 + check.jitter / 100 * rng.uniform(-1, 1))
