"""
The running providers: made, started, reloaded and stopped, each on its own.

An exception of one provider becomes a problem of that provider and affects no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredLock, gatherResults, maybeDeferred
from twisted.logger import Logger
from zope.interface.verify import verifyObject

from meshgate.providers.feed import Feed
from meshgate.providers.interfaces import IRouteProvider, ISnapshotSink, ProviderContext
from meshgate.providers.problem_log import describe, log_traceback
from meshgate.providers.registry import ProviderChoice

STOP_TIMEOUT = 5.0
"""Seconds that a provider has to stop; then the gateway goes on without it."""


@dataclass(frozen=True, slots=True)
class _Running:
    """A provider that has started, with what it was made from."""

    choice: ProviderChoice
    context: ProviderContext
    provider: IRouteProvider
    sink: ISnapshotSink


class Providers:
    """
    The running providers.

    :param feed: gets their snapshots.
    """

    _log = Logger()

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._names: set[str] = set()
        self._running: dict[str, _Running] = {}
        self._lock = DeferredLock()

    def apply(self, choices: Iterable[ProviderChoice], context: ProviderContext) -> Deferred[None]:
        """
        Run these providers and no others. A provider with the same type, options and context goes on; one that has
        failed to start is tried again. The routes of a replaced provider serve until its successor publishes; the
        routes of a removed provider are withdrawn at once.

        :param choices: each with another name.
        :param context: the surroundings of all of them.
        :return: fires when all have started, which is at once if none had to be stopped before.
        """
        return self._lock.run(self._apply, tuple(choices), context)

    def reload(self) -> None:
        """Have every running provider look for changes."""
        for running in self._running.values():
            try:
                running.provider.reload()
            except Exception as error:
                self._report(running.sink, running.choice.name, "could not reload", error)

    def stop(self) -> Deferred[None]:
        """
        Stop all providers.

        :return: fires when all have stopped, after :data:`STOP_TIMEOUT` seconds at the latest.
        """
        return self._lock.run(self._stop_all)

    async def _apply(self, choices: tuple[ProviderChoice, ...], context: ProviderContext) -> None:
        wanted = {choice.name: choice for choice in choices}
        for name in self._names - set(wanted):
            self._feed.remove(name)
        self._names = set(wanted)
        stays = {
            name: running
            for name, running in self._running.items()
            if name in wanted and running.choice.same_as(wanted[name]) and running.context == context
        }
        stale = [running for name, running in self._running.items() if name not in stays]
        self._running = stays
        await self._stop_each(stale)
        for choice in choices:
            if choice.name not in self._running:
                self._start(choice, context)

    async def _stop_all(self) -> None:
        running, self._running = self._running, {}
        await self._stop_each(running.values())

    async def _stop_each(self, running: Iterable[_Running]) -> None:
        await gatherResults([Deferred.fromCoroutine(self._stop(each)) for each in running])

    def _start(self, choice: ProviderChoice, context: ProviderContext) -> None:
        sink = self._feed.sink(choice.name)
        try:
            provider = choice.factory.create(choice.name, choice.options, context)
            verifyObject(IRouteProvider, provider)
        except Exception as error:
            self._report(sink, choice.name, "could not be made", error)
            return
        running = _Running(choice, context, provider, sink)
        try:
            provider.start(sink)
        except Exception as error:
            # A new sink closes the one that the half-started provider still has.
            self._report(self._feed.sink(choice.name), choice.name, "could not start", error)
            Deferred.fromCoroutine(self._stop(running))
        else:
            self._running[choice.name] = running

    async def _stop(self, running: _Running) -> None:
        # An error is only logged: the problems of a provider go with it.
        name = running.choice.name
        stop: Callable[[], Any] = running.provider.stop
        try:
            await maybeDeferred(stop).addTimeout(STOP_TIMEOUT, running.context.reactor)
        except defer.TimeoutError:
            self._log.warn(
                "the provider {provider!r} did not stop within {limit:g} s", provider=name, limit=STOP_TIMEOUT
            )
        except Exception as error:
            self._log.warn("the provider {provider!r} could not stop: {reason}", provider=name, reason=describe(error))
            log_traceback(self._log, f"provider {name!r}", error)

    def _report(self, sink: ISnapshotSink, name: str, failure: str, error: Exception) -> None:
        log_traceback(self._log, f"provider {name!r}", error)
        sink.failed(f"it {failure}: {describe(error)}")
