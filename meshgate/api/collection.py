"""
All objects of the API: those of its own store, which can be changed, and those of other providers, which cannot.

The problem: many clients read and write at the same time, a write takes the time of an ``fsync``, and files change
meanwhile.

The approach: everything that is served is in memory. A write checks and makes the new object from the one in memory,
waits until the store has it, and only then shows it to readers, watchers and the gateway. Writes to one object follow
each other; writes to different objects share a commit.

The invariants: nobody sees an object that a crash could take back; revisions rise in the order in which changes become
visible; and an object of a file is never changed here.
"""

from __future__ import annotations

import random
import string
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import DeferredLock

from meshgate.api import objects as rules
from meshgate.api.managed_fields import tracked
from meshgate.api.object_validation import Validation, validated
from meshgate.api.objects import completed, given_namespace, is_same
from meshgate.api.refusal import RefusedError, already_exists, not_found, not_ours
from meshgate.api.resource_types import NAMESPACES, TYPES, ResourceType
from meshgate.api.shown_objects import Key, ServedObjects, ShownObjects
from meshgate.api.store_interface import Author, Change, IObjectStore, Object, StoreError, StoreFullError
from meshgate.api.watch_window import WatchWindow

RESTART_STEP: Final = 1_000_000
"""The revisions that a start skips: those after the last write were given to changes of files, and are not stored."""

