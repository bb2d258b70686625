"""
The resources of other providers as objects of the API.

The problem: each change of any file gives all resources anew, ten thousand of them, and the API must not look at each.
And a result of compiling has to say which state of an object it is of.

The approach: a resource that is the same object as before has not changed. Only the others are made objects of the API,
or removed; and each resource gets the identity and the generation of its object.

The invariants: of several definitions of one resource, the one that counts is shown, and it alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection as Sized
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from meshgate.api.collection import Collection
from meshgate.api.objects import key_of, timestamp
from meshgate.api.resource_types import ResourceType, type_of_kind
from meshgate.api.store_interface import Object
from meshgate.resources.latest import later
from meshgate.resources.resource import Resource, ResourceKey

ORIGIN: Final = "meshgate/origin"
"""The annotation of an object that another provider defines: where it does, as ``routes/echo.yaml:3:1``."""

_OF_ANOTHER_CLUSTER: Final = (
    "uid",
    "resourceVersion",
    "generation",
    "managedFields",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "ownerReferences",
)
"""The fields of the metadata that a cluster has written, where a file was made by ``kubectl get -o yaml``."""


class ForeignResources:
    """The resources of other providers that the collection shows."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        # Each that is shown, as it was given, and as it was given back.
        self._shown: dict[ResourceKey, tuple[Resource[Any], Resource[Any]]] = {}
        self.changed = False

    def show(self, resources: Sized[Resource[Any]]) -> tuple[Resource[Any], ...]:
        """
        Show these resources, and no others; :attr:`changed` says if that makes a difference.

        :return: the same resources, those that are shown with the identity and the generation of their objects.
        """
        before, now = self._shown, _that_count(resources)
        self.changed = False
        shown: dict[ResourceKey, tuple[Resource[Any], Resource[Any]]] = {}
        for key, resource in now.items():
            known = before.get(key)
            if known is None or known[0] is not resource:
                known = (resource, self._put(resource))
            shown[key] = known
        for key in before.keys() - shown.keys():
            self._remove(before[key][0])
        self._shown = shown
        if not shown:
            return tuple(resources)
        result = []
        for each in resources:
            known = shown.get(each.key)
            result.append(known[1] if known is not None and known[0] is each else each)
        return tuple(result)

    def _put(self, resource: Resource[Any]) -> Resource[Any]:
        """Show a resource that is new, or another one than before."""
        found = object_of(resource)
        if found is None:
            return resource
        self.changed = True
        metadata = self._collection.put_foreign(*found, resource.location())["metadata"]
        origin = replace(resource.origin, uid=metadata["uid"], generation=metadata["generation"])
        return replace(resource, origin=origin)

    def _remove(self, resource: Resource[Any]) -> None:
        if (found := object_of(resource)) is not None:
            self.changed = True
            self._collection.remove_foreign(found[0], key_of(found[1]))


def _that_count(resources: Sized[Resource[Any]]) -> dict[ResourceKey, Resource[Any]]:
    """The resources of other providers that the API can show, each kind, namespace and name once."""
    found: dict[ResourceKey, Resource[Any]] = {}
    for each in resources:
        if each.document and not each.origin.is_applied:
            other = found.get(each.key)
            found[each.key] = each if other is None else later(other, each)
    return found


def object_of(resource: Resource[Any]) -> tuple[ResourceType, Object] | None:
    """A resource as an object in the preferred version of its type; None if the API does not have its kind."""
    document = json.loads(resource.document)
    type_ = type_of_kind(document["apiVersion"].rpartition("/")[0], resource.kind)
    if type_ is None:
        return None
    metadata = {key: value for key, value in document["metadata"].items() if key not in _OF_ANOTHER_CLUSTER}
    metadata["namespace"] = resource.namespace
    metadata["annotations"] = {**(metadata.get("annotations") or {}), ORIGIN: resource.location()}
    if resource.known_since is not None:
        metadata["creationTimestamp"] = timestamp(datetime.fromtimestamp(resource.known_since, UTC))
    head = {"apiVersion": type_.api_version(type_.versions[0]), "kind": type_.kind, "metadata": metadata}
    return type_, {**head, **{key: value for key, value in document.items() if key not in (*head, "status")}}
