"""Tests of ``python -m tests``, which runs all others."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.lab_with_workers import exists
from tests.support import IMPORT_ROOT, Program, new_folder, wait_for

CASES = """
from pathlib import Path
from subprocess import Popen

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase


def start(name):
    process = Popen(["sleep", "600"], start_new_session=True)
    Path(__file__).with_name(name).write_text(str(process.pid))


class QuickTests(TestCase):
    def test_good(self):
        pass

    def test_bad(self):
        self.fail("it is bad")

    def test_skipped(self):
        pass

    test_skipped.skip = "not now"


class EndlessTests(TestCase):
    def test_it(self):
        start("endless")
        return Deferred()


class LeavingTests(TestCase):
    def test_it(self):
        start("left")
"""


class MainTests(TestCase):
    """Real runs of small tests, each of two processes."""

    def setUp(self) -> None:
        """Write the tests."""
        self.folder = new_folder(self)
        (self.folder / "cases.py").write_text(CASES)

    def start(self, *cases: str) -> Program:
        """Run some of them."""
        arguments: list[str | Path] = [
            sys.executable,
            "-m",
            "tests",
            "--jobs=2",
            f"--temp-directory={self.folder}/temp",
        ]
        path = os.pathsep.join([str(self.folder), str(IMPORT_ROOT)])
        return Program(self, [*arguments, *(f"cases.{case}" for case in cases)], environment={"PYTHONPATH": path})

    async def pid(self, name: str) -> int:
        """The process that a test has started."""
        file = self.folder / name
        return int(await wait_for(lambda: file.exists() and file.read_text(), "the test's process"))

    async def test_outcomes(self) -> None:
        """How far it is, failures, skipped tests and why, and the time that it took are told."""
        run = self.start("QuickTests")
        self.assertEqual(await run.exit_status(), 1)
        for text in (
            "-- 100 %: 3 of 3 tests, after 0:",
            "it is bad",
            "not now",
            "FAILED (skips=1, failures=1",
            "took 0:",
        ):
            self.assertIn(text, run.stdout)

    async def test_success(self) -> None:
        """A good run ends with status 0."""
        run = self.start("QuickTests.test_good")
        self.assertEqual(await run.exit_status(), 0, run.stdout)

    async def test_ctrl_c(self) -> None:
        """It ends at once, with all that the tests have started, and says no more."""
        run = self.start("EndlessTests", "QuickTests.test_good")
        started = await self.pid("endless")
        run.signal(signal.SIGINT)
        self.assertEqual(await run.exit_status(), 130)
        self.assertFalse(exists(started))
        self.assertIn("\nInterrupted after 0:", run.stderr)
        self.assertNotIn("Traceback", run.stdout + run.stderr)

    async def test_what_is_left_behind(self) -> None:
        """A process that a test leaves is ended and named, and the run has failed."""
        if not sys.platform.startswith("linux"):
            self.skipTest("the system has no subreapers")
        run = self.start("LeavingTests")
        started = await self.pid("left")
        self.assertEqual(await run.exit_status(), 1)
        self.assertFalse(exists(started))
        self.assertIn(f"A test left process {started} behind: sleep 600\n", run.stderr)