MAX_OBJECTS: Final = 100_000
"""The number of objects that the store takes."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """
    The options of a write.

    :ivar dry_run: check everything, and write nothing.
    :ivar manager: the client that manages the fields that are written.
    :ivar unknown_fields: the action on unknown fields: ``Strict``, ``Warn`` or ``Ignore``.
    :ivar keeps_age: a new object keeps the creationTimestamp that it comes with.
    """

    author: Author = field(default_factory=Author)
    dry_run: bool = False
    unknown_fields: str = "Warn"
    manager: str = "unknown"
    keeps_age: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """
    The result of a write.

    :ivar warnings: sentences for the client.
    """

    object: Object
    warnings: tuple[str, ...] = ()


class Collection(ShownObjects):
    """
    All objects, with the writes of clients.

    :param store: keeps the objects that clients write.
    :param on_change: called with the type after each change of the objects that clients write.
    :param wall_clock: returns seconds since the epoch.
    :param randomness: for the names that clients ask for.
    """

    def __init__(
        self,
        store: IObjectStore,
        on_change: Callable[[ResourceType], None],
        wall_clock: Callable[[], float],
        randomness: random.Random,
    ) -> None:
        super().__init__(wall_clock)
        self._store = store
        self._on_change = on_change
        self._randomness = randomness
        #: Why nothing may be written for now, for people; empty if it may.
        self.frozen = ""
        self._locks: dict[tuple[str, Key], DeferredLock] = {}
        # The last revision that the store was given; what is written becomes visible later.
        self._written = 0

    def open(self, namespaces: Iterable[str]) -> None:
        """
        Read the store.

        :param namespaces: the namespaces that always exist.
        :raises StoreError: if it cannot be used.
        """
        content = self._store.open()
        self.revision = content.revision + RESTART_STEP
        self._types = {each.qualified_name: ServedObjects(WatchWindow(self.revision)) for each in TYPES}
        for stored in content.objects:
            if (served := self._types.get(stored.type_name)) is not None:
                served.own[rules.key_of(stored.object)] = stored.object
        for name in namespaces:
            self.give(NAMESPACES, given_namespace(name, self.revision, self._now()))

    async def history(self, limit: int) -> Sequence[Change]:
        """The last changes of the store, the latest first."""
        return await self._store.history(limit)

    def _is_held(self, type_: ResourceType, object_: Object) -> bool:
        """True if an object that is deleted stays for now: for its finalizers, or for what a namespace has in it."""
        within = type_ is NAMESPACES and self.has_content(object_["metadata"]["name"])
        return within or rules.has_finalizers(object_)

    # Objects that follow from others.

    def is_made(self, type_: ResourceType, object_: Object) -> bool:
        """True if an object follows from another one."""
        return rules.key_of(object_) in self._types[type_.qualified_name].made

    def put_made(self, type_: ResourceType, body: Mapping[str, Any]) -> Object:
        """Have an object that follows from others: it is made, or changed unless a client has written it."""
        served, key = self._types[type_.qualified_name], rules.key_of(body)
        before = served.own.get(key)
        if before is not None and key not in served.made:
            return before
        if before is None:
            identity = str(uuid.UUID(int=self._randomness.getrandbits(128), version=4))
            after = rules.created(body, identity, self._now())
        else:
            after = rules.updated(type_, before, body)
            if is_same(before, after):
                return before
        shown = served.find(key)
        served.made.add(key)
        served.unchanged_since.pop(key, None)
        served.own[key] = after
        self._show(served, key, shown)
        self._on_change(type_)
        return served.own[key]

    async def keep_made(self, type_: ResourceType, key: Key, make: Callable[[Object], Object], author: Author) -> None:
        """Have the store keep an object that followed from another one, in another form."""
        served = self._types[type_.qualified_name]
        before = served.own.get(key)
        if before is not None:
            served.made.discard(key)
            await self._commit(type_, key, before, make(before), author)

    def remove_made(self, type_: ResourceType, key: Key) -> None:
        """Remove an object that follows from others, if it is there."""
        served = self._types[type_.qualified_name]
        if key in served.made:
            before = served.find(key)
            served.made.discard(key)
            del served.own[key]
            self._show(served, key, before)
            self._on_change(type_)

    # Writing.

    async def create(self, type_: ResourceType, body: Mapping[str, Any], options: WriteOptions) -> Written:
        """
        Create an object.

        :param body: as :func:`meshgate.api.objects.checked` gives it.
        :raises RefusedError: if it exists, or has a fault.
        """
        named = rules.named(type_, body, "".join(self._randomness.choices(string.ascii_lowercase, k=5)))
        key = rules.key_of(named)
        self._check_namespace(type_, key[0])

        def change(before: Object | None) -> tuple[Object, Validation]:
            if before is not None:
                raise already_exists(type_, key[1])
            if len(self._types[type_.qualified_name].own) >= MAX_OBJECTS:
                raise RefusedError(403, f"the store takes no more than {MAX_OBJECTS} objects of a type")
            identity = str(uuid.UUID(int=self._randomness.getrandbits(128), version=4))
            object_ = completed(type_, rules.created(named, identity, self._now(), keeps_age=options.keeps_age))
            if "managedFields" not in object_["metadata"]:
                object_ = tracked(type_, None, object_, options.manager, rules.timestamp(self._now()))
            return object_, validated(type_, object_, options.unknown_fields)

        return await self._write(type_, key, change, options, creates=True)

    async def update(
        self,
        type_: ResourceType,
        key: Key,
        make: Callable[[Object], Mapping[str, Any]],
        options: WriteOptions,
        *,
        applies: bool = False,
    ) -> Written:
        """
        Change an object.

        :param make: makes the wanted object from the present one; it may raise a RefusedError.
        :param applies: True if it tells the managers of the fields itself.
        :raises RefusedError: if there is none, it is another provider's, or the wanted object has a fault.
        """

        def change(before: Object | None) -> tuple[Object | None, Validation]:
            if before is None:
                raise not_found(type_, key[1])
            after = self._changed(type_, before, completed(type_, make(before)))
            if "deletionTimestamp" in after["metadata"] and not self._is_held(type_, after):
                return None, Validation()
            if is_same(before, after):
                return before, Validation()
            if not applies:
                after = tracked(type_, before, after, options.manager, rules.timestamp(self._now()))
            return after, validated(type_, after, options.unknown_fields)

        return await self._write(type_, key, change, options)

    async def delete(self, type_: ResourceType, key: Key, preconditions: Any, options: WriteOptions) -> Written:
        """
        Delete an object, or mark it as deleted where it has finalizers.

        :return: the object as it was, or as it is marked.
        :raises RefusedError: if there is none, it is another provider's, or it does not fit the preconditions.
        """

        def change(before: Object | None) -> tuple[Object | None, Validation]:
            if before is None:
                raise not_found(type_, key[1])
            rules.check_preconditions(type_, before, preconditions)
            if not self._is_held(type_, before):
                return None, Validation()
            if "deletionTimestamp" in before["metadata"]:
                return before, Validation()
            return rules.marked_deleted(type_, before, self._now()), Validation()

        return await self._write(type_, key, change, options)

    async def _write(
        self,
        type_: ResourceType,
        key: Key,
        change: Callable[[Object | None], tuple[Object | None, Validation]],
        options: WriteOptions,
        *,
        creates: bool = False,
    ) -> Written:
        lock = self._locks.setdefault((type_.qualified_name, key), DeferredLock())
        await lock.acquire()
        try:
            served = self._types[type_.qualified_name]
            before = served.find(key)
            if before is not None and before is not served.own.get(key):
                if creates:
                    raise already_exists(type_, key[1], served.origins.get(key, ""))
                raise not_ours(type_, key[1], served.origins.get(key, ""))
            after, validation = change(before)
            if after is before or options.dry_run:
                return Written(after or before or {}, validation.warnings)
            stored = await self._commit(type_, key, before, after, options.author)
            return Written(stored, validation.warnings)
        finally:
            lock.release()
            if not lock.waiting and not lock.locked:
                self._locks.pop((type_.qualified_name, key), None)

    async def _commit(
        self, type_: ResourceType, key: Key, before: Object | None, after: Object | None, author: Author
    ) -> Object:
        """Have the store write a change, and show it."""
        if self.frozen:
            raise RefusedError(503, self.frozen, type=type_, name=key[1], headers={"retry-after": "1"})
        stored_as = self._written = max(self._written, self.revision) + 1
        stored = rules.with_revision(after, stored_as) if after is not None else None
        served = self._types[type_.qualified_name]
        if key not in served.made:
            try:
                await self._store.write(
                    [Change(stored_as, self._wall_clock(), type_.qualified_name, *key, before, stored, author)]
                )
            except StoreError as error:
                code = 507 if isinstance(error, StoreFullError) else 503
                raise RefusedError(code, str(error), type=type_, name=key[1]) from error
        # Meanwhile others may have become visible, of which readers have seen the revisions; and so may a status.
        shown, latest = served.find(key), served.own.get(key)
        served.unchanged_since.pop(key, None)
        if stored is None:
            served.made.discard(key)
            served.own.pop(key, None)
        else:
            # The status of a namespace is a part of its content.
            settles = latest is not None and type_ is not NAMESPACES
            served.own[key] = self._settled(stored, latest or {}) if settles else stored
        self._show(served, key, shown, stored_as)
        self._on_change(type_)
        if stored is not None:
            return served.own[key]
        gone = rules.with_revision(before or {}, self.revision)
        if key[0] and self._is_ending(key[0]) and not self.has_content(key[0]):
            await self.delete(NAMESPACES, ("", key[0]), None, WriteOptions(author))
        return gone

    def _check_namespace(self, type_: ResourceType, namespace: str) -> None:
        if type_.namespaced and self.find(NAMESPACES, ("", namespace)) is None:
            raise not_found(NAMESPACES, namespace)
        if type_.namespaced and self._is_ending(namespace):
            raise RefusedError(403, f"the namespace {namespace} is being terminated, and takes nothing new", type=type_)
