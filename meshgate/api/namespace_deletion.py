"""
The deletion of a namespace: its objects go first, and then it goes itself.

A namespace with objects is marked as deleted, takes no new ones from then on, and goes with the last of them: at once,
or when somebody takes the finalizers of that one away.
"""

from __future__ import annotations

from typing import Any

from meshgate.api.collection import Collection, WriteOptions, Written
from meshgate.api.objects import key_of
from meshgate.api.refusal import RefusedError
from meshgate.api.resource_types import NAMESPACES, TYPES


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
