"""Objects, a store and a collection for the tests of the API."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from meshgate.api.collection import Collection
from meshgate.api.resource_types import ResourceType, type_of_kind
from meshgate.api.store_interface import Change, IObjectStore, StoreContent, StoreError

ISTIO = "networking.istio.io"


def type_named(kind: str) -> ResourceType:
    """The type of a kind of Istio's, or of the core group."""
    found = type_of_kind(ISTIO, kind) or type_of_kind("", kind)
    if found is None:
        raise AssertionError(f"no type has the kind {kind}")
    return found


def gateway(name: str = "a", port: int = 31400, namespace: str = "default", **metadata: Any) -> dict[str, Any]:
    """A Gateway with one TCP server."""
    server = {"port": {"number": port, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}
    return {
        "apiVersion": f"{ISTIO}/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
    }


@implementer(IObjectStore)
class MemoryStore:
    """
    A store in memory.

    :ivar refuses: the reason for which it refuses every write; empty if it takes them.
    :ivar holds: True to keep writes waiting in :attr:`waiting`.
    """

    def __init__(self, content: StoreContent | None = None) -> None:
        self.content = content or StoreContent(0, ())
        self.changes: list[Change] = []
        self.refuses = ""
        self.holds = False
        self.waiting: list[Deferred[None]] = []

    def open(self) -> StoreContent:
        """Give the content of the start."""
        return self.content

    def write(self, changes: Sequence[Change]) -> Deferred[None]:
        """Keep the changes, at once unless it holds them."""
        if self.refuses:
            return fail(StoreError(self.refuses))
        self.changes += changes
        if self.holds:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return succeed(None)

    def history(self, limit: int) -> Deferred[Sequence[Change]]:
        """The last changes."""
        return succeed(self.changes[::-1][:limit])

    def close(self) -> Deferred[None]:
        """Do nothing."""
        return succeed(None)


def collection_of(
    store: MemoryStore, on_change: Callable[[ResourceType], None] = lambda type_: None, now: float = 1_800_000_000.0
) -> Collection:
    """An open collection with the namespaces ``default`` and ``istioinaction``."""
    collection = Collection(store, on_change, lambda: now, random.Random(1))
    collection.open(["default", "istioinaction"])
    return collection


def metadata_of(object_: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of an object."""
    return dict(object_["metadata"])


async def no_warnings(type_: ResourceType, key: tuple[str, str]) -> tuple[str, ...]:
    """An analysis without a finding."""
    return ()


def no_log(namespace: str, name: str) -> str:
    """The log of a Pod that has written nothing."""
    return ""
