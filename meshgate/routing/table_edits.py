"""
Table edits: the small edits that lead from one routing table to the next.

Problem: every worker has its own copy of the table, of ten thousand routes, and mostly one of them changes.

Approach: the control process compares the new table with the old one and sends the edits; a worker applies them to its
copy. The large fields are the mappings of a listener, and are edited entry by entry; a small field is set as a whole.
The fields are read from the classes, so that a new field needs no line here.

A draft gathers the edits, and makes all of them in a moment, in the mappings of the old table. A copy of a mapping
would touch each of its ten thousand routes, most of which lie in memory that has not been touched for long, and
connections would wait for it.

Invariants: a table with the edits applied equals the new table. Until all edits are there, the old table is in force as
it was. Everything that the edits do not mention stays the same object.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, NamedTuple

from meshgate.routing.table import ClusterKey, EndpointAddress, Listener, ListenerKey, RoutingTable

_ABSENT: Final = object()


class SetField(NamedTuple):
    """
    Set a field.

    :ivar listener: the listener with the field, which is new if the table has none of that key; None for the table.
    """

    listener: ListenerKey | None
    name: str
    value: Any


class SetEntry(NamedTuple):
    """Set an entry of a listener's mapping."""

    listener: ListenerKey
    name: str
    key: Any
    value: Any


class RemoveEntry(NamedTuple):
    """Remove an entry of a listener's mapping."""

    listener: ListenerKey
    name: str
    key: Any


class RemoveListener(NamedTuple):
    """Remove a listener."""

    listener: ListenerKey


Edit = SetField | SetEntry | RemoveEntry | RemoveListener


def edits_between(before: RoutingTable, after: RoutingTable) -> Iterator[Edit]:
    """The edits that lead from one table to another. Objects that both tables share cost next to nothing."""
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
    A table to which edits are applied.

    :param before: the table to begin with, which nobody may use any more after :meth:`table`: its mappings are edited
        and become those of the new table.
    """

    def __init__(self, before: RoutingTable) -> None:
        self._fields = {**_values(before), "all_destinations": None}
        self._listeners = dict(before.listeners)
        # The fields of listeners that have been edited, and the new entries of their mappings.
        self._edited: dict[ListenerKey, dict[str, Any]] = {}
        self._entries: dict[tuple[ListenerKey, str], dict[Any, Any]] = {}

    def apply(self, edits: Iterable[Edit]) -> None:
        """Note some of the edits that :func:`edits_between` gives. All have to be noted, in their order."""
        for edit in edits:
            if isinstance(edit, SetField):
                values = self._fields if edit.listener is None else self._listener(edit.listener)
                values[edit.name] = edit.value
            elif isinstance(edit, SetEntry):
                self._new_entries(edit.listener, edit.name)[edit.key] = edit.value
            elif isinstance(edit, RemoveEntry):
                self._new_entries(edit.listener, edit.name)[edit.key] = _ABSENT
            else:
                del self._listeners[edit.listener]

    def table(self) -> RoutingTable:
        """Make all edits, and return the table. The draft cannot be used any more."""
        for (key, name), entries in self._entries.items():
            mapping = self._listener(key).setdefault(name, {})
            for entry, value in entries.items():
                if value is _ABSENT:
                    del mapping[entry]
                else:
                    mapping[entry] = value
        for key, values in self._edited.items():
            self._listeners[key] = Listener(**values)
        return RoutingTable(**{**self._fields, "listeners": self._listeners})

    def _listener(self, key: ListenerKey) -> dict[str, Any]:
        """The fields of a listener, to be edited."""
        if key not in self._edited:
            self._edited[key] = _values(self._listeners.get(key))
        return self._edited[key]

    def _new_entries(self, key: ListenerKey, name: str) -> dict[Any, Any]:
        """The entries to set in a mapping of a listener, or to remove from it."""
        return self._entries.setdefault((key, name), {})


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
                if _differ(old.get(key, _ABSENT), value):
                    yield SetEntry(after.key, name, key, value)


def _plain_fields(
    listener: ListenerKey | None, before: RoutingTable | Listener | None, after: RoutingTable | Listener, skip: set[str]
) -> Iterator[Edit]:
    old = _values(before)
    for name, value in _values(after).items():
        if name not in skip and _differ(old.get(name, _ABSENT), value):
            yield SetField(listener, name, value)


def _values(record: RoutingTable | Listener | None) -> dict[str, Any]:
    """The values of a record by field; none of None."""
    return {field.name: getattr(record, field.name) for field in fields(record)} if is_dataclass(record) else {}


def _differ(before: object, after: object) -> bool:
    # Mostly they are the same object; to compare equal ones means to walk through both.
    return before is not after and before != after


def gone_endpoints(before: RoutingTable, after: RoutingTable) -> dict[ClusterKey, frozenset[EndpointAddress]]:
    """
    The endpoints that clusters of both tables have lost, whatever their weights and priorities.

    Destinations that are the same object are not looked at, as far as no other one is of their cluster.
    """
    kept = {id(each) for each in after.destinations()}
    changed = {each.cluster for each in before.destinations() if id(each) not in kept}
    found = {}
    if changed:
        now = _addresses(after, changed)
        for cluster, addresses in _addresses(before, changed).items():
            gone = addresses - now[cluster] if cluster in now else set()
            if gone:
                found[cluster] = frozenset(gone)
    return found


def _addresses(table: RoutingTable, clusters: Container[ClusterKey]) -> dict[ClusterKey, set[EndpointAddress]]:
    found: dict[ClusterKey, set[EndpointAddress]] = {}
    for destination in table.destinations():
        if destination.cluster in clusters:
            addresses = [(each.address, each.port, each.dns) for each in destination.endpoints]
            found.setdefault(destination.cluster, set()).update(addresses)
    return found
