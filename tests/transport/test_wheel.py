"""The wheel: never early, never more than a tick late, and one call of the clock for all."""

from __future__ import annotations

import gc
import weakref

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshgate.transport.wheel import SOON, TICK, Timer, Wheel


class WheelTests(SynchronousTestCase):
    """A wheel on a clock that the test moves."""

    def setUp(self) -> None:
        """One that has just begun."""
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.fired: list[tuple[str, float]] = []

    def fire(self, name: str = "") -> None:
        """Note the time."""
        self.fired.append((name, self.clock.seconds()))

    @given(
        st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5), st.booleans()), max_size=20),
        st.lists(st.floats(0.001, 3), min_size=1, max_size=40),
    )
    def test_times_are_kept(self, calls: list[tuple[float, float, bool]], steps: list[float]) -> None:
        """Whenever it is asked and however the clock moves, a call comes once, not early, and soon after it is due."""
        clock, due = Clock(), dict[int, float]()
        wheel = Wheel(clock)
        fired: dict[int, float] = {}

        def fire(number: int) -> None:
            self.assertNotIn(number, fired)
            fired[number] = clock.seconds()

        for number, (delay, wait, absolute) in enumerate(calls):
            clock.advance(wait)
            due[number] = clock.seconds() + delay
            if absolute:
                wheel.call_at(due[number], lambda number=number: fire(number))  # type: ignore[misc]
            else:
                wheel.callLater(delay, fire, number)
        longest = max(steps)
        while clock.seconds() < max(due.values(), default=0) + 2 * TICK + longest:
            clock.pump(steps)
        for number, when in due.items():
            # The clock stands still for a step, so that much is not the wheel's.
            late = fired[number] - when
            waits = max([wait for _, wait, _ in calls] + [longest])
            self.assertTrue(-1e-5 <= late <= TICK + waits + 1e-5, (number, when, fired[number]))
        self.assertEqual((len(wheel), clock.getDelayedCalls()), (0, []))

    def test_one_call_of_the_clock_for_all(self) -> None:
        """A thousand limits are one call of the clock, and none is left once they are over."""
        timers = [self.wheel.callLater(delay, self.fire) for delay in range(1000)]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for timer in timers:
            timer.cancel()
        self.clock.advance(2 * TICK)
        self.assertEqual((len(self.wheel), self.clock.getDelayedCalls(), self.fired), (0, [], []))

    def test_calling_off(self) -> None:
        """A cancelled call does not come; cancelling twice, or too late, does nothing."""
        off, on = self.wheel.callLater(3, self.fire, "off"), self.wheel.callLater(3, self.fire, "on")
        self.assertTrue(off.active())
        off.cancel()
        off.cancel()
        self.assertFalse(off.active())
        self.clock.pump([TICK] * 6)
        self.assertEqual([name for name, _ in self.fired], ["on"])
        self.assertFalse(on.active())
        on.cancel()

    def test_calls_may_set_and_call_off_others(self) -> None:
        """A call that calls off one of the same tick is obeyed, and one that sets another has it come later."""
        timers: list[Timer] = []

        def first() -> None:
            self.fire("first")
            for timer in timers:
                timer.cancel()
            self.wheel.callLater(0, self.fire, "later")

        timers += [self.wheel.callLater(1, first), self.wheel.callLater(1, first)]
        self.clock.pump([TICK] * 5)
        self.assertEqual([name for name, _ in self.fired], ["first", "later"])

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        """An exception is logged, and everybody else's time comes."""

        def fail() -> None:
            raise ValueError("on purpose")

        self.wheel.callLater(1, fail)
        self.wheel.callLater(2, self.fire)
        self.clock.pump([TICK] * 5)
        self.assertEqual(len(self.fired), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_stopping(self) -> None:
        """Once stopped, nothing comes, and the clock is left alone."""
        self.wheel.callLater(1, self.fire)
        self.wheel.call_soon(self.fire)
        self.wheel.stop()
        self.wheel.callLater(1, self.fire)
        self.wheel.call_soon(self.fire)
        self.clock.pump([TICK] * 4)
        self.assertEqual((self.fired, self.clock.getDelayedCalls()), ([], []))

    def test_soon(self) -> None:
        """Calls that come sooner than a tick share one call of the clock, and can be cancelled."""
        self.wheel.call_soon(self.fire)
        self.wheel.call_soon(self.fire).cancel()
        self.assertEqual((len(self.wheel), len(self.clock.getDelayedCalls())), (1, 1))
        self.clock.advance(SOON)
        self.assertEqual((len(self.fired), len(self.wheel)), (1, 0))
        self.wheel.call_soon(self.fire)
        self.clock.advance(SOON)
        self.assertEqual(len(self.fired), 2)

    def test_once_over_it_holds_nobody(self) -> None:
        """A timer and the object that it calls are freed without the collector, after the call or its cancelling."""

        class Owner:
            def ring(self) -> None:
                pass

        gc.disable()
        self.addCleanup(gc.enable)
        for over in (Timer.cancel, Timer.fire):
            owner = Owner()
            gone = weakref.ref(owner)
            vars(owner)["timer"] = timer = self.wheel.callLater(3, owner.ring)
            over(timer)
            del owner, timer
            self.assertIsNone(gone())
