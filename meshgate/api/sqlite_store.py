"""
The embedded store: one SQLite file in WAL mode.

The problem: an acknowledged write must survive ``kill -9`` and a loss of power, which takes an ``fsync``, and the
control process must not wait for it.

The approach: a thread of its own has the only connection. It takes all writes that wait, makes one transaction of them
(a group commit, so a hundred writes share one ``fsync``), and only then acknowledges each of them in the reactor.

The invariants: writes take effect in the order of the calls; each is written whole or not at all; a transaction that
fails refuses all of its writes and leaves the file as it was; and the thread never touches an object of the API.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from meshgate.api.store_interface import (
    Author,
    Change,
    IObjectStore,
    Object,
    StoreContent,
    StoredObject,
    StoreError,
    StoreFullError,
)

FILE_NAME: Final = "api.sqlite"

HISTORY_KEPT: Final = 10_000
"""The number of changes that the history keeps; older ones are forgotten."""

BUSY_FOR: Final = 5.0
"""Seconds to wait for another program that has the file open, such as a backup."""

LEAST_SPACE: Final = 1 << 16
"""Bytes of free space below which a failure to write is one of space."""

_MIGRATIONS: Final = (
    """
    CREATE TABLE objects (
        type TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (type, namespace, name)
    ) WITHOUT ROWID;
    CREATE TABLE history (
        revision INTEGER PRIMARY KEY, time REAL NOT NULL, type TEXT NOT NULL, namespace TEXT NOT NULL,
        name TEXT NOT NULL, before TEXT, after TEXT, user TEXT NOT NULL, agent TEXT NOT NULL
    );
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO counters VALUES ('revision', 0);
    """,
)
"""The steps from one format of the file to the next; the file has the number of steps that were made."""

_Work = tuple[Callable[[sqlite3.Connection], Any], "Deferred[Any]"]


@implementer(IObjectStore)
class SqliteStore:
    """
    A store in one file.

    :param path: the file; SQLite keeps two more beside it while it is open.
    :param reactor: calls back in its thread.
    """

    def __init__(self, path: Path, reactor: Any) -> None:
        self._path = path
        self._reactor = reactor
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def open(self) -> StoreContent:
        """Open the file as :meth:`IObjectStore.open` says."""
        try:
            connection = sqlite3.connect(self._path, timeout=BUSY_FOR, isolation_level=None, check_same_thread=False)
            try:
                self._path.chmod(0o600)  # Secrets are among the objects
                _prepare(connection)
                content = _content(connection)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError, ValueError) as error:
            raise self._unusable(error) from error
        self._thread = threading.Thread(target=self._work, args=(connection,), name="store", daemon=True)
        self._thread.start()
        return content

    def write(self, changes: Sequence[Change]) -> Deferred[None]:
        """Write as :meth:`IObjectStore.write` says."""
        # Made text here: the objects belong to this thread.
        rows = [(change, _text(change.before), _text(change.after)) for change in changes]
        return self._ask(lambda connection: _write(connection, rows))

    def history(self, limit: int) -> Deferred[Sequence[Change]]:
        """Read the last changes as :meth:`IObjectStore.history` says."""
        return self._ask(lambda connection: _history(connection, limit))

    def settled(self) -> Deferred[None]:
        """Fire once everything is written that was given so far."""
        return self._ask(lambda connection: None)

    def close(self) -> Deferred[None]:
        """Close the file as :meth:`IObjectStore.close` says."""
        closed = self._ask(sqlite3.Connection.close)
        self._waiting.put(None)
        return closed

    def _ask(self, work: Callable[[sqlite3.Connection], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self._waiting.put((work, done))
        return done

    def _work(self, connection: sqlite3.Connection) -> None:
        """Do all work that waits, again and again, until None waits. This is the store's own thread."""
        ended = False
        while not ended:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            ended = None in batch
            self._commit(connection, [each for each in batch if each is not None])

    def _commit(self, connection: sqlite3.Connection, batch: list[_Work]) -> None:
        """Do some work in one transaction, and tell the outcome."""
        closing = [each for each in batch if each[0] is sqlite3.Connection.close]
        within = [each for each in batch if each not in closing]
        outcomes: list[tuple[Deferred[Any], Any]] = []
        try:
            if within:
                connection.execute("BEGIN IMMEDIATE")
                outcomes = [(done, work(connection)) for work, done in within]
                connection.execute("COMMIT")
        except (sqlite3.Error, ValueError) as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = Failure(self._refusal(error))  # type: ignore[no-untyped-call]
            outcomes = [(done, failure) for _, done in within]
        for work, done in closing:
            work(connection)
            outcomes.append((done, None))
        self._reactor.callFromThread(_fire, outcomes)

    def _refusal(self, error: Exception) -> StoreError:
        if _is_full(error, self._path.parent):
            return StoreFullError(
                f"nothing was written: the disk of {self._path.parent} is full; what serves stays as it is; free some "
                "space and try again"
            )
        return StoreError(f"nothing was written to {self._path}: {error}")

    def _unusable(self, error: Exception) -> StoreError:
        if _is_full(error, self._path.parent):
            return StoreError(
                f"the API's store {self._path} cannot be opened: the disk of {self._path.parent} is full; free some "
                "space"
            )
        return StoreError(
            f"the API's store {self._path} cannot be used: {error}; move the file away to begin with an empty store, "
            "or put a copy of an earlier day in its place"
        )


