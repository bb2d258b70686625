"""
Writing the files of the state folder: each is replaced in one step, and a failure is logged once.

A file is written under another name and then renamed, so that a reader never sees half of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from twisted.logger import Logger

from meshgate.state.folder import StateFolder

STATUS_NAME: Final = "status.json"
FIGURES_NAME: Final = "figures.json"

WRITE_SIZE: Final = 1 << 16
"""The size of the buffer in bytes."""


def replace_file(state: StateFolder, name: str, chunks: Iterable[str]) -> None:
    """
    Replace a file of the folder in one step.

    :param chunks: the text, in chunks.
    :raises OSError: if it cannot be written; the file before stays.
    """
    path, new = state.file(name), state.file(f"{name}.new")
    new.unlink(missing_ok=True)  # left by a process that was killed
    try:
        with new.open("x", encoding="utf-8", buffering=WRITE_SIZE) as file:
            file.writelines(chunks)
        new.chmod(0o644)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


class WriteReport:
    """
    Logs once that files of the state folder cannot be written, and once that they can again.

    :param state: the folder, whose lock gets the reason as a fact, as far as that can be written.
    """

    _log = Logger()

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._reasons: dict[str, str] = {}

    def failed(self, name: str, error: OSError) -> None:
        """Note that a file cannot be written."""
        reason = error.strerror or str(error)
        known, self._reasons[name] = reason in self._reasons.values(), reason
        if not known:
            self._log.warn(
                "{name} in {folder} cannot be written: {reason}; the gateway tries again until it can be, and "
                "'meshgate status' shows what was written before",
                name=name,
                folder=self._state.path,
                reason=reason,
            )
            self._state.note(not_written=reason)

    def succeeded(self, name: str) -> None:
        """Note that a file was written."""
        if self._reasons.pop(name, None) is not None and not self._reasons:
            self._log.info("the files in {folder} are written again", folder=self._state.path)
            self._state.note(not_written=None)
