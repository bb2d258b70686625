"""Tests of :mod:`meshgate.api.collection`."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.collection import RESTART_STEP, Collection, WriteOptions
from meshgate.api.refusal import RefusedError
from meshgate.api.resource_types import NAMESPACES, TYPES, ResourceType
from meshgate.api.selectors import everything
from meshgate.api.store_interface import Object, StoreContent, StoredObject
from meshgate.api.watch_window import Watcher, WatchEvent
from tests.api.api_objects import MemoryStore, collection_of, gateway, replayed, type_named, watch

GATEWAY = type_named("Gateway")
OPTIONS = WriteOptions()


class CollectionTests(SynchronousTestCase):
    """Reading and writing objects."""

    def setUp(self) -> None:
        """A collection with an empty store."""
        self.store = MemoryStore()
        self.changes = 0
        self.collection = collection_of(self.store, self.changed)

    def changed(self, type_: ResourceType) -> None:
        """Count the changes that the gateway is told of."""
        self.changes += 1

    def create(self, object_: Any, options: WriteOptions = OPTIONS) -> Any:
        """Create a Gateway, and return what was written."""
        return self.successResultOf(Deferred.fromCoroutine(self.collection.create(GATEWAY, object_, options)))

    def update(self, object_: Any, options: WriteOptions = OPTIONS) -> Any:
        """Replace a Gateway, and return what was written."""
        key = (object_["metadata"]["namespace"], object_["metadata"]["name"])
        return self.successResultOf(
            Deferred.fromCoroutine(self.collection.update(GATEWAY, key, lambda before: object_, options))
        )

    def delete(self, name: str, preconditions: Any = None) -> Any:
        """Delete a Gateway."""
        done = self.collection.delete(GATEWAY, ("default", name), preconditions, OPTIONS)
        return self.successResultOf(Deferred.fromCoroutine(done))

    def refused(self, coroutine: Any) -> RefusedError:
        """The refusal of a write."""
        refusal: RefusedError = self.failureResultOf(Deferred.fromCoroutine(coroutine), RefusedError).value
        return refusal

    def test_frozen(self) -> None:
        """While it is frozen, a write is refused so that clients try again, and reads are answered."""
        self.create(gateway("one"))
        self.collection.frozen = "upgraded just now"
        refusal = self.refused(self.collection.create(GATEWAY, gateway("two"), OPTIONS))
        self.assertEqual((refusal.code, refusal.message), (503, "upgraded just now"))
        self.assertEqual(refusal.headers, {"retry-after": "1"})
        self.assertEqual(self.collection.get(GATEWAY, "default", "one")["metadata"]["name"], "one")
        self.collection.frozen = ""
        self.create(gateway("two"))

    def test_created(self) -> None:
        """A new object gets its identity, age, generation and revision, and is stored, shown and told of."""
        metadata = self.create(gateway()).object["metadata"]
        self.assertEqual(metadata["creationTimestamp"], "2027-01-15T08:00:00Z")
        self.assertEqual(metadata["generation"], 1)
        self.assertRegex(metadata["uid"], r"^[0-9a-f-]{36}$")
        self.assertEqual(metadata["resourceVersion"], str(RESTART_STEP + 1))
        self.assertEqual(self.collection.get(GATEWAY, "default", "a")["metadata"], metadata)
        self.assertEqual((len(self.store.changes), self.changes), (1, 1))

    def test_twice(self) -> None:
        """A second object of the same name is refused, and so is one in a namespace that does not exist."""
        self.create(gateway())
        self.assertEqual(self.refused(self.collection.create(GATEWAY, gateway(), OPTIONS)).reason, "AlreadyExists")
        lost = gateway(namespace="nowhere")
        self.assertEqual(self.refused(self.collection.create(GATEWAY, lost, OPTIONS)).code, 404)

    def test_an_invalid_one(self) -> None:
        """An object with faults is refused with every one of them, and changes nothing."""
        refusal = self.refused(self.collection.create(GATEWAY, gateway(port=0), OPTIONS))
        self.assertEqual(refusal.code, 422)
        self.assertEqual([cause.field for cause in refusal.causes], ["spec.servers[0].port.number"])
        self.assertEqual((self.store.changes, self.changes), ([], 0))

    def test_unknown_fields(self) -> None:
        """An unknown field is refused, warned of or ignored, as the client asks."""
        odd = gateway()
        odd["spec"]["colour"] = "red"
        strict = WriteOptions(unknown_fields="Strict")
        self.assertIn('unknown field "spec.colour"', self.refused(self.collection.create(GATEWAY, odd, strict)).message)
        self.assertEqual(self.create(odd).warnings, ('unknown field "spec.colour"',))
        again = gateway("b")
        again["spec"]["colour"] = "red"
        self.assertEqual(self.create(again, WriteOptions(unknown_fields="Ignore")).warnings, ())

    def test_dry_run(self) -> None:
        """A dry run answers as the write would, and writes nothing."""
        written = self.create(gateway(), WriteOptions(dry_run=True))
        self.assertEqual(written.object["metadata"]["name"], "a")
        self.assertEqual((self.store.changes, self.collection.list(GATEWAY)), ([], []))

    def test_updates(self) -> None:
        """The generation counts changes of the content alone; without any change, nothing is written."""
        self.create(gateway())
        self.assertEqual(self.update(gateway(port=9)).object["metadata"]["generation"], 2)
        labelled = self.update(gateway(port=9, labels={"a": "b"})).object["metadata"]
        self.assertEqual(labelled["generation"], 2)
        written = len(self.store.changes)
        self.assertEqual(self.update(gateway(port=9, labels={"a": "b"})).object["metadata"], labelled)
        self.assertEqual(len(self.store.changes), written)

    def test_optimistic_locking(self) -> None:
        """A write made from an old state is refused; one without a revision, or with the last one, is not."""
        old = self.create(gateway()).object["metadata"]["resourceVersion"]
        new = self.update(gateway(port=9)).object["metadata"]["resourceVersion"]
        stale = self.collection.update(
            GATEWAY, ("default", "a"), lambda before: gateway(port=8, resourceVersion=old), OPTIONS
        )
        self.assertEqual(self.refused(stale).code, 409)
        self.update(gateway(port=8, resourceVersion=new))

    def test_deleted(self) -> None:
        """A deleted object is gone; a precondition that does not hold keeps it."""
        uid = self.create(gateway()).object["metadata"]["uid"]
        other = self.collection.delete(GATEWAY, ("default", "a"), {"uid": "x"}, OPTIONS)
        self.assertEqual(self.refused(other).code, 409)
        self.delete("a", {"uid": uid})
        self.assertEqual(self.collection.list(GATEWAY), [])
        self.assertEqual(self.refused(self.collection.delete(GATEWAY, ("default", "a"), None, OPTIONS)).code, 404)

    def test_finalizers(self) -> None:
        """An object with finalizers is marked, and goes with the last of them."""
        self.create(gateway(finalizers=["a.example.com/x"]))
        marked = self.delete("a").object["metadata"]
        self.assertIn("deletionTimestamp", marked)
        self.assertEqual(len(self.collection.list(GATEWAY)), 1)
        self.update(gateway())
        self.assertEqual(self.collection.list(GATEWAY), [])

    def test_a_store_that_refuses(self) -> None:
        """A write that the store refuses is answered by its sentence; nobody sees it, and later writes work."""
        self.store.refuses = "the disk is full"
        refusal = self.refused(self.collection.create(GATEWAY, gateway(), OPTIONS))
        self.assertEqual((refusal.code, refusal.message), (503, "the disk is full"))
        self.assertEqual((self.collection.list(GATEWAY), self.changes), ([], 0))
        self.store.refuses = ""
        self.create(gateway())

    def test_writes_to_one_object_wait(self) -> None:
        """Nobody sees a write before it is durable, and the next one to the same object starts from it."""
        self.store.holds = True
        first = Deferred.fromCoroutine(self.collection.create(GATEWAY, gateway(), OPTIONS))
        second = Deferred.fromCoroutine(self.collection.create(GATEWAY, gateway(), OPTIONS))
        self.assertEqual(self.collection.list(GATEWAY), [])
        self.store.waiting[0].callback(None)
        self.successResultOf(first)
        self.assertEqual(self.failureResultOf(second, RefusedError).value.reason, "AlreadyExists")

    def test_generated_names(self) -> None:
        """A name is made from generateName; without either, the object is refused."""
        body = gateway()
        del body["metadata"]["name"]
        self.assertEqual(self.refused(self.collection.create(GATEWAY, body, OPTIONS)).code, 422)
        body["metadata"]["generateName"] = "gw-"
        self.assertRegex(self.create(body).object["metadata"]["name"], r"^gw-[a-z]{5}$")

    def test_endpoint_ports(self) -> None:
        """The port of an EndpointSlice has a name, be it empty, and a protocol: kubectl describe ends without them."""
        body = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "a", "namespace": "default"},
            "addressType": "IPv4",
            "endpoints": [],
            "ports": [{"port": 80}],
        }
        slices = next(each for each in TYPES if each.kind == "EndpointSlice")
        written = self.successResultOf(Deferred.fromCoroutine(self.collection.create(slices, body, OPTIONS)))
        self.assertEqual(written.object["ports"], [{"name": "", "protocol": "TCP", "port": 80}])

    def test_a_status_is_no_conflict(self) -> None:
        """A client may write what it made from a state of which nothing but the status has changed, and no other."""
        first = self.create(gateway()).object
        for number in (1, 2):
            self.collection.set_status(GATEWAY, ("default", "a"), partial(_with_number, number))
        body = {**first, "spec": gateway(port=2)["spec"]}
        update = partial(self.collection.update, GATEWAY, ("default", "a"), lambda before: body)
        written = self.successResultOf(Deferred.fromCoroutine(update(OPTIONS))).object
        self.assertNotEqual(written["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"])
        self.assertEqual(self.refused(update(OPTIONS)).code, 409)
        self.collection.set_status(GATEWAY, ("default", "a"), partial(_with_number, 3))
        self.assertEqual(self.refused(update(OPTIONS)).code, 409)

    def test_namespaces(self) -> None:
        """A namespace can be created and used; with something in it, it only ends; the given ones cannot be deleted."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}}
        create = self.collection.create(NAMESPACES, body, OPTIONS)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(create)).object["status"], {"phase": "Active"})
        self.create(gateway(namespace="new"))
        ending = self.collection.delete(NAMESPACES, ("", "new"), None, OPTIONS)
        ended = self.successResultOf(Deferred.fromCoroutine(ending)).object
        self.assertEqual(ended["status"], {"phase": "Terminating"})
        self.assertEqual(
            self.refused(self.collection.create(GATEWAY, gateway("b", namespace="new"), OPTIONS)).code, 403
        )
        last = self.collection.delete(GATEWAY, ("new", "a"), None, OPTIONS)
        self.successResultOf(Deferred.fromCoroutine(last))
        self.assertIsNone(self.collection.find(NAMESPACES, ("", "new")))
        given = self.collection.delete(NAMESPACES, ("", "default"), None, OPTIONS)
        self.assertEqual(self.refused(given).code, 403)

    def test_a_restart(self) -> None:
        """After a start, objects are as the store has them, and revisions go on above all that were given before."""
        stored = gateway(uid="u", creationTimestamp="2020-01-01T00:00:00Z", generation=1, resourceVersion="7")
        content = StoreContent(7, (StoredObject(GATEWAY.qualified_name, stored),))
        collection = collection_of(MemoryStore(content))
        self.assertEqual(collection.get(GATEWAY, "default", "a"), stored)
        self.assertGreaterEqual(collection.revision, 7 + RESTART_STEP)


