"""
Run trial in several processes, tell how far it is, and leave none behind: ``python -m tests --jobs=2 tests``.

The arguments are trial's; failures are also told when they happen. Trial runs in a process group of its own, so that
Ctrl-C reaches this process alone: trial itself would report every test that is left as an error, and leave the programs
of the running ones. Where the system has subreapers (Linux), orphans of the tests become children of this process. It
ends those that outlive trial, and a run that left any has failed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import IO, cast

STEP = 10
"""Percent of the tests after which a line tells of them."""

GRACE = 5.0
"""Seconds for processes to end by themselves after the last test."""

_TOTAL = re.compile(r"Running (\d+) tests\.")
_RESULT = re.compile(r"(.*\.\.\. +)?\[[A-Z!?]+\]$")
_SUMMARY = re.compile(r"(PASSED|FAILED)\b")
_PR_SET_CHILD_SUBREAPER = 36

_NO_BYTE_CODE = "PYTHONDONTWRITEBYTECODE"
"""
A variable that images of containers often set. The tests run without it: they start hundreds of Pythons, and each would
compile all modules again, which takes two thirds of its start.
"""


class Run:
    """One run of trial."""

    def __init__(self, arguments: list[str]) -> None:
        self._began = time.monotonic()
        self._patience = float("inf")
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._trial = subprocess.Popen(
            [sys.executable, "-m", "twisted.trial", "--rterrors", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
            env={name: value for name, value in os.environ.items() if name != _NO_BYTE_CODE},
        )
        self._output = Thread(target=self._show, args=(cast("IO[str]", self._trial.stdout),), daemon=True)

    def wait(self) -> int:
        """Wait for the end of all processes; gives trial's exit status, or 1 if any had to be killed."""
        self._output.start()
        left: dict[int, str] = {}
        try:
            self._reap(lambda: left.update(self._kill_orphans()) if time.monotonic() > self._patience else None)
        except KeyboardInterrupt:
            os.killpg(self._trial.pid, signal.SIGKILL)
            self._reap(self._kill_orphans)
            sys.stderr.write(f"\nInterrupted after {self._elapsed()}.\n")
            return 130
        self._output.join(GRACE)
        for pid, command in left.items():
            sys.stderr.write(f"A test left process {pid} behind: {command}\n")
        sys.stdout.write(f"It took {self._elapsed()}.\n")
        return self._trial.returncode or bool(left)

    def _reap(self, meanwhile: Callable[[], object]) -> None:
        """Reap trial, and orphans, until nothing is left to wait for."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self._trial.pid:
                    self._trial.returncode = os.waitstatus_to_exitcode(status)
                    self._be_patient()
                elif not pid:
                    meanwhile()
                    time.sleep(0.05)

    def _be_patient(self) -> None:
        """Let processes end by themselves for a while; trial itself may wait for those that hold its pipes."""
        self._patience = min(self._patience, time.monotonic() + GRACE)

    def _kill_orphans(self) -> dict[int, str]:
        """Kill the processes that have come to us; what they leave comes to us then. Gives their command lines."""
        killed = {}
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        for pid in map(int, children.read_text().split() if children.exists() else ()):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if pid != self._trial.pid and command:  # else it has ended, and is only to be reaped
                killed[pid] = command.replace(b"\0", b" ").decode(errors="replace").strip()
                os.kill(pid, signal.SIGKILL)
        return killed

    def _show(self, output: IO[str]) -> None:
        """Pass the output of trial on, with a line between for each tenth of the tests."""
        total = done = told = 0
        for line in output:
            sys.stdout.write(line)
            if found := _TOTAL.match(line):
                total = int(found[1])
            elif done < total and _RESULT.match(line):
                done += 1
                if (percent := done * 100 // total) >= told + STEP:
                    told = percent - percent % STEP
                    sys.stdout.write(f"-- {told} %: {done} of {total} tests, after {self._elapsed()}\n")
            elif _SUMMARY.match(line):
                self._be_patient()
            sys.stdout.flush()

    def _elapsed(self) -> str:
        """Minutes and seconds since the start."""
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        return f"{minutes}:{seconds:02}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(Run(sys.argv[1:]).wait())
