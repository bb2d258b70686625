"""
Deleting an object with those that it owns (Kubernetes, "Garbage Collection": owners, dependents, propagation policies).

The problem: an object that names others in ``ownerReferences`` has to go with them, or stay without them, as the client
wants; and what has finalizers goes when somebody else says so.

The approach: in the background, dependents go after their owner; in the foreground, before it: the owner is marked with
a finalizer meanwhile. Orphans lose the reference first. Where something with a finalizer is left, the marked owner goes
with the write that removes the last dependent.

The invariants: an owner that is marked is deleted by whoever removes its last dependent, and deleting a marked object
again goes on with what a crash has interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from meshgate.api.collection import Collection, WriteOptions, Written
from meshgate.api.objects import key_of
from meshgate.api.refusal import RefusedError
from meshgate.api.resource_types import NAMESPACES, TYPES, ResourceType, type_of_kind
from meshgate.api.store_interface import Object

FOREGROUND: Final = "foregroundDeletion"
"""The finalizer of an object that goes after those that it owns."""

Key = tuple[str, str]
Dependents = Sequence[tuple[ResourceType, Key]]


async def delete(
    collection: Collection, type_: ResourceType, key: Key, preconditions: Any, options: WriteOptions, policy: str
) -> Written:
    """
    Delete an object.

    :param policy: ``Background``, ``Foreground`` or ``Orphan``.
    :return: the object as it was, or as it is marked.
    :raises RefusedError: as :meth:`Collection.delete` does.
    """
    checked = await collection.delete(type_, key, preconditions, replace(options, dry_run=True))
    found = collection.find(type_, key)
    if options.dry_run or found is None:
        return checked
    dependents = _dependents(collection, found)
    if policy == "Orphan":
        for each in dependents:
            await _release(collection, *each, found["metadata"]["uid"], options)
    elif policy == "Foreground" and dependents:
        await _mark(collection, type_, key, FOREGROUND, options)
        await _delete_all(collection, dependents, options)
        finished = await _finish(collection, type_, key, FOREGROUND, options)
        if finished is None:
            return _marked(collection, type_, key)
        await finish_owners(collection, type_, found, options)
        return finished
    deleted = await collection.delete(type_, key, preconditions, options)
    if collection.find(type_, key) is None:
        if policy != "Orphan":
            await _delete_all(collection, dependents, options)
        await finish_owners(collection, type_, found, options)
    return deleted


async def finish_owners(collection: Collection, type_: ResourceType, object_: Object, options: WriteOptions) -> None:
    """Delete the owners that only waited for an object, if that is gone."""
    if collection.find(type_, key_of(object_)) is not None:
        return
    namespace = key_of(object_)[0]
    for reference in object_["metadata"].get("ownerReferences") or ():
        owner_type = _type_of(reference)
        if owner_type is not None:
            key = (namespace if owner_type.namespaced else "", str(reference.get("name")))
            await _finish(collection, owner_type, key, FOREGROUND, options)


def _type_of(reference: Any) -> ResourceType | None:
    if not isinstance(reference, Mapping):
        return None
    group = str(reference.get("apiVersion", "")).rpartition("/")[0]
    return type_of_kind(group, str(reference.get("kind", "")))


def _dependents(collection: Collection, owner: Object) -> Dependents:
    uid, namespace = owner["metadata"]["uid"], key_of(owner)[0]

    def is_owned(object_: Object) -> bool:
        references = object_["metadata"].get("ownerReferences")
        if not references or (namespace and key_of(object_)[0] != namespace):
            return False
        return any(isinstance(each, Mapping) and each.get("uid") == uid for each in references)

    return collection.selected(is_owned)


async def _delete_all(collection: Collection, keys: Dependents, options: WriteOptions) -> None:
    """Delete objects, unless one of their owners is still there."""
    for type_, key in keys:
        found = collection.find(type_, key)
        if found is None or "deletionTimestamp" in found["metadata"]:
            continue
        if collection.is_made(type_, found):
            await _delete_all(collection, _dependents(collection, found), options)
            collection.remove_made(type_, key)
        elif collection.is_stored(type_, key) and not _has_owner(collection, found):
            await delete(collection, type_, key, None, options, "Background")


def _has_owner(collection: Collection, object_: Object) -> bool:
    """True if an owner of an object is there, and is not about to go."""
    for reference in object_["metadata"].get("ownerReferences") or ():
        type_ = _type_of(reference)
        if type_ is not None:
            key = (key_of(object_)[0] if type_.namespaced else "", str(reference.get("name")))
            owner = collection.find(type_, key)
            is_it = owner is not None and owner["metadata"]["uid"] == reference.get("uid")
            if is_it and not _is_marked(owner) and not _is_marked(collection.find(NAMESPACES, ("", key[0]))):
                return True
    return False


def _is_marked(object_: Object | None) -> bool:
    return object_ is not None and "deletionTimestamp" in object_["metadata"]


async def _release(collection: Collection, type_: ResourceType, key: Key, uid: str, options: WriteOptions) -> None:
    """Take the reference to an owner from an object, which is kept from now on if it only followed from that owner."""

    def make(object_: Object) -> dict[str, Any]:
        references = [each for each in object_["metadata"].get("ownerReferences") or () if each.get("uid") != uid]
        return {**object_, "metadata": {**object_["metadata"], "ownerReferences": references}}

    found = collection.find(type_, key)
    if found is not None and collection.is_made(type_, found):
        await collection.keep_made(type_, key, make, options.author)
    elif collection.is_stored(type_, key):
        await collection.update(type_, key, make, options)


async def _mark(collection: Collection, type_: ResourceType, key: Key, finalizer: str, options: WriteOptions) -> None:
    def make(object_: Object) -> dict[str, Any]:
        finalizers = dict.fromkeys((*(object_["metadata"].get("finalizers") or ()), finalizer))
        return {**object_, "metadata": {**object_["metadata"], "finalizers": list(finalizers)}}

    await collection.update(type_, key, make, options)
    await collection.delete(type_, key, None, options)


def _marked(collection: Collection, type_: ResourceType, key: Key) -> Written:
    found = collection.find(type_, key)
    return Written(found or {"metadata": {"name": key[1], "uid": ""}})


async def _finish(
    collection: Collection, type_: ResourceType, key: Key, finalizer: str, options: WriteOptions
) -> Written | None:
    """Take the finalizer from a marked object if nothing is left for which it waits; None if it still waits."""
    found = collection.find(type_, key)
    if found is None or "deletionTimestamp" not in found["metadata"]:
        return None
    left = _dependents(collection, found)
    if left or finalizer not in (found["metadata"].get("finalizers") or ()):
        return None

    def make(object_: Object) -> dict[str, Any]:
        finalizers = [each for each in object_["metadata"]["finalizers"] if each != finalizer]
        return {**object_, "metadata": {**object_["metadata"], "finalizers": finalizers}}

    return await collection.update(type_, key, make, options)


async def delete_namespace(collection: Collection, name: str, preconditions: Any, options: WriteOptions) -> Written:
    """
    Delete a namespace with its objects.

    :return: the namespace as it was, or as it is marked.
    :raises RefusedError: if there is none, it is the gateway's own, or another provider has objects in it.
    """
    key = ("", name)
    for type_ in TYPES:
        for each in collection.list(type_, name) if type_.namespaced else ():
            if collection.origin(type_, key_of(each)):
                raise RefusedError(
                    409,
                    f'the namespace "{name}" cannot be deleted: {collection.origin(type_, key_of(each))} defines '
                    f"{type_.plural} in it; remove them there first",
                    type=NAMESPACES,
                    name=name,
                )
    written = await collection.delete(NAMESPACES, key, preconditions, options)
    if options.dry_run or not collection.has_content(name):
        return written
    for type_ in TYPES:
        for each in collection.list(type_, name) if type_.namespaced else ():
            if collection.is_stored(type_, key_of(each)):
                await collection.delete(type_, key_of(each), None, options)
    return Written(collection.find(NAMESPACES, key) or written.object)