class ForeignObjectTests(SynchronousTestCase):
    """Objects of other providers."""

    def setUp(self) -> None:
        """A collection with the Gateway ``a`` of a file."""
        self.collection = collection_of(MemoryStore())
        self.collection.put_foreign(GATEWAY, gateway(), "routes/a.yaml:1:1")

    def refused(self, coroutine: Any) -> RefusedError:
        """The refusal of a write."""
        refusal: RefusedError = self.failureResultOf(Deferred.fromCoroutine(coroutine), RefusedError).value
        return refusal

    def test_shown_and_not_changed(self) -> None:
        """It is listed with all metadata; a write is refused and names its file."""
        (found,) = self.collection.list(GATEWAY)
        self.assertEqual(found["spec"], gateway()["spec"])
        self.assertIn("uid", found["metadata"])
        for write in (
            self.collection.update(GATEWAY, ("default", "a"), lambda before: gateway(port=9), OPTIONS),
            self.collection.delete(GATEWAY, ("default", "a"), None, OPTIONS),
        ):
            refusal = self.refused(write)
            self.assertEqual(refusal.code, 403)
            self.assertIn("routes/a.yaml:1:1 defines it", refusal.message)

    def port(self, collection: Collection) -> int:
        """The port of the Gateway that is shown."""
        return int(collection.get(GATEWAY, "default", "a")["spec"]["servers"][0]["port"]["number"])

    def test_a_file_over_an_object(self) -> None:
        """
        Of one name in the store and in a file, the store's is shown, so that clients can change and delete it, and is
        said to be overruled; once it is deleted, the file's is shown.
        """
        collection = collection_of(MemoryStore())
        create = collection.create(GATEWAY, gateway(port=9), OPTIONS)
        self.successResultOf(Deferred.fromCoroutine(create))
        self.assertEqual(collection.overruled_by(GATEWAY, ("default", "a")), "")
        collection.put_foreign(GATEWAY, gateway(port=8), "a.yaml:1:1")
        self.assertEqual(self.port(collection), 9)
        self.assertEqual(collection.overruled_by(GATEWAY, ("default", "a")), "a.yaml:1:1")
        update = collection.update(GATEWAY, ("default", "a"), lambda before: gateway(port=7), OPTIONS)
        self.successResultOf(Deferred.fromCoroutine(update))
        self.assertEqual(self.port(collection), 7)
        events: list[WatchEvent] = []
        watch(collection, GATEWAY, events.append)
        self.successResultOf(Deferred.fromCoroutine(collection.delete(GATEWAY, ("default", "a"), None, OPTIONS)))
        self.assertEqual(self.port(collection), 8)
        self.assertEqual([event.type for event in events], ["DELETED", "ADDED"])
        collection.remove_foreign(GATEWAY, ("default", "a"))
        self.assertEqual(collection.list(GATEWAY), [])

    def test_the_file_goes(self) -> None:
        """Without the file, the store's object is overruled no longer."""
        collection = collection_of(MemoryStore())
        create = collection.create(GATEWAY, gateway(port=9), OPTIONS)
        self.successResultOf(Deferred.fromCoroutine(create))
        collection.put_foreign(GATEWAY, gateway(port=8), "a.yaml:1:1")
        collection.remove_foreign(GATEWAY, ("default", "a"))
        self.assertEqual((self.port(collection), collection.overruled_by(GATEWAY, ("default", "a"))), (9, ""))

    def test_created_again(self) -> None:
        """To create what a file defines is refused, with the file."""
        refusal = self.refused(self.collection.create(GATEWAY, gateway(), OPTIONS))
        self.assertEqual((refusal.code, refusal.reason), (409, "AlreadyExists"))
        self.assertIn("routes/a.yaml:1:1 defines it", refusal.message)

    def test_faulty_writes(self) -> None:
        """A write that would be refused anyway is told of the file all the same."""
        for write in (
            self.collection.update(GATEWAY, ("default", "a"), lambda before: gateway(port=0), OPTIONS),
            self.collection.delete(GATEWAY, ("default", "a"), {"uid": "other"}, OPTIONS),
            self.collection.update(GATEWAY, ("default", "a"), lambda before: before, WriteOptions(dry_run=True)),
        ):
            self.assertEqual(self.refused(write).code, 403)

    def test_generations(self) -> None:
        """The generation of a file's object counts changes of its content; the same content again is no change."""
        events: list[WatchEvent] = []
        watch(self.collection, GATEWAY, events.append)
        self.collection.put_foreign(GATEWAY, gateway(), "routes/a.yaml:1:1")
        self.assertEqual(events, [])
        labelled = self.collection.put_foreign(GATEWAY, gateway(labels={"a": "b"}), "routes/a.yaml:2:1")
        self.assertEqual(labelled["metadata"]["generation"], 1)
        self.assertEqual(self.collection.put_foreign(GATEWAY, gateway(port=9), "x")["metadata"]["generation"], 2)

    def test_identities(self) -> None:
        """Objects of one name and different types have different identities."""
        service = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "default"}}
        found = self.collection.put_foreign(type_named("Service"), service, "routes/a.yaml:9:1")
        self.assertNotEqual(found["metadata"]["uid"], self.collection.get(GATEWAY, "default", "a")["metadata"]["uid"])

    def test_watched(self) -> None:
        """Watchers see a file's objects change and go, with rising revisions."""
        events: list[WatchEvent] = []
        watch(self.collection, GATEWAY, events.append)
        self.collection.put_foreign(GATEWAY, gateway(port=9), "a.yaml:1:1")
        self.collection.remove_foreign(GATEWAY, ("default", "a"))
        self.assertEqual([event.type for event in events], ["MODIFIED", "DELETED"])
        revisions = [int(event.object["metadata"]["resourceVersion"]) for event in events]
        self.assertEqual(revisions, sorted(set(revisions)))


