"""
A soak of the API's watches: ten clients that list and watch over HTTP, while objects change thousands of times.

Some clients read on, some lose their connection now and then, some are away until the changes that they need are
forgotten, and one stops reading. Each must get every change once and in order, except for those that it is told to have
missed; and have in the end what a list has. Run it as ``python -m benchmarks.watch_soak``; it exits with 1 and names
each fault.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater, react
from twisted.protocols.basic import LineReceiver
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from meshgate.api import watch_window
from meshgate.api.access import Access
from meshgate.api.answering import Answering
from meshgate.api.api_client import address
from meshgate.api.collection import Collection, WriteOptions
from meshgate.api.objects import key_of
from meshgate.api.resource_types import ResourceType, type_of_kind
from meshgate.api.sqlite_store import SqliteStore
from meshgate.api.web import ApiSite
from meshgate.resources.kinds.supported_kinds import ISTIO_GROUP

TOKEN: Final = "soak"  # noqa: S105 -- of this program alone
NAMES: Final = 30
"""The number of objects."""

PADDING: Final = 4_000
"""The length of a text in each object, so that the events of a client that does not read fill all buffers."""

AT_ONCE: Final = 8
"""The number of writes that go on at once."""

STEADY, RECONNECTING, AWAY, NOT_READING = "steady", "reconnecting", "away", "not reading"
KINDS: Final = (*[STEADY] * 4, *[RECONNECTING] * 3, *[AWAY] * 2, NOT_READING)
"""The ten clients."""


class SoakError(Exception):
    """A client has got something that cannot be."""


@dataclass(slots=True)
class Following:
    """
    The revisions of the events that a client has got since a list.

    :ivar since: the revision of the list.
    """

    since: int
    revisions: list[int] = field(default_factory=list)


class Lines(LineReceiver):
    """The events of a watch, a line each."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 24

    def __init__(self, client: Client) -> None:
        self._client = client
        self.ended: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        """Take an event."""
        self._client.take(json.loads(line))

    def connectionLost(self, reason: Any = None) -> None:
        """Take the end of the watch, whatever has ended it."""
        if not self.ended.called:
            self.ended.callback(None)


class Body(Protocol):
    """The whole body of an answer."""

    def __init__(self) -> None:
        self._received: list[bytes] = []
        self.done: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """Keep some bytes."""
        self._received.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        """Take the end."""
        self.done.callback(b"".join(self._received))


async def whole(response: Any) -> bytes:
    """The body of an answer."""
    body = Body()
    response.deliverBody(body)
    return await body.done


