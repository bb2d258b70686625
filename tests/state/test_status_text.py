"""Tests of ``status.json`` and ``meshgate status`` beside a real gateway that runs, dies, fails and ends."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import TestCase

from tests.installation import ECHO, SNI, Installation, run_meshgate, running
from tests.lab_with_workers import Client, WorkersTestCase, exists
from tests.support import TwistdProcess, lacking, reactor, wait_for

SECOND = 1.0
"""Seconds that a figure may be old."""


def shown(lab: Installation, *arguments: str) -> tuple[int, str]:
    """The exit status of ``meshgate status`` and what it prints."""
    done = run_meshgate(["status", "--config", lab.settings, *arguments])
    return done.returncode, done.stdout.decode() + done.stderr.decode()


class RunningTests(TestCase):
    """Whether the gateway runs."""

    timeout = 120

    async def test_from_start_to_end(self) -> None:
        """It runs until it ends; then no port is open, and what was in force last is shown."""
        lab = Installation(self)
        self.assertEqual(shown(lab)[0], 3)
        await lab.start()
        code, text = shown(lab)
        self.assertEqual(code, 0, text)
        self.assertIn(f"process {lab.process.pid}, running\n", text)
        self.assertIn(f":{lab.ports[SNI]} TLS open\n", text)
        self.assertIn("provider ", text)
        await lab.stop()
        code, text = shown(lab)
        self.assertEqual(code, 3)
        self.assertIn(f"meshgate is not running: process {lab.process.pid}, started ", text)
        self.assertIn(" ended in order at ", text)
        self.assertIn(f":{lab.ports[SNI]} TLS closed\n", text)
        self.assertNotIn("open", text)
        self.assertEqual(json.loads((lab.state / "status.json").read_text())["listeners"][0]["state"], "closed")

    async def test_killed(self) -> None:
        """Killed, it does not run, although its files say so; the next one starts without ado."""
        lab = await running(self)
        os.kill(lab.process.pid, signal.SIGKILL)
        await lab.process.exit_status()
        code, text = shown(lab)
        self.assertEqual((code, "was killed" in text, "open" in text), (3, True, False), text)
        found = json.loads(shown(lab, "--format", "json")[1])
        self.assertEqual((found["running"], found["process"]["pid"]), (False, lab.process.pid))
        await lab.start()
        self.assertEqual(shown(lab)[0], 0)

    async def test_a_start_that_fails(self) -> None:
        """The start that failed is told with its reason, and beside it what was in force before."""
        lab = await running(self)
        pid = lab.process.pid
        await lab.stop()
        with socket.create_server(("0.0.0.0", lab.ports[SNI])):
            failed = TwistdProcess(self, ["meshgate", "--config", lab.settings])
            self.assertEqual(await failed.exit_status(), 1)
        code, text = shown(lab)
        self.assertEqual(code, 3)
        self.assertRegex(text, rf"not running: process {failed.pid}, started .*, could not start: port .* in use by")
        self.assertIn(f"the last status of process {pid}", text)

    async def test_the_first_start_fails(self) -> None:
        """The same where there was none before."""
        lab = Installation(self)
        with socket.create_server(("0.0.0.0", lab.ports[SNI])):
            failed = TwistdProcess(self, ["meshgate", "--config", lab.settings])
            self.assertEqual(await failed.exit_status(), 1)
        code, text = shown(lab)
        self.assertEqual((code, text.count("\n")), (3, 1), text)
        self.assertIn("could not start: port", text)

    async def test_a_second_one(self) -> None:
        """A second gateway with the state folder is refused, and harms nothing; a validation is let through."""
        lab = await running(self)
        before = (lab.state / "status.json").read_text()
        second = TwistdProcess(self, ["meshgate", "--config", lab.settings])
        self.assertEqual(await second.exit_status(), 1)
        self.assertIn(f"meshgate: the state folder {lab.state} is in use by another gateway", second.stderr)
        self.assertIn(f"(process {lab.process.pid}, started 20", second.stderr)
        self.assertNotIn("Traceback", second.stderr)
        validation = TwistdProcess(self, ["meshgate", "--config", lab.settings, "--validate"])
        self.assertEqual(await validation.exit_status(), 0, validation.stderr)
        self.assertEqual((lab.state / "status.json").read_text(), before)
        self.assertEqual(shown(lab)[0], 0)


class FiguresTests(WorkersTestCase):
    """Figures beside connections that come and go."""

    async def follow(self, lab: Installation) -> None:
        """Open three connections and end them; each time the figures follow within a second."""
        clients = [Client(self, lab.ports[ECHO]) for _ in range(3)]
        for client in clients:
            client.read_until(b"\n")
        await self.within(lab, lambda status: status["connections"] == 3)
        self.assertIn("\n3 connections; none has ended\n", shown(lab)[1])
        for client in clients:
            client.finish()
        await self.within(lab, lambda status: status["connections"] == 0 and status["ended"] == {"ok": 3})
        self.assertIn("\n0 connections; 3 have ended: 3 ok\n", shown(lab)[1])

    async def within(self, lab: Installation, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for figures for a second, and a little for the machine."""
        await wait_for(lambda: holds(lab.status()), "the figures", SECOND + 0.5)

    async def test_one_worker(self) -> None:
        """One process does everything."""
        await self.follow(await running(self))

    async def test_two_workers(self) -> None:
        """Workers tell theirs."""
        lab = await self.start()
        await self.follow(lab)

    async def test_killed_while_workers_drain(self) -> None:
        """The gateway is gone with its process, while a worker that cannot notice lives on."""
        lab = await self.start()
        worker = await self.pid(lab, 1)
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(os.kill, worker, signal.SIGKILL)
        os.kill(lab.process.pid, signal.SIGKILL)
        await lab.process.exit_status()
        self.assertTrue(exists(worker))
        self.assertEqual(shown(lab)[0], 3)


