"""
The resources of other providers as objects of the API.

The problem: each change of any file gives all resources anew, ten thousand of them, and the API must not look at each.

The approach: resources are compared by ``id``, as the compiler does: one that is the same object has not changed. Only
the others are made objects, or removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from meshgate.api.collection import Collection, Key
from meshgate.api.object_validation import PROVIDER
from meshgate.api.objects import key_of
from meshgate.api.resource_types import ResourceType, type_of_kind
from meshgate.api.store_interface import Object
from meshgate.resources.resource import Resource


class ForeignResources:
    """The resources of other providers that the collection shows."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        # By id(), which stays theirs as long as they are kept here.
        self._shown: dict[int, Resource[Any]] = {}
        self._keys: dict[int, tuple[ResourceType, Key]] = {}

    def show(self, resources: Iterable[Resource[Any]]) -> bool:
        """
        Show these resources, and no others.

        :return: True if anything has changed.
        """
        now = {id(each): each for each in resources if each.origin.provider != PROVIDER and each.document}
        removed = [self._keys.pop(each) for each in self._shown if each not in now and each in self._keys]
        added = list(self._added(now))
        self._shown = now
        replaced = {(type_, key_of(object_)) for _, type_, object_, _ in added}
        for type_, key in removed:
            if (type_, key) not in replaced:
                self._collection.remove_foreign(type_, key)
        for number, type_, object_, origin in added:
            self._keys[number] = (type_, key_of(object_))
            self._collection.put_foreign(type_, object_, origin)
        return bool(removed or added)

    def _added(self, now: dict[int, Resource[Any]]) -> Iterator[tuple[int, ResourceType, Object, str]]:
        """The new resources as objects, with their numbers and origins."""
        for number, resource in now.items():
            if number not in self._shown and (found := object_of(resource)) is not None:
                yield number, *found, resource.location()


def object_of(resource: Resource[Any]) -> tuple[ResourceType, Object] | None:
    """A resource as an object in the preferred version of its type; None if the API does not have its kind."""
    document = json.loads(resource.document)
    type_ = type_of_kind(document["apiVersion"].rpartition("/")[0], resource.kind)
    if type_ is None:
        return None
    metadata = {**document["metadata"], "namespace": resource.namespace}
    head = {"apiVersion": type_.api_version(type_.versions[0]), "kind": type_.kind, "metadata": metadata}
    return type_, {**head, **{key: value for key, value in document.items() if key not in (*head, "status")}}
