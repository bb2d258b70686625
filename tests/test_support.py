"""Tests of :mod:`tests.support`, on which others rely: nothing is left behind, nothing passes in silence."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

import tests
from tests.support import Program, StartError, free_port, once_more, require_program, wait_for

CHECKOUT = Path(tests.__file__).parent.parent


class SupportTests(TestCase):
    """Ports, waiting, programs and processes."""

    def test_ports_are_free_and_different(self) -> None:
        """Each can be bound, and none is given twice."""
        ports = [free_port() for _ in range(20)]
        self.assertEqual(len(set(ports)), 20)
        for port in ports:
            socket.create_server(("127.0.0.1", port)).close()

    async def test_two_processes_never_share_a_port(self) -> None:
        """Nobody listens on most ports that a test has got; another test process must not get them meanwhile."""
        ours = {free_port() for _ in range(300)}
        code = "from tests.support import free_port\nfor _ in range(300): print(free_port())"
        other = Program(self, [sys.executable, "-c", code], environment={"PYTHONPATH": str(CHECKOUT)})
        self.assertEqual(await other.exit_status(), 0, other.stderr)
        theirs = set(map(int, other.stdout.split()))
        self.assertEqual((len(theirs), ours & theirs), (300, set()))

    async def test_waiting_has_a_deadline(self) -> None:
        """A condition that stays false fails the test, and says what it waited for."""
        with self.assertRaises(AssertionError) as caught:
            await wait_for(lambda: False, "the moon", timeout=0.05)
        self.assertIn("in vain for the moon", str(caught.exception))

    async def test_a_start_that_fails_is_tried_once_more(self) -> None:
        """The second try counts, and there is no third."""
        tries = []

        async def start() -> int:
            tries.append(1)
            if len(tries) in (1, 3, 4):
                raise StartError("taken")
            return len(tries)

        self.assertEqual(await once_more(start), 2)
        with self.assertRaises(StartError):
            await once_more(start)
        self.assertEqual(len(tries), 4)

    def test_a_missing_program_skips_or_fails(self) -> None:
        """It skips the test by name, and fails it on continuous integration."""
        self.patch(os, "environ", {**os.environ, "CI": ""})
        with self.assertRaises(SkipTest) as caught:
            require_program("no-such-program")
        self.assertIn("no-such-program is not installed", str(caught.exception))
        os.environ["CI"] = "true"
        with self.assertRaises(AssertionError):
            require_program("no-such-program")

    async def test_a_process_that_ends_early_is_reported_with_its_output(self) -> None:
        """Waiting for the output of a process that has ended fails at once and shows what it said."""
        process = Program(self, [sys.executable, "-c", "import sys; sys.exit('no luck')"])
        with self.assertRaises(StartError) as caught:
            await process.wait_for_output("ready")
        self.assertIn("no luck", str(caught.exception))
        self.assertEqual(await process.exit_status(), 1)

    async def test_killing_leaves_no_child(self) -> None:
        """The whole process group goes, children that nobody waits for included."""
        code = (
            "import subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(600)\n"
        )
        process = Program(self, [sys.executable, "-c", code])
        await wait_for(lambda: process.stdout.endswith("\n"), "the child's number")
        child = int(process.stdout)
        process.kill()
        self.assertFalse(process.running)
        await wait_for(lambda: _is_gone(child), "the end of the child")


def _is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that its new parent has not reaped yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
