"""The real command line on a real terminal: a pseudo-terminal of which the test is the other end."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import IMPORT_ROOT


def run_in_terminal(
    arguments: Sequence[str | Path],
    folder: Path,
    columns: int = 80,
    environment: Mapping[str, str] | None = None,
    stdin: int | None = None,
) -> tuple[int, str]:
    """
    Run the command line with standard output and standard error on a terminal.

    :param folder: the current folder of the process.
    :param columns: the width of the terminal.
    :param environment: variables on top of a small environment of its own.
    :param stdin: a descriptor for standard input; None for the terminal.
    :return: the exit status, and everything that was written, its lines as text.
    """
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "meshgate", *map(str, arguments)],
            stdin=theirs if stdin is None else stdin,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={"PYTHONPATH": str(IMPORT_ROOT), "PATH": "/usr/bin:/bin", "TERM": "xterm", **(environment or {})},
        )
    finally:
        os.close(theirs)
    try:
        written = b"".join(iter(lambda: _read(ours), b""))
        return process.wait(60), written.decode().replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(descriptor: int) -> bytes:
    """Some bytes; none once nobody has the other end of the terminal."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""
