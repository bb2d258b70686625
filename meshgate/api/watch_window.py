"""
The window of the last changes, and the watchers that follow them.

The problem: a watcher names the revision it has seen, and must get every later change once and in order, whether it
asks a moment or an hour later, and however slowly it reads.

The approach: a window of the last changes of each type, and watchers that have a position in it. A watcher takes the
next change when its client can read one, so no change ever waits for one client alone. A watcher whose next change is
forgotten is told so (410), and lists again, be it at its beginning or later.

The invariants: revisions only rise; a watcher gets no change twice and misses none; and the window is all the memory
that watchers take, however many there are and however slowly they read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from meshgate.api.objects import key_of, too_old
from meshgate.api.selectors import Selector
from meshgate.api.store_interface import Object

WINDOW: Final = 10_000
"""The number of changes of one type that are remembered."""

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """
    A change of an object as a watcher may see it.

    :ivar before: None if the object is new.
    :ivar after: None if the object is gone.
    """

    revision: int
    before: Object | None
    after: Object | None


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """An event for a watcher: ``ADDED``, ``MODIFIED`` or ``DELETED``, and the object with the change's revision."""

    type: str
    object: Object


@dataclass(eq=False, slots=True)
class Watcher:
    """
    One watcher.

    :ivar position: the number of changes of the window's type before the next one that it takes.
    :ivar namespace: the namespace that it watches; empty for all.
    :ivar selects: the objects that it watches.
    :ivar wake: called when there is one more change.
    """

    window: WatchWindow
    position: int
    namespace: str
    selects: Selector
    wake: Callable[[], None] = lambda: None

    def next_event(self) -> WatchEvent | None:
        """
        The next event for this watcher; None if there is none yet.

        :raises RefusedError: if it is forgotten.
        """
        while (change := self.window.change(self.position)) is not None:
            self.position += 1
            if (event := self._event(change)) is not None:
                return event
        return None

    def check(self) -> None:
        """
        Check that the next change is still there.

        :raises RefusedError: if it is forgotten.
        """
        self.window.change(self.position)

    def follow(self) -> None:
        """Be woken from now on."""
        self.window.watchers.add(self)

    def leave(self) -> None:
        """Be woken no longer."""
        self.window.watchers.discard(self)

    def _event(self, change: ObjectChange) -> WatchEvent | None:
        """An object that no longer fits the selectors is deleted for this watcher, and one that does now is added."""
        before, after = self._watched(change.before), self._watched(change.after)
        if after is not None:
            return WatchEvent(MODIFIED if before is not None else ADDED, after)
        if before is not None:
            last = change.after if change.after is not None else change.before
            metadata = {**(last or before)["metadata"], "resourceVersion": str(change.revision)}
            return WatchEvent(DELETED, {**(last or before), "metadata": metadata})
        return None

    def _watched(self, object_: Object | None) -> Object | None:
        if object_ is None or (self.namespace and key_of(object_)[0] != self.namespace):
            return None
        return object_ if self.selects(object_) else None


@dataclass(eq=False, slots=True)
class WatchWindow:
    """
    The last changes of one type.

    :ivar forgotten: the revision up to which changes are forgotten.
    :ivar watchers: those who follow.
    """

    forgotten: int
    watchers: set[Watcher] = field(default_factory=set)
    _changes: deque[ObjectChange] = field(default_factory=deque)
    _dropped: int = 0

    @property
    def end(self) -> int:
        """The position after the last change."""
        return self._dropped + len(self._changes)

    def add(self, change: ObjectChange) -> None:
        """Remember a change, and wake all watchers."""
        self._changes.append(change)
        if len(self._changes) > WINDOW:
            self.forgotten = self._changes.popleft().revision
            self._dropped += 1
        for watcher in list(self.watchers):
            watcher.wake()

    def after(self, revision: int) -> int:
        """
        The position of the first change after a revision.

        :raises RefusedError: if changes after it are forgotten.
        """
        if revision < self.forgotten:
            raise too_old(f"too old resource version: {revision} ({self.forgotten})")
        return self._dropped + bisect_right(self._changes, revision, key=lambda change: change.revision)

    def change(self, position: int) -> ObjectChange | None:
        """
        The change at a position; None if it has not happened yet.

        :raises RefusedError: if it is forgotten.
        """
        if position < self._dropped:
            raise too_old(f"too old resource version: all up to {self.forgotten} are forgotten")
        return self._changes[position - self._dropped] if position < self.end else None
