"""Waiting for events and handing them out, in the form that is there, on real sockets."""

from __future__ import annotations

import gc
import math
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.transport.lean import events
from meshgate.transport.lean.events import BATCH, Call, Events
from tests.lean_loop import DEADLINE, descriptors

IN_C = not str(events.Events.__module__).endswith(".events")


class NotingOwner:
    """An owner that notes its calls."""

    def __init__(self) -> None:
        self.batch_size = -1
        self.to_close: list[Any] = []
        self.failures: list[tuple[int, Exception]] = []
        self.batches: list[list[Any]] = []

    def call_failed(self, descriptor: int, error: Exception) -> None:
        """Note it."""
        self.failures.append((descriptor, error))

    def close_waiting(self) -> None:
        """Note it, and do what has to be done."""
        self.batches.append(self.to_close.copy())
        self.to_close.clear()


class EventsCase(SynchronousTestCase):
    """Events, and socket pairs to make them."""

    def setUp(self) -> None:
        """Nothing is watched yet."""
        self.calls: dict[int, Call] = {}
        self.owner = NotingOwner()
        self.events = Events(self.calls, self.owner)
        self.addCleanup(self.events.close)
        self.heard: list[tuple[int, int]] = []
        self.reactor: dict[str, Any] = {
            "doIteration": None,
            "_newTimedCalls": [],
            "_justStopped": False,
            "_started": True,
        }

    def watched(self, act: Callable[[], bool | None] | None = None, ready: bool = True) -> tuple[int, socket.socket]:
        """
        One end of a pair, which is watched for bytes and does what the test says, and the other end.

        :param ready: whether there is something to read already.
        """
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        descriptor = ours.fileno()

        def call(event: int) -> bool | None:
            self.heard.append((descriptor, event))
            return act() if act is not None else None

        self.calls[descriptor] = call
        self.events.register(descriptor, select.EPOLLIN | select.EPOLLET)
        if ready:
            theirs.send(b"x")
        return descriptor, theirs

    def serve(self) -> None:
        """As the reactor has it done, within bounds."""
        began = time.monotonic()
        self.events.serve(DEADLINE, self.reactor)
        self.assertLess(time.monotonic() - began, DEADLINE)


