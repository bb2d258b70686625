"""
Processes told apart from later ones with the same number.

A number is given out again: after a restart of the machine, and each time a container starts, where most gateways are
process 1. The boot and the moment of the start, in the kernel's clock ticks since that boot, make it unique.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD: Final = 19
"""Where the start stands behind the command in ``/proc/PID/stat`` (``starttime`` in proc(5))."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """
    One process.

    :ivar boot_id: of the boot in which it was started; empty where the system does not tell.
    :ivar start: clock ticks from the boot to its start; 0 where the system does not tell.
    """

    pid: int
    boot_id: str
    start: int

    def lives(self) -> bool:
        """Whether this very process is there, as far as this process can see."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's, but there
        except OverflowError:
            return False
        return self.boot_id in ("", boot_id()) and (self.start == 0 or start_of(self.pid) in (0, self.start))


def own_identity() -> ProcessIdentity:
    """The identity of this process."""
    pid = os.getpid()
    return ProcessIdentity(pid, boot_id(), start_of(pid))


def boot_id() -> str:
    """What the kernel calls this boot; empty where it does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def start_of(pid: int) -> int:
    """When a process was started, in clock ticks since the boot; 0 where the system does not tell, or it is gone."""
    try:
        # The command stands in parentheses, and may hold spaces and parentheses of its own.
        behind = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
        return int(behind.split()[_START_FIELD])
    except (OSError, IndexError, ValueError):
        return 0


def has_ended(pid: int) -> bool:
    """Whether nothing is left of a process but how it ended, which its parent has not asked for yet (a zombie)."""
    try:
        behind = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
    except OSError:
        return False
    return behind.split()[0] in (b"Z", b"X")
