"""
Which client manages which fields of an object (Kubernetes, "Server-Side Apply"; sigs.k8s.io/structured-merge-diff).

The problem: several clients write one object, each some of its fields. Who applies an object must neither undo what
others have set nor leave behind what it once set and no longer wants.

The approach: ``metadata.managedFields`` has, for each manager, the set of its fields. An apply compares its fields with
those of others: a field of another manager with another value is a conflict; a field that it had and no longer has
goes, unless another one manages it too. A write of any other kind takes over the fields that it changes.

The invariants: a field is a path of keys, of the keys of an item of a list, or of a value of a set; a list that is not
named below is one field as a whole; and the identity of the object belongs to nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshgate.api.kubernetes_fields import list_keys, messages, sets
from meshgate.api.refusal import Cause, RefusedError
from meshgate.api.resource_types import ResourceType
from meshgate.api.store_interface import Object, value_at
from meshgate.resources.field_reference import keys_of
from meshgate.resources.kinds.serviceentry import ServiceEntrySpec

Path = tuple[str, ...]
"""A field, by elements as in ``fieldsV1``: ``f:spec``, ``k:{"name":"a"}``, ``v:"x"``; ``.`` is the item itself."""

APPLY: Final = "Apply"
UPDATE: Final = "Update"

_KEYED: Final[Mapping[str, tuple[str, ...]]] = {name: keys[0] for name, keys in list_keys().items() if len(keys) == 1}
"""The lists of Kubernetes' kinds whose items have keys, by the name of their field."""

_CONTAINER_PORT: Final = messages()["Container"].fields["ports"].keys
_PORT_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "Service": messages()["ServiceSpec"].fields["ports"].keys,
    **dict.fromkeys(("Deployment", "Pod", "ReplicaSet"), _CONTAINER_PORT),
    "ServiceEntry": keys_of(ServiceEntrySpec, "ports"),
}
_DEFAULT_KEYS: Final[Mapping[str, Any]] = {"protocol": "TCP"}
_SETS: Final = sets()
_NOBODYS: Final = frozenset({"apiVersion", "kind", "status"})
_NOBODYS_METADATA: Final = frozenset(
    {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"}
    | {"deletionGracePeriodSeconds", "managedFields", "generateName"}
)


@dataclass(frozen=True, slots=True)
class Manager:
    """
    Who writes.

    :ivar name: as clients call themselves, such as ``kubectl``.
    :ivar operation: ``Apply`` or ``Update``.
    """

    name: str
    operation: str


def applied(
    type_: ResourceType, before: Object | None, wanted: Mapping[str, Any], manager: str, force: bool, now: str
) -> dict[str, Any]:
    """
    The object after an apply.

    :param before: None if there is no such object.
    :param wanted: the object that is applied: those fields that the manager wants.
    :param force: take over the fields of others where their values differ.
    :param now: the present time, as Kubernetes writes it.
    :raises RefusedError: if another manager has one of the fields with another value.
    """
    own = Manager(manager, APPLY)
    managed = _managed(before)
    fields = frozenset(_fields(type_, wanted))
    if before is None:
        return _with_managed(wanted, {own: fields}, type_, now)
    present = dict(_leaves(type_, before))
    conflicts = _conflicts(managed, own, fields, present, dict(_leaves(type_, wanted)))
    if conflicts and not force:
        raise _conflict(type_, before, conflicts)
    for other, path in conflicts:
        managed[other] = managed[other] - {path}
    merged = _merged(type_, before, wanted, "")
    dropped = managed.get(own, frozenset()) - fields
    kept = frozenset().union(*(paths for each, paths in managed.items() if each != own), fields)
    # Whole items of lists first: without its keys, an item could not be found.
    for path in sorted(dropped - kept, key=lambda path: (path[-1] != ".", -len(path), path)):
        if not any(other[: len(path)] == path for other in kept):
            merged = _removed(type_, merged, path)
    managed[own] = fields
    return _with_managed(merged, managed, type_, now, before)


def tracked(type_: ResourceType, before: Object | None, after: Object, manager: str, now: str) -> dict[str, Any]:
    """
    The object after a write of another kind: its manager has the fields that it has changed.

    :param before: None if the object is new.
    """
    own = Manager(manager, UPDATE)
    old = dict(_leaves(type_, before)) if before is not None else {}
    new = dict(_leaves(type_, after))
    changed = frozenset(path for path, value in new.items() if path not in old or old[path] != value)
    gone = frozenset(old) - frozenset(new)
    if not changed and not gone:
        return dict(after)
    source = after if "managedFields" in after["metadata"] else before
    managed = {each: paths - changed - gone for each, paths in _managed(source).items()}
    managed[own] = managed.get(own, frozenset()) | changed
    return _with_managed(after, managed, type_, now, before)


def are_managed_fields(value: Any) -> bool:
    """True if a value is one of ``metadata.managedFields``; an empty list, or one of an empty entry, forgets all."""
    return isinstance(value, list) and all(map(_is_entry, value))


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, Mapping):
        return False
    fields = entry.get("fieldsV1")
    return not entry or (
        isinstance(entry.get("manager"), str)
        and entry.get("operation") in (APPLY, UPDATE)
        and isinstance(fields, Mapping)
        and all(map(_is_element, {element for path in _paths(fields, ()) for element in path}))
    )


