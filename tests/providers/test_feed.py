"""Tests of :mod:`meshgate.providers.feed`."""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.providers.feed import LONGEST_WAIT, QUIET, Feed, FeedState, ProviderFigures
from meshgate.providers.interfaces import ISnapshotSink
from meshgate.providers.snapshot import Snapshot
from meshgate.resources.problem import Origin, Problem, Severity
from meshgate.resources.resource import Resource
from tests.support import reactor


def gateway(name: str) -> Resource[Any]:
    """A resource, its spec of no interest here."""
    return Resource("Gateway", "default", name, {}, None, None, Origin("files", f"{name}.yaml", 1, 1))


def snapshot(*names: str) -> Snapshot:
    """A snapshot of Gateways with these names."""
    return Snapshot(tuple(gateway(name) for name in names))


def names(state: FeedState) -> list[str]:
    """The names of a state's resources, in order."""
    return [resource.name for resource in state.resources]


class FeedTests(SynchronousTestCase):
    """A :class:`Feed` on a clock that only tests move."""

    def setUp(self) -> None:
        """A feed whose states are collected."""
        self.clock = Clock()
        self.states: list[FeedState] = []
        self.feed = Feed(self.clock, self.states.append)

    def test_a_snapshot_is_passed_on(self) -> None:
        """A snapshot is passed on after the quiet moment, not before."""
        self.feed.sink("files").publish(snapshot("a"))
        self.clock.advance(QUIET * 0.9)
        self.assertEqual(self.states, [])
        self.clock.advance(QUIET * 0.2)
        self.assertEqual([names(state) for state in self.states], [["a"]])

    def test_figures_and_recovery(self) -> None:
        """Each provider has the figures of its last snapshot and its failure; its recovery is logged."""
        now = 100.0
        feed = Feed(self.clock, self.states.append, lambda: now)
        sink = feed.sink("files")
        self.assertEqual(feed.providers(), (ProviderFigures("files"),))
        with capturedLogs() as events:
            sink.failed("no")
            now = 101.0
            sink.failed("no, again")
            (figures,) = feed.providers()
            self.assertEqual((figures.published, figures.failing_since), (None, 100.0))
            self.assertIn("no, again", figures.reason)
            sink.publish(snapshot("a"))
            sink.publish(snapshot("a"))
            now = 102.0
            sink.failed("no")
            (figures,) = feed.providers()
            self.assertEqual((figures.resources, figures.published, figures.failing_since), (1, 101.0, 102.0))
            sink.publish(snapshot("a", "b"))
        self.assertEqual(feed.providers(), (ProviderFigures("files", 2, 102.0),))
        self.assertEqual([formatEvent(event) for event in events], ["the provider 'files' has recovered"] * 2)
        feed.remove("files")
        self.assertEqual(feed.providers(), ())
        feed.stop()

    def test_the_latest_of_a_moment_wins(self) -> None:
        """Several snapshots within a moment are passed on as one, the last."""
        sink = self.feed.sink("files")
        for name in ("a", "b", "c"):
            sink.publish(snapshot(name))
            self.clock.advance(QUIET / 2)
        self.clock.advance(QUIET)
        self.assertEqual([names(state) for state in self.states], [["c"]])

    def test_constant_publishing_is_passed_on_in_time(self) -> None:
        """A provider that never falls silent does not hold its own news back, nor that of others."""
        sink = self.feed.sink("files")
        for number in range(100):
            sink.publish(snapshot(f"n{number}"))
            self.clock.advance(QUIET / 2)
        passed = 100 * QUIET / 2
        self.assertGreaterEqual(len(self.states), int(passed / (LONGEST_WAIT + QUIET)))
        self.assertLess(len(self.states), 10)

    def test_an_empty_snapshot_withdraws(self) -> None:
        """An empty snapshot is news: the provider's routes go."""
        sink = self.feed.sink("files")
        sink.publish(snapshot("a"))
        self.clock.advance(1)
        sink.publish(Snapshot())
        self.clock.advance(1)
        self.assertEqual([names(state) for state in self.states], [["a"], []])

    def test_equal_snapshots_are_no_change(self) -> None:
        """Publishing the same again passes nothing on."""
        sink = self.feed.sink("files")
        sink.publish(snapshot("a"))
        self.clock.advance(1)
        sink.publish(snapshot("a"))
        self.clock.advance(1)
        self.assertEqual(len(self.states), 1)

    def test_there_and_back_is_no_change(self) -> None:
        """A change that is undone at once is not passed on."""
        sink = self.feed.sink("files")
        sink.publish(snapshot("a"))
        self.clock.advance(1)
        sink.publish(snapshot("b"))
        sink.publish(snapshot("a"))
        self.clock.advance(1)
        self.assertEqual(len(self.states), 1)

    def test_providers_stand_in_the_order_of_their_names(self) -> None:
        """The order of resources does not depend on who published first."""
        self.feed.sink("zeta").publish(snapshot("z2", "z1"))
        self.feed.sink("alpha").publish(snapshot("a"))
        self.assertEqual(names(self.feed.flush()), ["a", "z2", "z1"])

    def test_thousands_are_not_copied(self) -> None:
        """If one provider has all resources, their tuple is passed on without a copy."""
        published = snapshot("a", "b")
        self.feed.sink("files").publish(published)
        self.feed.sink("empty").publish(Snapshot())
        self.clock.advance(QUIET)
        self.assertIs(self.states[0].resources, published.resources)

    def test_one_provider_does_not_touch_another(self) -> None:
        """Each provider's last snapshot stays when another publishes."""
        self.feed.sink("one").publish(snapshot("a"))
        other = self.feed.sink("two")
        other.publish(snapshot("b"))
        self.clock.advance(1)
        other.publish(Snapshot())
        self.clock.advance(1)
        self.assertEqual(names(self.states[-1]), ["a"])

    def test_flush_gives_the_state_at_once(self) -> None:
        """The first load does not wait, and what was flushed is not passed on again."""
        self.feed.sink("files").publish(snapshot("a"))
        self.assertEqual(names(self.feed.flush()), ["a"])
        self.clock.advance(1)
        self.assertEqual(self.states, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_problems_of_a_snapshot_are_passed_on(self) -> None:
        """The problems of resources that a provider could not read belong to the state."""
        problem = Problem(Severity.WARNING, "MG1001", "unknown field")
        self.feed.sink("files").publish(Snapshot((), (problem,)))
        self.assertEqual(self.feed.flush().problems, (problem,))

    def test_refused_resources_are_passed_on(self) -> None:
        """Invalid resources belong to the state, apart from those that serve."""
        self.feed.sink("files").publish(Snapshot(refused=(gateway("a"),)))
        state = self.feed.flush()
        self.assertEqual((state.resources, [each.name for each in state.refused]), ((), ["a"]))

    def test_a_failure_keeps_the_last_snapshot(self) -> None:
        """A source that cannot be read keeps serving, with a problem that names the provider and the reason."""
        sink = self.feed.sink("hosts")
        sink.publish(snapshot("a"))
        sink.failed("no answer from 192.0.2.1")
        state = self.feed.flush()
        self.assertEqual(names(state), ["a"])
        (problem,) = state.problems
        self.assertEqual((problem.code, problem.severity), ("MG3001", Severity.ERROR))
        self.assertEqual(problem.provider, "hosts")
        self.assertEqual(
            str(problem),
            "hosts: error[MG3001]: the provider 'hosts' failed: no answer from 192.0.2.1 (what it published last keeps "
            "serving)",
        )

    def test_a_publish_ends_a_failure(self) -> None:
        """The problem is gone with the next snapshot, even an equal one."""
        sink = self.feed.sink("hosts")
        sink.publish(snapshot("a"))
        sink.failed(OSError(2, "No such file or directory", "/x"))
        self.assertIn("/x: No such file or directory", self.feed.flush().problems[0].message)
        sink.publish(snapshot("a"))
        self.assertEqual(self.feed.flush().problems, ())

    def test_a_failure_before_any_snapshot(self) -> None:
        """A provider that has never published anything can fail, too."""
        self.feed.sink("hosts").failed(ValueError("bad\nnews"))
        state = self.feed.flush()
        self.assertEqual(state.resources, ())
        self.assertEqual(state.problems[0].message, "the provider 'hosts' failed: bad news")
        self.assertEqual(state.problems[0].hint, "")

    def test_a_failure_after_a_failure(self) -> None:
        """The last snapshot before both failures keeps serving, and only the last reason is shown."""
        sink = self.feed.sink("hosts")
        sink.publish(snapshot("a"))
        sink.failed("one")
        sink.failed(KeyError("two"))
        state = self.feed.flush()
        self.assertEqual(names(state), ["a"])
        (problem,) = state.problems
        self.assertIn("failed: KeyError: 'two'", problem.message)

    def test_removal_withdraws(self) -> None:
        """A removed provider's routes and problems go."""
        sink = self.feed.sink("files")
        sink.publish(snapshot("a"))
        sink.failed("later")
        self.feed.flush()
        self.feed.remove("files")
        self.clock.advance(1)
        self.assertEqual(self.states, [FeedState()])

    def test_a_removed_provider_publishes_nothing_more(self) -> None:
        """The sink of a removed provider is closed."""
        sink = self.feed.sink("files")
        self.feed.remove("files")
        sink.publish(snapshot("a"))
        sink.failed("too late")
        self.clock.advance(1)
        self.assertEqual(self.states, [])

    def test_removing_a_stranger_does_nothing(self) -> None:
        """A name that the feed does not know can be removed."""
        self.feed.remove("nobody")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_new_sink_replaces_the_old_one(self) -> None:
        """The successor under a name keeps what was published until it publishes; the old sink is closed."""
        old = self.feed.sink("files")
        old.publish(snapshot("old"))
        new = self.feed.sink("files")
        old.publish(snapshot("late"))
        self.assertEqual(names(self.feed.flush()), ["old"])
        new.publish(snapshot("new"))
        self.assertEqual(names(self.feed.flush()), ["new"])

    def test_nothing_comes_after_the_stop(self) -> None:
        """A stopped feed passes nothing on, and leaves no timer behind."""
        sink = self.feed.sink("files")
        sink.publish(snapshot("a"))
        self.feed.stop()
        sink.publish(snapshot("b"))
        self.clock.advance(1)
        self.assertEqual((self.states, self.clock.getDelayedCalls()), ([], []))


class StrangeSnapshotTests(SynchronousTestCase):
    """Anything but a snapshot is a fault of the provider, and breaks nothing."""

    def published(self, strange: Any) -> FeedState:
        """The state after something strange followed a good snapshot."""
        feed = Feed(Clock(), lambda state: None)
        sink: ISnapshotSink = feed.sink("odd")
        sink.publish(snapshot("good"))
        sink.publish(strange)
        state = feed.flush()
        self.assertEqual(names(state), ["good"])
        self.assertEqual([problem.provider for problem in state.problems], ["odd"])
        return state

    def test_not_a_snapshot(self) -> None:
        """A list of resources is no Snapshot."""
        message = self.published([gateway("a")]).problems[0].message
        self.assertIn("it published list instead of a Snapshot", message)

    def test_a_list_of_resources(self) -> None:
        """A Snapshot around a list could still be changed from outside."""
        message = self.published(Snapshot([gateway("a")])).problems[0].message  # type: ignore[arg-type]
        self.assertIn("a Snapshot with a list instead of a tuple", message)

    def test_strange_resources(self) -> None:
        """A Snapshot of plain mappings is refused: they have not been read."""
        message = self.published(Snapshot(({"kind": "Gateway"},))).problems[0].message  # type: ignore[arg-type]
        self.assertIn("a Snapshot with dict instead of Resource", message)

    def test_strange_refusals(self) -> None:
        """Refused resources are read as far as possible."""
        strange = Snapshot(refused=({"kind": "Gateway"},))  # type: ignore[arg-type]
        self.assertIn("a Snapshot with dict instead of Resource", self.published(strange).problems[0].message)

    def test_strange_problems(self) -> None:
        """Problems are Problems."""
        message = self.published(Snapshot((), ("oh no",))).problems[0].message  # type: ignore[arg-type]
        self.assertIn("a Snapshot with str instead of Problem", message)


class ThreadTests(TestCase):
    """Publishing from another thread, on the real reactor."""

    async def test_a_thread_may_publish(self) -> None:
        """The reactor's thread accepts snapshots of other threads, in their order."""
        threads = set()
        call_later = reactor.callLater

        def watched(*arguments: Any) -> Any:
            threads.add(threading.get_ident())
            return call_later(*arguments)

        self.patch(reactor, "callLater", watched)
        arrived: Deferred[FeedState] = Deferred()
        feed = Feed(reactor, arrived.callback)
        self.addCleanup(feed.stop)
        sink = feed.sink("threaded")

        def publish() -> None:
            for number in range(50):
                sink.publish(snapshot(f"n{number}"))

        await deferToThread(publish)
        self.assertEqual(names(await arrived), ["n49"])
        self.assertEqual(threads, {threading.get_ident()})

    async def test_a_thread_may_fail(self) -> None:
        """A failure from a thread arrives as the provider's problem."""
        arrived: Deferred[FeedState] = Deferred()
        feed = Feed(reactor, arrived.callback)
        self.addCleanup(feed.stop)
        await deferToThread(feed.sink("threaded").failed, "no luck")
        self.assertIn("no luck", (await arrived).problems[0].message)

    async def test_a_thread_that_comes_too_late(self) -> None:
        """Snapshots of a thread are dropped once its provider has been removed."""
        states: list[FeedState] = []
        feed = Feed(reactor, states.append)
        sink = feed.sink("threaded")
        published = deferToThread(sink.publish, snapshot("a"))
        feed.remove("threaded")
        await published
        self.assertEqual(feed.flush(), FeedState())
        feed.stop()
