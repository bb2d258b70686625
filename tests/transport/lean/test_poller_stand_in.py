"""The poller in place of the reactor's waiting: both get what is theirs, on a reactor of the test's own."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.trial.unittest import SynchronousTestCase

from meshgate.transport.lean.poller import Poller
from tests.transport.lean.test_poller import Watched


class Reader:
    """A reader of the reactor itself; counts the bytes that it reads."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.ours, self.theirs = socket.socketpair()
        test.addCleanup(self.ours.close)
        test.addCleanup(self.theirs.close)
        self.reads = 0

    def fileno(self) -> int:
        """As IReadDescriptor."""
        return self.ours.fileno()

    def logPrefix(self) -> str:
        """As IReadDescriptor."""
        return "reader"

    def doRead(self) -> None:
        """Count it."""
        self.reads += len(self.ours.recv(100))

    def connectionLost(self, reason: object) -> None:
        """As IReadDescriptor."""


class StandInTests(SynchronousTestCase):
    """One turn of the reactor serves everybody."""

    def setUp(self) -> None:
        """A reactor that is turned by hand, and a poller on it."""
        self.reactor: Any = EPollReactor()
        self.reader = Reader(self)
        self.addCleanup(self.end)
        self.reactor.addReader(self.reader)
        self.poller = self.new_poller()

    def end(self) -> None:
        """Leave nothing of the reactor open."""
        for reader in self.reactor.removeAll():
            if reader is self.reactor.waker:
                reader.connectionLost(None)
        for selectable in self.reactor._internalReaders:
            selectable.connectionLost(None)
        self.reactor._poller.close()

    def new_poller(self) -> Poller:
        """One more, closed at the end."""
        poller = Poller(self.reactor)
        self.addCleanup(poller.close)
        return poller

    def watched(self, poller: Poller | None = None, act: Any = None) -> Watched:
        """One on a poller; forgotten at the end."""
        one = Watched(poller or self.poller, act)
        self.addCleanup(one.close)
        self.addCleanup(one.poller.forget, one.descriptor)
        return one

    def stands_in(self) -> bool:
        """Return True if a poller waits in the reactor's place."""
        return "doIteration" in vars(self.reactor)

    def test_as_long_as_somebody_is_watched(self) -> None:
        """From the first to the last; before and after, the reactor waits by itself."""
        self.assertFalse(self.stands_in())
        first, second = self.watched(), self.watched()
        self.assertTrue(self.stands_in())
        first.close_now()
        self.assertTrue(self.stands_in())
        second.close_now()
        self.assertFalse(self.stands_in())
        self.reader.theirs.send(b"x")
        self.reactor.iterate(0)
        self.assertEqual(self.reader.reads, 1)

    def test_both_are_served(self) -> None:
        """All are served in one turn; and again, as the reactor reports its readers until they have read."""
        one = self.watched()
        for number in range(1, 4):
            one.theirs.send(b"x")
            self.reader.theirs.send(b"x")
            self.reactor.iterate(0)
            self.assertEqual((len(one.events), self.reader.reads), (number, number))

    def test_the_reactor_is_woken(self) -> None:
        """Neither a call from a thread nor one that is due has to wait for a socket."""
        self.watched()
        called: list[str] = []
        self.reactor.callFromThread(called.append, "from a thread")
        self.reactor.iterate(60)  # wakes
        self.reactor.iterate(0)
        self.reactor.callLater(0, called.append, "due")
        self.reactor.iterate(0)
        self.assertEqual(called, ["from a thread", "due"])

    def test_a_second_one(self) -> None:
        """A second poller is a reader of the reactor, and stays one when the first one has gone."""
        other = self.new_poller()
        one, two = self.watched(), self.watched(other)
        for each in (one, two):
            each.theirs.send(b"x")
        self.reactor.iterate(0)
        self.assertEqual((len(one.events), len(two.events)), (1, 1))
        one.close_now()
        self.assertFalse(self.stands_in())
        two.ours.recv(1)
        two.theirs.send(b"x")
        self.reactor.iterate(0)
        self.assertEqual(len(two.events), 2)
        two.close_now()
        self.assertNotIn(other, self.reactor.getReaders())

    def test_the_last_one_goes_within_a_batch(self) -> None:
        """An event of the reactor in the same batch is not lost, and is no failure."""
        for _ in range(20):  # who comes first is the kernel's choice
            last = self.watched()
            last._act = last.close_now
            before = self.reader.reads
            last.theirs.send(b"x")
            self.reader.theirs.send(b"x")
            self.reactor.iterate(0)
            self.reactor.iterate(0)
            self.assertEqual((last.is_closed, self.stands_in(), self.reader.reads), (True, False, before + 1))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_failure_of_the_reactors_own(self) -> None:
        """A reader that fails is the reactor's business; nobody else's connection suffers."""

        def fail() -> None:
            raise ZeroDivisionError

        self.reader.doRead = fail  # type: ignore[method-assign]
        one = self.watched()
        one.theirs.send(b"x")
        self.reader.theirs.send(b"x")
        self.reactor.iterate(0)
        self.reactor.iterate(0)
        self.assertEqual((len(one.events), one.crashes), (1, 0))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.stands_in())