def _is_element(element: str) -> bool:
    if element.startswith(("f:", ".")):
        return True
    if not element.startswith(("k:", "v:")):
        return False
    try:
        found = json.loads(element[2:])
    except (ValueError, RecursionError):
        return False
    return isinstance(found, Mapping) or element.startswith("v:")


def _conflicts(
    managed: Mapping[Manager, frozenset[Path]],
    own: Manager,
    fields: frozenset[Path],
    present: Mapping[Path, Any],
    wanted: Mapping[Path, Any],
) -> list[tuple[Manager, Path]]:
    return [
        (other, path)
        for other, paths in managed.items()
        if other.name != own.name
        for path in sorted(paths & fields)
        if present.get(path) != wanted[path]
    ]


def _conflict(type_: ResourceType, before: Object, conflicts: list[tuple[Manager, Path]]) -> RefusedError:
    causes = [
        Cause(f'conflict with "{manager.name}"', _text(path), "FieldManagerConflict") for manager, path in conflicts
    ]
    number = "1 conflict" if len(causes) == 1 else f"{len(causes)} conflicts"
    whom = ", ".join(f"{cause.message}: {cause.field}" for cause in causes[:10])
    message = f"Apply failed with {number}: {whom}"
    return RefusedError(409, message, type=type_, name=before["metadata"]["name"], causes=tuple(causes))


# Fields of an object.


def _fields(type_: ResourceType, object_: Mapping[str, Any]) -> Iterator[Path]:
    return (path for path, _ in _leaves(type_, object_))


