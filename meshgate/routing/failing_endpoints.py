"""
Endpoints that are left out while they fail: by outlier detection, or by their active health check.

Outlier detection ejects failing endpoints for a time, as Envoy does it for TCP (outlier_detection_impl.cc). A
connection that cannot be made is a failure. After as many failures in a row as the policy says, an endpoint is ejected
for ``baseEjectionTime`` times the number of its recent ejections, for :data:`LONGEST` seconds at most, and only if not
more than ``maxEjectionPercent`` of the endpoints are ejected then. Envoy checks the ejected endpoints with a timer,
every ``interval``. Here no timer runs: what Envoy would have done at its checks is worked out when a connection asks.

Envoy counts in one process, so all workers count together here: the failures and the ejection of an endpoint are in
memory that they share (:class:`EjectionMarks`), and a worker looks at its endpoints again when the first word there has
changed. There are no locks. Of two failures that two workers count within a microsecond, one may be lost; then the
endpoint is ejected a failure later.

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

from meshgate.routing.backoff import KeyedSlots, endpoint_key
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


# The words of a slot behind its key.
_FAILURES: Final = 1
"""Failures in a row."""
_UNTIL: Final = 2
"""The end of the last ejection, in microseconds; 0 if there was none."""
_BACKOFF: Final = 3
"""The last ejection, in multiples of the base."""

_ANY: Final = 1
"""The word of the memory that is not 0 once an endpoint has failed."""

_MICRO: Final = 1_000_000


class EjectionMarks(KeyedSlots):
    """The failures and ejections of all destinations, as one worker sees them."""

    def record(self, key: int) -> int:
        """The index of the slot of a key; 0 if it has none, as all have until something fails."""
        return self._find(key) if self.words[_ANY] else 0

    def new_record(self, key: int) -> int:
        """Give a key a slot."""
        self.words[_ANY] = 1
        return self._allocate(key)

    def ejected(self) -> None:
        """Have all workers look at their endpoints again."""
        self._changed()

    def _last_used(self, slot: int) -> int:
        return max(1, int(self.words[slot + _UNTIL]))


class Ejections:
    """
    The ejected endpoints of one destination.

    :param policy: the rules; what was counted by others does not count.
    :param start: the time from which the checks of every interval are counted, in the clock's seconds.
    :param marks: the memory that all workers share.
    :param name: the destination.
    """

    def __init__(self, policy: Outliers, start: float, marks: EjectionMarks, name: str) -> None:
        self._policy = policy
        self._start = start
        self._marks = marks
        self._name = f"{name} {policy}"
        self._keys: dict[EndpointLoad, int] = {}
        self._ejected: dict[EndpointLoad, float] = {}
        self._seen = 0
        self._next = math.inf

    def succeeded(self, load: EndpointLoad) -> None:
        """Note a connection to an endpoint that was made."""
        slot = self._marks.record(self._key(load))
        if slot and self._marks.words[slot + _FAILURES]:
            self._marks.words[slot + _FAILURES] = 0

    def failed(self, load: EndpointLoad, among: int, now: float) -> float | None:
        """
        Note a connection to an endpoint that could not be made.

        :param among: the number of endpoints, ejected ones included.
        :return: the time at which its ejection ends, if it is ejected now; None if it is not.
        """
        policy, marks, words = self._policy, self._marks, self._marks.words
        slot = marks.record(self._key(load)) or marks.new_record(self._key(load))
        returned = int(words[slot + _UNTIL]) / _MICRO
        if returned > now:
            return None
        failures = int(words[slot + _FAILURES]) + 1
        if failures < policy.failures:
            words[slot + _FAILURES] = failures
            return None
        words[slot + _FAILURES] = 0
        if 100 * (len(self._ejected) + 1) > policy.most * among:
            return None
        longest = max(LONGEST, policy.base)
        # Each check that finds an endpoint not ejected shortens its next ejection by one base.
        backoff = max(0, int(words[slot + _BACKOFF]) - int((now - returned) / policy.interval))
        if backoff * policy.base < longest + policy.base:
            backoff += 1
        until = self._check_after(now + min(backoff * policy.base, longest))
        words[slot + _BACKOFF], words[slot + _UNTIL] = backoff, int(until * _MICRO)
        marks.ejected()
        self._ejected[load] = until
        self._next = min(self._next, until)
        return until

    def look(self, now: float) -> bool:
        """Follow the ejections of all workers, and end those whose time is over; True if there were any."""
        if self._marks.words[0] == self._seen and now < self._next:
            return False
        self._seen = int(self._marks.words[0])
        found: dict[EndpointLoad, float] = {}
        for load, key in self._keys.items():
            slot = self._marks.record(key)
            until = int(self._marks.words[slot + _UNTIL]) / _MICRO if slot else 0.0
            if until > now:
                found[load] = until
        before, self._ejected = self._ejected, found
        for load, until in before.items():
            if load not in found:
                load.added = until
        self._next = min(found.values(), default=math.inf)
        return found.keys() != before.keys()

    @property
    def any(self) -> bool:
        """True if there is an ejected endpoint."""
        return bool(self._ejected)

    def ejected(self) -> Iterator[tuple[EndpointLoad, float]]:
        """The ejected endpoints, each with the end of its ejection; also those that :meth:`look` has yet to end."""
        return iter(self._ejected.items())

    def healthy(self, loads: Sequence[EndpointLoad]) -> Sequence[EndpointLoad]:
        """The endpoints that are not ejected; the same sequence if none is."""
        return [load for load in loads if load not in self._ejected] if self._ejected else loads

    def follow(self, loads: Iterable[EndpointLoad], now: float) -> None:
        """Judge these endpoints from now on; those that are gone start over should they come back."""
        before, self._keys = self._keys, {}
        for load in loads:
            self._keys[load] = before.pop(load, 0) or self._key(load)
        self._forget(before.values())
        self._seen = 0
        self.look(now)

    def forget(self) -> None:
        """Have all endpoints start over."""
        self._forget(self._keys.values())

    def _forget(self, keys: Iterable[int]) -> None:
        for slot in map(self._marks.record, keys):
            if slot:
                for word in (_FAILURES, _UNTIL, _BACKOFF):
                    self._marks.words[slot + word] = 0

    def _key(self, load: EndpointLoad) -> int:
        return self._keys.get(load) or endpoint_key(f"{self._name} {load.name}")

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
