"""Tests of :mod:`meshgate.routing.health_state`."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.connection_policy import HealthCheck
from meshgate.routing.health_state import HealthState, pause

CHECK = HealthCheck(rise=2, fall=3)
OK, BAD = "", "it is dead"


def health(*outcomes: str, state: HealthState | None = None) -> list[bool]:
    """The health after each check."""
    state = state or HealthState(CHECK)
    found = []
    for each in outcomes:
        state.judge(each)
        found.append(state.healthy)
    return found


class HealthStateTests(SynchronousTestCase):
    """The outcomes of checks decide."""

    def test_the_first_check_decides_alone(self) -> None:
        """An endpoint that was never checked is healthy until its first check fails."""
        self.assertTrue(HealthState(CHECK).healthy)
        self.assertEqual(health(BAD), [False])
        self.assertEqual(health(OK, BAD), [True, True])

    def test_so_many_in_a_row(self) -> None:
        """Three failures in a row make it unhealthy, two successes healthy again; any other outcome begins anew."""
        self.assertEqual(health(OK, BAD, BAD, OK, BAD, BAD, BAD), [True] * 6 + [False])
        self.assertEqual(health(BAD, OK, BAD, OK, OK), [False] * 4 + [True])

    def test_another_check_begins_with_the_health_before(self) -> None:
        """A check that changes sends no clients to a dead endpoint, and one failure takes none from a live one."""
        dead, live = HealthState(CHECK), HealthState(CHECK)
        dead.judge(BAD)
        live.judge(OK)
        again = HealthState(HealthCheck(rise=1), dead)
        self.assertEqual((again.healthy, again.reason), (False, BAD))
        self.assertEqual(health(OK, state=again), [True])
        self.assertEqual(health(BAD, state=HealthState(CHECK, live)), [True])

    @given(st.lists(st.booleans(), max_size=60), st.integers(1, 4), st.integers(1, 4))
    def test_against_the_rule_in_words(self, outcomes: list[bool], rise: int, fall: int) -> None:
        """After the first outcome, health changes exactly when the last ``rise`` or ``fall`` ones since agree."""
        state, seen, healthy = HealthState(HealthCheck(rise=rise, fall=fall)), [], True
        for number, success in enumerate(outcomes):
            changed = state.judge(OK if success else BAD)
            seen.append(success)
            needed = 1 if number == 0 else rise if success else fall
            turns = success is not healthy and len(seen) >= needed and seen[-needed:] == [success] * needed
            if turns:
                healthy, seen = success, []
            self.assertEqual((state.healthy, changed), (healthy, turns))

    def test_chance_moves_the_pause(self) -> None:
        """By the percentage of the jitter each way, and not at all without one."""
        rng = random.Random(1)
        pauses = [pause(HealthCheck(interval=10, jitter=20), rng) for _ in range(500)]
        self.assertTrue(8 <= min(pauses) < 8.5 and 11.5 < max(pauses) <= 12, (min(pauses), max(pauses)))
        self.assertEqual(pause(HealthCheck(interval=10, jitter=0), rng), 10)
