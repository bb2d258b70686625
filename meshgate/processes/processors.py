"""
Processors: how many this process may use, and who goes first where there are fewer than processes.

A limit of a container is a share of processor time (cgroup ``cpu.max``), not a set of processors: one and a half
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
    """How many processors this process may use: those it may run on, or as much as its cgroups allow; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    limits = [limit for limit in _cgroup_limits(_OWN_CGROUPS, _CGROUPS) if limit is not None]
    return max(1, min([count, *map(ceil, limits)]))


def connections_are_spread() -> bool:
    """Tell whether the system spreads the connections of a port over the processes that listen on it: Linux does."""
    return sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")


def give_way() -> None:
    """
    Let other processes go first from now on: what this one does is no connection's business. Its threads and children
    begin the same way; a child calls :func:`take_turns` to be as any other process again.
    """
    _schedule("SCHED_BATCH")


def take_turns() -> None:
    """Compete for the processor as any process does."""
    _schedule("SCHED_OTHER")


def quota(text: str) -> float | None:
    """
    The limit in a ``cpu.max`` file, in processors.

    :param text: ``150000 100000`` for one and a half, or ``max 100000`` for none.
    :return: None where there is no limit, or where it cannot be read.
    """
    most, _, period = text.strip().partition(" ")
    try:
        return int(most) / int(period) if most != "max" else None
    except (ValueError, ZeroDivisionError):
        return None


def _cgroup_limits(own: Path, root: Path) -> Iterator[float | None]:
    """The limits of this process's cgroup (version 2) and of those around it; nothing where there are none."""
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
            pass  # a container may forbid it; then all are equal
