"""
The feed: the last good snapshot of every provider, made one, and passed on when it changed.

Knows snapshots and time; knows neither how providers are started nor what is made of their resources.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from meshgate.providers.faults import describe, provider_problem
from meshgate.providers.interfaces import ISnapshotSink
from meshgate.providers.snapshot import Snapshot
from meshgate.resources.problem import Problem
from meshgate.resources.resource import Resource

T = TypeVar("T")

QUIET = 0.02
"""Seconds without a publish after which the state is passed on."""

LONGEST_WAIT = 0.2
"""Seconds after which it is passed on although the publishing goes on."""


@dataclass(frozen=True, slots=True)
class FeedState:
    """
    What all providers say at one moment.

    :ivar resources: by provider, in the order of their names; each provider's in its own order.
    :ivar problems: likewise.
    :ivar refused: likewise; what can be read of the resources that are not valid.
    """

    resources: tuple[Resource[Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    refused: tuple[Resource[Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderFigures:
    """
    A provider as people are shown it. Times are seconds since the epoch.

    :ivar resources: how many its last snapshot had that are valid.
    :ivar published: when that came; None where there never was one.
    :ivar failing_since: since when it has failed; None where it did not after its last snapshot.
    :ivar reason: why it failed last, or empty.
    """

    name: str
    resources: int = 0
    published: float | None = None
    failing_since: float | None = None
    reason: str = ""


class Feed:
    """
    Keeps what each provider published last. To be made and used on the reactor's thread; only the sinks may
    be called from others.

    :param reactor: for timers, and for the way from other threads.
    :param on_change: called with each new state that differs from the one before.
    :param wall_clock: gives seconds since the epoch.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        on_change: Callable[[FeedState], None],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._on_change = on_change
        self._wall_clock = wall_clock
        self._home = threading.get_ident()
        self._sinks: dict[str, _Sink] = {}
        self._published: dict[str, _Published] = {}
        self._passed_on = FeedState()
        self._due: IDelayedCall | None = None
        self._latest = 0.0

    def sink(self, provider_name: str) -> ISnapshotSink:
        """
        A provider's way to publish. A sink given out before under the same name publishes nothing more, but
        what came through it last serves until the new one publishes.
        """
        sink = self._sinks[provider_name] = _Sink(provider_name, self._arrived)
        return sink

    def remove(self, provider_name: str) -> None:
        """Withdraw everything of a provider, and close its sink. Does nothing if it is not there."""
        self._sinks.pop(provider_name, None)
        if self._published.pop(provider_name, None) is not None:
            self._touch()

    def flush(self) -> FeedState:
        """The state of this moment, without waiting; it is not passed on once more."""
        self._cancel()
        self._passed_on = self._collect()
        return self._passed_on

    def providers(self) -> tuple[ProviderFigures, ...]:
        """What each provider published last, in the order of their names; those among them that published nothing."""
        nothing = _Published()
        published = {name: self._published.get(name, nothing) for name in sorted(self._sinks)}
        return tuple(each.figures(name) for name, each in published.items())

    def stop(self) -> None:
        """Close all sinks, and pass on nothing more."""
        self._cancel()
        self._sinks.clear()

    def _arrived(self, sink: _Sink, news: _Published) -> None:
        """Something came through a sink, in whatever thread."""
        if threading.get_ident() == self._home:
            self._take(sink, news)
        else:
            IReactorFromThreads(self._reactor).callFromThread(self._take, sink, news)

    def _take(self, sink: _Sink, news: _Published) -> None:
        """Let it in, unless the sink has been closed meanwhile."""
        if self._sinks.get(sink.provider) is sink:
            before = self._published.get(sink.provider)
            news = news.at(self._wall_clock())
            self._published[sink.provider] = news.after(before) if before else news
            if before is not None and before.failure is not None and news.failure is None:
                self._log.info("the provider {name!r} has recovered", name=sink.provider)
            self._touch()

    def _touch(self) -> None:
        now = self._reactor.seconds()
        if self._due is None:
            self._latest = now + LONGEST_WAIT
            self._due = self._reactor.callLater(QUIET, self._pass_on)
        else:
            self._due.reset(max(0.0, min(QUIET, self._latest - now)))

    def _pass_on(self) -> None:
        self._due = None
        before = self._passed_on
        after = self.flush()
        if after != before:
            self._on_change(after)

    def _cancel(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _collect(self) -> FeedState:
        published = [self._published[name] for name in sorted(self._published)]
        return FeedState(
            _joined([each.resources() for each in published]),
            _joined([each.problems() for each in published]),
            _joined([each.refused() for each in published]),
        )


@dataclass(frozen=True, slots=True)
class _Published:
    """
    What came through a sink.

    :ivar snapshot: None for a failure before any snapshot.
    :ivar failure: why the source could not be read after the snapshot, if it could not.
    :ivar published: when the snapshot came, in seconds since the epoch.
    :ivar failing_since: when the first failure after it came.
    """

    snapshot: Snapshot | None = None
    failure: Problem | None = None
    published: float | None = None
    failing_since: float | None = None

    def at(self, now: float) -> _Published:
        """The same, come at this moment."""
        return replace(self, published=now) if self.failure is None else replace(self, failing_since=now)

    def after(self, before: _Published) -> _Published:
        """The same, with what was published before a failure."""
        if self.failure is None:
            return self
        since = self.failing_since if before.failing_since is None else before.failing_since
        if before.snapshot is None:
            return replace(self, failing_since=since)
        failure = replace(self.failure, hint="what it published last keeps serving")
        return _Published(before.snapshot, failure, before.published, since)

    def figures(self, name: str) -> ProviderFigures:
        """The same for people."""
        reason = self.failure.message if self.failure is not None else ""
        return ProviderFigures(name, len(self.resources()), self.published, self.failing_since, reason)

    def resources(self) -> tuple[Resource[Any], ...]:
        return self.snapshot.resources if self.snapshot else ()

    def refused(self) -> tuple[Resource[Any], ...]:
        return self.snapshot.refused if self.snapshot else ()

    def problems(self) -> tuple[Problem, ...]:
        failure = (self.failure,) if self.failure else ()
        return failure + (self.snapshot.problems if self.snapshot else ())


def _joined(parts: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    """One tuple of several; mostly there is one provider, and its thousands of resources need not be copied."""
    filled = [each for each in parts if each]
    return filled[0] if len(filled) == 1 else tuple(chain.from_iterable(filled))


@implementer(ISnapshotSink)
class _Sink:
    """One provider's end of the feed."""

    def __init__(self, provider: str, deliver: Callable[[_Sink, _Published], None]) -> None:
        self.provider = provider
        self._deliver = deliver

    def publish(self, snapshot: Snapshot) -> None:
        fault = _fault(snapshot)
        if fault:
            self.failed(f"it published {fault}")
        else:
            self._deliver(self, _Published(snapshot))

    def failed(self, reason: str | Exception) -> None:
        message = f"the provider {self.provider!r} failed: {describe(reason)}"
        self._deliver(self, _Published(failure=provider_problem(self.provider, message)))


def _fault(snapshot: object) -> str:
    """What is wrong with what a provider published, or nothing: it is the code of strangers."""
    if not isinstance(snapshot, Snapshot):
        return f"{type(snapshot).__name__} instead of a Snapshot"
    for expected, values in (
        (Resource, snapshot.resources),
        (Problem, snapshot.problems),
        (Resource, snapshot.refused),
    ):
        if not isinstance(values, tuple):
            return f"a Snapshot with a {type(values).__name__} instead of a tuple"
        for kind in set(map(type, values)):
            if not issubclass(kind, expected):
                return f"a Snapshot with {kind.__name__} instead of {expected.__name__}"
    return ""