class DispatchTests(EventsCase):
    """Events that are there already."""

    def test_events_reach_whom_they_are_for(self) -> None:
        """Each is called once for its own, with what has happened; who has no event is not called."""
        one, _ = self.watched()
        self.watched(ready=False)
        other, end = self.watched()
        end.close()
        self.assertEqual(self.events.dispatch(), 2)
        self.assertEqual(set(self.heard), {(one, select.EPOLLIN), (other, select.EPOLLIN | select.EPOLLHUP)})
        self.assertEqual(len(self.heard), 2)

    def test_nothing_has_happened(self) -> None:
        """It does not wait, and says so by the batch size, too."""
        self.assertEqual((self.events.dispatch(), self.owner.batch_size), (0, 0))
        self.watched(ready=False)
        self.assertEqual((self.events.dispatch(), self.owner.batch_size, self.heard), (0, 0, []))

    def test_the_batch_size_is_set_before_the_first_call(self) -> None:
        """The size of each batch is set before its first call."""
        sizes: list[int] = []
        ends = [self.watched(lambda: sizes.append(self.owner.batch_size))[1] for _ in range(3)]
        self.events.dispatch()
        ends[0].send(b"x")
        self.events.dispatch()
        self.events.dispatch()
        self.assertEqual((sizes, self.owner.batch_size), ([3, 3, 3, 1], 0))

    def test_more_than_a_batch(self) -> None:
        """Events that do not fit in one batch come with the next."""
        for _ in range(BATCH + 10):
            descriptor = os.eventfd(1)
            self.addCleanup(os.close, descriptor)
            self.calls[descriptor] = lambda event: None
            self.events.register(descriptor, select.EPOLLIN | select.EPOLLET)
        self.assertEqual([self.events.dispatch() for _ in range(3)], [BATCH, 10, 0])

    def test_a_failure_is_reported(self) -> None:
        """The owner gets an exception with its descriptor and traceback, and all others are called."""

        def fail() -> None:
            raise ZeroDivisionError("of a test")

        self.watched()
        failing, _ = self.watched(fail)
        self.watched()
        self.assertEqual(self.events.dispatch(), 3)
        self.assertEqual(len(self.heard), 3)
        [(descriptor, error)] = self.owner.failures
        self.assertEqual((descriptor, type(error), str(error)), (failing, ZeroDivisionError, "of a test"))
        self.assertEqual(traceback.extract_tb(error.__traceback__)[-1].name, "fail")

    def test_a_failure_that_cannot_be_reported(self) -> None:
        """An exception of the owner reaches the caller."""

        def fail() -> None:
            raise ZeroDivisionError

        def refuse(descriptor: int, error: Exception) -> None:
            raise LookupError

        self.owner.call_failed = refuse  # type: ignore[method-assign]
        self.watched(fail)
        self.assertRaises(LookupError, self.events.dispatch)

    def test_who_is_dropped_in_a_batch_hears_nothing(self) -> None:
        """The first call takes all others from the calls, and no other is called."""

        def drop_the_others() -> None:
            for descriptor in list(self.calls):
                if descriptor != self.heard[0][0]:
                    del self.calls[descriptor]

        for _ in range(4):
            self.watched(drop_the_others)
        self.assertEqual((self.events.dispatch(), len(self.heard), self.owner.failures), (4, 1, []))

    def test_who_drops_itself(self) -> None:
        """A call may be the last thing to hold what it belongs to."""
        descriptor, end = self.watched(lambda: self.calls.clear())
        self.events.dispatch()
        end.send(b"x")
        self.assertEqual((self.events.dispatch(), self.heard), (1, [(descriptor, select.EPOLLIN)]))

    def test_an_exit_is_no_failure(self) -> None:
        """An exception that ends the process reaches the caller."""

        def leave() -> None:
            raise SystemExit(3)

        self.watched(leave)
        self.assertRaises(SystemExit, self.events.dispatch)
        self.assertEqual(self.owner.failures, [])

    def test_the_end_of_a_batch(self) -> None:
        """The owner closes after all calls of a batch, and only if there is anything to close."""
        self.watched(lambda: self.owner.to_close.append(len(self.heard)))
        self.watched(lambda: self.owner.to_close.append(len(self.heard)))
        self.events.dispatch()
        self.watched()
        self.events.dispatch()
        self.assertEqual(self.owner.batches, [[1, 2]])

    def test_the_end_of_a_batch_with_a_failure(self) -> None:
        """A call that fails has asked for nothing less than the others."""

        def fail() -> None:
            self.owner.to_close.append("something")
            raise ZeroDivisionError

        self.watched(fail)
        self.events.dispatch()
        self.assertEqual(self.owner.batches, [["something"]])


