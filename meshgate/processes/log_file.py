"""
The program's own log in a file.

Usually another program rotates the log: it renames the file, and has this one reopen it. If the settings ask for it,
the log rotates itself, and keeps a bounded number of old files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

# O_NONBLOCK for named pipes; O_NOCTTY keeps a terminal from becoming the controlling one of a daemon.
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class LogFile:
    """
    A file to which Twisted's log observers append.

    :param path: the absolute path. The file is created with mode 0644.
    :ivar rotate_at: the size in bytes at which the file is renamed to ``FILE.1``; 0 for never.
    :ivar keep: the number of renamed files to keep; the oldest one has the highest number.
    :raises OSError: if the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rotate_at = 0
        self.keep = 1
        self._descriptor = os.open(path, _FLAGS, 0o644)
        self._size = os.fstat(self._descriptor).st_size

    def write(self, text: str) -> None:
        """
        Append a text.

        :raises OSError: if it cannot be written.
        """
        data = text.encode("utf-8", "backslashreplace")
        if self.rotate_at and self._size and self._size + len(data) > self.rotate_at:
            self._rotate()
        self._size += len(data)
        while data:
            data = data[os.write(self._descriptor, data) :]

    def flush(self) -> None:
        """Do nothing: every text is written at once."""

    def reopen(self) -> None:
        """
        Reopen the file under its name, after another program has renamed it.

        :raises OSError: if that fails; the old file stays in use.
        """
        descriptor = os.open(self.path, _FLAGS, 0o644)
        # In one step and under the same number, since threads write to the log, too.
        os.dup2(descriptor, self._descriptor, inheritable=False)
        os.close(descriptor)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        try:
            if not self._is_ours():
                self.reopen()  # another process has rotated it: both log during an upgrade
                return
            for number in range(self.keep - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            self.path.replace(self._numbered(1))
            self.reopen()
        except OSError:
            self._size = 0  # go on with this file, and try again after as many bytes

    def _is_ours(self) -> bool:
        """True if the file has its name still."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