class Client:
    """
    A client that lists, watches, and lists again when it is told that it has missed changes.

    :param kind: one of :data:`KINDS`.
    :ivar mirror: the objects as it knows them.
    :ivar followings: what it has got, after each of its lists.
    :ivar expired: how often it was told that it has missed changes, by HTTP status or event.
    """

    def __init__(self, reactor: Any, port: int, type_: ResourceType, kind: str) -> None:
        self.kind = kind
        self.mirror: dict[tuple[str, str], Any] = {}
        self.followings: list[Following] = []
        self.expired = {"answer": 0, "event": 0}
        self.revision = 0
        self.away = False
        self._lines: Lines | None = None
        self._listed = False
        self._stopped = False
        self._reactor = reactor
        self._agent: Any = Agent(reactor)  # type: ignore[no-untyped-call]
        self._url = f"http://127.0.0.1:{port}{address(type_)}"

    async def run(self) -> None:
        """List and watch until it is stopped."""
        while not self._stopped:
            if self.away:
                await deferLater(self._reactor, 0.01)
                continue
            if not self._listed:
                await self._list()
            response = await self._get(watch="1", resourceVersion=str(self.revision), allowWatchBookmarks="true")
            if response.code == 410:
                self.expired["answer"] += 1
                self._listed = False
                await whole(response)
                continue
            if response.code != 200:
                raise SoakError(f"a watch is answered with {response.code}")
            self._lines = Lines(self)
            response.deliverBody(self._lines)
            if self._stopped:
                self.disconnect()
            await self._lines.ended
            self._lines = None

    @property
    def watches(self) -> bool:
        """True if it has a watch."""
        return self._lines is not None

    def stop(self) -> None:
        """Stop for good."""
        self._stopped = True
        self.disconnect()

    def disconnect(self) -> None:
        """Lose the connection."""
        if self._lines is not None and self._lines.transport is not None:
            self._lines.transport.loseConnection()

    def stop_reading(self) -> None:
        """Read no more until :meth:`read_on`."""
        if self._lines is not None:
            self._lines.pauseProducing()  # type: ignore[no-untyped-call]

    def read_on(self) -> None:
        """Read again."""
        if self._lines is not None:
            self._lines.resumeProducing()  # type: ignore[no-untyped-call]

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event."""
        form, object_ = event["type"], event["object"]
        if form == "ERROR":
            if object_["code"] != 410:
                raise SoakError(f"an error that is not 410: {object_}")
            self.expired["event"] += 1
            self._listed = False
            return
        self.revision = int(object_["metadata"]["resourceVersion"])
        if form == "BOOKMARK":
            return
        self.followings[-1].revisions.append(self.revision)
        key = key_of(object_)
        if (key in self.mirror) is (form == "ADDED"):
            raise SoakError(
                f"{form} of {key} at {self.revision}, which {'is' if key in self.mirror else 'is not'} there"
            )
        if form == "DELETED":
            del self.mirror[key]
        else:
            self.mirror[key] = object_

    async def _list(self) -> None:
        response = await self._get()
        found = json.loads(await whole(response))
        if response.code != 200:
            raise SoakError(f"a list is answered with {found}")
        self.revision = int(found["metadata"]["resourceVersion"])
        self.mirror = {key_of(each): each for each in found["items"]}
        self.followings.append(Following(self.revision))
        self._listed = True

    async def _get(self, **query: str) -> Any:
        headers = Headers({"Authorization": [f"Bearer {TOKEN}"]})
        return await self._agent.request(b"GET", f"{self._url}?{urlencode(query)}".encode(), headers)


class WatchSoak:
    """
    A server with a store in a folder, and its clients.

    :param randomness: for the changes, and for the moments at which clients lose their connections.
    :ivar revisions: those of all changes.
    """

    def __init__(self, reactor: Any, folder: Path, randomness: random.Random) -> None:
        type_ = type_of_kind(ISTIO_GROUP, "Gateway")
        if type_ is None:
            raise SoakError("there is no type of Gateways")
        self.revisions: list[int] = []
        self.type = type_
        self._reactor = reactor
        self._randomness = randomness
        self._store = SqliteStore(folder / "api.sqlite", reactor)
        self.collection = Collection(self._store, lambda type_: None, time.time, randomness)

    async def run(self, changes: int) -> list[Client]:
        """
        Make changes while clients watch.

        :param changes: their number, at least.
        :return: the clients, which have got everything.
        :raises SoakError: if a client gets something that cannot be.
        """
        self.collection.open(["default"])
        answering = Answering(self.collection, lambda: True, _no_warnings, lambda *_: None, time.time, self._randomness)
        site = ApiSite(answering, Access([("soak", TOKEN, True)], ["127.0.0.1"]), self._reactor)
        port = self._reactor.listenTCP(0, site, interface="127.0.0.1")
        port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        clients = [Client(self._reactor, port.getHost().port, self.type, kind) for kind in KINDS]
        running = [Deferred.fromCoroutine(client.run()) for client in clients]
        try:
            while len(self.revisions) < changes:
                await self._disturb(clients, running)
            for client in clients:
                client.away = False
                client.read_on()
            while any(client.revision < self.revisions[-1] for client in clients):
                await self._pause(running)
        finally:
            for client in clients:
                client.stop()
            for each in running:
                await each
            site.end_watches()
            await port.stopListening()
            await self._store.close()
        return clients

    async def _disturb(self, clients: list[Client], running: list[Deferred[None]]) -> None:
        """Make more changes than the window has, while some clients do not follow."""
        while not all(client.watches for client in clients):
            await self._pause(running)
        for client in clients:
            if client.kind == AWAY:
                client.away = True
                client.disconnect()
            elif client.kind == NOT_READING:
                client.stop_reading()
        end = len(self.revisions) + watch_window.WINDOW + watch_window.WINDOW // 4
        while len(self.revisions) < end:
            await self._change(AT_ONCE)
            for client in clients:
                if client.kind == RECONNECTING and self._randomness.random() < 0.01:
                    client.disconnect()
            # These clients are not to be told that they have missed changes, so the changes wait for them.
            followers = [each for each in clients if each.kind in (STEADY, RECONNECTING)]
            while self.revisions[-1] - min(each.revision for each in followers) > watch_window.WINDOW // 2:
                await self._pause(running)
        for client in clients:
            client.away = False
            client.read_on()
        while any(client.revision < self.revisions[-1] for client in clients):
            await self._pause(running)

    async def _pause(self, running: list[Deferred[None]]) -> None:
        for each in running:
            if each.called:
                await each
                raise SoakError("a client has ended")
        await deferLater(self._reactor, 0.001)

    async def _change(self, number: int) -> None:
        """Make some changes at once: each to an object of its own."""
        names = self._randomness.sample(range(NAMES), number)
        changes = [Deferred.fromCoroutine(self._change_one(f"g{each}")) for each in names]
        for each in changes:
            await each

    async def _change_one(self, name: str) -> None:
        collection, type_, key = self.collection, self.type, ("default", name)
        action = self._randomness.choice(("write", "write", "write", "status", "delete"))
        body = gateway_object(name, self._randomness.randrange(1, 60_000))
        before = collection.find(type_, key)
        if before is None:
            written = await collection.create(type_, body, WriteOptions())
        elif action == "delete":
            written = await collection.delete(type_, key, None, WriteOptions())
        elif action == "status":
            collection.set_status(type_, key, lambda before: {"number": self._randomness.random()})
            self.revisions.append(int(collection.get(type_, *key)["metadata"]["resourceVersion"]))
            return
        else:
            written = await collection.update(type_, key, lambda before: body, WriteOptions())
        revision = written.object["metadata"]["resourceVersion"]
        if before is None or revision != before["metadata"]["resourceVersion"]:
            self.revisions.append(int(revision))


def gateway_object(name: str, port: int) -> dict[str, Any]:
    """A Gateway."""
    server = {"port": {"number": port, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}
    head = {"apiVersion": f"{ISTIO_GROUP}/v1", "kind": "Gateway"}
    metadata = {"name": name, "namespace": "default", "annotations": {"padding": "x" * PADDING}}
    return {**head, "metadata": metadata, "spec": {"servers": [server]}}


async def _no_warnings(type_: ResourceType, key: tuple[str, str]) -> tuple[str, ...]:
    return ()


def faults(soak: WatchSoak, clients: list[Client]) -> Iterator[str]:
    """Compare what clients have got with what has happened; yields a sentence for each fault."""
    happened = sorted(soak.revisions)
    objects = {key_of(each): each for each in soak.collection.list(soak.type)}
    for number, client in enumerate(clients):
        who = f"client {number} ({client.kind})"
        if client.mirror != objects:
            yield f"{who} has other objects in the end than a list"
        for following in client.followings:
            wanted = [each for each in happened if each > following.since][: len(following.revisions)]
            if following.revisions != wanted:
                yield f"{who} has not got each change after its list of {following.since} once and in order"
        if client.kind in (STEADY, RECONNECTING) and len(client.followings) > 1:
            yield f"{who} has listed again"
        if client.kind == AWAY and client.expired["answer"] < 2:
            yield f"{who} was not told twice by an answer that it has missed changes"
        if client.kind == NOT_READING and client.expired["event"] < 2:
            yield f"{who} was not told twice by an event that it has missed changes"


def soaked(reactor: Any, folder: Path, changes: int, seed: int) -> Deferred[list[str]]:
    """Run the soak; fires with a sentence for each fault."""

    async def run() -> list[str]:
        soak = WatchSoak(reactor, folder, random.Random(seed))  # noqa: S311 -- moments, no secret
        clients = await soak.run(changes)
        told = sum(sum(client.expired.values()) for client in clients)
        got = sum(len(following.revisions) for client in clients for following in client.followings)
        print(f"{len(soak.revisions)} changes, {len(clients)} clients, {got} events, {told} times 410")
        return list(faults(soak, clients))

    return Deferred.fromCoroutine(run())


def main() -> None:
    """Run it as the options say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=25_000, help="how many at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the changes and the lost connections")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)

    async def run(reactor: Any) -> None:
        with tempfile.TemporaryDirectory(prefix="meshgate-soak-") as folder:
            found = await soaked(reactor, Path(folder), options.changes, options.seed)
        for fault in found:
            print(f"MISSED: {fault}")
        if found:
            raise SystemExit(1)

    react(lambda reactor: Deferred.fromCoroutine(run(reactor)))


if __name__ == "__main__":
    main()
