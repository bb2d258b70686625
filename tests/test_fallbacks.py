"""
The lab on systems that lack what only Linux has, each taken away in a real twistd and its workers.

A ``sitecustomize`` in front of all other folders takes it away before any module of meshgate is imported; workers find
their modules where the control process does, so it works in them as well.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import TestCase

from tests.installation import ECHO, NAME_1, SNI, Installation, running
from tests.support import IMPORT_ROOT, new_folder, wait_for
from tests.test_end_to_end import GREETING, Telnet, curl

MEMFD = "import os; del os.memfd_create\n"
EPOLL = """
import select
for name in [name for name in vars(select) if name.lower().startswith("epoll")]:
    delattr(select, name)
"""
REUSEPORT = "import socket; del socket.SO_REUSEPORT\n"
INOTIFY = """
import ctypes

class CDLL(ctypes.CDLL):
    def __getattr__(self, name):
        if name.startswith("inotify"):
            raise AttributeError(name)
        return super().__getattr__(name)

ctypes.CDLL = CDLL
"""
NOTE = "import os; open(os.path.join({folder!r}, str(os.getpid())), 'w').close()\n"
"""Tells which processes it works in."""


class FallbackTests(TestCase):
    """The same lab, served with less."""

    timeout = 120

    async def serves_without(self, *lacking: str) -> Installation:
        """Run the lab, connect by telnet and by server name, and change a route."""
        folder = new_folder(self)
        (folder / "sitecustomize.py").write_text("".join(lacking) + NOTE.format(folder=str(folder)))
        lab = await running(self, environment={"PYTHONPATH": f"{folder}:{IMPORT_ROOT}"})
        telnet = Telnet(self, lab.ports[ECHO])
        telnet.read_until(GREETING)
        telnet.type("hello")
        telnet.read_until("hello\r\nhello")
        telnet.close()
        port = lab.ports[SNI]
        self.assertEqual(json.loads(curl(lab, NAME_1, port).stdout)["name"], "simple-tls-service-1")
        route = lab.routes / "31-sni-route-1.yaml"
        route.write_text(route.read_text().replace("simple-sni-1.", "other."))
        await wait_for(lambda: curl(lab, NAME_1, port).returncode, "the route to be gone")

        def processes() -> list[int | None]:
            return [lab.process.pid, *(worker["pid"] for worker in lab.status()["workers"])]

        await wait_for(lambda: None not in processes(), "the figures of all workers")
        for pid in processes():
            self.assertTrue((folder / str(pid)).exists(), pid)
        return lab

    def started(self, lab: Installation) -> str:
        """The line of the log about the start."""
        return next(line for line in lab.process.stderr.splitlines() if " starts with " in line)

    async def test_without_memfd(self) -> None:
        """The counts that workers share are in a file without a name."""
        await self.serves_without(MEMFD)

    async def test_without_epoll(self) -> None:
        """Twisted's transports carry the bytes."""
        self.assertIn("twisted transport", self.started(await self.serves_without(EPOLL)))

    async def test_without_a_balancing_reuseport(self) -> None:
        """There is one worker, whatever the number of processors."""
        lab = await self.serves_without(REUSEPORT)
        self.assertIn("1 worker,", self.started(lab))
        self.assertEqual(len(lab.status()["workers"]), 1)

    async def test_without_inotify(self) -> None:
        """Changes of files are found by looking."""
        await self.serves_without(INOTIFY)

    async def test_without_all_of_them(self) -> None:
        """One worker with Twisted's transports serves the same lab."""
        lab = await self.serves_without(MEMFD, EPOLL, REUSEPORT, INOTIFY)
        self.assertIn("1 worker, twisted transport", self.started(lab))