class ServeTests(EventsCase):
    """Waiting, until there is something for the reactor to do."""

    def test_a_time_that_has_come(self) -> None:
        """It does not wait, and hands out what there is."""
        self.events.serve(0.0, self.reactor)
        descriptor, _ = self.watched()
        self.events.serve(-1.0, self.reactor)
        self.assertEqual(self.heard, [(descriptor, select.EPOLLIN)])

    def test_a_time_to_come(self) -> None:
        """With nothing to do it waits until then, and not less."""
        self.watched(ready=False)
        began = time.monotonic()
        self.events.serve(0.02, self.reactor)
        self.assertTrue(0.02 <= time.monotonic() - began < DEADLINE)
        self.assertEqual((self.heard, self.owner.batch_size), ([], 0))

    def test_it_goes_on_until_somebody_says_so(self) -> None:
        """Events that a call causes are served at once; True from any call ends it after the batch."""
        last, to_last = self.watched(lambda: True, ready=False)
        middle, to_middle = self.watched(lambda: to_last.send(b"x") < 0, ready=False)
        first, _ = self.watched(lambda: to_middle.send(b"x") < 0)
        self.serve()
        self.assertEqual([descriptor for descriptor, _ in self.heard], [first, middle, last])

    def test_all_of_a_batch_are_called(self) -> None:
        """A call that returns True does not keep others from being called."""
        for _ in range(3):
            self.watched(lambda: len(self.heard) == 1)
        self.serve()
        self.assertEqual(len(self.heard), 3)

    def test_it_ends_for_the_reactor(self) -> None:
        """A new timed call, the reactor's end, and that it waits by itself again are acted on after the batch."""
        for name, value in (("_newTimedCalls", ["a call"]), ("_justStopped", True), ("_started", False)):
            usual = self.reactor[name]

            def change(name: str = name, value: Any = value) -> None:
                self.reactor[name] = value

            self.watched(change)
            self.serve()
            self.reactor[name] = usual
        self.watched(lambda: self.reactor.pop("doIteration"))
        self.serve()
        self.assertEqual(len(self.heard), 4)

    def test_it_ends_when_it_was_closed(self) -> None:
        """One of those called may close it, which is no error."""
        self.watched(lambda: self.events.close())
        self.watched()
        self.serve()
        self.assertEqual((len(self.heard), self.owner.failures), (2, []))

    def test_failures_do_not_end_it(self) -> None:
        """It goes on after an exception, but not after an exit."""

        def fail() -> None:
            to_last.send(b"x")
            raise ZeroDivisionError

        def leave() -> None:
            raise SystemExit(3)

        _, to_last = self.watched(leave, ready=False)
        self.watched(fail)
        self.assertRaises(SystemExit, self.serve)
        self.assertEqual((len(self.heard), len(self.owner.failures)), (2, 1))

    def on_alarm(self, act: Callable[[], object], delay: float = 0.02) -> None:
        """Have something done by a signal in a moment."""
        before = signal.signal(signal.SIGALRM, lambda number, frame: act())
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_REAL, delay)

    def test_no_time_at_all(self) -> None:
        """Without a next timed call it waits for events only."""
        self.on_alarm(lambda: self.fail("it goes on for ever"), DEADLINE)
        self.watched(lambda: True)
        self.events.serve(math.inf, self.reactor)
        self.assertEqual(len(self.heard), 1)

    def test_a_signal_is_handled_while_it_waits(self) -> None:
        """A handler runs at once, and what it causes is handed out."""
        _, end = self.watched(lambda: True, ready=False)
        self.on_alarm(lambda: end.send(b"x"))
        deadline = time.monotonic() + DEADLINE
        while not self.heard and time.monotonic() < deadline:
            self.events.serve(DEADLINE, self.reactor)
        self.assertEqual(len(self.heard), 1)
        self.assertLess(time.monotonic(), deadline)

    def test_what_a_handler_raises_is_the_callers(self) -> None:
        """An interruption by the user ends the wait."""

        def interrupt() -> None:
            raise KeyboardInterrupt

        self.on_alarm(interrupt)
        self.assertRaises(KeyboardInterrupt, self.serve)


