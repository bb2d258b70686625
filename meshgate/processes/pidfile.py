"""
The identity of a process, and pidfiles with the processes that wrote them.

The problem: the kernel reuses the numbers of processes: after a restart of the machine, and each time a container
starts, where most gateways are process 1. A pidfile outlives a process that was killed, and in a container that is
started again its number may be that of the very process that reads the file. So the number proves nothing.

The approach: together with the boot and the time of its start, in clock ticks since that boot, a number is unique: that
is the identity by which meshgate's own files name a process. A pidfile has room for the number only, so a running
process holds a lock on its pidfile, which decides. If nobody holds a lock, as with other programs under twistd and on
file systems without locks, the process with the number must have been started shortly before the file was written: a
process that got the number since was started after that.
"""

from __future__ import annotations

import fcntl
import getopt
import os
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger

SAME_MOMENT: Final = 1.0
"""Seconds by which a file may seem older than the process that wrote it: some file systems keep whole seconds only."""

LONGEST_START: Final = 60.0
"""The most seconds from the start of a process to its pidfile, on a busy machine."""

_LONGEST: Final = 32
"""The most bytes in a pidfile."""

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


class PidfileError(Exception):
    """The pidfile cannot be used. The message is for people, and says what to do."""


def running(path: Path) -> int | None:
    """
    The number of the process that wrote a pidfile, if it still runs.

    :raises PidfileError: if the file is no pidfile.
    """
    number, runs = _look(path)
    return number if runs else None


def clear_stale(path: Path) -> int | None:
    """
    Remove the pidfile that a process has left behind.

    :param path: the absolute path of the pidfile, which need not exist.
    :return: the number in the removed file, 0 for an empty file; None if there was no file.
    :raises PidfileError: if the process that wrote it still runs, or if the file is no pidfile or cannot be removed.
    """
    number, runs = _look(path)
    if runs:
        raise PidfileError(
            f"already running as process {number}, says the pidfile {path}; end that process first, or name another "
            "file by --pidfile"
        )
    if number is not None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise PidfileError(f"the stale pidfile {path} cannot be removed: {error.strerror}") from None
    return number


def require_writable(path: Path) -> None:
    """
    Check before the start that a pidfile can be written.

    :raises PidfileError: if it cannot.
    """
    why = ""
    if not path.parent.is_dir():
        why = "its folder does not exist"
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        why = "its folder cannot be written"
    if why:
        raise PidfileError(f"the pidfile {path} cannot be written: {why}; name another by --pidfile")


def names_pidfile(twistd: Any) -> bool:
    """True if the command line of twistd names a pidfile, even the default one."""
    if twistd["pidfile"] != twistd.defaults["pidfile"]:
        return True
    try:
        options, _ = getopt.getopt(sys.argv[1:], twistd.shortOpt, twistd.longOpt)
    except getopt.GetoptError:
        return False
    return any(option == "--pidfile" for option, _ in options)


def hold(path: Path) -> int | None:
    """
    Lock the pidfile of this process for as long as the process lives.

    :return: the descriptor that holds the lock; None if the file cannot be locked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def renumber(path: Path) -> None:
    """
    Have a pidfile name this process instead of the one before. Whoever holds its lock still does.

    :raises OSError: if it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # Overwrite first, then truncate: nobody finds it empty.
        os.ftruncate(descriptor, os.pwrite(descriptor, b"%d" % os.getpid(), 0))
    finally:
        os.close(descriptor)


