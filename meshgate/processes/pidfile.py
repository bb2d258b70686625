"""
Pidfiles, and the processes that wrote them.

The problem: a pidfile outlives a process that was killed, and the kernel gives its number to another process sooner or
later; in a container that is started again, to the very process that reads the file. So the number proves nothing.

The approach: a running process holds a lock on its pidfile, which decides. If nobody holds a lock, as with other
programs under twistd and on file systems without locks, the process with the number must have been started shortly
before the file was written: a process that got the number since was started after that.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import time
from pathlib import Path
from typing import Final

from meshgate.processes.identity import has_ended, start_of

SAME_MOMENT: Final = 1.0
"""Seconds by which a file may seem older than the process that wrote it: some file systems keep whole seconds only."""

LONGEST_START: Final = 60.0
"""The most seconds from the start of a process to its pidfile, on a busy machine."""

_LONGEST: Final = 32
"""The most bytes in a pidfile."""


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
