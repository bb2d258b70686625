"""The poller: each rule of an edge-triggered poll, on real sockets and a loop turned by hand."""

from __future__ import annotations

import math
import select
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.transport.lean.events import BATCH
from meshgate.transport.lean.poller import READ, READ_WRITE, ROUNDS, Poller
from tests.lean_loop import Loop
from tests.peers import Peer


class Watched:
    """
    One end of a socket pair on the poller, which does what the test says.

    :ivar events: the events that it has got.
    """

    def __init__(self, poller: Poller, act: Any = None) -> None:
        self.poller = poller
        self.ours, self.theirs = socket.socketpair()
        self.descriptor = self.ours.fileno()
        self.events: list[int] = []
        self.crashes = 0
        self.is_closed = False
        self._act = act
        poller.watch(self.descriptor, self.ready, READ)

    def ready(self, event: int) -> None:
        """Note it."""
        self.events.append(event)
        if self._act is not None:
            self._act()

    def crashed(self) -> None:
        """Note it."""
        self.crashes += 1

    def close_now(self) -> None:
        """As Closable."""
        self.is_closed = True
        self.poller.forget(self.descriptor)
        self.close()

    def close_soon(self) -> None:
        """Be closed after the batch."""
        self.poller.close_soon(self)

    def close(self) -> None:
        """Leave nothing open."""
        self.ours.close()
        self.theirs.close()


