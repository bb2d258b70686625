"""
The state folder of one gateway, which holds a lock on it for as long as it lives.

The problem: others must know if a gateway runs. A pid in a file does not prove it, since the kernel reuses numbers.

The approach: a lock by ``flock`` on a file in the folder. The kernel releases it when the process ends in whatever way.
The content of the file only describes the process, and how its start or its end went. Anybody may ask by trying to get
the lock shared for a moment: ``flock --shared --nonblock state/meshgate.lock true``.

The invariants: the file is never removed, since a lock on a removed file excludes nobody; and the descriptor is not
inherited, so that workers which still drain do not hold the lock of a control process that was killed.

The other files of the folder are replaced in one step: each is written under another name and then renamed, so that a
reader never sees half of it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger

from meshgate.processes.pidfile import ProcessIdentity

LOCK_NAME: Final = "meshgate.lock"
STATUS_NAME: Final = "status.json"
FIGURES_NAME: Final = "figures.json"
API_FOLDER: Final = "api"
"""The folder of the store and the credentials of the API."""

KUBECONFIG_NAME: Final = "kubeconfig"
"""The file with which kubectl reaches the API."""

WRITE_SIZE: Final = 1 << 16
"""The size of the buffer in bytes."""

_ATTEMPTS: Final = 5
_PAUSE: Final = 0.01
"""Seconds between two attempts to get the lock: those who only ask hold it for less."""


class FolderInUseError(OSError):
    """Another gateway holds the state folder. The message is for people."""


@dataclass(frozen=True, slots=True)
class Holder:
    """
    The process that holds a state folder, or that held it last.

    :ivar held: True if a process holds the folder now; None if that cannot be found out.
    :ivar facts: facts of the process, as :meth:`StateFolder.note` wrote them; empty if they cannot be read.
    """

    held: bool | None
    facts: Mapping[str, Any]


class StateFolder:
    """
    The state folder of this process. Its methods block while the file system works.

    :ivar path: the folder in use; None before the first one.
    :ivar silent: True to write nothing into the folder: during an upgrade, only one of two processes does.
    :ivar inherited: a descriptor that holds the lock of a folder, which another process shares; -1 if there is none.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.silent = False
        self.inherited = -1
        self._facts: dict[str, Any] = {}
        self._lock = -1
        self._in_use: FolderInUseError | None = None

    def hold(self, path: Path) -> None:
        """
        Make a folder unless it exists, and hold it instead of the one before.

        :raises FolderInUseError: if another gateway holds it.
        :raises OSError: if the folder or its lock cannot be made. If it is the first folder, it is in use all the same,
            since it may be possible to write there, and :meth:`renew` tries again; otherwise the one before stays.
        """
        if path == self.path and self._is_held():
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = self._inherited_lock(path)
            if lock < 0:
                lock = _acquire(path / LOCK_NAME)
        except OSError as error:
            if self.path is None or self.path == path:
                self._close_lock()
                self.path = path
                self._in_use = error if isinstance(error, FolderInUseError) else None
            raise
        self._close_lock()
        self.path, self._lock, self._in_use = path, lock, None
        self.note()

    def renew(self) -> bool:
        """
        Hold the folder again if somebody has removed or replaced it, or if it could not be held before.

        :return: True if that was so: the files in the folder may be gone.
        :raises OSError: as :meth:`hold` does.
        """
        if self.path is None or self.silent or self._is_held():
            return False
        self.hold(self.path)
        return True

    def file(self, name: str) -> Path:
        """
        The path of a file in the folder that is about to be written.

        :raises FolderInUseError: if another gateway holds the folder by now.
        :raises FileNotFoundError: if no folder is in use.
        """
        if self._in_use is not None:
            raise self._in_use
        if self.path is None:
            raise FileNotFoundError("no state folder is in use")
        return self.path / name

    def has(self, name: str) -> bool:
        """True if the folder has a file of this name."""
        return self.path is not None and (self.path / name).exists()

    def note(self, **facts: Any) -> None:
        """
        Add facts of this process to the lock's file. A failure to write is ignored: the lock counts without them.

        :param facts: JSON values; None removes a fact.
        """
        self._facts.update(facts)
        if self._lock < 0 or self.silent:
            return
        text = json.dumps({name: value for name, value in self._facts.items() if value is not None}).encode()
        with suppress(OSError):
            # Overwrite first, then truncate: that works on a full disk.
            os.pwrite(self._lock, text, 0)
            os.ftruncate(self._lock, len(text))

    @property
    def lock(self) -> int:
        """The descriptor that holds the lock; -1 if there is none."""
        return self._lock

    def release(self) -> None:
        """Release the folder."""
        self._close_lock()
        self.path = self._in_use = None

    def _inherited_lock(self, path: Path) -> int:
        """The inherited descriptor, if it holds the lock of this folder; else -1."""
        inherited, self.inherited = self.inherited, -1
        if inherited >= 0 and not _is_file(inherited, path / LOCK_NAME):
            os.close(inherited)
            return -1
        return inherited

    def _is_held(self) -> bool:
        return self.path is not None and self._lock >= 0 and _is_file(self._lock, self.path / LOCK_NAME)

    def _close_lock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def holder(folder: Path) -> Holder:
    """Find out who holds a state folder."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Holder(False, {})
    except OSError:
        return Holder(None, {})
    try:
        return Holder(_is_held(descriptor), _facts(os.pread(descriptor, 1 << 16, 0)))
    except OSError:
        return Holder(None, {})
    finally:
        os.close(descriptor)


def identity_in(facts: Mapping[str, Any]) -> ProcessIdentity | None:
    """The process that the facts of a lock or of a status describe; None if they do not say."""
    pid, boot, start = (facts.get(name) for name in ("pid", "boot_id", "process_start"))
    if not isinstance(pid, int) or pid < 1:
        return None
    return ProcessIdentity(pid, boot if isinstance(boot, str) else "", start if isinstance(start, int) else 0)


def replace_file(state: StateFolder, name: str, chunks: Iterable[str]) -> None:
    """
    Replace a file of the folder in one step.

    :param chunks: the text, in chunks.
    :raises OSError: if it cannot be written; the file before stays.
    """
    if state.silent:
        return
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


def _acquire(file: Path) -> int:
    """Acquire the lock; returns the descriptor that holds it."""
    while True:
        descriptor = _open(file)
        try:
            _lock(descriptor, file.parent)
            if _is_file(descriptor, file):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody has replaced the file meanwhile


def _open(file: Path) -> int:
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM) or not file.exists():
            raise
        # The file cannot be written, but one that another gateway has left can be locked.
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    with suppress(OSError):
        os.fchmod(descriptor, 0o644)  # whatever the umask is: others may ask
    return descriptor


def _lock(descriptor: int, folder: Path) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt < _ATTEMPTS - 1:
                time.sleep(_PAUSE)
        else:
            return
    facts = _facts(os.pread(descriptor, 1 << 16, 0))
    which = f"process {facts['pid']}, started {facts.get('started', 'before')}" if "pid" in facts else "another process"
    raise FolderInUseError(
        f"the state folder {folder} is in use by another gateway ({which}); stop that one first, "
        "or give this one a state_dir of its own"
    )


def _is_held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _is_file(descriptor: int, file: Path) -> bool:
    """True if the path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except OSError:
        return False


def _facts(content: bytes) -> Mapping[str, Any]:
    try:
        facts = json.loads(content)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
