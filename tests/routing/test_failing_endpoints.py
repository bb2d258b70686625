"""Tests of :mod:`meshgate.routing.failing_endpoints`, against a model with Envoy's timer that checks every endpoint."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.backoff import WORDS
from meshgate.routing.connection_policy import HealthCheck, Outliers
from meshgate.routing.endpoint_load import EndpointLoad
from meshgate.routing.failing_endpoints import LONGEST, EjectionMarks, Ejections, HealthState, pause
from meshgate.routing.table import Endpoint


def shared(workers: int = 1) -> list[EjectionMarks]:
    """The marks of several workers in one memory."""
    words = memoryview(bytearray(8 * WORDS)).cast("q")
    return [EjectionMarks(words, worker) for worker in range(workers)]


def of(policy: Outliers, start: float, there: Sequence[EndpointLoad], marks: EjectionMarks | None = None) -> Ejections:
    """The ejections of these endpoints."""
    ejections = Ejections(policy, start, marks or shared()[0], "db")
    ejections.follow(there, start)
    return ejections


def loads(count: int) -> list[EndpointLoad]:
    """Endpoint loads on ports from 1."""
    return [EndpointLoad(Endpoint("192.0.2.1", port)) for port in range(1, count + 1)]


class Looking:
    """A model of Envoy, which checks every endpoint at every interval."""

    def __init__(self, policy: Outliers, count: int, start: int) -> None:
        self.policy = policy
        self.failures, self.backoff = [0] * count, [0] * count
        self.out: dict[int, int] = {}
        self.looked = start

    def look_until(self, now: int) -> None:
        """Make every check up to now."""
        while self.looked + self.policy.interval <= now:
            self.looked += int(self.policy.interval)
            for number, backoff in enumerate(self.backoff):
                longest = max(LONGEST, self.policy.base)
                if number not in self.out:
                    self.backoff[number] = max(0, backoff - 1)
                elif min(self.policy.base * backoff, longest) <= self.looked - self.out[number]:
                    del self.out[number]
                    self.failures[number] = 0

    def failed(self, number: int, now: int) -> None:
        """Note a failure; while the endpoint is ejected it changes nothing, since the failures then start at 0."""
        self.failures[number] += 1
        if number in self.out or self.failures[number] < self.policy.failures:
            return
        self.failures[number] = 0
        if (len(self.out) + 1) / len(self.failures) * 100 <= self.policy.most:
            self.out[number] = now
            if self.backoff[number] * self.policy.base < max(LONGEST, self.policy.base) + self.policy.base:
                self.backoff[number] += 1


POLICIES = st.builds(
    Outliers,
    failures=st.integers(1, 3),
    interval=st.integers(1, 40),
    base=st.integers(1, 400),
    most=st.sampled_from([0, 10, 25, 50, 100]),
    panic=st.sampled_from([0, 30, 60, 100]),
)
EVENTS = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.one_of(st.integers(0, 5), st.integers(0, 900))), max_size=60
)


class EjectionTests(SynchronousTestCase):
    """Ejections and their ends."""

    @given(POLICIES, st.integers(0, 100), EVENTS)
    @settings(deadline=None, max_examples=300)
    def test_as_if_somebody_had_looked(self, policy: Outliers, start: int, events: list[tuple[int, bool, int]]) -> None:
        """Whatever fails, and however rarely ejections are looked up, the same endpoints are ejected as in Envoy."""
        there, looking, now = loads(4), Looking(policy, 4, start), start
        ejections = of(policy, start, there)
        for number, fails, later in events:
            now += later
            looking.look_until(now)
            ejections.look(now)
            if fails:
                looking.failed(number, now)
                ejections.failed(there[number], 4, now)
            else:
                looking.failures[number] = 0
                ejections.succeeded(there[number])
            left = [load for index, load in enumerate(there) if index not in looking.out]
            self.assertEqual(list(ejections.healthy(there)), left)

    def test_a_return_is_told_once(self) -> None:
        """Readmitting reports an endpoint that is back once, and nothing while nothing changes."""
        (load, *_) = there = loads(2)
        ejections = of(Outliers(1, 10, 30, 50, 0), 3, there)
        self.assertFalse(ejections.look(1000))
        # Out at 1001 for 30 seconds, and looked at every 10 from 3 on.
        self.assertEqual(ejections.failed(load, 2, 1001), 1033)
        self.assertFalse(ejections.look(1032))
        self.assertEqual(list(ejections.healthy(there)), there[1:])
        self.assertTrue(ejections.look(1033))
        self.assertFalse(ejections.look(1033))
        self.assertEqual(list(ejections.healthy(there)), there)

    def test_endpoints_that_go_are_forgotten(self) -> None:
        """An endpoint that was removed and added again is neither ejected nor failing."""
        there = loads(2)
        ejections = of(Outliers(1, 10, 30, 50, 0), 0, there)
        ejections.failed(there[0], 2, 0)
        ejections.follow(there[1:], 0)
        self.assertFalse(ejections.look(1))
        ejections.follow(there, 1)
        self.assertEqual(list(ejections.healthy(there)), there)
        self.assertIsNotNone(ejections.failed(there[1], 2, 1000))

    @given(POLICIES, EVENTS, st.integers(2, 4), st.data())
    @settings(deadline=None, max_examples=100)
    def test_workers_count_together(
        self, policy: Outliers, events: list[tuple[int, bool, int]], workers: int, data: st.DataObject
    ) -> None:
        """Whichever worker meets what, the same endpoints are ejected as by one process, in all of them."""
        alone_there = loads(4)
        alone, now = of(policy, 0, alone_there), 0
        each_there = [loads(4) for _ in range(workers)]
        each = [of(policy, 0, there, marks) for there, marks in zip(each_there, shared(workers), strict=True)]
        for number, fails, later in events:
            now += later
            turn = data.draw(st.integers(0, workers - 1))
            for ejections, there in ((alone, alone_there), (each[turn], each_there[turn])):
                ejections.look(now)
                if fails:
                    ejections.failed(there[number], 4, now)
                else:
                    ejections.succeeded(there[number])
            left = [load.port for load in alone.healthy(alone_there)]
            for ejections, there in zip(each, each_there, strict=True):
                ejections.look(now)
                self.assertEqual([load.port for load in ejections.healthy(there)], left)

    def test_destinations_and_policies_are_apart(self) -> None:
        """The same endpoint of another destination, or under other rules, has failures of its own."""
        (marks,), there, policy = shared(), loads(2), Outliers(1, 10, 30, 50, 0)
        one = of(policy, 0, there, marks)
        other = Ejections(policy, 0, marks, "cache")
        stricter = of(Outliers(1, 10, 30, 60, 0), 0, there, marks)
        other.follow(there, 0)
        self.assertIsNotNone(one.failed(there[0], 2, 0))
        self.assertFalse(other.look(0) or stricter.look(0))
        one.forget()
        self.assertEqual(list(of(policy, 0, there, marks).healthy(there)), there)


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
