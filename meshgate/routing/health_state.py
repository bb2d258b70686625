"""
The health of an endpoint by its active checks: unhealthy after so many failures in a row, healthy after so many
successes.

An endpoint that was never checked is healthy, and its first check decides alone, as in Envoy
(source/extensions/health_checkers/common/health_checker_base_impl.cc): a dead one should not serve until it has failed
several times. Pure: chance is an argument.
"""

from __future__ import annotations

import random

from meshgate.routing.connection_policy import HealthCheck


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
