"""
From a state of the feed to the table in force, without holding up connections: in slices of work with rests between.

Knows when to compile and whom to tell; what is compiled, and how, is decided in the layers below.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshgate.processes.garbage import held_off
from meshgate.providers.feed import FeedState
from meshgate.providers.slices import in_slices
from meshgate.resources.duplicates import Latest
from meshgate.resources.steps import run_through, take_apart
from meshgate.routing.compile import Compilation, Compiler
from meshgate.routing.servers import Proxy
from meshgate.routing.statuses import all_statuses
from meshgate.routing.table import RoutingTable
from meshgate.settings import Settings
from meshgate.settings_model import EXTENDED


class Known:
    """
    What one compilation leaves for the next, which then makes anew only what has changed.

    :param ipv6: this machine has IPv6.
    """

    def __init__(self, ipv6: bool = True) -> None:
        self.ipv6 = ipv6
        self.latest = Latest()
        self.compiler = Compiler(Proxy({}, ""))


def compile_state(
    state: FeedState, settings: Settings, generation: int, known: Known, now: datetime | None = None
) -> Generator[RoutingTable | None, None, Compilation]:
    """
    A generator that compiles a state in steps. It gives the table as soon as that is complete, None at any other
    step, and in the end everything, with the problems and statuses of what could not be read among the others.

    :param known: what was left by the compilation before; is kept up to date.
    :param now: for certificates that expire; None to leave that aside.
    """
    gateway, extended = settings.gateway, settings.semantics == EXTENDED
    proxy = Proxy(gateway.labels, gateway.namespace, settings.domain_suffix, extended, ipv6=known.ipv6)
    if proxy != known.compiler.proxy:
        known.latest, known.compiler = Latest(), Compiler(proxy)
    change = yield from known.latest.update(state.resources)
    compilation = yield from known.compiler.in_steps(change, generation, state.refused, now)
    problems = (*state.problems, *known.latest.problems(), *compilation.problems)
    found = yield from all_statuses(compilation.statuses, problems)
    specs = [each.spec for each in change.gone]
    change.gone.clear()
    yield from take_apart(specs)
    return replace(compilation, problems=problems, statuses=found)


class Compiling:
    """
    Compiles one state after the other. What comes while one is being compiled waits until its table is in force; of
    several that wait, only the latest is compiled.

    :param install: called with each new table, as soon as it can serve.
    :param finished: called after that with everything, once that is known; not for a state that a newer one waits
        behind.
    :param wall_clock: gives the seconds since the epoch, which certificates expire by.
    :param ipv6: this machine has IPv6.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        install: Callable[[RoutingTable], None],
        finished: Callable[[Compilation], None],
        wall_clock: Callable[[], float] = time.time,
        ipv6: bool = True,
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._install = install
        self._finished = finished
        self._ipv6 = ipv6
        self._generation = 0
        self._known = Known(self._ipv6)
        self._waiting: tuple[FeedState, Settings] | None = None
        self._work: Deferred[None] | None = None
        self._done: list[Deferred[None]] = []

    def at_once(self, state: FeedState, settings: Settings) -> Compilation:
        """
        Compile now, before anything else; for the start, when nobody is connected yet. Nobody is told: what comes
        of it is up to the caller.
        """
        return run_through(self._compile(state, settings))

    def in_slices(self, state: FeedState, settings: Settings) -> Deferred[None]:
        """
        Compile while connections are served.

        :return: fires when this state, or a newer one, has been compiled.
        """
        done: Deferred[None] = Deferred()
        self._done.append(done)
        self._waiting = (state, settings)
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

    async def _compile_all(self) -> None:
        # A rest first: whoever asked is in the middle of something.
        await deferLater(self._clock, 0)
        while self._waiting is not None:
            (state, settings), self._waiting = self._waiting, None
            try:
                with held_off():
                    await in_slices(self._steps(state, settings), self._clock)
            except CancelledError:
                raise
            except Exception:
                self._log.failure("the table in force stays: routes could not be compiled")
                self._known = Known(self._ipv6)
        self._work = None
        done, self._done = self._done, []
        for each in done:
            each.callback(None)

    def _compile(self, state: FeedState, settings: Settings) -> Generator[RoutingTable | None, None, Compilation]:
        self._generation += 1
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        return compile_state(state, settings, self._generation, self._known, now)

    def _steps(self, state: FeedState, settings: Settings) -> Generator[None, None, None]:
        steps = self._compile(state, settings)
        while True:
            try:
                table = next(steps)
            except StopIteration as end:
                self._finished(end.value)
                return
            if table is not None:
                self._install(table)
                if self._waiting is not None:
                    return
            yield


def _given_up(failure: Failure) -> None:
    failure.trap(CancelledError)  # type: ignore[no-untyped-call]
