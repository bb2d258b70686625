"""Socket activation: real processes with two workers, which get listening sockets from systemd or from a test."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path

from twisted.internet.threads import deferToThread

from meshgate.state.folder import holder
from tests.installation import ECHO, Installation, run_meshgate
from tests.lab_with_workers import END_OF_GREETING, Client, WorkersTestCase
from tests.support import IMPORT_ROOT, Program, free_port, once_more, require_program, wait_for

EXCLUSIVE = 1 << 28
"""Of the processes that wait for an event, one is woken (EPOLLEXCLUSIVE)."""


def listening_everywhere(test: WorkersTestCase, port: int) -> socket.socket:
    """A listening socket as ``ListenStream=PORT`` makes it."""
    made = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=100)
    test.addCleanup(made.close)
    return made


def ending_of(port: int) -> str:
    """How a connection ends at once."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            return "finished" if not client.recv(100) else "served"
    except ConnectionResetError:
        return "reset"


def watched_events(pid: int) -> list[int]:
    """The events for which the epoll descriptors of a process watch."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        found += (int(each, 16) for each in re.findall(r"(?m)^tfd:.* events: +([0-9a-f]+)", file.read_text()))
    return found


async def hold(pid: int) -> None:
    """Have a process stop, and wait until it has: one that still runs may be woken for a connection."""
    os.kill(pid, signal.SIGSTOP)
    state = Path(f"/proc/{pid}/stat")
    await wait_for(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", f"process {pid} to stop")


class PassedOnTests(WorkersTestCase):
    """Sockets that the test has opened and holds, as systemd does."""

    async def activated(self, workers: str = "2") -> Installation:
        """A lab whose echo port is an activated socket; it serves."""

        async def start() -> Installation:
            lab = Installation(self)
            lab.edit_settings(format="json", workers=workers)
            lab.activated["meshgate.socket"] = listening_everywhere(self, lab.ports[ECHO])
            await lab.start()
            return lab

        lab = await once_more(start)
        await self.state(lab, "the workers", lambda status: status["live_generation"] == 1)
        return lab

    async def test_workers_share_it(self) -> None:
        """One of them is woken for a connection; each accepts while the other cannot, and so does a replacement."""
        lab = await self.activated()
        port = lab.ports[ECHO]
        pids = [await self.pid(lab, worker) for worker in (1, 2)]
        for pid, other in (pids, pids[::-1]):
            self.assertTrue(any(events & EXCLUSIVE for events in watched_events(pid)))
            await hold(other)
            Client(self, port).read_until(END_OF_GREETING)
            os.kill(other, signal.SIGCONT)
        for pid in pids:
            await hold(pid)
        waiting = self.clients(port, 5)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for client in waiting:
            client.read_until(END_OF_GREETING)
        self.assertNotIn("MG3105", lab.process.stderr)

    async def test_a_restart_refuses_nobody(self) -> None:
        """Clients that come while no gateway runs wait in the socket's queue, and the next one serves them."""
        lab = await self.activated()
        Client(self, lab.ports[ECHO]).finish()
        self.assertEqual(await lab.stop(), 0)
        waiting = self.clients(lab.ports[ECHO], 5)
        await lab.start()
        for client in waiting:
            client.read_until(END_OF_GREETING)

    async def test_an_upgrade(self) -> None:
        """The next process gets the socket, by its name, and so does the one after that; its queue is never lost."""
        lab = await self.activated()
        port = lab.ports[ECHO]
        lab.process.signal(signal.SIGUSR2)
        self.assertEqual(await lab.process.exit_status(), 0)
        second = holder(lab.state).facts["pid"]
        Client(self, port).read_until(END_OF_GREETING)
        os.kill(second, signal.SIGUSR2)
        pid = (
            await wait_for(lambda: (now := holder(lab.state).facts.get("pid")) != second and now, "the third process")
            or 0
        )
        Client(self, port).read_until(END_OF_GREETING)
        self.assertNotIn("MG3105", lab.process.stderr)
        os.kill(pid, signal.SIGTERM)
        await wait_for(lambda: not holder(lab.state).held, "the end")
        waiting = self.clients(port, 1)
        await lab.start()
        waiting[0].read_until(END_OF_GREETING)

    async def test_without_a_listener(self) -> None:
        """Connections are reset, counted and logged as no_route, the status says so, and a listener may come back."""
        lab = await self.activated()
        port, route = lab.ports[ECHO], next(lab.routes.glob("*echo*"))
        text = route.read_text()
        route.unlink()
        await self.state(lab, "a table without it", lambda status: status["live_generation"] == 2)
        for _ in range(20):
            self.assertEqual(await deferToThread(ending_of, port), "reset")
        line = await lab.logged(ending="no_route")
        self.assertEqual(line["listener"], f"[::]:{port}")
        problem = f"the activated socket [::]:{port} (meshgate.socket) has no listener: its connections are reset"
        status = await self.state(lab, "20 counted", lambda status: status["ended"].get("no_route") == 20)
        self.assertIn(("MG3105", problem), [(each["code"], each["message"]) for each in status["problems"]])
        self.assertEqual(lab.process.stderr.count(problem), 1)
        shown = (await deferToThread(run_meshgate, ["status", "--config", lab.settings])).stdout.decode()
        self.assertIn(f"warning[MG3105]: {problem}", shown)
        route.write_text(text)
        await self.state(lab, "the listener", lambda status: status["live_generation"] == 3)
        Client(self, port).read_until(END_OF_GREETING)
        self.assertNotIn("MG3105", [each["code"] for each in lab.status()["problems"]])
        self.assertEqual(await lab.stop(), 0)

    async def test_what_cannot_be_used(self) -> None:
        """A socket that does not listen ends the start with one line."""
        lab = Installation(self)
        with socket.socket() as silent:
            lab.activated["web"] = silent
            with self.assertRaisesRegex(
                AssertionError, r"(?m)^meshgate: socket activation: .*3 \(web\) does not listen;"
            ):
                await lab.start()
        self.assertEqual(await lab.process.exit_status(), 1)
        self.assertNotIn("Traceback", lab.process.stderr)


class SystemdTests(WorkersTestCase):
    """systemd's own program, which starts the gateway when the first client connects."""

    async def test_systemd_socket_activate(self) -> None:
        """The client that starts the gateway is served, and so are a Unix socket and ports that are not activated."""
        activate = require_program("systemd-socket-activate")
        lab = Installation(self)
        lab.edit_settings(format="json", workers="2")
        port, unclaimed = lab.ports[ECHO], free_port()
        twistd = Path(sys.executable).with_name("twistd")
        listening = [f"--listen={port}", f"--listen=127.0.0.1:{unclaimed}", "--fdname=echo:spare"]
        command: list[str | Path] = [twistd, "-n", "--pidfile=", "meshgate", "--config", lab.settings]
        lab.process = Program(self, [activate, *listening, f"--setenv=PYTHONPATH={IMPORT_ROOT}", *command], lab.folder)
        await lab.process.wait_for_output(f"Listening on 127.0.0.1:{unclaimed}")
        first = Client(self, port)
        await lab.process.wait_for_output("all 2 workers serve")
        first.read_until(END_OF_GREETING)
        self.assertEqual(await deferToThread(ending_of, unclaimed), "reset")
        self.assertIn(f"the activated socket 127.0.0.1:{unclaimed} (spare) has no listener", lab.process.stderr)
        self.assertEqual(await lab.stop(), 0)