def _leaves(type_: ResourceType, object_: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """The fields of an object that somebody may manage, with their values."""
    for key, value in object_.items():
        if key in _NOBODYS:
            continue
        if key == "metadata":
            value = {name: each for name, each in value.items() if name not in _NOBODYS_METADATA}
            if not value:
                continue
        yield from _below(type_, (f"f:{key}",), key, value)


def _below(type_: ResourceType, path: Path, field: str, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _below(type_, (*path, f"f:{key}"), key, each)
        return
    if isinstance(value, list) and value and field in _SETS:
        for each in value:
            yield (*path, f"v:{json.dumps(each)}"), each
        return
    keys = _keys(type_, field)
    if isinstance(value, list) and value and keys and all(isinstance(each, Mapping) for each in value):
        for each in value:
            item = (*path, _item(keys, each))
            yield (*item, "."), None
            yield from _below(type_, item, "", each)
        return
    yield path, value


def _keys(type_: ResourceType, field: str) -> tuple[str, ...]:
    return _PORT_KEYS.get(type_.kind, ()) if field == "ports" else _KEYED.get(field, ()) if not _is_istio(type_) else ()


def _is_istio(type_: ResourceType) -> bool:
    return type_.group.endswith("istio.io")


def _item(keys: tuple[str, ...], item: Mapping[str, Any]) -> str:
    found = {key: item.get(key, _DEFAULT_KEYS.get(key)) for key in keys}
    return f"k:{json.dumps(found, sort_keys=True, separators=(',', ':'))}"


def _merged(type_: ResourceType, before: Any, wanted: Any, field: str) -> Any:
    if isinstance(before, Mapping) and isinstance(wanted, Mapping):
        result = dict(before)
        for key, value in wanted.items():
            result[key] = _merged(type_, before.get(key), value, key)
        return result
    if isinstance(before, list) and isinstance(wanted, list):
        if field in _SETS:
            return [*before, *(each for each in wanted if each not in before)]
        keys = _keys(type_, field)
        if keys and all(isinstance(each, Mapping) for each in (*before, *wanted)):
            new = {_item(keys, each): each for each in wanted}
            known = [_item(keys, each) for each in before]
            kept = [
                _merged(type_, each, new[item], "") if item in new else each
                for item, each in zip(known, before, strict=True)
            ]
            return [*kept, *(each for item, each in new.items() if item not in known)]
    return wanted


def _removed(type_: ResourceType, object_: Any, path: Path, field: str = "") -> Any:
    """An object without one of its fields; what becomes empty by that stays, as it does in Kubernetes."""
    first, rest = path[0], path[1:]
    if isinstance(object_, Mapping) and first.startswith("f:"):
        key = first[2:]
        if key not in object_:
            return object_
        if not rest:
            return {name: value for name, value in object_.items() if name != key}
        return {**object_, key: _removed(type_, object_[key], rest, key)}
    if isinstance(object_, list) and first.startswith("v:"):
        return [each for each in object_ if json.dumps(each) != first[2:]]
    if isinstance(object_, list) and first.startswith("k:"):
        keys = _keys(type_, field)
        if rest in ((), (".",)):
            return [each for each in object_ if _item(keys, each) != first]
        return [_removed(type_, each, rest) if _item(keys, each) == first else each for each in object_]
    return object_


# managedFields.


def _managed(object_: Object | None) -> dict[Manager, frozenset[Path]]:
    entries = value_at(object_, ("metadata", "managedFields")) if object_ is not None else None
    found: dict[Manager, frozenset[Path]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("fieldsV1"), Mapping):
            manager = Manager(str(entry.get("manager", "")), str(entry.get("operation", UPDATE)))
            found[manager] = found.get(manager, frozenset()) | frozenset(_paths(entry["fieldsV1"], ()))
    return found


def _paths(tree: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for element, below in tree.items():
        here = (*path, element)
        if isinstance(below, Mapping) and below:
            yield from _paths(below, here)
        else:
            yield here


def _tree(paths: Iterable[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        at = tree
        for element in path:
            at = at.setdefault(element, {})
    return tree


def _with_managed(
    object_: Mapping[str, Any],
    managed: Mapping[Manager, frozenset[Path]],
    type_: ResourceType,
    now: str,
    before: Object | None = None,
) -> dict[str, Any]:
    times = {
        (each.get("manager"), each.get("operation")): (each.get("time"), each.get("fieldsV1"))
        for each in (value_at(before, ("metadata", "managedFields")) or () if before is not None else ())
    }
    entries = []
    for manager, paths in managed.items():
        if paths:
            tree = _tree(paths)
            time, known = times.get((manager.name, manager.operation), (now, None))
            entries.append(
                {
                    "manager": manager.name,
                    "operation": manager.operation,
                    "apiVersion": type_.api_version(type_.versions[0]),
                    "time": time if known == tree else now,
                    "fieldsType": "FieldsV1",
                    "fieldsV1": tree,
                }
            )
    return {**object_, "metadata": {**object_["metadata"], "managedFields": entries}}


def _text(path: Path) -> str:
    """A field as people write it: ``.spec.ports[port=80].name``."""
    text = ""
    for element in path:
        if element.startswith("f:"):
            text += f".{element[2:]}"
        elif element.startswith("k:"):
            text += "[" + ",".join(f"{key}={value}" for key, value in json.loads(element[2:]).items()) + "]"
        elif element.startswith("v:"):
            text += f"[={element[2:]}]"
    return text
