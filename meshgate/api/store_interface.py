"""
The contract between the API and the store of its objects.

A store keeps objects and the history of their changes. The API reads everything once, at the start, and keeps it in
memory; from then on it only writes. A write is acknowledged when it would survive a loss of power.
"""

# ruff: noqa: N805 - the methods of a zope interface are written without self

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

Object = Mapping[str, Any]
"""An object in the form of its JSON document. It is never changed in place."""


def value_at(object_: Any, path: Iterable[str]) -> Any:
    """The value below some keys of an object; None where one of them is missing."""
    for key in path:
        if not isinstance(object_, Mapping):
            return None
        object_ = object_.get(key)
    return object_


class StoreError(Exception):
    """The store cannot be used, or has refused a write. The message is a sentence for people."""


class StoreFullError(StoreError):
    """The store has no space for a write. It takes writes again once there is space."""


@dataclass(frozen=True, slots=True)
class Author:
    """
    The maker of a change.

    :ivar user: the name of the user.
    :ivar agent: the name of the program, such as ``kubectl/v1.37.1``.
    """

    user: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """
    One change of one object.

    :ivar revision: its number; a later change has a higher one.
    :ivar time: seconds since the epoch.
    :ivar type_name: the type of the object, as ``virtualservices.networking.istio.io``.
    :ivar before: the object before the change; None if it is created.
    :ivar after: the object after the change; None if it is deleted.
    """

    revision: int
    time: float
    type_name: str
    namespace: str
    name: str
    before: Object | None
    after: Object | None
    author: Author


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a store, with the name of its type."""

    type_name: str
    object: Object


@dataclass(frozen=True, slots=True)
class StoreContent:
    """
    The content of a store at the start.

    :ivar revision: the number of the last change; 0 for a new store.
    """

    revision: int
    objects: tuple[StoredObject, ...]


class IObjectStore(Interface):
    """A store of objects. Its methods are called from the reactor's thread."""

    def open() -> StoreContent:
        """
        Open the store, which is made if there is none, and read it. Nothing else may be called before; this may block.

        :raises StoreError: if it cannot be opened or read.
        """

    def write(changes: Sequence[Change]) -> Deferred[None]:
        """
        Write some changes, all of them or none. Changes take effect in the order of the calls.

        :return: fires when they are durable, or with a :class:`StoreError`; then none of them is written. It is a
            :class:`StoreFullError` if there is no space for them.
        """

    def history(limit: int) -> Deferred[Sequence[Change]]:
        """Read the last changes, the latest first. A store may forget all but the last thousand."""

    def close() -> Deferred[None]:
        """Finish all writes, and close the store."""