class PollerTests(SynchronousTestCase):
    """Many sockets behind one descriptor."""

    def setUp(self) -> None:
        """A poller on a loop."""
        self.loop = Loop(self)
        self.poller = self.loop.poller

    def watched(self, act: Any = None) -> Watched:
        """One more on the poller."""
        one = Watched(self.poller, act)
        self.addCleanup(one.close)
        self.addCleanup(self.poller.forget, one.descriptor)
        return one

    def test_the_reactor_watches_while_somebody_is_watched(self) -> None:
        """The first one watched puts the poller on the reactor, the last one that goes takes it off."""
        self.assertEqual(self.loop.readers, set())
        first, second = self.watched(), self.watched()
        self.assertEqual(self.loop.readers, {self.poller})
        first.close_now()
        self.assertEqual(self.loop.readers, {self.poller})
        second.close_now()
        self.assertEqual(self.loop.readers, set())

    def test_an_event_comes_once(self) -> None:
        """Bytes that nobody reads are reported once, and once more after each rearm."""
        one = self.watched()
        one.theirs.send(b"x")
        self.loop.turn()
        self.loop.turn()
        self.assertEqual(one.events, [select.EPOLLIN])
        self.poller.rearm(one.descriptor, READ_WRITE)
        self.loop.turn()
        self.assertEqual(one.events[1:], [select.EPOLLIN | select.EPOLLOUT])

    def test_asking_when_there_is_nothing(self) -> None:
        """To be queued again with nothing to do is no event."""
        one = self.watched()
        self.poller.rearm(one.descriptor, READ)
        self.loop.turn()
        self.assertEqual(one.events, [])

    def test_more_events_than_a_batch(self) -> None:
        """One event of the reactor hands out several batches."""
        many = [self.watched() for _ in range(BATCH + 50)]
        for one in many:
            one.theirs.send(b"x")
        self.loop.turn()
        self.assertEqual({len(one.events) for one in many}, {1})

    def test_the_reactor_gets_its_turn(self) -> None:
        """After some rounds, a descriptor that is always ready waits for the reactor's next turn."""
        busy: Watched = self.watched(lambda: self.poller.rearm(busy.descriptor, READ))
        busy.theirs.send(b"x")
        self.poller.doRead()
        self.assertEqual(len(busy.events), ROUNDS)
        self.poller.doRead()
        self.assertEqual(len(busy.events), 2 * ROUNDS)

    def test_events_are_passed_to_another(self) -> None:
        """The call can be replaced while the descriptor is watched."""
        one = self.watched()
        heard: list[int] = []
        self.poller.change_call(one.descriptor, heard.append)
        one.theirs.send(b"x")
        self.loop.turn()
        self.assertEqual((one.events, heard), ([], [select.EPOLLIN]))

    def test_a_close_within_a_batch_comes_after_it(self) -> None:
        """The number of a closed descriptor is not given to anybody as long as events for the old one are about."""
        numbers: list[int] = []

        def kill_the_others() -> None:
            for one in others:
                one.close_soon()
            with socket.socket() as fresh:
                numbers.append(fresh.fileno())

        killer = self.watched(kill_the_others)
        others = [self.watched() for _ in range(8)]
        for one in (killer, *others):
            one.theirs.send(b"x")
        self.loop.turn()
        self.assertTrue(all(one.is_closed for one in others))
        self.assertNotIn(numbers[0], [one.descriptor for one in others])

    def test_a_reused_number_gets_no_event_of_the_old_one(self) -> None:
        """A socket with the number of one that was just closed gets only its own events."""
        born: list[Watched] = []

        class Reborn(Watched):
            def close_now(self) -> None:
                super().close_now()
                born.append(test.watched())

        test = self
        dying: list[Watched] = []
        for _ in range(50):
            one: Watched = Reborn(self.poller)
            one._act = one.close_soon
            dying.append(one)
        for one in dying:
            one.theirs.send(b"x")
        self.loop.turn()
        self.assertEqual(len(born), 50)
        self.assertTrue({one.descriptor for one in born} & {one.descriptor for one in dying})
        self.assertEqual([one.events for one in born], [[]] * 50)
        for one in born:
            one.theirs.send(b"x")
        self.loop.turn()
        self.assertEqual([one.events for one in born], [[select.EPOLLIN]] * 50)

    def test_a_close_outside_a_batch_comes_in_the_next_turn(self) -> None:
        """Nobody is closed while something of his may still be under way."""
        one = self.watched()
        one.close_soon()
        self.assertFalse(one.is_closed)
        self.loop.advance(0)
        self.assertTrue(one.is_closed)
        self.assertEqual(self.loop.getDelayedCalls(), [])

    def test_a_failure_is_the_failing_ones(self) -> None:
        """An exception is logged, its object notified, and all others are served."""

        def fail() -> None:
            raise ZeroDivisionError

        failing, other = self.watched(fail), self.watched()
        failing.theirs.send(b"x")
        other.theirs.send(b"x")
        self.loop.turn()
        self.assertEqual((failing.crashes, other.crashes, len(other.events)), (1, 0, 1))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_failure_of_nobodys(self) -> None:
        """An exception is logged even if a plain function gets the events by then, and others are served."""
        of_a_module: Any = math.sqrt  # as compiled ones are, bound to its module

        def fail() -> None:
            self.poller.change_call(failing.descriptor, of_a_module)
            raise ZeroDivisionError

        failing: Watched = self.watched(fail)
        other = self.watched()
        failing.theirs.send(b"x")
        other.theirs.send(b"x")
        self.loop.turn()
        self.assertEqual((failing.crashes, len(other.events)), (0, 1))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_failing_end_is_logged(self) -> None:
        """An exception of one close does not keep others from being closed."""
        one, other = self.watched(), self.watched()
        one.close_now = lambda: 1 // 0  # type: ignore[assignment]
        one.close_soon()
        other.close_soon()
        self.loop.advance(0)
        self.assertTrue(other.is_closed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_who_is_dropped_in_a_batch_hears_no_more(self) -> None:
        """An event that was fetched before its socket was dropped is forgotten, without a word."""
        everybody: list[Watched] = []

        def drop_the_others() -> None:
            for one in everybody:
                if not one.events:
                    self.poller.drop(one.descriptor)

        everybody.extend(self.watched(drop_the_others) for _ in range(4))
        for one in everybody:
            one.theirs.send(b"x")
        self.loop.turn()
        self.assertEqual(sorted(len(one.events) for one in everybody), [0, 0, 0, 1])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_closing_closes_what_waits(self) -> None:
        """Sockets that wait to be closed are closed with the poller, and its descriptor leaves the reactor."""
        one = self.watched()
        one.close_soon()
        self.poller.close()
        self.assertTrue(one.is_closed)
        self.assertEqual((self.poller.fileno(), self.loop.getDelayedCalls()), (-1, []))

    def test_closing_within_a_batch(self) -> None:
        """The end of the last connection may be the end of all, while events are handed out."""

        class Last(Watched):
            def close_now(self) -> None:
                super().close_now()
                self.poller.close()

        last = Last(self.poller)
        last._act = last.close_soon
        last.theirs.send(b"x")
        self.loop.turn()
        self.assertEqual(self.poller.fileno(), -1)


class Shortlived(Peer):
    """
    Leaves at its first byte, and has another one take its place.

    :param loop: where.
    :param left: how many are to follow.
    """

    def __init__(self, loop: Loop, left: int, everybody: list[Shortlived]) -> None:
        super().__init__()
        self.loop, self.left, self.everybody = loop, left, everybody
        everybody.append(self)

    def dataReceived(self, data: bytes) -> None:
        """Leave."""
        super().dataReceived(data)
        self.transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """Have the next one come, with its own byte there already."""
        super().connectionLost(reason)
        if self.left:
            number = len(self.everybody)
            _, end = self.loop.connection(Shortlived(self.loop, self.left - 1, self.everybody))
            end.finish(b"%d;" % number)


class TurnoverTests(SynchronousTestCase):
    """Connections that end and begin within one batch."""

    def test_each_gets_its_own(self) -> None:
        """Twenty generations of a hundred connections in the same few descriptors, each with bytes of its own."""
        loop = Loop(self)
        everybody: list[Shortlived] = []
        for number in range(100):
            _, end = loop.connection(Shortlived(loop, 19, everybody))
            end.finish(b"%d;" % number)

        def over() -> bool:
            for end in loop.ends:
                end.close()
            loop.ends.clear()
            return len(everybody) == 2000 and all(peer.lost for peer in everybody)

        loop.until(over, "the last generation")
        self.assertEqual([bytes(peer.received) for peer in everybody], [b"%d;" % number for number in range(2000)])
