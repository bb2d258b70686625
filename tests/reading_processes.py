"""Processes that read large files, started for tests, which stand still where a test wants that."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers import large_files
from meshgate.providers.reading_process import ReadingProcess


class Started:
    """
    Starts the processes for the length of a test, and remembers them.

    :ivar stopped: those that are started from now on stand still.
    """

    def __init__(self, case: SynchronousTestCase) -> None:
        self.processes: list[ReadingProcess] = []
        self.stopped = False
        case.patch(large_files, "ReadingProcess", self._start)

    def _start(self, *arguments: Any) -> ReadingProcess:
        process = ReadingProcess(*arguments)
        self.processes.append(process)
        if self.stopped:
            os.kill(process.pid, signal.SIGSTOP)
        return process
