"""
The metrics of processes: the control process, and each worker by the number of its slot.

What the kernel knows of a process is read from ``/proc``; where there is none, those families are empty.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from twisted.internet.interfaces import IDelayedCall

from meshgate.metrics import metric_families as f
from meshgate.proxy.connection_counts import HEAD, LAG, SECONDS, seconds_bucket
from meshgate.workers.count_totals import Totals
from meshgate.workers.slot import WorkerFigures

CONTROL: Final = "control"
"""The label of the control process."""

LOOK_EVERY: Final = 0.25
"""Seconds between two measurements of the lag, as in a worker."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = resource.getpagesize()


class LagClock:
    """
    Measures how late the reactor of this process is for its timers.

    :param reactor: provides IReactorTime.
    :ivar words: the histogram, as :meth:`meshgate.metrics.metric_families.Family.histogram` takes it.
    """

    def __init__(self, reactor: Any) -> None:
        self.words = [0] * (2 + len(SECONDS))
        self._reactor = reactor
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Measure from now on."""
        self._wait()

    def stop(self) -> None:
        """Measure no more."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _wait(self) -> None:
        self._call = self._reactor.callLater(LOOK_EVERY, self._look, self._reactor.seconds() + LOOK_EVERY)

    def _look(self, due: float) -> None:
        late = max(0.0, self._reactor.seconds() - due)
        self.words[0] += int(late * 1e6)
        self.words[1 + seconds_bucket(late)] += 1
        self._wait()


class ProcessFigures(NamedTuple):
    """
    What the kernel knows of a process.

    :ivar open_descriptors: the number of open file descriptors.
    :ivar most_descriptors: the number that there may be.
    :ivar cpu: seconds of processor time.
    :ivar memory: bytes of resident memory.
    """

    open_descriptors: int
    most_descriptors: int
    cpu: float
    memory: int


def process_figures(pid: int) -> ProcessFigures | None:
    """The figures of a process; None if it is gone, or if this system has no ``/proc``."""
    folder = Path("/proc", str(pid))
    try:
        # The name, in parentheses, may contain anything.
        values = (folder / "stat").read_text().rpartition(")")[2].split()
        # Since Linux 6.2 the size is the number of descriptors; before, it is 0.
        count = (folder / "fd").stat().st_size or len(os.listdir(folder / "fd"))
        most = _limit(folder)
    except (OSError, ValueError):
        return None
    return ProcessFigures(count, most, (int(values[11]) + int(values[12])) / _TICKS, int(values[21]) * _PAGE)


def _limit(folder: Path) -> int:
    for line in (folder / "limits").read_text().splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return int(soft) if soft != "unlimited" else 0
    return 0


def worker_label(number: int) -> str:
    """
    The label of a worker.

    :param number: the number of its slot, from 1.
    """
    return f"worker-{number}"


def process_metrics(
    workers: Sequence[WorkerFigures], serving: int, totals: Totals, lag: Sequence[int]
) -> Iterator[f.FamilyMetric]:
    """
    The families of processes.

    :param serving: the number of workers that serve a table.
    :param lag: of the control process, as :attr:`LagClock.words`.
    """
    pids = [(CONTROL, os.getpid())]
    pids += [(worker_label(each.worker), each.pid) for each in workers if each.pid is not None]
    found = [((name,), figures) for name, pid in pids if (figures := process_figures(pid)) is not None]
    yield f.OPEN_DESCRIPTORS.metric((label, each.open_descriptors) for label, each in found)
    yield f.MOST_DESCRIPTORS.metric((label, each.most_descriptors) for label, each in found)
    yield f.CPU.metric((label, each.cpu) for label, each in found)
    yield f.MEMORY.metric((label, each.memory) for label, each in found)
    heads = [((worker_label(index + 1),), head[LAG:HEAD]) for index, head in enumerate(totals.workers)]
    yield f.LAG.histogram(SECONDS, [((CONTROL,), lag), *heads])
    yield f.WORKERS.gauge(len(workers))
    yield f.WORKERS_SERVING.gauge(serving)
    yield f.RESTARTS.metric(((worker_label(each.worker),), each.restarts) for each in workers)
