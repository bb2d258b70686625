"""
The feed: it merges the last good snapshots of all providers into one state, and passes on each state that differs.

A provider publishes through a sink of its own, from any thread. A failure leaves the provider's last snapshot in force,
with a problem beside it. Snapshots that come in quick succession are passed on together: after :data:`QUIET` seconds
without a new one, and at the latest :data:`LONGEST_WAIT` seconds after the first.
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

from meshgate.providers.interfaces import ISnapshotSink
from meshgate.providers.problem_log import describe
from meshgate.providers.snapshot import Snapshot
from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.resources.resource import Resource

T = TypeVar("T")

QUIET = 0.02
"""Seconds without a new snapshot after which the state is passed on."""

LONGEST_WAIT = 0.2
"""Seconds after which the state is passed on although new snapshots keep coming."""


@dataclass(frozen=True, slots=True)
class FeedState:
    """
    The snapshots of all providers at one moment, merged.

    :ivar resources: those of one provider after the other, by the providers' names; each provider's in its own order.
    :ivar problems: in the same order.
    :ivar refused: what can be read of invalid resources, in the same order.
    """

    resources: tuple[Resource[Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    refused: tuple[Resource[Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderFigures:
    """
    The figures of a provider for the status. Times are seconds since the epoch.

    :ivar resources: the number of valid resources in its last snapshot.
    :ivar published: the time of its last snapshot; None if there was none.
    :ivar failing_since: the time of its first failure after that snapshot; None if there was none.
    :ivar reason: the reason of its last failure, or empty.
    """

    name: str
    resources: int = 0
    published: float | None = None
    failing_since: float | None = None
    reason: str = ""


class Feed:
    """
    The last snapshot of each provider. It belongs to the reactor's thread; only its sinks may be called from others.

    :param reactor: for timers, and for calls from other threads.
    :param on_change: called with each new state that differs from the one before.
    :param wall_clock: returns seconds since the epoch.
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
        self._reactor_thread = threading.get_ident()
        self._sinks: dict[str, _Sink] = {}
        self._published: dict[str, _Published] = {}
        self._passed_on = FeedState()
        self._due: IDelayedCall | None = None
        self._deadline = 0.0

    def sink(self, provider_name: str) -> ISnapshotSink:
        """
        Open a provider's sink. An earlier sink of the same name publishes nothing more, but its last snapshot serves
        until the new sink publishes.
        """
        sink = self._sinks[provider_name] = _Sink(provider_name, self._arrived)
        return sink

    def remove(self, provider_name: str) -> None:
        """Withdraw the snapshot of a provider, if there is one, and close its sink."""
        self._sinks.pop(provider_name, None)
        if self._published.pop(provider_name, None) is not None:
            self._pass_on_soon()

    def flush(self) -> FeedState:
        """Return the state of this moment, without waiting; ``on_change`` is not called with it."""
        self._cancel()
        self._passed_on = self._collect()
        return self._passed_on

    def providers(self) -> tuple[ProviderFigures, ...]:
        """Return the figures of every provider, by name, including those that have published nothing."""
        nothing = _Published()
        published = {name: self._published.get(name, nothing) for name in sorted(self._sinks)}
        return tuple(each.figures(name) for name, each in published.items())

    def stop(self) -> None:
        """Close all sinks, and pass on nothing more."""
        self._cancel()
        self._sinks.clear()

    def _arrived(self, sink: _Sink, news: _Published) -> None:
        """Accept news of a sink, from any thread."""
        if threading.get_ident() == self._reactor_thread:
            self._accept(sink, news)
        else:
            IReactorFromThreads(self._reactor).callFromThread(self._accept, sink, news)

    def _accept(self, sink: _Sink, news: _Published) -> None:
        """Accept news, unless the sink has been closed meanwhile."""
        if self._sinks.get(sink.provider) is sink:
            before = self._published.get(sink.provider)
            news = news.timed(self._wall_clock())
            self._published[sink.provider] = news.after(before) if before else news
            if before is not None and before.failure is not None and news.failure is None:
                self._log.info("the provider {provider!r} has recovered", provider=sink.provider)
            self._pass_on_soon()

    def _pass_on_soon(self) -> None:
        now = self._reactor.seconds()
        if self._due is None:
            self._deadline = now + LONGEST_WAIT
            self._due = self._reactor.callLater(QUIET, self._pass_on)
        else:
            self._due.reset(max(0.0, min(QUIET, self._deadline - now)))

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
            _concatenated([each.resources() for each in published]),
            _concatenated([each.problems() for each in published]),
            _concatenated([each.refused() for each in published]),
        )


@dataclass(frozen=True, slots=True)
class _Published:
    """
    The last snapshot of a provider, and its last failure since. Times are seconds since the epoch.

    :ivar snapshot: None if there was none.
    :ivar failure: None if there was none after the snapshot.
    :ivar published: the time of the snapshot.
    :ivar failing_since: the time of the first failure after it.
    """

    snapshot: Snapshot | None = None
    failure: Problem | None = None
    published: float | None = None
    failing_since: float | None = None

    def timed(self, now: float) -> _Published:
        """Return this news with the time at which it came."""
        return replace(self, published=now) if self.failure is None else replace(self, failing_since=now)

    def after(self, before: _Published) -> _Published:
        """Return this news with the snapshot before it, if it is a failure."""
        if self.failure is None:
            return self
        since = self.failing_since if before.failing_since is None else before.failing_since
        if before.snapshot is None:
            return replace(self, failing_since=since)
        failure = replace(self.failure, hint="what it published last keeps serving")
        return _Published(before.snapshot, failure, before.published, since)

    def figures(self, name: str) -> ProviderFigures:
        """Return the figures for the status."""
        reason = self.failure.message if self.failure is not None else ""
        return ProviderFigures(name, len(self.resources()), self.published, self.failing_since, reason)

    def resources(self) -> tuple[Resource[Any], ...]:
        return self.snapshot.resources if self.snapshot else ()

    def refused(self) -> tuple[Resource[Any], ...]:
        return self.snapshot.refused if self.snapshot else ()

    def problems(self) -> tuple[Problem, ...]:
        failure = (self.failure,) if self.failure else ()
        return failure + (self.snapshot.problems if self.snapshot else ())


def _concatenated(tuples: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    """Concatenate tuples. Mostly there is one provider, and its thousands of resources are not copied."""
    filled = [each for each in tuples if each]
    return filled[0] if len(filled) == 1 else tuple(chain.from_iterable(filled))


@implementer(ISnapshotSink)
class _Sink:
    """One provider's end of the feed."""

    def __init__(self, provider: str, deliver: Callable[[_Sink, _Published], None]) -> None:
        self.provider = provider
        self._deliver = deliver

    def publish(self, snapshot: Snapshot) -> None:
        fault = type_fault(snapshot)
        if fault:
            self.failed(f"it published {fault}")
        else:
            self._deliver(self, _Published(snapshot))

    def failed(self, reason: str | Exception) -> None:
        message = f"the provider {self.provider!r} failed: {describe(reason)}"
        failure = Problem(Severity.ERROR, "MG3001", message, Phase.ANALYSIS, provider=self.provider)
        self._deliver(self, _Published(failure=failure))


def type_fault(snapshot: object) -> str:
    """Describe a wrong type in what a provider published; empty if there is none. A provider is other people's code."""
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
