"""
The window of the last changes, and the watchers that follow them.

The problem: a watcher names the revision it has seen, and must get every later change once and in order, whether it
asks a moment or an hour later, and however slowly it reads.

The approach: a window of the last changes of each type. A watcher begins with the changes after its revision, and then
gets each change as it happens. If the window has forgotten some of them, it is told so (410), and lists again.

The invariants: revisions only rise; a watcher gets no change twice and misses none; the window's size is bounded, and
so is the number of changes that wait for one watcher: whoever reads too slowly is ended, and lists again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
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

    :ivar namespace: the namespace that it watches; empty for all.
    :ivar selects: the objects that it watches.
    :ivar send: called with each event.
    """

    namespace: str
    selects: Selector
    send: Callable[[WatchEvent], None]

    def see(self, change: ObjectChange) -> None:
        """Send the change as the watcher sees it, if it does."""
        if (event := self._event(change)) is not None:
            self.send(event)

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

    def add(self, change: ObjectChange) -> None:
        """Remember a change, and send it to all watchers."""
        self._changes.append(change)
        if len(self._changes) > WINDOW:
            self.forgotten = self._changes.popleft().revision
        for watcher in list(self.watchers):
            watcher.see(change)

    def since(self, revision: int) -> Iterator[ObjectChange]:
        """
        The changes after a revision, in order.

        :raises RefusedError: if some of them are forgotten.
        """
        if revision < self.forgotten:
            raise too_old(f"too old resource version: {revision} ({self.forgotten})")
        return (change for change in list(self._changes) if change.revision > revision)
