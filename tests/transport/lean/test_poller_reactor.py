"""The poller and real reactors: it stands in for their waiting, and nobody else on them is the worse for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.pollreactor import PollReactor
from twisted.internet.protocol import Factory
from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from meshgate.transport.lean.poller import READ, Poller
from meshgate.transport.network import LeanNetwork
from tests.lean_loop import DEADLINE, descriptors
from tests.peers import LOOPBACK, Peer


class Watched:
    """
    A socket pair with one end on a poller.

    :ivar act: called for each event.
    """

    def __init__(self, poller: Poller, act: Callable[[], object]) -> None:
        self.poller, self.act = poller, act
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.events = 0
        poller.watch(self.ours.fileno(), self.ready, READ)

    def ready(self, event: int) -> None:
        """Note it."""
        self.events += 1
        self.act()

    def crashed(self) -> None:
        """It is logged, and that is all."""

    def close(self) -> None:
        """Be watched no more."""
        if self.ours.fileno() >= 0:
            self.poller.forget(self.ours.fileno())
            self.ours.close()
            self.theirs.close()


class ReactorCase(SynchronousTestCase):
    """A reactor of the test's own, and a poller on it."""

    kind: Callable[[], Any] = EPollReactor

    def setUp(self) -> None:
        """Make them."""
        tcp._reservedFD.reserve()  # Twisted does so with the first port, for good
        self.before = descriptors()
        self.reactor: Any = type(self).kind()
        self.poller = Poller(self.reactor)
        self.open: list[Watched] = []
        self.addCleanup(self._end)
        self.in_time = True

    def _end(self) -> None:
        for one in self.open:
            one.close()
        self.poller.close()
        self.reactor.removeAll()
        for reader in tuple(self.reactor._internalReaders):
            self.reactor.removeReader(reader)
            reader.connectionLost(None)
        if isinstance(self.reactor, EPollReactor):
            self.reactor._poller.close()
        self.assertEqual(descriptors(), self.before)

    def watched(self, act: Callable[[], object] = bool, poller: Poller | None = None) -> Watched:
        """One more on the poller."""
        self.open.append(Watched(poller or self.poller, act))
        return self.open[-1]

    def run_reactor(self) -> None:
        """Run the reactor until somebody stops it."""

        def too_late() -> None:
            self.in_time = False
            self.reactor.crash()

        # Neither timers nor threads may be what does not work.
        deadline = self.reactor.callLater(DEADLINE, too_late)
        watchdog = threading.Timer(DEADLINE + 1, self.reactor.callFromThread, [too_late])
        watchdog.start()
        self.reactor.run(installSignalHandlers=False)
        watchdog.cancel()
        watchdog.join()
        if deadline.active():
            deadline.cancel()
        self.assertTrue(self.in_time, "the reactor was not stopped in time")

    def stands_in(self) -> bool:
        """Return True if the poller waits in the reactor's place."""
        return "doIteration" in vars(self.reactor)


