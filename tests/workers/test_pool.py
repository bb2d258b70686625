"""Tests of :mod:`meshgate.workers.pool` and its slots: workers played by the test, and a clock that it turns."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from meshgate.proxy.limits import Limits
from meshgate.proxy.log_outputs import AccessLogChoice
from meshgate.proxy.serving import ServingSettings
from meshgate.resources.problem import Problem, Severity
from meshgate.routing.failing_endpoints import EJECTED, TRIED_LAST, LeftOut
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from meshgate.routing.table_edits import Draft
from meshgate.transport.dns.resolver import NameFigures
from meshgate.workers.channel import open_channel
from meshgate.workers.messages import (
    EDITS_IN_CHUNK,
    ApplySettings,
    Begin,
    ConnectionFigures,
    CurrentProblems,
    Drain,
    Listen,
    NameChanges,
    StopListening,
    StoppedListening,
    TableChunk,
    TableComplete,
    TableInstalled,
    Unpacker,
)
from meshgate.workers.pool import END_WITHIN, WorkerPool
from meshgate.workers.slot import SLOW_AFTER, STUCK_AFTER
from meshgate.workers.worker_process import CHANNEL
from tests.support import reactor, wait_for

SETTINGS = ServingSettings(Limits(), (), AccessLogChoice(os.devnull))
KEY = ListenerKey("127.0.0.1", 443)


def table(generation: int) -> RoutingTable:
    """The table of a generation."""
    return RoutingTable(generation, {KEY: Listener(KEY, False, generation % 2 == 0)})


def table_of(generation: int, names: int) -> RoutingTable:
    """A table with a route for each of so many names."""
    chains = {f"host-{n}.example.com": Chain((), "ns/gw", "tls", f"ns/vs-{n}", "spec.tls[0]", ()) for n in range(names)}
    return RoutingTable(generation, {KEY: Listener(KEY, True, True, chains)})


class PlayedWorker:
    """
    A process that is none: the test says what it says.

    :ivar heard: all messages so far.
    :ivar table: the table that the chunks have led to.
    """

    def __init__(self, protocol: Any, channel: int, pid: int) -> None:
        self.pid: int | None = pid
        self.heard: list[Any] = []
        self.descriptors: list[int] = []
        self.table = RoutingTable()
        self._chunks: list[bytes] = []
        self._protocol = protocol
        self._channel = open_channel(reactor, socket.socket(fileno=channel), self._received, lambda: None)

    def _received(self, message: Any, descriptors: list[int]) -> None:
        self.heard.append(message)
        self.descriptors += descriptors
        if isinstance(message, TableChunk):
            self._chunks.append(message.edits)
        elif isinstance(message, TableComplete):
            draft, unpacker = Draft(self.table), Unpacker()
            for chunk in self._chunks:
                draft.apply(unpacker.unpack(chunk))
            self._chunks, self.table = [], draft.table()

    def says(self, message: object) -> None:
        """Send something to the parent."""
        self._channel.send(message)

    def listens(self) -> list[tuple[int, int]]:
        """The sockets it has to accept on and does not have to release."""
        ids = [message.id for message in self.heard if isinstance(message, Listen)]
        for message in self.heard:
            if isinstance(message, StopListening):
                ids.remove(message.id)
        return ids

    def signalProcess(self, name: str) -> None:
        """Only SIGKILL comes."""
        if self.pid is None:
            raise ProcessExitedAlready
        assert name == "KILL"
        self.dies(signal.SIGKILL)

    def dies(self, number: int | None = None) -> None:
        """It is gone, by a signal or with status 0."""
        self.pid = None
        self._channel.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()
        reason = ProcessDone(0) if number is None else ProcessTerminated(None, number, number)
        self._protocol.processEnded(Failure(reason))


class PlayedReactor(Clock):
    """The real reactor for the channel, a clock of its own, and processes that are played."""

    def __init__(self) -> None:
        super().__init__()
        self.workers: list[PlayedWorker] = []
        self.broken = False

    def callWhenRunning(self, function: Callable[[], None]) -> None:
        """It runs."""
        function()

    def adoptStreamConnection(self, *args: Any) -> Any:
        """As the real reactor."""
        return reactor.adoptStreamConnection(*args)

    def spawnProcess(
        self, protocol: IProcessProtocol, executable: str, args: object, env: object, childFDs: Mapping[int, int]
    ) -> PlayedWorker:
        """Begin to play."""
        if self.broken:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.workers.append(PlayedWorker(protocol, os.dup(childFDs[CHANNEL]), 1000 + len(self.workers)))
        return self.workers[-1]


class WorkerPoolTests(TestCase):
    """Two slots."""

    timeout = 30

    def setUp(self) -> None:
        """Start two workers."""
        self.reactor = PlayedReactor()
        self.changes = 0
        self.pool = WorkerPool(self.reactor, 2, SETTINGS, self.changed)
        self.pool.install(table(1))
        self.pool.start()
        self.addCleanup(self.end)

    async def end(self) -> None:
        """End those who are left."""
        if not self.pool.stopping:
            stopped = self.pool.stop()
            for worker in self.reactor.workers:
                if worker.pid is not None:
                    worker.dies()
            await stopped
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def changed(self) -> None:
        """Count the change."""
        self.changes += 1

    def port(self) -> Any:
        """A port with one socket for each worker."""
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        for listening in sockets:
            self.addCleanup(listening.close)
        return self.pool.serve(KEY, sockets)

    async def heard(self, worker: PlayedWorker, kind: type, number: int = 1) -> Any:
        """Wait until a worker has heard so many messages of a kind; gives the last of them."""

        def of_kind() -> list[Any]:
            found = [message for message in worker.heard if isinstance(message, kind)]
            return found if len(found) >= number else []

        return (await wait_for(of_kind, f"{number} {kind.__name__}"))[-1]

    async def serving(self) -> list[PlayedWorker]:
        """Both workers, with the first table."""
        for worker in self.reactor.workers:
            await self.heard(worker, TableComplete)
            worker.says(TableInstalled(1))
        await wait_for(lambda: self.pool.live_generation == 1, "it to be live")
        return self.reactor.workers[:2]

    async def test_a_worker_begins_with_all_it_needs(self) -> None:
        """Settings, its slot, numbers of its own, and the memory of the counts come first."""
        begins = [await self.heard(worker, Begin) for worker in self.reactor.workers]
        self.assertEqual([begin.slot for begin in begins], [0, 1])
        self.assertEqual([begin.first_id for begin in begins], [1, 1_000_000_001])
        self.assertEqual({(begin.settings, begin.slots) for begin in begins}, {(SETTINGS, 2)})
        self.assertEqual([len(worker.descriptors) for worker in self.reactor.workers], [1, 1])

    async def test_a_generation_is_live_when_all_serve_it(self) -> None:
        """Not before the last one has answered."""
        first, second = self.reactor.workers
        for worker in (first, second):
            await self.heard(worker, TableComplete)
        first.says(TableInstalled(1))
        await wait_for(lambda: self.changes, "the answer")
        self.assertEqual(self.pool.live_generation, 0)
        second.says(TableInstalled(1))
        await wait_for(lambda: self.pool.live_generation == 1, "it to be live")

    async def test_names_and_failing_endpoints_are_put_together(self) -> None:
        """A name has the latest answer and the first failure of any worker; what a dead one knew is forgotten."""
        first, second = await self.serving()
        first.says(NameChanges({"a.org": NameFigures(("10.0.0.1",), 5.0), "b.org": NameFigures(("10.0.0.3",), 5.0)}))
        second.says(NameChanges({"a.org": NameFigures(("10.0.0.2",), 4.0, 6.0, "nobody answers")}))
        await wait_for(lambda: len(self.pool.names()) == 2 and self.pool.names()["a.org"].reason, "both")
        self.assertEqual(self.pool.names()["a.org"], NameFigures(("10.0.0.1",), 5.0, 6.0, "nobody answers"))
        first.says(NameChanges({"b.org": None}))
        await wait_for(lambda: len(self.pool.names()) == 1, "the name to be gone")
        out = LeftOut("x:80", "10.0.0.7:80", EJECTED, 60.0)
        first.says(ConnectionFigures(left_out=(out,)))
        second.says(ConnectionFigures(left_out=(replace(out, until=50.0), replace(out, state=TRIED_LAST))))
        await wait_for(lambda: len(self.pool.left_out()) == 2, "the endpoints")
        self.assertEqual(self.pool.left_out(), [replace(out, workers=2), replace(out, state=TRIED_LAST)])
        second.dies(signal.SIGKILL)
        await wait_for(lambda: not self.pool.names()["a.org"].reason, "the failure to be gone")
        self.assertEqual(self.pool.left_out(), [out])

    async def test_who_lags_gets_only_the_latest(self) -> None:
        """Tables that come while a worker has not answered are not sent one by one."""
        first, second = await self.serving()
        for generation in range(2, 9):
            self.pool.install(table(generation))
        for worker in (first, second):
            await self.heard(worker, TableComplete, 2)
            self.assertEqual(worker.table, table(2))
            worker.says(TableInstalled(2))
            await self.heard(worker, TableComplete, 3)
            self.assertEqual(worker.table, table(8))

    async def test_workers_are_told_what_is_gone(self) -> None:
        """A worker that has a table is told the clusters and names that change, so that it looks at no other route."""

        def routes(generation: int, *hosts: str) -> RoutingTable:
            destinations = [Destination(host, 80, endpoints=(Endpoint(host, 80, dns=True),)) for host in hosts]
            chains = {each.host: Chain((), "ns/gw", "tls", "ns/vs", "spec.tls[0]", (each,)) for each in destinations}
            return RoutingTable(generation, {KEY: Listener(KEY, True, True, chains)})

        first, second = await self.serving()
        both, a, again = routes(2, "a.org", "b.org"), routes(3, "a.org"), routes(4, "a.org")
        for each in (both, a, again):
            self.pool.install(each)
            for worker in (first, second):
                await self.heard(worker, TableComplete, each.generation)
                worker.says(TableInstalled(each.generation))
            await wait_for(lambda number=each.generation: self.pool.live_generation == number, "it to be live")  # type: ignore[misc]
        self.assertEqual(
            [message for message in first.heard if isinstance(message, TableComplete)][1:],
            [
                TableComplete(frozenset({"a.org", "b.org"})),
                TableComplete(frozenset({"a.org"}), frozenset({("b.org", 80, "")})),
                TableComplete(None),
            ],
        )

    async def test_only_what_is_different_is_sent(self) -> None:
        """Who has a table gets what changes in it, however large it is; a replacement, which has none, gets it all."""
        first, second = await self.serving()
        for generation, names in ((2, 1000), (3, 1001)):
            self.pool.install(table_of(generation, names))
            for worker in (first, second):
                await self.heard(worker, TableComplete, generation)
                worker.says(TableInstalled(generation))
            await wait_for(lambda latest=generation: self.pool.live_generation == latest, "it to be live")  # type: ignore[misc]
        chunks = [message.edits for message in first.heard if isinstance(message, TableChunk)]
        self.assertGreater(len(chunks), 1000 / EDITS_IN_CHUNK)
        self.assertLess(len(chunks[-1]), 1000)
        self.assertEqual(len(Unpacker().unpack(chunks[-1])), 2)  # the number of the table, and the new name
        first.dies(signal.SIGKILL)
        await wait_for(lambda: self.pool.workers()[0].pid is None, "its end")
        self.reactor.advance(0)
        await self.heard(self.reactor.workers[2], TableComplete)
        self.assertEqual(self.reactor.workers[2].table, table_of(3, 1001))

    async def test_sockets_come_after_the_table_they_are_for(self) -> None:
        """A worker that has the new port but not its routes would turn connections away."""
        first, _ = await self.serving()
        self.pool.install(table(2))
        self.pool.install(table(3))
        self.port()
        await self.heard(first, TableComplete, 2)
        self.assertEqual(first.listens(), [])
        first.says(TableInstalled(2))
        await self.heard(first, Listen)
        self.assertEqual(first.table.generation, 3)

    async def test_a_port_closes_when_all_have_released_it(self) -> None:
        """The parent keeps the sockets until then, and no longer."""
        workers = await self.serving()
        port = self.port()
        for worker in workers:
            await self.heard(worker, Listen)
        closed = port.stop()
        for worker in workers:
            self.assertNoResult(closed)
            worker.says(StoppedListening((await self.heard(worker, StopListening)).id))
        await closed
        self.assertEqual([listening.fileno() for listening in port.sockets], [-1, -1])

    async def test_another_serves_for_one_that_is_missing(self) -> None:
        """The sockets of a dead worker go to another one until its replacement serves, and then back."""
        first, second = await self.serving()
        self.port()
        for worker in (first, second):
            await self.heard(worker, Listen)
        first.dies(signal.SIGSEGV)
        await self.heard(second, Listen, 2)
        self.assertEqual(sorted(second.listens()), [(0, 0), (0, 1)])
        self.reactor.advance(0)
        replacement = self.reactor.workers[2]
        await self.heard(replacement, Listen)
        self.assertEqual(replacement.table, table(1))
        replacement.says(TableInstalled(1))
        await self.heard(second, StopListening)
        self.assertEqual((replacement.listens(), second.listens()), ([(0, 0)], [(0, 1)]))

    async def test_figures_outlive_workers(self) -> None:
        """What a dead worker had done stays counted; its live connections do not."""
        first, second = await self.serving()
        first.says(ConnectionFigures(3, {"ok": 5, "idle": 1}))
        second.says(ConnectionFigures(4, {"ok": 2}))
        await wait_for(lambda: self.pool.ended() == {"ok": 7, "idle": 1}, "the figures")
        self.assertEqual([worker.connections for worker in self.pool.workers()], [3, 4])
        first.dies(signal.SIGKILL)
        await wait_for(lambda: self.pool.workers()[0].pid is None, "its end")
        self.assertEqual([worker.connections for worker in self.pool.workers()], [0, 4])
        self.assertEqual(self.pool.ended(), {"ok": 7, "idle": 1})

    async def test_one_problem_of_several_workers_is_said_once(self) -> None:
        """Also where they found it out at different moments."""
        for second, worker in enumerate(await self.serving()):
            message = f"the name a.example cannot be resolved since 2026-01-01T00:00:0{second}Z: no answer"
            worker.says(CurrentProblems((Problem(Severity.WARNING, "MG3101", message),)))
        await wait_for(lambda: self.changes >= 4, "both")
        self.assertEqual([problem.code for problem in self.pool.problems()], ["MG3101"])

    async def test_one_that_does_not_follow_is_told_of_and_killed(self) -> None:
        """First it is a problem, then it is replaced."""
        first, second = await self.serving()
        self.pool.install(table(2))
        await self.heard(second, TableComplete, 2)
        second.says(TableInstalled(2))
        await wait_for(lambda: self.changes >= 3, "the answer")
        self.reactor.advance(SLOW_AFTER)
        (problem,) = self.pool.problems()
        self.assertEqual(problem.code, "MG3102")
        self.assertIn(f"worker 1 (process {first.pid}) does not follow", problem.message)
        self.reactor.advance(STUCK_AFTER - SLOW_AFTER)
        self.assertIsNone(first.pid)
        await wait_for(lambda: self.pool.workers()[0].restarts, "its end")
        self.reactor.advance(0)
        self.assertEqual(len(self.reactor.workers), 3)

    async def test_one_that_answers_late_is_forgiven(self) -> None:
        """The problem goes with the answer, and nothing is killed."""
        first, second = await self.serving()
        self.pool.install(table(2))
        self.reactor.advance(SLOW_AFTER)
        self.assertEqual(len(self.pool.problems()), 2)
        for worker in (first, second):
            await self.heard(worker, TableComplete, 2)
            worker.says(TableInstalled(2))
        await wait_for(lambda: not self.pool.problems(), "the problems' end")
        self.reactor.advance(STUCK_AFTER)
        self.assertIsNotNone(first.pid)

    async def test_what_cannot_be_started_is_tried_again(self) -> None:
        """Where the system has no room for a process, the pauses grow as for one that dies."""
        first, _ = await self.serving()
        self.reactor.broken = True
        first.dies(signal.SIGKILL)
        await wait_for(lambda: self.pool.workers()[0].pid is None, "its end")
        self.reactor.advance(0)
        (problem,) = self.pool.problems()
        self.assertIn("could not be started (Resource temporarily unavailable)", problem.message)
        self.reactor.broken = False
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.workers), 3)

    async def test_pauses_are_short_while_nobody_serves(self) -> None:
        """However often they have died, with the last of them one is started within a second."""
        _, second = await self.serving()
        for restarts in range(1, 6):
            self.reactor.workers[0 if restarts == 1 else -1].dies(signal.SIGKILL)
            await wait_for(lambda number=restarts: self.pool.workers()[0].restarts == number, "its end")  # type: ignore[misc]
            if restarts < 5:
                self.reactor.advance(30)
        started = len(self.reactor.workers)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.workers), started)
        second.dies(signal.SIGKILL)
        await wait_for(lambda: self.pool.workers()[1].restarts, "the end of the last")
        self.reactor.advance(0)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.workers), started + 2)

    async def test_new_settings_go_to_all(self) -> None:
        """Those that are there, and those that come."""
        first, second = await self.serving()
        renewed = ServingSettings(Limits(idle=1.0), (), AccessLogChoice(os.devnull, "json"))
        self.pool.apply_settings(renewed)
        for worker in (first, second):
            self.assertEqual((await self.heard(worker, ApplySettings)).settings, renewed)
        first.dies(signal.SIGKILL)
        await wait_for(lambda: self.pool.workers()[0].pid is None, "its end")
        self.reactor.advance(0)
        self.assertEqual((await self.heard(self.reactor.workers[2], Begin)).settings, renewed)

    async def test_the_end_waits_for_all_but_not_forever(self) -> None:
        """Workers are asked to drain, are not replaced when they have, and are killed when they do not."""
        first, second = await self.serving()
        stopped = self.pool.stop()
        for worker in (first, second):
            await self.heard(worker, Drain)
        first.dies()
        self.assertNoResult(stopped)
        self.reactor.advance(END_WITHIN)
        self.assertIsNone(second.pid)
        await stopped
        self.assertEqual(len(self.reactor.workers), 2)