def _look(path: Path) -> tuple[int | None, bool]:
    """The number in a pidfile, None without a file; and True if the process that wrote it runs."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return None, False
    except OSError as error:
        raise PidfileError(f"the pidfile {path} cannot be read: {error.strerror}") from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise PidfileError(f"{path} is not a file, so it cannot be the pidfile; --pidfile= asks for none")
        number = _number_in(os.read(descriptor, _LONGEST + 1), path)
        return number, bool(number) and (_is_locked(descriptor) or _wrote(number, facts.st_mtime))
    finally:
        os.close(descriptor)


def _number_in(content: bytes, path: Path) -> int:
    """The number in the content; 0 for an empty file, which an interrupted start leaves."""
    text = content.strip()
    if not text:
        return 0
    if len(content) > _LONGEST or not text.isdigit() or not int(text):
        shown = text[:16].decode("ascii", "backslashreplace")
        raise PidfileError(
            f"{path} is no pidfile: it holds {shown!r} instead of the number of a process; remove it, or name another "
            "by --pidfile"
        )
    return int(text)


def _is_locked(descriptor: int) -> bool:
    try:
        # Shared, so that two readers at the same time do not take each other for the running process.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # a file system without locks
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _wrote(number: int, modified: float) -> bool:
    """True if the process with the number can have written a file at a time in seconds since the epoch."""
    if number == os.getpid() or has_ended(number):
        return False
    ticks = start_of(number)
    if not ticks:
        return _exists(number)
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    started = booted + ticks / os.sysconf("SC_CLK_TCK")
    return started - SAME_MOMENT <= modified <= started + LONGEST_START


def _exists(number: int) -> bool:
    """True if a process exists. For systems without /proc, and for processes that it hides."""
    try:
        os.kill(number, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


class OwnPidfile:
    """
    The pidfile of this process. twistd writes it at an ordinary start, and removes it at the end.

    :param twistd: the options of twistd.
    :ivar path: None if there is none.
    :ivar lock: the descriptor that holds its lock; None if it is not locked.
    """

    _log = Logger()

    def __init__(self, twistd: Any) -> None:
        self.path: Path | None = None
        self.lock: int | None = None
        self._twistd = twistd
        self._is_ours = False
        self._inherited = False

    def prepare(self, *, in_background: bool, inherited: bool) -> int | None:
        """
        Check the file before the start, and remove one that was left behind.

        :param in_background: in the foreground there is none unless an option names it.
        :param inherited: the file is another process's, which this one is about to replace.
        :return: the number in a file that was left behind, 0 if it was empty; None if there was none.
        :raises PidfileError: if its process runs, or if it cannot be written.
        """
        options, self._inherited = self._twistd, inherited
        if not (in_background or names_pidfile(options)):
            options["pidfile"] = ""
        if not options["pidfile"]:
            return None
        self.path = Path(options["pidfile"]).absolute()
        if inherited:
            options["pidfile"] = ""  # until this process is the only one
        elif not options["chroot"]:
            left_by = clear_stale(self.path)
            require_writable(self.path)
            return left_by
        return None

    def hold(self) -> None:
        """Lock the file, which twistd has written before."""
        if self.path is not None and not self._inherited:
            self.lock = hold(self.path)
            self._is_ours = True

    def take(self, lock: int | None) -> None:
        """
        Have the file name this process, which has taken over, and be removed at the end.

        :param lock: a descriptor that holds its lock; None if nobody holds it.
        """
        if self.path is None:
            return
        try:
            renumber(self.path)
        except OSError as error:
            self._log.error(
                "the pidfile {path} cannot be written: {reason}", path=str(self.path), reason=error.strerror
            )
        self.lock = lock if lock is not None else hold(self.path)
        self._twistd["pidfile"] = str(self.path)

    def leave(self) -> None:
        """Leave the file to another process, which has taken over."""
        self._twistd["pidfile"] = ""
        self._is_ours = False

    def remove(self) -> None:
        """Remove the file of a start that fails."""
        if self._is_ours and self.path is not None:
            with suppress(OSError):  # the user has changed since; the next start finds it stale
                self.path.unlink()


def main() -> None:
    """``python -m meshgate.processes.pidfile FILE``: print the number of the process of a pidfile, if it still runs."""
    try:
        number = running(Path(sys.argv[1]))
    except PidfileError as error:
        sys.exit(str(error))
    if number is None:
        sys.exit(1)
    sys.stdout.write(f"{number}\n")


if __name__ == "__main__":
    main()