class AnyReactorTests(ReactorCase):
    """Tests for every reactor that watches descriptors."""

    def test_timers_fire(self) -> None:
        """While something quiet is watched, in their order and at their time."""
        fired: list[int] = []
        self.watched()
        began = self.reactor.seconds()
        self.reactor.callLater(0.02, fired.append, 2)
        self.reactor.callLater(0.01, fired.append, 1)
        self.reactor.callLater(0.03, self.reactor.stop)
        self.run_reactor()
        self.assertEqual(fired, [1, 2])
        self.assertGreaterEqual(self.reactor.seconds() - began, 0.029)

    def test_a_timer_due_at_once_does_not_wait(self) -> None:
        """Whatever is to be done without delay is done without an event."""
        self.watched()
        left = list(range(50))

        def again() -> None:
            if left:
                left.pop()
                self.reactor.callLater(0, again)
            else:
                self.reactor.stop()

        self.reactor.callLater(0, again)
        self.run_reactor()

    def test_events_come(self) -> None:
        """An event that comes while the reactor waits ends the waiting."""
        one = self.watched(lambda: self.reactor.stop())
        self.reactor.callLater(0.01, one.theirs.send, b"x")
        self.run_reactor()
        self.assertEqual(one.events, 1)

    def test_a_thread_pool_answers(self) -> None:
        """The reactor's own threads give their results."""
        self.watched()
        answers: list[int] = []

        def work() -> None:
            self.reactor.callFromThread(answers.append, 1)
            self.reactor.callFromThread(self.reactor.stop)

        self.reactor.callWhenRunning(self.reactor.callInThread, work)
        self.run_reactor()
        self.assertEqual(answers, [1])

    def test_stopping_within_an_event(self) -> None:
        """The loop ends, and what is to happen before that has happened."""
        done: list[str] = []
        self.reactor.addSystemEventTrigger("before", "shutdown", done.append, "before")
        self.reactor.addSystemEventTrigger("after", "shutdown", done.append, "after")
        one = self.watched(lambda: self.reactor.stop())
        one.theirs.send(b"x")
        self.run_reactor()
        self.assertEqual(done, ["before", "after"])

    def test_crashing_within_an_event(self) -> None:
        """The loop ends at once."""
        one = self.watched(lambda: self.reactor.crash())
        one.theirs.send(b"x")
        self.run_reactor()
        self.assertFalse(self.reactor.running)

    def test_closing_within_an_event(self) -> None:
        """The last one that goes takes the poller with it, and the reactor goes on."""

        def all_over() -> None:
            one.close()
            self.poller.close()
            self.reactor.callLater(0.01, self.reactor.stop)

        one: Watched = self.watched(all_over)
        one.theirs.send(b"x")
        self.run_reactor()
        self.assertFalse(self.stands_in())

    def test_beginning_again(self) -> None:
        """Nothing watched, then something, and so on: each gets its events, from within the reactor's timers too."""
        left = list(range(5))

        def next_one() -> None:
            if self.open:
                self.open.pop().close()
            if not left:
                self.reactor.stop()
                return
            left.pop()
            one = self.watched(lambda: self.reactor.callLater(0, next_one))
            self.reactor.callLater(0, one.theirs.send, b"x")

        self.reactor.callWhenRunning(next_one)
        self.run_reactor()
        self.assertEqual((left, self.stands_in(), self.reactor.getReaders()), ([], False, self.readers()))

    def readers(self) -> list[Any]:
        """The reactor's own connections."""
        return list(self.reactor._internalReaders)

    def test_twisteds_own_beside_it(self) -> None:
        """A connection of Twisted's transports gets its events, even while the poller always has something to do."""
        server, client = Peer(), Peer(b"question")
        busy = self.watched(lambda: self.poller.rearm(busy.ours.fileno(), READ))
        busy.theirs.send(b"x")
        port = self.reactor.listenTCP(0, Factory.forProtocol(lambda: server), interface=LOOPBACK)
        connectProtocol(TCP4ClientEndpoint(self.reactor, LOOPBACK, port.getHost().port), client)
        looks: list[int] = []

        def look() -> None:
            looks.append(busy.events)
            if server.received == b"question" and not server.finished:
                server.finished = 1
                server.send(bytes(200_000))
                server.finish()
            if client.finished is None:
                self.reactor.callLater(0.001, look)
                return
            server.reset()
            client.reset()
            port.stopListening()
            self.reactor.callLater(0.01, self.reactor.stop)

        self.reactor.callWhenRunning(look)
        self.run_reactor()
        self.assertEqual((client.finished, len(client.received)), (200_000, 200_000))
        self.assertGreater(looks[-1], looks[0])
        self.assertTrue(server.lost and client.lost)

    def test_two_pollers(self) -> None:
        """Each gets its events, whichever comes or goes first."""
        other = Poller(self.reactor)
        self.addCleanup(other.close)
        heard: list[str] = []

        def hear(name: str) -> None:
            heard.append(name)
            if name == "first":
                second.theirs.send(b"x")
            elif name == "second":
                first.close()
                third.theirs.send(b"x")
            else:
                self.reactor.stop()

        first = self.watched(lambda: hear("first"))
        second = self.watched(lambda: hear("second"), other)
        third = self.watched(lambda: hear("third"), other)
        self.reactor.callWhenRunning(first.theirs.send, b"x")
        self.run_reactor()
        self.assertEqual(heard, ["first", "second", "third"])

    def test_a_failure_ends_nothing(self) -> None:
        """Whatever raises is logged, and the loop goes on."""
        one = self.watched(lambda: 1 // 0)
        other = self.watched(lambda: self.reactor.callLater(0, self.reactor.stop))
        one.theirs.send(b"x")
        self.reactor.callLater(0.01, other.theirs.send, b"x")
        self.run_reactor()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_whole_connection(self) -> None:
        """Accepting, dialing, bytes and ends of stream, all lean, on this reactor."""
        network, far = LeanNetwork(self.reactor), LeanNetwork(self.reactor)  # none dials itself
        server, client = Peer(b"greeting"), Peer()
        listening = socket.create_server((LOOPBACK, 0))
        place = listening.getsockname()
        listening.setblocking(False)

        class Dialing:
            def dialed(self, protocol: Any) -> None:
                protocol.finish()

            def dial_failed(self, error: Exception) -> None:
                raise error

        def look() -> None:
            if client.finished is None:
                if server.finished is not None:
                    server.finish()
                self.reactor.callLater(0.001, look)
                return
            server.reset()
            client.reset()
            port.stop()
            self.reactor.callLater(0, self.reactor.stop)

        port = far.listen(listening, Factory.forProtocol(lambda: server))
        self.reactor.callWhenRunning(network.dial, *place, client, 5.0, b"question", Dialing())
        self.reactor.callWhenRunning(look)
        self.run_reactor()
        network.close()
        far.close()
        self.assertEqual((server.received, client.received), (b"question", b"greeting"))
        self.assertTrue(server.lost and client.lost)


class StandingInTests(ReactorCase):
    """Tests for reactors in whose place the poller waits."""

    def test_the_last_one_goes(self) -> None:
        """Once nothing is watched any more, the reactor waits by itself again, and what it watches is not forgotten."""
        for _ in range(3):
            last = self.watched(lambda: last.close())  # noqa: B023 - it is called within this round
            last.theirs.send(b"x")
            wakes = threading.Timer(0.1, self.reactor.callFromThread, [self.reactor.crash])
            self.reactor.callWhenRunning(wakes.start)
            self.run_reactor()
            wakes.join()
            self.assertNotIn("doIteration", vars(self.reactor))

    def test_another_thread_wakes_it(self) -> None:
        """A call from a thread ends the waiting."""
        self.watched()
        waits = threading.Event()
        events = self.poller._events

        class AboutToWait:
            def serve(self, *arguments: Any) -> None:
                waits.set()
                events.serve(*arguments)

            def __getattr__(self, name: str) -> Any:
                return getattr(events, name)

        def wake() -> None:
            if waits.wait(DEADLINE):
                self.reactor.callFromThread(self.reactor.stop)

        def begin() -> None:
            self.poller._events = AboutToWait()  # type: ignore[assignment]
            thread.start()

        thread = threading.Thread(target=wake)
        self.reactor.callWhenRunning(begin)
        self.run_reactor()
        thread.join()


class PollReactorTests(AnyReactorTests):
    """The same where the poller is a reader, on a reactor that waits by poll."""

    kind = PollReactor


class SelectReactorTests(AnyReactorTests):
    """The same on a reactor that waits by select."""

    kind = SelectReactor
