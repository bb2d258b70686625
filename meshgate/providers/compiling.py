"""
Compiling in the control process: from each state of the feed to a routing table.

:func:`compile_state` compiles one state in phases, with a turn of the reactor between two of them. :class:`Compiling`
compiles one state after the other; of several that wait, only the latest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshgate.providers.feed import FeedState
from meshgate.resources.latest import LatestResources
from meshgate.resources.phases import Rest, at_once, no_rest
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.compile.compiler import Compilation, Compiler, compile_change
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.shown_problems import one_for_each_cause
from meshgate.routing.table import RoutingTable
from meshgate.routing.tell.statuses import ResourceCounts, all_statuses


class CompilerState:
    """The results that one compilation keeps for the next, which then compiles only the changes."""

    def __init__(self) -> None:
        self.latest = LatestResources()
        self.compiler = Compiler(Proxy({}, ""))


async def compile_state(
    state: FeedState,
    proxy: Proxy,
    generation: int,
    compiler_state: CompilerState,
    now: datetime | None = None,
    rest: Rest = no_rest,
    install: Callable[[RoutingTable], None] = lambda table: None,
) -> Compilation:
    """
    Compile a state in phases, with the problems and statuses of resources that could not be read among the others.

    :param proxy: this gateway as Istio sees it.
    :param generation: the number of the table.
    :param compiler_state: of the compilation before; updated here.
    :param now: the time by which certificates expire; None to skip that check.
    :param rest: awaited between two phases.
    :param install: called with the table as soon as it is complete.
    """
    if proxy != compiler_state.compiler.proxy:
        compiler_state.latest, compiler_state.compiler = LatestResources(), Compiler(proxy)
    change = compiler_state.latest.update(state.resources)
    compilation = await compile_change(compiler_state.compiler, change, generation, state.refused, now, rest, install)
    await rest()
    problems = (*state.problems, *compiler_state.latest.problems(), *one_for_each_cause(compilation.problems))
    statuses = all_statuses(compilation.statuses, problems)
    counts = ResourceCounts.of(compiler_state.latest.winners.keys(), problems)
    objects = _objects([*state.refused, *compiler_state.latest.winners.values()])
    return replace(compilation, problems=problems, statuses=statuses, counts=counts, objects=objects)


def _objects(resources: Iterable[Resource[Any]]) -> dict[ResourceKey, tuple[str, int]]:
    """The identity and the generation of the object of each resource that is one of the API."""
    return {each.key: (each.origin.uid, each.origin.generation) for each in resources if each.origin.uid}


@dataclass(slots=True)
class CompileTimes:
    """
    The times that compilations took, the turns of the reactor between their phases included.

    :ivar count: the number of compilations.
    :ivar total: the seconds of all.
    :ivar last: the seconds of the last one.
    """

    count: int = 0
    total: float = 0.0
    last: float = 0.0

    def add(self, seconds: float) -> None:
        """Add a compilation."""
        self.count += 1
        self.total += seconds
        self.last = seconds


class Compiling:
    """
    Compiles one state after the other.

    :param clock: provides IReactorTime.
    :param install: called with each new table, as soon as it can serve.
    :param finished: called after that with the whole compilation.
    :param wall_clock: returns the seconds since the epoch, by which certificates expire.
    :ivar times: the times that it took.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        install: Callable[[RoutingTable], None],
        finished: Callable[[Compilation], None],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._install = install
        self._finished = finished
        self.times = CompileTimes()
        self._generation = 0
        self._compiler_state = CompilerState()
        self._waiting: tuple[FeedState, Proxy] | None = None
        self._running: Deferred[None] | None = None
        self._callers: list[Deferred[None]] = []

    def compile_now(self, state: FeedState, proxy: Proxy) -> Compilation:
        """Compile in one go, for the start, without a call of ``install`` or ``finished``."""
        self._generation += 1
        began = self._clock.seconds()
        compilation = at_once(compile_state(state, proxy, self._generation, self._compiler_state, self._now()))
        self.times.add(self._clock.seconds() - began)
        return compilation

    def compile_soon(self, state: FeedState, proxy: Proxy) -> Deferred[None]:
        """
        Compile in phases, after what is being compiled now.

        :return: fires when this state, or a newer one, has been compiled.
        """
        done: Deferred[None] = Deferred()
        self._callers.append(done)
        self._waiting = (state, proxy)
        if self._running is None:
            self._running = Deferred.fromCoroutine(self._compile_all())
            self._running.addErrback(_ignore_cancel)
        return done

    def idle(self) -> Deferred[None]:
        """Fire as soon as nothing is being compiled."""
        done: Deferred[None] = Deferred()
        if self._running is None:
            done.callback(None)
        else:
            self._callers.append(done)
        return done

    def stop(self) -> None:
        """Cancel what is being compiled, and drop what waits."""
        self._waiting = None
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall_clock(), UTC)

    async def _compile_all(self) -> None:
        rest = partial(deferLater, self._clock, 0)
        # The caller goes first.
        await rest()
        while self._waiting is not None:
            (state, proxy), self._waiting = self._waiting, None
            self._generation += 1
            now, began = self._now(), self._clock.seconds()
            try:
                compilation = await compile_state(
                    state, proxy, self._generation, self._compiler_state, now, rest, self._install
                )
                self.times.add(self._clock.seconds() - began)
                self._finished(compilation)
            except CancelledError:
                raise
            except Exception:
                self._log.failure("the routes could not be compiled, and the table in force stays")
                self._compiler_state = CompilerState()
        self._running = None
        callers, self._callers = self._callers, []
        for caller in callers:
            caller.callback(None)


def _ignore_cancel(failure: Failure) -> None:
    failure.trap(CancelledError)  # type: ignore[no-untyped-call]