class DescriptorTests(EventsCase):
    """Registering, modifying and unregistering descriptors."""

    def test_what_is_watched_for_can_be_changed(self) -> None:
        """Modifying a descriptor reports it again, for no events never."""
        descriptor, end = self.watched(ready=False)
        self.events.modify(descriptor, select.EPOLLOUT | select.EPOLLET)
        self.events.dispatch()
        self.events.modify(descriptor, 0)
        end.send(b"x")
        self.assertEqual(self.events.dispatch(), 0)
        self.events.modify(descriptor, select.EPOLLIN)
        self.assertEqual([self.events.dispatch(), self.events.dispatch()], [1, 1])
        self.assertEqual([event for _, event in self.heard], [select.EPOLLOUT, select.EPOLLIN, select.EPOLLIN])

    def test_who_is_not_watched_any_more(self) -> None:
        """There are no more events of a descriptor once it was unregistered."""
        descriptor, _ = self.watched()
        self.events.unregister(descriptor)
        self.assertEqual((self.events.dispatch(), self.heard), (0, []))

    def test_what_the_kernel_refuses(self) -> None:
        """A descriptor that is watched already, or not at all, or not open, is an error."""
        descriptor, _ = self.watched()
        self.assertRaises(FileExistsError, self.events.register, descriptor, select.EPOLLIN)
        self.events.unregister(descriptor)
        self.assertRaises(FileNotFoundError, self.events.unregister, descriptor)
        self.assertRaises(FileNotFoundError, self.events.modify, descriptor, select.EPOLLIN)
        ours, theirs = socket.socketpair()
        closed = ours.fileno()
        ours.close()
        theirs.close()
        self.assertRaises(OSError, self.events.register, closed, select.EPOLLIN)

    def test_it_is_a_descriptor_itself(self) -> None:
        """Another poll sees when there is something to hand out."""
        _, end = self.watched(ready=False)
        self.assertFalse(os.get_inheritable(self.events.fileno()))
        self.assertEqual(select.select([self.events.fileno()], [], [], 0)[0], [])
        end.send(b"x")
        self.assertEqual(select.select([self.events.fileno()], [], [], DEADLINE)[0], [self.events.fileno()])

    def test_closing(self) -> None:
        """Nothing is left of it, it may be closed again, and it hands out nothing any more."""
        before = descriptors()
        extra = Events({}, self.owner)
        self.assertEqual(descriptors(), before + 1)
        extra.close()
        extra.close()
        self.assertEqual(descriptors(), before)
        self.assertRaises((OSError, ValueError), extra.dispatch)

    def test_what_nobody_has_any_more_is_closed(self) -> None:
        """Also where it is known to whom it tells."""
        gc.collect()  # sockets that other tests have left are none of this one's
        before = descriptors()
        owner: Any = NotingOwner()
        calls: dict[int, Call] = {}
        owner.events = Events(calls, owner)
        calls[owner.events.fileno()] = owner.events.modify
        del owner, calls
        gc.collect()
        self.assertEqual(descriptors(), before)


class ArgumentTests(EventsCase):
    """Wrong arguments of the C form, which no type checker sees."""

    skip = None if IN_C else "only where it is compiled: make test-compiled"

    def test_wrong_arguments(self) -> None:
        """Too few, too many, and those of another type are refused, and nothing is left open."""
        made: Any = Events
        ours: Any = self.events
        headless: Any = object()
        self.owner.to_close = ()  # type: ignore[assignment]
        before = descriptors()
        for call in (
            lambda: made(),
            lambda: made({}),
            lambda: made([], NotingOwner()),
            lambda: made({}, self.owner),
            lambda: made(calls={}, owner=NotingOwner()),
            lambda: ours.register(1),
            lambda: ours.register("1", select.EPOLLIN),
            lambda: ours.register(1, "in"),
            lambda: ours.modify(1),
            lambda: ours.unregister(),
            lambda: ours.unregister(1, 2),
            lambda: ours.dispatch(0),
            lambda: ours.serve(),
            lambda: ours.serve(0.0),
            lambda: ours.serve("now", self.reactor),
            lambda: ours.serve(0.0, []),
        ):
            self.assertRaises(TypeError, call)
        self.assertRaises(AttributeError, made, {}, headless)
        gc.collect()
        self.assertEqual(descriptors(), before)

    def test_a_reactor_without_its_attributes(self) -> None:
        """One of another version is an error, and not one that never stops."""
        self.watched()
        self.assertRaises(KeyError, self.events.serve, DEADLINE, {"doIteration": None})
