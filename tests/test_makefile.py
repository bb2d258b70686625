"""Tests of the Makefile: what a newcomer types first."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

from meshgate.processes.pidfile import hold
from tests.support import IMPORT_ROOT, Program, new_folder, require_program


class ListTests(TestCase):
    """``make`` alone."""

    async def test_every_target_is_listed(self) -> None:
        """Each target that somebody would type is told in one line; nothing is done."""
        if not (IMPORT_ROOT / "Makefile").exists():
            raise SkipTest("these tests are not run from a checkout")
        program = Program(self, [require_program("make"), "-s", "-C", IMPORT_ROOT])
        self.assertEqual((await program.exit_status(), program.stderr), (0, ""))
        listed = re.findall(r"(?m)^  make ([a-z-]+) +\S.*$", program.stdout)
        phony = re.search(r"(?m)^\.PHONY: help (.*)$", (IMPORT_ROOT / "Makefile").read_text())
        assert phony is not None
        self.assertEqual(sorted(listed), sorted(phony[1].split()))


class LabTests(TestCase):
    """``make lab``."""

    timeout = 60

    async def make(self, target: str, pidfile: str) -> Program:
        """Run a target to its end, with nothing installed and a pidfile of its own."""
        if not (IMPORT_ROOT / "Makefile").exists():
            raise SkipTest("these tests are not run from a checkout")
        arguments: list[str | Path] = ["-s", "-C", IMPORT_ROOT, "-o", "nothing/.installed", "-o", "nothing/bin/python"]
        make = require_program("make")
        ours = ["VENV=nothing", f"BIN={Path(sys.executable).parent}", f"LAB_PIDFILE={pidfile}"]
        program = Program(self, [make, *arguments, target, *ours])
        await program.exit_status()
        return program

    async def test_a_second_start_says_so(self) -> None:
        """While a lab runs, another one is not started, and is told how to end the first."""
        pidfile = new_folder(self) / "lab.pid"
        pidfile.write_text(f"{os.getpid()}\n")
        held = hold(pidfile)
        assert held is not None
        self.addCleanup(os.close, held)
        program = await self.make("lab", str(pidfile))
        self.assertNotEqual(await program.exit_status(), 0)
        self.assertIn(f"The lab is already running (process {os.getpid()}); 'make lab-stop' ends it.", program.stderr)
        self.assertTrue(pidfile.exists())

    async def test_nothing_to_stop(self) -> None:
        """Without a lab there is nothing to end, which is no failure; nor is another program that got its number."""
        pidfile = new_folder(self) / "lab.pid"
        other = Program(self, [sys.executable, "-c", "import time; time.sleep(100)"])
        for number in (None, other.pid):
            if number is not None:
                pidfile.write_text(f"{number}\n")
                os.utime(pidfile, (1, 1))
            program = await self.make("lab-stop", str(pidfile))
            self.assertEqual((await program.exit_status(), program.stdout), (0, "The lab is not running.\n"))
        self.assertTrue(other.running)
