"""
Processors: how many this process may use, and which process goes first where there are more processes than processors.

A container is limited to a share of processor time (cgroup ``cpu.max``), not to a set of processors: one and a half
processors keep two workers busy.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUPS: Final = Path("/proc/self/cgroup")


def usable_processors() -> int:
    """The number of processors that the affinity and the cgroups of this process let it use, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    limits = [limit for limit in _cgroup_limits(_OWN_CGROUPS, _CGROUPS) if limit is not None]
    return max(1, min([count, *map(ceil, limits)]))


def connections_are_spread() -> bool:
    """True if the system balances the connections of a port over its sockets with SO_REUSEPORT, as Linux does."""
    return sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")


def give_way() -> None:
    """
    Let other processes go first from now on, by the scheduling policy SCHED_BATCH (sched(7)): the kernel does not let
    such a process preempt a worker that wakes up. Threads and children inherit it; a worker undoes it for itself by
    :func:`take_turns`, which needs no privilege, unlike a lower niceness.
    """
    _schedule("SCHED_BATCH")


def take_turns() -> None:
    """Compete for the processor as any other process."""
    _schedule("SCHED_OTHER")


def quota(text: str) -> float | None:
    """
    The limit in a ``cpu.max`` file, in processors.

    :param text: ``150000 100000`` for one and a half processors, or ``max 100000`` for no limit.
    :return: None if there is no limit, or if the text is no limit.
    """
    most, _, period = text.strip().partition(" ")
    try:
        return int(most) / int(period) if most != "max" else None
    except (ValueError, ZeroDivisionError):
        return None


def _cgroup_limits(own: Path, root: Path) -> Iterator[float | None]:
    """The limits of the cgroup (version 2) of this process and of those that contain it."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    group = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if group is None:
        return
    folder = root / group.strip("/")
    while folder == root or root in folder.parents:
        try:
            yield quota((folder / "cpu.max").read_text())
        except OSError:
            pass
        folder = folder.parent


def _schedule(policy: str) -> None:
    number = getattr(os, policy, None)
    if number is not None:
        try:
            os.sched_setscheduler(0, number, os.sched_param(0))
        except OSError:
            pass  # a container may forbid it; then all processes are equal