class WritingTests(TestCase):
    """A state folder that cannot be written for a time."""

    timeout = 120

    async def test_removed(self) -> None:
        """A folder that was removed is made again, with everything in it."""
        lab = await running(self)
        shutil.rmtree(lab.state)
        await wait_for(lambda: (lab.state / "status.json").exists() and (lab.state / "figures.json").exists(), "both")
        self.assertEqual(shown(lab)[0], 0)

    async def test_full(self) -> None:
        """On a full disk the reason is said once; when there is room again, everything is written."""
        lab = Installation(self)
        lab.state.mkdir()
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", lab.state], check=False, capture_output=True
        ).returncode:
            raise lacking("no file system can be mounted")
        self.addCleanup(lambda: subprocess.run(["umount", "--lazy", lab.state], check=False))
        await lab.start()
        filler = lab.state / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        gateway = lab.routes / "30-sni-gateway.yaml"
        text = gateway.read_text()
        gateway.write_text(text.replace("mode: PASSTHROUGH", "mode: PASSTHRU"))
        client = socket.create_connection(("127.0.0.1", lab.ports[ECHO]), timeout=5)
        self.addCleanup(client.close)
        await lab.process.wait_for_output("cannot be written: No space left on device")
        self.assertIn("is therefore old: No space left on device", shown(lab)[1])
        began = reactor.seconds()
        await wait_for(lambda: reactor.seconds() > began + 2.5, "two more attempts")
        self.assertEqual(lab.process.stderr.count("cannot be written"), 1)
        filler.unlink()
        await lab.process.wait_for_output("are written again")
        await wait_for(lambda: lab.status()["connections"] == 1, "the figures")
        await wait_for(lambda: any(p["code"] == "MG1004" for p in lab.status()["problems"]), "the status")
        self.assertNotIn("is old", shown(lab)[1])
        await lab.stop()
