"""A default installation that a real twistd runs in the background."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.installation import Installation
from tests.support import IMPORT_ROOT, Program, wait_for

TWISTD = Path(sys.executable).with_name("twistd")


class Background:
    """
    Runs an installation without ``-n``. Whatever is still there at the end of the test is killed.

    :ivar installation: what is run, in its own folder.
    """

    def __init__(self, test: TestCase, installation: Installation | None = None) -> None:
        self._test = test
        self.installation = installation or Installation(test)
        self.folder = self.installation.folder
        test.addCleanup(self.kill)

    @property
    def log(self) -> str:
        """The program's own log; empty as long as there is none."""
        file = self.folder / "twistd.log"
        return file.read_text() if file.exists() else ""

    @property
    def pid(self) -> int:
        """What the pidfile says."""
        return int((self.folder / "twistd.pid").read_text())

    def command(self, *options: str | Path, plug_in: tuple[str | Path, ...] = ()) -> Program:
        """Run twistd with these options of its own."""
        arguments = plug_in or ("meshgate", "--config", self.installation.settings)
        return Program(self._test, [TWISTD, *options, *arguments], self.folder, {"PYTHONPATH": str(IMPORT_ROOT)})

    async def start(self, *options: str | Path) -> int:
        """Start it, and wait until all workers serve; gives the number of its process."""
        program = self.command(*options)
        status = await program.exit_status()
        if status:
            raise AssertionError(f"status {status}: {program.stderr}{program.stdout}{self.log}")
        await wait_for(lambda: self.installation.status().get("live_generation"), "the workers")
        return self.pid

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal, and wait for its end."""
        pid = self.pid
        os.kill(pid, number)
        await self.gone(pid)

    async def gone(self, pid: int) -> None:
        """Wait for the end of a process."""
        await wait_for(lambda: pid not in self.processes(), f"the end of process {pid}")

    def processes(self) -> list[int]:
        """All processes that run in the folder."""
        return list(_processes_in(self.folder))

    def kill(self) -> None:
        """Kill all processes in the folder."""
        kill_processes_in(self.folder)


def kill_processes_in(folder: Path) -> None:
    """Kill all processes that run in a folder, or below it."""
    for pid in _processes_in(folder):
        os.kill(pid, signal.SIGKILL)


def _processes_in(folder: Path) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cwd").readlink().is_relative_to(folder):
                yield int(entry.name)
        except OSError:
            pass  # it has ended, or is not ours
