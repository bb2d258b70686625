"""
All objects that the API shows, whoever has written them, in memory.

The problem: an object may be a client's, another provider's, or the gateway's own; each change of what is shown has to
reach every watcher once, and no reader may see an older state after a newer one.

The approach: :class:`ServedObjects` has the objects of one type by where they come from.
Whatever changes them here shows the difference: the object gets the next revision, and the window of its type the
change. :class:`~meshgate.api.collection.Collection` adds the writes of clients.

The invariants: revisions rise in the order in which changes become visible; an object of a file is never changed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from meshgate.api import objects as rules
from meshgate.api.conditions import unsettled
from meshgate.api.objects import completed, is_same
from meshgate.api.refusal import not_found
from meshgate.api.resource_types import NAMESPACES, TYPES, ResourceType
from meshgate.api.selectors import Selector, everything
from meshgate.api.store_interface import Object
from meshgate.api.watch_window import ObjectChange, WatchWindow

Key = tuple[str, str]
"""The namespace and the name of an object."""


@dataclass(eq=False, slots=True)
class ServedObjects:
    """
    The objects of one type.

    :ivar own: those that clients write, and those that are made for them.
    :ivar foreign: those of other providers.
    :ivar given: those of the gateway itself.
    :ivar made: the keys of own objects that follow from others, and are not stored.
    :ivar origins: where those of other providers are defined.
    :ivar unchanged_since: the revisions since which nothing but the status has changed, where that has.
    """

    window: WatchWindow
    own: dict[Key, Object] = field(default_factory=dict)
    foreign: dict[Key, Object] = field(default_factory=dict)
    given: dict[Key, Object] = field(default_factory=dict)
    made: set[Key] = field(default_factory=set)
    origins: dict[Key, str] = field(default_factory=dict)
    unchanged_since: dict[Key, str] = field(default_factory=dict)

    def find(self, key: Key) -> Object | None:
        """The object that is shown: the store's, then that of another provider, then the gateway's."""
        return self.own.get(key) or self.foreign.get(key) or self.given.get(key)

    def mapping_of(self, key: Key) -> dict[Key, Object]:
        """The mapping that has the object that is shown."""
        return next(each for each in (self.own, self.foreign, self.given) if key in each)


class ShownObjects:
    """
    The objects of all types.

    :param wall_clock: returns seconds since the epoch.
    :ivar revision: that of the last change that was shown.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self.revision = 0
        self._types: dict[str, ServedObjects] = {}

    def give(self, type_: ResourceType, object_: Object) -> None:
        """Show an object of the gateway itself, which clients cannot change."""
        self._types[type_.qualified_name].given[rules.key_of(object_)] = object_

    # Reading.

    def get(self, type_: ResourceType, namespace: str, name: str) -> Object:
        """
        The object of a name.

        :raises RefusedError: if there is none.
        """
        found = self._types[type_.qualified_name].find((namespace, name))
        if found is None:
            raise not_found(type_, name)
        return found

    def find(self, type_: ResourceType, key: Key) -> Object | None:
        """The object of a key, or None."""
        return self._types[type_.qualified_name].find(key)

    def is_stored(self, type_: ResourceType, key: Key) -> bool:
        """True if the object of a key is one of the store's."""
        served = self._types[type_.qualified_name]
        return key in served.own and key not in served.made

    def overruled_by(self, type_: ResourceType, key: Key) -> str:
        """
        Where another provider defines the same resource as an object of the store: that definition serves, and the
        object is shown, since clients can change it. Empty if none does.
        """
        served = self._types[type_.qualified_name]
        return served.origins.get(key, "") if key in served.own else ""

    def origin(self, type_: ResourceType, key: Key) -> str:
        """The position where another provider defines an object; empty if none does."""
        return self._types[type_.qualified_name].origins.get(key, "")

    def list(self, type_: ResourceType, namespace: str = "", selects: Selector = everything) -> list[Object]:
        """The objects of a type in one namespace, or in all, by namespace and name."""
        served = self._types[type_.qualified_name]
        keys = sorted({*served.own, *served.foreign, *served.given})
        found = (served.find(key) for key in keys if not namespace or key[0] == namespace)
        return [each for each in found if each is not None and selects(each)]

    def own_objects(self) -> Iterable[tuple[ResourceType, Key, Object]]:
        """The objects of the store, with their keys."""
        return ((type_, *each) for type_ in TYPES for each in self._types[type_.qualified_name].own.items())

    def selected(self, selects: Callable[[Object], bool]) -> Sequence[tuple[ResourceType, Key]]:
        """The keys of all objects, of whatever type, that clients have written or that follow from those."""
        found = ((type_, key, each) for type_ in TYPES for key, each in self._types[type_.qualified_name].own.items())
        return [(type_, key) for type_, key, each in found if selects(each)]

    def window(self, type_: ResourceType) -> WatchWindow:
        """The last changes of a type."""
        return self._types[type_.qualified_name].window

    def has_content(self, namespace: str) -> bool:
        """True if a namespace has objects that clients have written."""
        return any(
            key[0] == namespace and key not in served.made for served in self._types.values() for key in served.own
        )

    # Objects of other providers.

    def put_foreign(self, type_: ResourceType, object_: Object, origin: str) -> Object:
        """
        Show an object of another provider, in the place of the one that it had with the same name.

        :param origin: the position of its definition, as ``routes/echo.yaml:3:1``.
        :return: the object with the metadata that every object of the API has.
        """
        served, key = self._types[type_.qualified_name], rules.key_of(object_)
        known = served.foreign.get(key)
        served.origins[key] = origin
        after = self._aged(type_, completed(type_, object_), known)
        if known is not None and is_same(known, after):
            return known
        before = served.find(key)
        served.foreign[key] = after
        self._show(served, key, before)
        return served.foreign[key]

    def remove_foreign(self, type_: ResourceType, key: Key) -> None:
        """Show an object of another provider no longer."""
        served = self._types[type_.qualified_name]
        shown = served.find(key)
        before = served.foreign.pop(key, None)
        served.origins.pop(key, None)
        if before is not None:
            self._show(served, key, shown)

    def _aged(self, type_: ResourceType, object_: Object, before: Object | None) -> Object:
        """An object of another provider with the metadata that every object of the API has."""
        if before is not None:
            return self._changed(type_, before, object_)
        metadata = {"creationTimestamp": rules.timestamp(self._now()), **object_["metadata"], "generation": 1}
        identity = "/".join((type_.qualified_name, *rules.key_of(object_)))
        metadata["uid"] = str(uuid.uuid5(uuid.NAMESPACE_URL, identity))
        return rules.with_revision({**object_, "metadata": metadata}, self.revision + 1)

    def _changed(self, type_: ResourceType, before: Object, body: Mapping[str, Any]) -> dict[str, Any]:
        """An object with other content; until that is compiled, it is not programmed."""
        since = self._types[type_.qualified_name].unchanged_since.get(rules.key_of(before), "")
        return self._settled(rules.updated(type_, before, body, since), before)

    def _settled(self, after: dict[str, Any], before: Object) -> dict[str, Any]:
        """An object with the status of the one before it, which is that of other content if the generation differs."""
        if "status" in before:
            same = after["metadata"]["generation"] == before["metadata"]["generation"]
            status = before["status"]
            after["status"] = status if same else unsettled(status, rules.timestamp(self._now()))
        return after

    def _show(self, served: ServedObjects, key: Key, before: Object | None, revision: int = 0) -> Object | None:
        """
        Make a change visible: the object that is shown for a key gets the next revision.

        :param before: the object that was shown before.
        :param revision: the least that it may get.
        :return: the object that is shown now.
        """
        after = served.find(key)
        if after is before:
            return after
        if before is not None and after is not None and before["metadata"]["uid"] != after["metadata"]["uid"]:
            # To watchers, one object goes and another one comes.
            self.revision = max(self.revision + 1, revision)
            served.window.add(ObjectChange(self.revision, before, None))
            before = None
        self.revision = max(self.revision + 1, revision)
        if after is not None:
            after = served.mapping_of(key)[key] = rules.with_revision(after, self.revision)
        served.window.add(ObjectChange(self.revision, before, after))
        return after

    # The status, which the gateway itself writes.

    def set_status(
        self, type_: ResourceType, key: Key, make: Callable[[Object], Mapping[str, Any] | None]
    ) -> Object | None:
        """
        Give an object another status. The store does not keep it: each start finds it out anew.

        :param make: makes the status of the object as it is.
        :return: the object as it was before, if its status has changed; else None.
        """
        served = self._types[type_.qualified_name]
        before = served.find(key)
        if before is None:
            return None
        status = make(before)
        if status is None or status == before.get("status"):
            return None
        served.unchanged_since.setdefault(key, before["metadata"]["resourceVersion"])
        served.mapping_of(key)[key] = {**before, "status": status}
        self._show(served, key, before)
        return before

    def annotate(self, type_: ResourceType, key: Key, name: str, value: str) -> None:
        """Give an object an annotation that the gateway finds out anew at each start, and the store does not keep."""
        served = self._types[type_.qualified_name]
        before = served.own.get(key)
        if before is not None and (known := before["metadata"].get("annotations") or {}).get(name) != value:
            shown = served.find(key)
            served.own[key] = {**before, "metadata": {**before["metadata"], "annotations": {**known, name: value}}}
            self._show(served, key, shown)

    def _is_ending(self, namespace: str) -> bool:
        found = self.find(NAMESPACES, ("", namespace))
        return found is not None and "deletionTimestamp" in found["metadata"]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall_clock(), UTC)