def _is_full(error: Exception, folder: Path) -> bool:
    """True if a write failed for want of space; SQLite does not always say so itself."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_IOERR:
        space = os.statvfs(folder)
        return space.f_bavail * space.f_frsize < LEAST_SPACE
    return code == sqlite3.SQLITE_FULL


def _fire(outcomes: list[tuple[Deferred[Any], Any]]) -> None:
    for done, outcome in outcomes:
        done.callback(outcome)  # a Failure counts as one


def _prepare(connection: sqlite3.Connection) -> None:
    """
    Check the file, and bring it to the present format.

    :raises ValueError: if a newer meshgate has written it, or it is damaged.
    """
    format_ = connection.execute("PRAGMA user_version").fetchone()[0]
    if format_ > len(_MIGRATIONS):
        raise ValueError(f"a newer meshgate has written it (format {format_}, this one reads {len(_MIGRATIONS)})")
    if (damage := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise ValueError(f"it is damaged ({damage})")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    for number, migration in enumerate(_MIGRATIONS[format_:], format_ + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {migration}; PRAGMA user_version = {number}; COMMIT;")


def _content(connection: sqlite3.Connection) -> StoreContent:
    (revision,) = connection.execute("SELECT value FROM counters WHERE name = 'revision'").fetchone()
    rows = connection.execute("SELECT type, document FROM objects ORDER BY type, namespace, name")
    return StoreContent(revision, tuple(StoredObject(name, json.loads(document)) for name, document in rows))


def _text(object_: Object | None) -> str | None:
    return None if object_ is None else json.dumps(object_, separators=(",", ":"))


def _write(connection: sqlite3.Connection, rows: list[tuple[Change, str | None, str | None]]) -> None:
    for change, before, after in rows:
        key = (change.type_name, change.namespace, change.name)
        if after is None:
            connection.execute("DELETE FROM objects WHERE (type, namespace, name) = (?, ?, ?)", key)
        else:
            connection.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (*key, after))
        author = (change.author.user, change.author.agent)
        row = (change.revision, change.time, *key, before, after, *author)
        connection.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.execute("UPDATE counters SET value = ? WHERE name = 'revision'", (change.revision,))
        connection.execute(
            "DELETE FROM history WHERE revision <= "
            "(SELECT revision FROM history ORDER BY revision DESC LIMIT 1 OFFSET ?)",
            (HISTORY_KEPT,),
        )


def _history(connection: sqlite3.Connection, limit: int) -> tuple[Change, ...]:
    rows = connection.execute("SELECT * FROM history ORDER BY revision DESC LIMIT ?", (limit,))
    return tuple(
        Change(revision, time, type_name, namespace, name, _object(before), _object(after), Author(user, agent))
        for revision, time, type_name, namespace, name, before, after, user, agent in rows
    )


def _object(text: str | None) -> Object | None:
    return None if text is None else json.loads(text)
