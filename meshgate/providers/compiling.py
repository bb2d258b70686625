"""
From a state of the feed to the table in force: when to compile, and whom to tell.

The routes are compiled by :func:`compile_state`, which the command line calls as well, in phases with a turn of the
reactor between them. One state is compiled after the other; of several that wait, only the latest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshgate.providers.feed import FeedState
from meshgate.resources.latest import LatestResources
from meshgate.resources.phases import Rest, at_once, no_rest
from meshgate.routing.compile.compiler import Compilation, Compiler, compile_change
from meshgate.routing.compile.servers import Proxy
from meshgate.routing.table import RoutingTable
from meshgate.routing.tell.statuses import all_statuses


class CompilerState:
    """What one compilation leaves for the next, which then compiles only what has changed."""

    def __init__(self) -> None:
        self.latest = LatestResources()
        self.compiler = Compiler(Proxy({}, ""))


async def compile_state(
    state: FeedState,
    proxy: Proxy,
    generation: int,
    known: CompilerState,
    now: datetime | None = None,
    rest: Rest = no_rest,
    install: Callable[[RoutingTable], None] = lambda table: None,
) -> Compilation:
    """
    Compile a state in phases, with the problems and statuses of what could not be read among the others.

    :param proxy: this gateway as Istio sees it.
    :param known: the state that the compilation before has left; is kept up to date.
    :param now: for certificates that expire; None to leave that aside.
    :param rest: awaited between two phases.
    :param install: called with the table as soon as it is complete.
    """
    if proxy != known.compiler.proxy:
        known.latest, known.compiler = LatestResources(), Compiler(proxy)
    change = known.latest.update(state.resources)
    compilation = await compile_change(known.compiler, change, generation, state.refused, now, rest, install)
    await rest()
    problems = (*state.problems, *known.latest.problems(), *compilation.problems)
    return replace(compilation, problems=problems, statuses=all_statuses(compilation.statuses, problems))


class Compiling:
    """
    Compiles one state after the other.

    :param clock: provides IReactorTime.
    :param install: called with each new table, as soon as it can serve.
    :param finished: called after that with everything that is known about it.
    :param wall_clock: gives the seconds since the epoch, which certificates expire by.
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
        self._generation = 0
        self._known = CompilerState()
        self._waiting: tuple[FeedState, Proxy] | None = None
        self._work: Deferred[None] | None = None
        self._done: list[Deferred[None]] = []

    def at_once(self, state: FeedState, proxy: Proxy) -> Compilation:
        """Compile without rests, for the start. Nobody is told: what follows is up to the caller."""
        self._generation += 1
        return at_once(compile_state(state, proxy, self._generation, self._known, self._now()))

    def compile_soon(self, state: FeedState, proxy: Proxy) -> Deferred[None]:
        """
        Compile in phases.

        :return: fires when this state, or a newer one, has been compiled.
        """
        done: Deferred[None] = Deferred()
        self._done.append(done)
        self._waiting = (state, proxy)
        if self._work is None:
            self._work = Deferred.fromCoroutine(self._compile_all())
            self._work.addErrback(_given_up)
        return done

    def stop(self) -> None:
        """Give up what is being compiled, and what waits."""
        self._waiting = None
        work, self._work = self._work, None
        if work is not None:
            work.cancel()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall_clock(), UTC)

    async def _compile_all(self) -> None:
        rest = partial(deferLater, self._clock, 0)
        # A rest first: whoever asked is in the middle of something.
        await rest()
        while self._waiting is not None:
            (state, proxy), self._waiting = self._waiting, None
            self._generation += 1
            now = self._now()
            try:
                compilation = await compile_state(state, proxy, self._generation, self._known, now, rest, self._install)
                self._finished(compilation)
            except CancelledError:
                raise
            except Exception:
                self._log.failure("the table in force stays: routes could not be compiled")
                self._known = CompilerState()
        self._work = None
        done, self._done = self._done, []
        for each in done:
            each.callback(None)


def _given_up(failure: Failure) -> None:
    failure.trap(CancelledError)  # type: ignore[no-untyped-call]
