"""Tests of :mod:`meshgate.workers.worker`: a real worker process, whose parent is the test."""

from __future__ import annotations

import mmap
import os
import signal
import socket
from typing import Any

from twisted.trial.unittest import TestCase

from meshgate.proxy.limits import Limits
from meshgate.proxy.log_outputs import AccessLogChoice
from meshgate.proxy.serving import ServingSettings
from meshgate.proxy.shared_counts import bytes_for
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from meshgate.routing.table_edits import edits_between
from meshgate.transport.dialing import dial
from meshgate.workers.messages import (
    ApplySettings,
    Begin,
    ConnectionFigures,
    CurrentProblems,
    Drain,
    Listen,
    LogLine,
    StopListening,
    StoppedListening,
    TableChunk,
    TableComplete,
    TableInstalled,
    pack_edits,
)
from meshgate.workers.worker_process import WorkerProcess
from tests.peers import LOOPBACK, Origin, Peer, end_all
from tests.support import new_folder, reactor, wait_for

KEY = ListenerKey(LOOPBACK, 443)
ID = (0, 0)


class WorkerTests(TestCase):
    """One worker."""

    timeout = 60

    def setUp(self) -> None:
        """Start it."""
        self.heard: list[Any] = []
        self.fates: list[str] = []
        self.log = new_folder(self) / "access.log"
        self.worker = WorkerProcess(reactor, 1, self.received, lambda fate, lived: self.fates.append(fate))
        self.addCleanup(self.end)

    async def end(self) -> None:
        """End it, if it still runs."""
        self.worker.kill()
        await wait_for(lambda: self.fates, "the end of the worker")

    def received(self, message: object, descriptors: list[int]) -> None:
        """Remember what it says."""
        self.heard.append(message)

    async def said(self, kind: type) -> Any:
        """Wait for a message of a kind; gives the latest."""
        await wait_for(lambda: [message for message in self.heard if isinstance(message, kind)], kind.__name__)
        return [message for message in self.heard if isinstance(message, kind)][-1]

    def settings(self, path: str = "") -> ServingSettings:
        """Settings with an access log."""
        return ServingSettings(Limits(), (), AccessLogChoice(path or str(self.log)))

    def begin(self, settings: ServingSettings | None = None) -> None:
        """Tell it what it has to know first."""
        memory = os.memfd_create("test")
        self.addCleanup(os.close, memory)
        os.ftruncate(memory, bytes_for(1))
        self.memory = mmap.mmap(memory, bytes_for(1))
        self.worker.send(Begin(settings or self.settings(), 0, 1, 1, bytes(16)), memory)

    def install(self, origin: Endpoint) -> None:
        """Give it a route to one endpoint."""
        destination = Destination("db.example.org", 5432, endpoints=(origin,))
        chain = Chain((), "ns/gw", "tcp", "ns/vs", "spec.tcp[0]", (destination,))
        table = RoutingTable(1, {KEY: Listener(KEY, False, False, catch_all=chain)})
        for chunk in pack_edits(edits_between(RoutingTable(), table)):
            self.worker.send(TableChunk(chunk))
        self.worker.send(TableComplete(table.dns_names()))

    async def listening(self) -> socket.socket:
        """A socket that it accepts on."""
        listening = socket.create_server((LOOPBACK, 0))
        self.addCleanup(listening.close)
        listening.setblocking(False)
        self.worker.send(Listen(ID, KEY), listening.fileno())
        return listening

    async def greeted(self, listening: socket.socket, origin: Origin, number: int = 0) -> list[Peer]:
        """A client that has been greeted by the origin, and the origin's end."""
        client: Peer = await dial(reactor, LOOPBACK, listening.getsockname()[1], Peer(), timeout=10)
        await client.got(b"welcome")
        return [client, await origin.peer(number)]

    async def test_it_serves_and_reports(self) -> None:
        """It answers the table, accepts on the socket, counts, and writes the log."""
        origin = Origin(self, b"welcome")
        self.begin()
        self.install(origin.endpoint)
        self.assertEqual(await self.said(TableInstalled), TableInstalled(1))
        listening = await self.listening()
        ends = await self.greeted(listening, origin)
        self.assertEqual((await self.said(ConnectionFigures)).connections, 1)
        await end_all(ends)
        await wait_for(lambda: sum((self.heard[-1].endings or {0: 0}).values()) == 1, "the count of the end")
        await wait_for(lambda: self.log.read_text().count("\n") == 1, "the line")

    async def test_a_socket_is_released(self) -> None:
        """It accepts no more, and what comes then waits for others; connections go on."""
        origin = Origin(self, b"welcome")
        self.begin()
        self.install(origin.endpoint)
        listening = await self.listening()
        ends = await self.greeted(listening, origin)
        self.worker.send(StopListening(ID))
        self.assertEqual(await self.said(StoppedListening), StoppedListening(ID))
        waiting = socket.create_connection(listening.getsockname(), timeout=10)
        self.addCleanup(waiting.close)
        taken, _ = listening.accept()
        taken.close()
        ends[0].send(b"goes on")
        await ends[1].got(b"goes on")
        await end_all(ends)

    async def test_it_drains_and_ends(self) -> None:
        """Connections are ended, figures and log are complete, and the exit status is 0."""
        origin = Origin(self, b"welcome")
        self.begin()
        self.install(origin.endpoint)
        ends = await self.greeted(await self.listening(), origin)
        self.worker.send(Drain())
        await wait_for(lambda: self.fates, "its end")
        self.assertEqual(self.fates, ["ended with status 0"])
        self.assertEqual(await self.said(ConnectionFigures), ConnectionFigures(0, {"drained": 1}))
        self.assertIn("ending=drained", self.log.read_text())
        await end_all(ends)

    async def test_terminals_do_not_end_it(self) -> None:
        """Interrupts and hang-ups are the parent's, from the first moment on."""
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(self.worker.pid, number)
        self.begin()
        self.install(Endpoint(LOOPBACK, 1))
        await self.said(TableInstalled)
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(self.worker.pid, number)
        self.worker.send(Drain())
        await wait_for(lambda: self.fates, "its end")
        self.assertEqual(self.fates, ["ended with status 0"])

    async def test_a_log_that_cannot_be_opened_is_a_problem(self) -> None:
        """It serves without, says so, and is content once settings come with which it can."""
        self.begin(self.settings(str(self.log.parent / "none" / "access.log")))
        (problem,) = (await self.said(CurrentProblems)).problems
        self.assertEqual(
            str(problem).replace(str(self.log.parent), "FOLDER"),
            "error[MG3006]: the access log cannot be renewed: the access log FOLDER/none/access.log cannot be opened: "
            "No such file or directory (its folder has to exist)",
        )
        self.worker.send(ApplySettings(self.settings()))
        await wait_for(lambda: self.heard[-1] == CurrentProblems(()), "the problem's end")
        self.assertTrue(self.log.exists())

    async def test_what_it_does_not_understand_ends_it(self) -> None:
        """It says why, and its status is 1: a fresh worker is better than one that has missed something."""
        self.worker.send("nonsense")
        await wait_for(lambda: self.fates, "its end")
        self.assertEqual(self.fates, ["ended with status 1"])
        self.assertIn("str could not be followed", (await self.said(LogLine)).text)
