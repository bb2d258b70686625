"""Objects, a store and a collection for the tests of the API."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from meshgate.api.collection import Collection
from meshgate.api.objects import key_of
from meshgate.api.resource_types import ResourceType, type_of_kind
from meshgate.api.selectors import everything
from meshgate.api.store_interface import Change, IObjectStore, Object, StoreContent, StoreError
from meshgate.api.watch_window import ADDED, DELETED, Watcher, WatchEvent

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


def watch(collection: Collection, type_: ResourceType, see: Callable[[WatchEvent], None]) -> Watcher:
    """Have a function called with each later event of a type."""
    window = collection.window(type_)
    watcher = Watcher(window, window.end, "", everything)

    def wake() -> None:
        while (event := watcher.next_event()) is not None:
            see(event)

    watcher.wake = wake
    watcher.follow()
    return watcher


def replayed(objects: Iterable[Object], events: Iterable[WatchEvent]) -> list[Object]:
    """
    The objects of a client that lists and then watches, by namespace and name.

    :raises AssertionError: if an event does not fit the objects before it, or its revision does not rise.
    """
    mirror = {key_of(each): each for each in objects}
    last = 0
    for event in events:
        key, revision = key_of(event.object), int(event.object["metadata"]["resourceVersion"])
        assert revision > last, (revision, last)
        assert (key in mirror) is (event.type != ADDED), event
        last = revision
        if event.type == DELETED:
            del mirror[key]
        else:
            mirror[key] = event.object
    return [mirror[key] for key in sorted(mirror)]


def metadata_of(object_: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of an object."""
    return dict(object_["metadata"])


async def no_warnings(type_: ResourceType, key: tuple[str, str]) -> tuple[str, ...]:
    """An analysis without a finding."""
    return ()


def no_log(namespace: str, name: str) -> None:
    """The log of a Pod that has written nothing."""
