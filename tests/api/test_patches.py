"""Tests of :mod:`meshgate.api.patches`."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.patches import json_patch, merge_patch, strategic_merge_patch
from meshgate.api.refusal import RefusedError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


class MergePatchTests(SynchronousTestCase):
    """JSON merge patches."""

    def test_cases(self) -> None:
        """The cases of RFC 7396, appendix A."""
        for target, patch, wanted in (
            ({"a": "b"}, {"a": "c"}, {"a": "c"}),
            ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
            ({"a": "b"}, {"a": None}, {}),
            ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
            ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
            ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
            ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
            ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
            ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ):
            self.assertEqual(merge_patch(target, patch), wanted)

    @given(OBJECTS, OBJECTS)
    def test_nothing_is_changed_in_place(self, target: Any, patch: Any) -> None:
        """The object and the patch stay as they are, and the patch applied twice is the patch applied once."""
        before = copy.deepcopy((target, patch))
        once = merge_patch(target, patch)
        self.assertEqual((target, patch), before)
        self.assertEqual(merge_patch(once, patch), once)


class JsonPatchTests(SynchronousTestCase):
    """JSON patches."""

    def test_a_patch(self) -> None:
        """Its operations are applied to a copy."""
        target = {"metadata": {"labels": {"a": "1"}}}
        patch = [{"op": "replace", "path": "/metadata/labels/a", "value": "2"}]
        self.assertEqual(json_patch(target, patch), {"metadata": {"labels": {"a": "2"}}})
        self.assertEqual(target, {"metadata": {"labels": {"a": "1"}}})

    def test_copies_of_copies(self) -> None:
        """What a patch may copy, and the number of its operations, are limited."""
        double = {"op": "copy", "from": "/a", "path": "/a/-"}
        refused = self.assertRaises(RefusedError, json_patch, {"a": ["x" * 100]}, [double] * 60)
        self.assertEqual(refused.code, 413)
        self.assertRaises(RefusedError, json_patch, {}, [{"op": "test", "path": "", "value": {}}] * 10_001)

    def test_refusals_quote_no_values(self) -> None:
        """A failed test is told without the values, which may be those of a Secret."""
        for operation in (
            {"op": "test", "path": "/data/a", "value": "wrong-guess"},
            {"op": "replace", "path": "/data/a/b", "value": "wrong-guess"},
            {"op": "none", "path": "/data/a", "value": "wrong-guess"},
        ):
            refused = self.assertRaises(RefusedError, json_patch, {"data": {"a": "canary"}}, [operation])
            self.assertNotIn("canary", refused.message)
            self.assertNotIn("wrong-guess", refused.message)
            self.assertIn("/data/a", refused.message)

    @given(VALUES)
    def test_anything(self, patch: Any) -> None:
        """Anything is a patch, or refused."""
        try:
            json_patch({"a": [1, {"b": 2}]}, patch)
        except RefusedError as refusal:
            self.assertEqual(refusal.code, 400)

    def test_one_that_does_not_fit(self) -> None:
        """An operation on what is not there is refused."""
        error = self.assertRaises(RefusedError, json_patch, {}, [{"op": "remove", "path": "/a"}])
        self.assertIn("cannot be applied", error.message)


class StrategicMergePatchTests(SynchronousTestCase):
    """Strategic merge patches, as kubectl sends them for Services."""

    PORTS = ({"name": "a", "port": 80}, {"name": "b", "port": 81})

    def patched(self, patch: Any) -> Any:
        """The ports of a Service after a patch of its spec."""
        return strategic_merge_patch({"ports": list(self.PORTS)}, patch)["ports"]

    def test_ports_are_merged(self) -> None:
        """A port with the same number is changed, another one is added, and one is deleted by a directive."""
        self.assertEqual(self.patched({"ports": [{"port": 81, "name": "c"}]})[1], {"name": "c", "port": 81})
        self.assertEqual(len(self.patched({"ports": [{"port": 82}]})), 3)
        self.assertEqual(self.patched({"ports": [{"$patch": "delete", "port": 80}]}), [self.PORTS[1]])

    def test_order(self) -> None:
        """A directive says the order of a list."""
        patch = {"$setElementOrder/ports": [{"port": 82}, {"port": 81}, {"port": 80}], "ports": [{"port": 82}]}
        self.assertEqual([port["port"] for port in self.patched(patch)], [82, 81, 80])

    def test_other_lists(self) -> None:
        """A list without a key is replaced, and so is one whose patch says it."""
        self.assertEqual(strategic_merge_patch({"args": [1]}, {"args": [2]}), {"args": [2]})
        self.assertEqual(self.patched({"ports": [{"port": 82}, {"$patch": "replace"}]}), [{"port": 82}])

    def test_null_and_retained_keys(self) -> None:
        """Null removes a key, and so does a list of keys to keep that does not name it."""
        self.assertEqual(strategic_merge_patch({"a": 1, "b": 2}, {"a": None}), {"b": 2})
        self.assertEqual(strategic_merge_patch({"a": 1, "b": 2}, {"$retainKeys": ["b"], "b": 3}), {"b": 3})

    def test_an_item_without_its_key(self) -> None:
        """It is refused."""
        self.assertRaises(RefusedError, self.patched, {"ports": [{"name": "a"}]})

    @given(OBJECTS, OBJECTS)
    def test_without_keys_it_is_a_merge_patch(self, target: Any, patch: Any) -> None:
        """Without nulls and lists that are merged, it gives the same as a JSON merge patch."""
        if not _has_nulls(patch):
            self.assertEqual(strategic_merge_patch(target, patch), merge_patch(target, patch))


def _has_nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return any(each is None or _has_nulls(each) for each in value.values())
    return isinstance(value, list) and any(map(_has_nulls, value))
