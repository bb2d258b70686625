"""Tests of :mod:`meshgate.processes.children`."""

from __future__ import annotations

import signal
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.children import HELD_BACK, fate, held_back, python_command, python_environment
from tests.support import new_folder


class StartingTests(SynchronousTestCase):
    """Real processes."""

    def test_our_own_modules(self) -> None:
        """It runs the module that we would import, and not one of the same name in the folder it runs in."""
        folder = new_folder(self)
        (folder / "meshgate.py").write_text("raise SystemExit('the wrong one')\n")
        command = python_command("meshgate", "--version")
        answer = subprocess.run(command, env=python_environment(), cwd=folder, capture_output=True, check=False)
        self.assertEqual((command[0], answer.returncode, answer.stderr), (sys.executable, 0, b""))

    def test_signals_are_held_back(self) -> None:
        """What is started inside has them blocked; afterwards we have not."""
        text = "import signal; print(*sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
        with held_back():
            answer = subprocess.run([sys.executable, "-c", text], capture_output=True, check=True)
        self.assertEqual(answer.stdout.split(), [b"%d" % number for number in sorted(HELD_BACK)])
        self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {*HELD_BACK}, set())

    def test_how_it_ended(self) -> None:
        """An exit status, or the name of a signal."""
        self.assertEqual(fate(3), "ended with status 3")
        self.assertEqual(fate(-9), "was killed by SIGKILL")
