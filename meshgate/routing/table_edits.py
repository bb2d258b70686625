"""
What is different between two routing tables, as a sequence of small edits, and how the second is made of the first.

For whoever has one table and is told of the next: 10,000 routes of which one changed are one edit. Pure. Knows that
a table has listeners, and that what is large in a listener are mappings; which fields there are, it asks the classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, NamedTuple

from meshgate.routing.table import Listener, ListenerKey, RoutingTable

_NOTHING: Final = object()


class SetField(NamedTuple):
    """A field of the table, or of a listener, has this value. A listener that there was not before begins with it."""

    listener: ListenerKey | None
    name: str
    value: Any


class SetEntry(NamedTuple):
    """In a mapping of a listener, this stands under a key."""

    listener: ListenerKey
    name: str
    key: Any
    value: Any


class RemoveEntry(NamedTuple):
    """In a mapping of a listener, a key is gone."""

    listener: ListenerKey
    name: str
    key: Any


class RemoveListener(NamedTuple):
    """A listener is gone."""

    listener: ListenerKey


Edit = SetField | SetEntry | RemoveEntry | RemoveListener


def difference(before: RoutingTable, after: RoutingTable) -> Iterator[Edit]:
    """The edits that make the second table of the first. What is the same object in both costs next to nothing."""
    # The list of all destinations follows from the listeners, and may be as long as they are.
    yield from _plain_fields(None, before, after, {"listeners", "all_destinations"})
    for key in before.listeners.keys() - after.listeners.keys():
        yield RemoveListener(key)
    for key, listener in after.listeners.items():
        old = before.listeners.get(key)
        if old is not listener:
            yield from _listener_edits(old, listener)


class Draft:
    """
    A table in the making. The table that it is made of stays as it is.

    :param before: the first table.
    """

    def __init__(self, before: RoutingTable) -> None:
        self._fields = {**_values(before), "all_destinations": None}
        self._listeners = dict(before.listeners)
        self._touched: dict[ListenerKey, dict[str, Any]] = {}
        self._copied: set[tuple[ListenerKey, str]] = set()

    def take(self, edits: Iterable[Edit]) -> None:
        """Make further edits; all of them together, in their order, are a :func:`difference`."""
        for edit in edits:
            if isinstance(edit, SetField):
                values = self._fields if edit.listener is None else self._listener(edit.listener)
                values[edit.name] = edit.value
            elif isinstance(edit, SetEntry):
                self._mapping(edit.listener, edit.name)[edit.key] = edit.value
            elif isinstance(edit, RemoveEntry):
                del self._mapping(edit.listener, edit.name)[edit.key]
            else:
                del self._listeners[edit.listener]

    def table(self) -> RoutingTable:
        """The second table. The draft is used up."""
        for key, values in self._touched.items():
            self._listeners[key] = Listener(**values)
        return RoutingTable(**{**self._fields, "listeners": self._listeners})

    def _listener(self, key: ListenerKey) -> dict[str, Any]:
        if key not in self._touched:
            self._touched[key] = _values(self._listeners.get(key))
        return self._touched[key]

    def _mapping(self, key: ListenerKey, name: str) -> dict[Any, Any]:
        values = self._listener(key)
        if (key, name) not in self._copied:
            values[name] = dict(values.get(name, {}))
            self._copied.add((key, name))
        mapping: dict[Any, Any] = values[name]
        return mapping


def _listener_edits(before: Listener | None, after: Listener) -> Iterator[Edit]:
    mappings = {name for name, value in _values(after).items() if isinstance(value, Mapping)}
    yield from _plain_fields(after.key, before, after, mappings)
    for name in mappings:
        old: Mapping[Any, Any] = {} if before is None else getattr(before, name)
        new: Mapping[Any, Any] = getattr(after, name)
        if new is not old:
            for key in old.keys() - new.keys():
                yield RemoveEntry(after.key, name, key)
            for key, value in new.items():
                if _differ(old.get(key, _NOTHING), value):
                    yield SetEntry(after.key, name, key, value)


def _plain_fields(
    listener: ListenerKey | None, before: RoutingTable | Listener | None, after: RoutingTable | Listener, but: set[str]
) -> Iterator[Edit]:
    old = _values(before)
    for name, value in _values(after).items():
        if name not in but and _differ(old.get(name, _NOTHING), value):
            yield SetField(listener, name, value)


def _values(of: RoutingTable | Listener | None) -> dict[str, Any]:
    return {field.name: getattr(of, field.name) for field in fields(of)} if is_dataclass(of) else {}


def _differ(before: object, after: object) -> bool:
    # The objects are mostly the same, and comparing equal ones means walking through all of both.
    return before is not after and before != after
