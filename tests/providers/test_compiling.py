"""Tests of :mod:`meshgate.providers.compiling`."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers import compiling
from meshgate.providers.compiling import Compiling
from meshgate.providers.feed import FeedState
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.table import RoutingTable
from tests.configurations import PROXY, gateway, read, tcp_rule, tcp_server, virtual_service


class SteppingClock(Clock):
    """A clock that makes one call at a time, however many are due."""

    def step(self) -> None:
        """Make the next call."""
        call: Any = self.calls.pop(0)
        call.called = 1
        call.func(*call.args, **call.kw)


def state(port: int) -> FeedState:
    """A feed with one port."""
    return FeedState(tuple(read(gateway("gw", tcp_server(port)), virtual_service("v", tcp=[tcp_rule("x")]))))


class CompilingTests(SynchronousTestCase):
    """States become tables."""

    def setUp(self) -> None:
        """Record the tables and compilations."""
        self.clock = SteppingClock()
        self.tables: list[RoutingTable] = []
        self.finished: list[Compilation] = []
        self.compiling = Compiling(self.clock, self.tables.append, self.finished.append)

    def ports(self) -> list[int]:
        """The port of each table that was installed."""
        return [key.port for table in self.tables for key in table.listeners]

    def work(self, rests: int = 1000) -> None:
        """Let it work, for so many phases at the most."""
        for _ in range(rests):
            if not self.clock.getDelayedCalls():
                return
            self.clock.step()

    def test_at_once(self) -> None:
        """The first compilation is done at once, without a call of install or finished."""
        table = self.compiling.compile_now(state(1), PROXY).table
        self.assertEqual([key.port for key in table.listeners], [1])
        self.assertEqual((self.tables, self.finished), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_phases(self) -> None:
        """Nothing happens before the caller is done; then the table comes first, and all the rest after it."""
        done = self.compiling.compile_soon(state(1), PROXY)
        self.assertEqual(self.tables, [])
        while not self.tables:
            self.work(1)
        self.assertEqual(self.finished, [])
        self.work()
        self.assertEqual((self.ports(), len(self.finished)), ([1], 1))
        self.successResultOf(done)

    def test_idle(self) -> None:
        """It is told once nothing is being compiled, which may be so already."""
        self.successResultOf(self.compiling.idle())
        self.compiling.compile_soon(state(1), PROXY)
        idle = self.compiling.idle()
        while not self.finished:
            self.assertNoResult(idle)
            self.work(1)
        self.work()
        self.successResultOf(idle)
        self.successResultOf(self.compiling.idle())

    def test_generations_count(self) -> None:
        """Each table has a number of its own."""
        tables = [self.compiling.compile_now(state(port), PROXY).table for port in (1, 2)]
        self.assertEqual([table.generation for table in tables], [1, 2])

    def test_the_latest_wins(self) -> None:
        """Of the states that come while one is compiled, only the last one follows; who asked for it is answered."""
        self.compiling.compile_soon(state(1), PROXY)
        self.work(2)
        self.compiling.compile_soon(state(2), PROXY)
        done = self.compiling.compile_soon(state(3), PROXY)
        self.work()
        self.assertEqual(self.ports(), [1, 3])
        ports = [key.port for each in self.finished for key in each.table.listeners]
        self.assertEqual(ports, [1, 3])
        self.successResultOf(done)

    def test_nothing_goes_in_circles(self) -> None:
        """Earlier tables are freed without the garbage collector."""
        self.compiling.compile_now(state(1), PROXY)
        gc.collect()
        self.addCleanup(gc.unfreeze)
        self.addCleanup(gc.enable)
        gc.disable()
        for port in (2, 3, 3, 4):
            self.compiling.compile_now(state(port), PROXY)
        self.tables.clear()
        self.finished.clear()
        self.assertEqual(gc.collect(), 0)

    def test_stop(self) -> None:
        """A compilation under way is cancelled, and nothing is left behind."""
        self.compiling.compile_soon(state(1), PROXY)
        self.work(2)
        self.compiling.stop()
        self.assertEqual((self.tables, self.clock.getDelayedCalls()), ([], []))

    def test_a_fault_of_ours_is_logged_and_passes(self) -> None:
        """A failed compilation is logged, and the states that have come meanwhile are compiled all the same."""

        async def broken(*arguments: Any) -> None:
            rest = arguments[5]
            await rest()
            raise ZeroDivisionError

        self.patch(compiling, "compile_state", broken)
        self.compiling.compile_soon(state(1), PROXY)
        self.work(2)
        self.patch(compiling, "compile_state", ORIGINAL)
        done = self.compiling.compile_soon(state(2), PROXY)
        self.work()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.ports(), [2])
        self.successResultOf(done)


ORIGINAL = compiling.compile_state
