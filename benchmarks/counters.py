"""The kernel's counters of processes: processor time, memory, sockets, system calls."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """
    Processor time of some processes since their start, in seconds.

    :ivar total: user and system time, exact.
    :ivar user: the time outside the kernel, as sampled by the kernel's clock.
    """

    total: float
    user: float

    def __sub__(self, earlier: CpuTime) -> CpuTime:
        return CpuTime(self.total - earlier.total, self.user - earlier.user)


def cpu_time(pids: Iterable[int]) -> CpuTime:
    """
    The processor time that processes have used so far.

    :raises OSError: if one of them has ended.
    """
    total, user = 0, 0
    for pid in pids:
        # The clock of clock_getcpuclockid(3): nanoseconds of all threads, including those that have ended.
        total += time.clock_gettime_ns((~pid << 3) | 2)
        user += user_ticks((PROC / str(pid) / "stat").read_text())
    return CpuTime(total / 1e9, user / os.sysconf("SC_CLK_TCK"))


def user_ticks(stat: str) -> int:
    """The ticks of user time in a ``/proc/PID/stat``, in which the name may hold blanks and parentheses."""
    return int(stat.rpartition(")")[2].split()[11])


def parent(stat: str) -> int:
    """The parent in a ``/proc/PID/stat``."""
    return int(stat.rpartition(")")[2].split()[1])


def family(pid: int) -> tuple[int, ...]:
    """A process and all its descendants, in order."""
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = parent((entry / "stat").read_text())
            except OSError:  # it has just ended
                continue
    found = {pid}
    while more := {child for child, its_parent in parents.items() if its_parent in found} - found:
        found |= more
    return tuple(sorted(found))


def private_bytes(pids: Iterable[int]) -> int:
    """The memory that no other process shares: ending these processes would free it."""
    return sum(private_in((PROC / str(pid) / "smaps_rollup").read_text()) for pid in pids)


def private_in(rollup: str) -> int:
    """The private bytes in a ``/proc/PID/smaps_rollup``."""
    fields = dict(line.split(":", 1) for line in rollup.splitlines()[1:])
    return 1024 * sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))


def socket_count(pid: int) -> int:
    """The number of open sockets of a process."""
    count = 0
    for entry in (PROC / str(pid) / "fd").iterdir():
        try:
            count += os.readlink(entry).startswith("socket:")
        except OSError:  # it has just been closed
            continue
    return count


def system_calls(summary: str) -> dict[str, int]:
    """The calls counted by ``strace -c``, by name, the most frequent first."""
    counts: dict[str, int] = {}
    for line in summary.splitlines():
        fields = line.split()
        # % time, seconds, usecs/call, calls, errors if there are any, syscall
        if len(fields) in (5, 6) and fields[3].isdigit() and fields[-1] != "total":
            counts[fields[-1]] = counts.get(fields[-1], 0) + int(fields[3])
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))