WRITES = ("create", "update", "delete")
VOLATILE = ("status", "file", "no file")
"""Changes that no store has to keep: they become visible at once."""


class WatchedCollectionTests(SynchronousTestCase):
    """A client's view of any sequence of changes, some of which wait for the store."""

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*WRITES, *VOLATILE, "stored"])), max_size=30))
    @example([("a", "create"), ("b", "file"), ("a", "stored")])
    @example([("a", "create"), ("a", "stored"), ("a", "update"), ("a", "status"), ("a", "stored")])
    @example([("a", "create"), ("a", "stored"), ("a", "file"), ("a", "no file")])
    @example([("a", "create"), ("a", "file"), ("a", "stored"), ("a", "no file")])
    def test_any_sequence(self, actions: list[tuple[str, str]]) -> None:
        """
        A client that lists at any moment, and then watches from the revision of its list, gets each later change once
        and in order, and has in the end what a list has.
        """
        store = MemoryStore()
        store.holds = True
        collection = collection_of(store)
        lists = [(collection.revision, collection.list(GATEWAY))]
        randomness = random.Random(len(actions))
        for name, action in actions:
            body = gateway(name, randomness.randint(1, 5))
            self.act(collection, store, action, body)
            lists.append((collection.revision, collection.list(GATEWAY)))
        while store.waiting:
            store.waiting.pop(0).callback(None)
        for revision, listed in lists:
            self.assertEqual(replayed(listed, events_after(collection, revision)), collection.list(GATEWAY))

    def act(self, collection: Collection, store: MemoryStore, action: str, body: dict[str, Any]) -> None:
        """Begin a change."""
        key = ("default", body["metadata"]["name"])
        write: Any = None
        if action == "create":
            write = collection.create(GATEWAY, body, OPTIONS)
        elif action == "update":
            write = collection.update(GATEWAY, key, partial(_instead, body), OPTIONS)
        elif action == "delete":
            write = collection.delete(GATEWAY, key, None, OPTIONS)
        elif action == "status":
            collection.set_status(GATEWAY, key, partial(_instead, {"revision": collection.revision}))
        elif action == "file":
            collection.put_foreign(GATEWAY, body, "a.yaml:1:1")
        elif action == "no file":
            collection.remove_foreign(GATEWAY, key)
        elif store.waiting:
            store.waiting.pop(0).callback(None)
        if write is not None:
            Deferred.fromCoroutine(write).addErrback(lambda failure: failure.trap(RefusedError))

    def test_a_status_during_a_write(self) -> None:
        """A status that is found out while the store writes the object is not lost."""
        store = MemoryStore()
        collection = collection_of(store)
        self.act(collection, store, "create", gateway())
        store.holds = True
        self.act(collection, store, "update", gateway(port=9))
        collection.set_status(GATEWAY, ("default", "a"), lambda before: {"conditions": []})
        store.waiting.pop().callback(None)
        object_ = collection.get(GATEWAY, "default", "a")
        self.assertEqual(object_["status"], {"conditions": []})
        self.assertEqual(object_["spec"]["servers"][0]["port"]["number"], 9)

    def test_a_list_during_a_write(self) -> None:
        """A list has the revision of the last change that is visible, and not that of a write that waits."""
        store = MemoryStore()
        collection = collection_of(store)
        store.holds = True
        before = collection.revision
        self.act(collection, store, "create", gateway())
        self.assertEqual((collection.revision, collection.list(GATEWAY)), (before, []))


def events_after(collection: Collection, revision: int) -> list[WatchEvent]:
    """The events of a watch from a revision."""
    window = collection.window(GATEWAY)
    return list(iter(Watcher(window, window.after(revision), "", everything).next_event, None))


def _instead(body: Any, before: Any) -> Any:
    """The wanted object, whatever the present one is."""
    return body


def _with_number(number: int, before: Object) -> dict[str, Any]:
    """A status."""
    return {"number": number}
