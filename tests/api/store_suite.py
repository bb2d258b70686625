"""The suite that every store has to pass: see docs/howto/write-a-store.rst."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from meshgate.api.store_interface import Author, Change, IObjectStore, Object
from tests.api.api_objects import gateway

GATEWAYS = "gateways.networking.istio.io"


def change(
    revision: int,
    name: str = "a",
    after: Object | None = None,
    before: Object | None = None,
    type_name: str = GATEWAYS,
    namespace: str = "default",
) -> Change:
    """A change of an object."""
    return Change(revision, float(revision), type_name, namespace, name, before, after, Author("admin", "kubectl"))


class StoreSuite:
    """Tests of any store; a test case adds :meth:`make`."""

    def make(self) -> Any:
        """A store with the same content as the one before in this test; nothing is in the first."""
        raise NotImplementedError

    async def content(self) -> tuple[int, list[tuple[str, Object]]]:
        """The last revision, and the objects with their types, as a store that is opened now reads them."""
        store = self.make()
        found = store.open()
        await store.close()
        return found.revision, [(each.type_name, each.object) for each in found.objects]

    async def test_the_interface(self) -> None:
        """It provides the interface."""
        assert isinstance(self, TestCase)
        verifyObject(IObjectStore, self.make())

    async def test_a_new_one_is_empty(self) -> None:
        """A new store has no object, and the revision 0."""
        assert isinstance(self, TestCase)
        self.assertEqual(await self.content(), (0, []))

    async def test_objects_survive(self) -> None:
        """Created, changed and deleted objects are as they were left, with the last revision."""
        assert isinstance(self, TestCase)
        store = self.make()
        store.open()
        await store.write([change(1, "a", gateway("a")), change(2, "b", gateway("b"))])
        await store.write([change(3, "a", gateway("a", 9), gateway("a"))])
        await store.write([change(4, "b", None, gateway("b"))])
        await store.close()
        self.assertEqual(await self.content(), (4, [(GATEWAYS, gateway("a", 9))]))

    async def test_objects_are_told_apart(self) -> None:
        """Objects differ by type, namespace and name; a deletion takes one of them. Some have no namespace."""
        assert isinstance(self, TestCase)
        store = self.make()
        store.open()
        keys = [(GATEWAYS, "default"), (GATEWAYS, "other"), ("namespaces", ""), ("secrets", "default")]
        for revision, (type_name, namespace) in enumerate(keys, 1):
            object_ = gateway("a", revision, namespace)
            await store.write([change(revision, "a", object_, None, type_name, namespace)])
        await store.write([change(5, "a", None, gateway("a"), *keys[0])])
        await store.close()
        revision, found = await self.content()
        self.assertEqual(revision, 5)
        self.assertEqual(sorted(name for name, _ in found), [GATEWAYS, "namespaces", "secrets"])

    async def test_any_content(self) -> None:
        """Text of any language, line ends, numbers, null and empty values come back as they were."""
        assert isinstance(self, TestCase)
        object_ = gateway("a") | {
            "data": {"text": "\u00e4\u4e2d\U0001f600\x00\r\n'\"", "long": "x" * 100_000, "": ""},
            "values": [0, -1, 2**53, 1.5, 1e300, True, None, [], {}],
        }
        store = self.make()
        store.open()
        await store.write([change(1, "a", object_)])
        (known,) = await store.history(1)
        await store.close()
        self.assertEqual((known.after, await self.content()), (object_, (1, [(GATEWAYS, object_)])))

    async def test_many_writes_at_once(self) -> None:
        """Writes that wait take effect in the order of the calls."""
        assert isinstance(self, TestCase)
        store = self.make()
        store.open()
        waiting = [store.write([change(number, "a", gateway("a", number))]) for number in range(1, 201)]
        await gatherResults(waiting)
        await store.close()
        self.assertEqual(await self.content(), (200, [(GATEWAYS, gateway("a", 200))]))

    async def test_closed_with_writes(self) -> None:
        """Closing finishes the writes that wait."""
        assert isinstance(self, TestCase)
        store = self.make()
        store.open()
        waiting = [store.write([change(number, "a", gateway("a", number))]) for number in range(1, 51)]
        await store.close()
        await gatherResults(waiting)
        self.assertEqual((await self.content())[0], 50)

    async def test_history(self) -> None:
        """The history tells the last changes, the latest first, with both states and the author."""
        assert isinstance(self, TestCase)
        store = self.make()
        store.open()
        self.assertEqual(list(await store.history(2)), [])
        changes = [change(1, "a", gateway("a")), change(2, "a", gateway("a", 9), gateway("a")), change(3, "a")]
        for each in changes:
            await store.write([each])
        self.assertEqual(list(await store.history(2)), changes[:0:-1])
        await store.close()
        again = self.make()
        again.open()
        self.assertEqual(list(await again.history(100)), changes[::-1])
        await again.close()
