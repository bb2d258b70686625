"""
The identity of a process, which a later process with the same number does not have.

The kernel reuses numbers: after a restart of the machine, and each time a container starts, where most gateways are
process 1. Together with the boot and the time of the start, in clock ticks since that boot, the number is unique.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD: Final = 19
"""The index of the start among the fields after the command in ``/proc/PID/stat`` (``starttime`` in proc(5))."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """
    The identity of one process.

    :ivar boot_id: the kernel's name of the boot; empty if unknown.
    :ivar start: clock ticks from the boot to the start of the process; 0 if unknown.
    """

    pid: int
    boot_id: str
    start: int

    def lives(self) -> bool:
        """True if the process still runs, as far as this process can see."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it runs for another user
        except OverflowError:
            return False
        return self.boot_id in ("", boot_id()) and (self.start == 0 or start_of(self.pid) in (0, self.start))


def own_identity() -> ProcessIdentity:
    """The identity of this process."""
    pid = os.getpid()
    return ProcessIdentity(pid, boot_id(), start_of(pid))


def boot_id() -> str:
    """The kernel's name of this boot; empty if unknown."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def start_of(pid: int) -> int:
    """The start of a process in clock ticks since the boot; 0 if it is gone or unknown."""
    try:
        # The command is in parentheses, and may contain spaces and parentheses itself.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
        return int(fields.split()[_START_FIELD])
    except (OSError, IndexError, ValueError):
        return 0


def has_ended(pid: int) -> bool:
    """True if a process is a zombie: it has ended, and its parent has not asked for its exit status yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
    except OSError:
        return False
    return fields.split()[0] in (b"Z", b"X")
