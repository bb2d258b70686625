"""
The state folder of one gateway: held by a lock for as long as the gateway lives, which is how others know that it does.

The kernel lets go of a lock with the process that holds it, however that ends: killed, failed or in order. So a held
lock says that a gateway runs, and a pid in a file only which one it was. The lock is ``flock``'s on a file that is
never removed; its descriptor is not inherited, so that workers which still drain do not hold it for a parent that was
killed. The file tells of the process, and of how its start or its end went.

Anybody may take the lock shared for a moment, to ask: ``flock --shared --nonblock state/meshgate.lock true``.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshgate.processes.identity import ProcessIdentity

LOCK_NAME: Final = "meshgate.lock"

_ATTEMPTS: Final = 5
_PAUSE: Final = 0.01
"""Seconds between two attempts to take the lock: somebody who asks holds it for less."""


class FolderInUseError(OSError):
    """Another gateway holds the state folder. The message is for people."""


@dataclass(frozen=True, slots=True)
class Holder:
    """
    Who holds, or last held, a state folder.

    :ivar held: whether a process holds it now; None where that cannot be found out.
    :ivar facts: of that process, as :meth:`StateFolder.tell` wrote them; empty where they cannot be read.
    """

    held: bool | None
    facts: Mapping[str, Any]


class StateFolder:
    """
    Holds the state folder of this process. Blocks for as long as the file system takes.

    :ivar path: the folder in use; None before the first.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._facts: dict[str, Any] = {}
        self._lock = -1
        self._taken: FolderInUseError | None = None

    def hold(self, path: Path) -> None:
        """
        Make a folder if it is not there, and hold it instead of the one before.

        :raises FolderInUseError: when another gateway holds it.
        :raises OSError: when the folder or the lock in it cannot be made. The first folder is in use all the same: it
            may be possible to write there, and :meth:`renew` tries again. Of another one, the one before stays.
        """
        if path == self.path and self._is_held():
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = _take(path / LOCK_NAME)
        except OSError as error:
            if self.path is None or self.path == path:
                self._let_go()
                self.path = path
                self._taken = error if isinstance(error, FolderInUseError) else None
            raise
        self._let_go()
        self.path, self._lock, self._taken = path, lock, None
        self.tell()

    def renew(self) -> bool:
        """
        Hold the folder anew if somebody has removed or replaced it, or if it could not be held before.

        :return: whether that was so: then what was written there may be gone.
        :raises OSError: as :meth:`hold`.
        """
        if self.path is None or self._is_held():
            return False
        self.hold(self.path)
        return True

    def file(self, name: str) -> Path:
        """
        The path of a file in the folder, to be written.

        :raises FolderInUseError: when another gateway holds the folder by now.
        :raises FileNotFoundError: when there is no folder in use.
        """
        if self._taken is not None:
            raise self._taken
        if self.path is None:
            raise FileNotFoundError("no state folder is in use")
        return self.path / name

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return self.path is not None and (self.path / name).exists()

    def tell(self, **facts: Any) -> None:
        """
        Have others know something more of this process. What cannot be written is left out: the lock counts without.

        :param facts: values of JSON; None takes one back.
        """
        self._facts.update(facts)
        if self._lock < 0:
            return
        text = json.dumps({name: value for name, value in self._facts.items() if value is not None}).encode()
        with suppress(OSError):
            # Over what is there, and cut after it: a full disk has room for that.
            os.pwrite(self._lock, text, 0)
            os.ftruncate(self._lock, len(text))

    def release(self) -> None:
        """Let go of the folder."""
        self._let_go()
        self.path = self._taken = None

    def _is_held(self) -> bool:
        return self.path is not None and self._lock >= 0 and _is_file(self._lock, self.path / LOCK_NAME)

    def _let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def holder(folder: Path) -> Holder:
    """Ask who holds a state folder. Disturbs nobody."""
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
    """The process that facts are of, those of a lock or of a status; None where they do not tell."""
    pid, boot, start = (facts.get(name) for name in ("pid", "boot_id", "process_start"))
    if not isinstance(pid, int) or pid < 1:
        return None
    return ProcessIdentity(pid, boot if isinstance(boot, str) else "", start if isinstance(start, int) else 0)


def _take(file: Path) -> int:
    """A descriptor that holds the lock."""
    while True:
        descriptor = _open(file)
        try:
            _lock(descriptor, file.parent)
            if _is_file(descriptor, file):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody has replaced it meanwhile


def _open(file: Path) -> int:
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM) or not file.exists():
            raise
        # Nothing can be told there, but the lock that another gateway has left can be held.
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    with suppress(OSError):
        os.fchmod(descriptor, 0o644)  # whatever the umask: others may ask
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
    """Whether the path still leads to the open file."""
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
