"""Tests of :mod:`meshgate.providers.running`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from meshgate.providers.feed import Feed, FeedState
from meshgate.providers.interfaces import IRouteProvider, IRouteProviderFactory, ISnapshotSink, ProviderContext
from meshgate.providers.registry import ProviderChoice
from meshgate.providers.running import STOP_TIMEOUT, Providers
from meshgate.providers.snapshot import Snapshot
from tests.providers.test_feed import names, snapshot


class ScriptedError(Exception):
    """The error that the providers of these tests raise."""


def logged(events: Iterable[LogEvent], level: str) -> list[str]:
    """The lines of one level."""
    return [formatEvent(event) for event in events if event["log_level"].name == level]


@implementer(IRouteProvider)
class Scripted:
    """A provider that does what its options say, and keeps a diary."""

    def __init__(self, name: str, options: Mapping[str, Any], diary: list[str]) -> None:
        self.name = name
        self.options = options
        self.diary = diary

    def start(self, sink: ISnapshotSink) -> None:
        """Publish what the options say."""
        self.sink = sink
        self.act("start")
        sink.publish(snapshot(*self.options.get("publish", ())))

    def reload(self) -> None:
        """Nothing but the entry."""
        self.act("reload")

    def stop(self) -> Deferred[None] | None:
        """Return what the options hold for it."""
        self.act("stop")
        stopping: Deferred[None] | None = self.options.get("stopping")
        return stopping

    def act(self, event: str) -> None:
        """Note it, and raise if the options say so."""
        self.diary.append(f"{event} {self.name}")
        if event in self.options.get("raises", ()):
            raise ScriptedError(f"cannot {event}")


@implementer(IRouteProviderFactory)
class ScriptedFactory:
    """Makes scripted providers."""

    type_name = "scripted"
    summary = "for tests"

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.made: dict[str, Scripted] = {}

    def parse_options(self, options: Mapping[str, object], folder: str) -> Mapping[str, object]:
        """Take them as they are."""
        return options

    def create(self, name: str, options: Mapping[str, Any], context: ProviderContext) -> Any:
        """A provider, or something that is none."""
        if "create" in options.get("raises", ()):
            raise ScriptedError("cannot create")
        provider = self.made[name] = Scripted(name, options, self.diary)
        return options.get("instead", provider)


class ProvidersTests(SynchronousTestCase):
    """The life of :class:`Providers`."""

    def setUp(self) -> None:
        """Nothing running yet."""
        self.clock = Clock()
        self.factory = ScriptedFactory()
        self.feed = Feed(self.clock, lambda state: None)
        self.providers = Providers(self.feed)
        self.context = ProviderContext(self.clock)

    def apply(self, **options: Mapping[str, Any]) -> Deferred[None]:
        """Run these providers, given as name and options."""
        choices = [ProviderChoice(name, "scripted", self.factory, each) for name, each in options.items()]
        return self.providers.apply(choices, self.context)

    def state(self) -> FeedState:
        """Return the state of the feed."""
        return self.feed.flush()

    def test_the_first_ones_start_at_once(self) -> None:
        """The first load is complete when apply returns."""
        self.successResultOf(self.apply(one={"publish": ["a"]}, two={"publish": ["b"]}))
        self.assertEqual(names(self.state()), ["a", "b"])

    def test_an_unchanged_provider_is_kept(self) -> None:
        """Equal options: the provider goes on untouched."""
        self.apply(one={"publish": ["a"]})
        self.apply(one={"publish": ["a"]})
        self.assertEqual(self.factory.diary, ["start one"])

    def test_changed_options_replace_a_provider(self) -> None:
        """Other options: the old one stops, then the new one starts."""
        self.apply(one={"publish": ["a"]})
        self.apply(one={"publish": ["b"]})
        self.assertEqual(self.factory.diary, ["start one", "stop one", "start one"])
        self.assertEqual(names(self.state()), ["b"])

    def test_a_changed_context_replaces_a_provider(self) -> None:
        """Another default namespace makes other resources of the same documents."""
        self.apply(one={})
        self.context = ProviderContext(self.clock, "other")
        self.apply(one={})
        self.assertEqual(self.factory.diary, ["start one", "stop one", "start one"])

    def test_a_provider_that_is_gone_is_withdrawn(self) -> None:
        """A provider that the settings no longer name is stopped, and its routes are withdrawn at once."""
        stopping: Deferred[None] = Deferred()
        self.apply(one={"publish": ["a"], "stopping": stopping}, two={"publish": ["b"]})
        self.apply(two={"publish": ["b"]})
        self.assertEqual(self.factory.diary[-1], "stop one")
        self.assertEqual(names(self.state()), ["b"])
        stopping.callback(None)

    def test_the_successor_waits_for_the_stop(self) -> None:
        """A new provider may need what the old one holds; meanwhile the old routes serve."""
        stopping: Deferred[None] = Deferred()
        self.apply(one={"publish": ["a"], "stopping": stopping})
        applied = self.apply(one={"publish": ["b"]})
        self.assertNoResult(applied)
        self.assertEqual(names(self.state()), ["a"])
        stopping.callback(None)
        self.successResultOf(applied)
        self.assertEqual(names(self.state()), ["b"])

    def test_changes_take_turns(self) -> None:
        """A second change while one waits for a stop comes after it."""
        stopping: Deferred[None] = Deferred()
        self.apply(one={"stopping": stopping})
        self.apply(one={"publish": ["b"]})
        last = self.apply(one={"publish": ["c"]})
        self.assertEqual(self.factory.diary, ["start one", "stop one"])
        stopping.callback(None)
        self.successResultOf(last)
        self.assertEqual(names(self.state()), ["c"])

    def test_a_stop_has_its_time(self) -> None:
        """The gateway logs a provider that does not stop, and goes on without it."""
        self.apply(one={"stopping": Deferred()})
        applied = self.apply()
        self.clock.advance(STOP_TIMEOUT - 0.1)
        self.assertNoResult(applied)
        with capturedLogs() as events:
            self.clock.advance(0.2)
        self.successResultOf(applied)
        self.assertEqual(logged(events, "warn"), ["the provider 'one' did not stop within 5 s"])

    def test_stop_stops_all(self) -> None:
        """At the end every provider is asked to stop, and waited for."""
        stopping: Deferred[None] = Deferred()
        self.apply(one={"stopping": stopping}, two={})
        stopped = self.providers.stop()
        self.assertEqual(self.factory.diary[2:], ["stop one", "stop two"])
        self.assertNoResult(stopped)
        stopping.callback(None)
        self.successResultOf(stopped)

    def test_reload_reaches_all(self) -> None:
        """Every running provider is reloaded, also after one that raised."""
        self.apply(one={"raises": ["reload"], "publish": ["a"]}, two={})
        self.providers.reload()
        self.assertEqual(self.factory.diary[2:], ["reload one", "reload two"])
        (problem,) = self.state().problems
        self.assertIn("it could not reload: ScriptedError: cannot reload", problem.message)
        self.assertEqual((problem.provider, names(self.state())), ("one", ["a"]))

    def test_one_that_cannot_be_made(self) -> None:
        """A factory that raises is a problem of its provider, and the others run."""
        self.apply(bad={"raises": ["create"]}, good={"publish": ["a"]})
        state = self.state()
        self.assertEqual(names(state), ["a"])
        self.assertEqual(
            [(problem.provider, problem.message) for problem in state.problems],
            [("bad", "the provider 'bad' failed: it could not be made: ScriptedError: cannot create")],
        )

    def test_one_that_is_no_provider(self) -> None:
        """A factory's product has to keep the contract."""
        self.apply(bad={"instead": "a string"})
        (problem,) = self.state().problems
        self.assertIn("could not be made", problem.message)
        self.assertIn("IRouteProvider", problem.message)

    def test_one_that_cannot_start(self) -> None:
        """A provider that raises at its start is reported and stopped, and the others run."""
        self.apply(bad={"raises": ["start"]}, good={"publish": ["a"]})
        self.assertEqual(self.factory.diary, ["start bad", "stop bad", "start good"])
        (problem,) = self.state().problems
        self.assertIn("it could not start: ScriptedError: cannot start", problem.message)

    def test_one_that_could_not_start_publishes_nothing_later(self) -> None:
        """The sink that a half-started provider still holds is closed."""
        self.apply(bad={"raises": ["start"]})
        self.factory.made["bad"].sink.publish(snapshot("late"))
        self.assertEqual(names(self.state()), [])

    def test_one_that_could_not_start_is_tried_again(self) -> None:
        """The next reading of the settings starts it, even with the same options."""
        options: dict[str, Any] = {"raises": ["start"], "publish": ["a"]}
        self.apply(bad=options)
        options["raises"] = []
        self.apply(bad=options)
        self.assertEqual((names(self.state()), self.state().problems), (["a"], ()))

    def test_one_that_never_started_can_go(self) -> None:
        """Its problem goes with it."""
        self.apply(bad={"raises": ["create"]})
        self.apply()
        self.assertEqual(self.state(), FeedState())

    def test_one_that_cannot_stop(self) -> None:
        """An exception in stop keeps nothing up; the log has the reason, and the traceback at debug level."""
        self.apply(bad={"raises": ["stop"]}, good={})
        with capturedLogs() as events:
            self.successResultOf(self.providers.stop())
        (warning,) = logged(events, "warn")
        self.assertEqual(warning, "the provider 'bad' could not stop: ScriptedError: cannot stop")
        self.assertIn("Traceback", logged(events, "debug")[0])
        self.assertEqual(self.factory.diary[-1], "stop good")

    def test_empty_snapshots_pass(self) -> None:
        """A provider may start with nothing."""
        self.apply(one={})
        self.factory.made["one"].sink.publish(Snapshot())
        self.assertEqual(self.state(), FeedState())
