"""
The program's own log in a file.

Other programs rotate it: they rename the file, and have this one open it anew. It rotates itself only where that is
asked for, and then keeps a bounded number of old files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

# Non-blocking for the sake of named pipes; O_NOCTTY lest a terminal becomes the daemon's own.
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class LogFile:
    """
    A file that is appended to; what Twisted's observers take for one.

    :param path: absolute. The file is created with mode 0644.
    :ivar rotate_at: bytes that the file may have before it is renamed to ``FILE.1``; 0 for any number.
    :ivar keep: how many renamed files are kept, the oldest of which has the highest number.
    :raises OSError: when it cannot be opened.
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

        :raises OSError: when it cannot be written.
        """
        data = text.encode("utf-8", "backslashreplace")
        if self.rotate_at and self._size and self._size + len(data) > self.rotate_at:
            self._rotate()
        self._size += len(data)
        while data:
            data = data[os.write(self._descriptor, data) :]

    def flush(self) -> None:
        """Nothing is held back."""

    def reopen(self) -> None:
        """
        Open the file anew under its name, after another program has renamed it.

        :raises OSError: when that fails; the old one stays in use.
        """
        descriptor = os.open(self.path, _FLAGS, 0o644)
        # In one step and under the same number, since threads write to the log too.
        os.dup2(descriptor, self._descriptor, inheritable=False)
        os.close(descriptor)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        try:
            for number in range(self.keep - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            self.path.replace(self._numbered(1))
            self.reopen()
        except OSError:
            self._size = 0  # in vain: it goes on here, and tries again after as much more

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
