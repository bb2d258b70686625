"""Tests of :mod:`meshgate.api.deletion`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.collection import WriteOptions
from meshgate.api.deletion import delete, finish_owners
from meshgate.api.refusal import RefusedError
from tests.api.api_objects import MemoryStore, collection_of, gateway, type_named

GATEWAY, CONFIG = type_named("Gateway"), type_named("ConfigMap")
OPTIONS = WriteOptions()


class DeletionTests(SynchronousTestCase):
    """A Gateway that owns ConfigMaps."""

    def setUp(self) -> None:
        """A collection with an owner."""
        self.collection = collection_of(MemoryStore())
        self.owner = self.done(self.collection.create(GATEWAY, gateway("owner"), OPTIONS)).object

    def done(self, coroutine: Any) -> Any:
        """The result of a coroutine that has ended."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def refused(self, coroutine: Any) -> RefusedError:
        """The refusal of a coroutine."""
        error = self.failureResultOf(Deferred.fromCoroutine(coroutine), RefusedError).value
        assert isinstance(error, RefusedError)
        return error

    def own(self, name: str, *more: Any, **metadata: Any) -> None:
        """Create a ConfigMap that the Gateway owns."""
        reference = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "name": "owner"}
        references = [{**reference, "uid": self.owner["metadata"]["uid"]}, *more]
        head = {"name": name, "namespace": "default", "ownerReferences": references, **metadata}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": {}}
        self.done(self.collection.create(CONFIG, body, OPTIONS))

    def delete(self, policy: str) -> Any:
        """Delete the owner."""
        return self.done(delete(self.collection, GATEWAY, ("default", "owner"), None, OPTIONS, policy)).object

    def left(self) -> list[str]:
        """The names of what is left."""
        found = [*self.collection.list(GATEWAY), *self.collection.list(CONFIG)]
        return [each["metadata"]["name"] for each in found]

    def test_policies(self) -> None:
        """Dependents go with their owner in the background and in the foreground, and stay as orphans."""
        for policy, left in (("Background", []), ("Foreground", []), ("Orphan", ["a", "b"])):
            self.setUp()
            self.own("a")
            self.own("b")
            self.delete(policy)
            self.assertEqual(self.left(), left, policy)
        for each in self.collection.list(CONFIG):
            self.assertEqual(each["metadata"]["ownerReferences"], [])

    def test_another_owner(self) -> None:
        """A dependent with another owner that is there stays; with one that never was, it goes."""
        other = self.done(self.collection.create(GATEWAY, gateway("other"), OPTIONS)).object
        reference = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "name": "other"}
        self.own("a", {**reference, "uid": other["metadata"]["uid"]})
        self.own("b", {**reference, "uid": "never"})
        self.delete("Background")
        self.assertEqual(self.left(), ["other", "a"])

    def test_a_dependent_with_a_finalizer(self) -> None:
        """An owner that goes in the foreground waits for it; deleting it again changes nothing."""
        self.own("a", finalizers=["example.com/check"])
        for _ in range(2):
            marked = self.delete("Foreground")
            self.assertEqual(marked["metadata"]["finalizers"], ["foregroundDeletion"])
        dependent = self.collection.get(CONFIG, "default", "a")
        self.assertIn("deletionTimestamp", dependent["metadata"])

        def without(object_: Any) -> Any:
            return {**object_, "metadata": {**object_["metadata"], "finalizers": []}}

        self.done(self.collection.update(CONFIG, ("default", "a"), without, OPTIONS))
        self.done(finish_owners(self.collection, CONFIG, dependent, OPTIONS))
        self.assertEqual(self.left(), [])

    def test_what_is_refused_changes_nothing(self) -> None:
        """Preconditions are checked before a dependent is touched, and a dry run touches none."""
        self.own("a")
        for policy in ("Background", "Foreground", "Orphan"):
            wrong = delete(self.collection, GATEWAY, ("default", "owner"), {"uid": "x"}, OPTIONS, policy)
            self.assertEqual(self.refused(wrong).code, 409)
            dry = delete(self.collection, GATEWAY, ("default", "owner"), None, WriteOptions(dry_run=True), policy)
            self.done(dry)
            self.assertEqual(self.left(), ["owner", "a"])
