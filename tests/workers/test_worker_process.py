"""Tests of :mod:`meshgate.workers.worker_process`."""

from __future__ import annotations

import signal
import subprocess
import sys

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.trial.unittest import SynchronousTestCase

from meshgate.workers.worker_process import fate, python_command, python_environment
from tests.support import new_folder


class CommandTests(SynchronousTestCase):
    """The command of a child, and its environment."""

    def test_our_own_modules(self) -> None:
        """It runs the module that we would import, and not one of the same name in the folder it runs in."""
        folder = new_folder(self)
        (folder / "meshgate.py").write_text("raise SystemExit('the wrong one')\n")
        command = python_command("meshgate", "--version")
        answer = subprocess.run(command, env=python_environment(), cwd=folder, capture_output=True, check=False)
        self.assertEqual((command[0], answer.returncode, answer.stderr), (sys.executable, 0, b""))


class FateTests(SynchronousTestCase):
    """The end of a child, in words."""

    def test_how_it_ended(self) -> None:
        """An exit status, or the name of a signal."""
        self.assertEqual(fate(ProcessDone(0)), "ended with status 0")
        self.assertEqual(fate(ProcessTerminated(exitCode=3)), "ended with status 3")
        self.assertEqual(fate(ProcessTerminated(signal=signal.SIGKILL)), "was killed by SIGKILL")
