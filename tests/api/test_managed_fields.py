"""Tests of :mod:`meshgate.api.managed_fields`."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.managed_fields import applied, tracked
from meshgate.api.refusal import RefusedError
from tests.api.api_objects import type_named

GATEWAY, SERVICE = type_named("Gateway"), type_named("Service")
NOW, LATER = "2027-01-15T08:00:00Z", "2027-01-15T09:00:00Z"


def object_of(spec: Any, **metadata: Any) -> dict[str, Any]:
    """An object with a spec."""
    return {"apiVersion": "v1", "kind": "K", "metadata": {"name": "a", **metadata}, "spec": spec}


def managers(object_: Any) -> dict[str, Any]:
    """The fields of each manager."""
    return {each["manager"]: each["fieldsV1"] for each in object_["metadata"]["managedFields"]}


class ApplyTests(SynchronousTestCase):
    """Applies by several managers."""

    def apply(self, before: Any, spec: Any, manager: str, type_: Any = GATEWAY, force: bool = False) -> dict[str, Any]:
        """The object after an apply of a spec."""
        return applied(type_, before, object_of(spec), manager, force, NOW)

    def test_fields_are_merged(self) -> None:
        """Each manager has its fields, and the object has all of them."""
        first = self.apply(None, {"a": 1, "b": {"c": 2}}, "one")
        second = self.apply(first, {"b": {"d": 3}}, "two")
        self.assertEqual(second["spec"], {"a": 1, "b": {"c": 2, "d": 3}})
        self.assertEqual(
            managers(second),
            {"one": {"f:spec": {"f:a": {}, "f:b": {"f:c": {}}}}, "two": {"f:spec": {"f:b": {"f:d": {}}}}},
        )

    def test_what_is_no_longer_wanted_goes(self) -> None:
        """A field that its only manager leaves out is removed; one that another manager has too stays."""
        first = self.apply(None, {"a": 1, "b": 2}, "one")
        second = self.apply(first, {"b": 2}, "two")
        self.assertEqual(self.apply(second, {"c": 3}, "one")["spec"], {"b": 2, "c": 3})

    def test_conflicts(self) -> None:
        """Another value for a field of another manager is a conflict, and by force it changes hands."""
        first = self.apply(None, {"a": 1, "b": 2}, "one")
        error = self.assertRaises(RefusedError, self.apply, first, {"a": 9}, "two")
        self.assertEqual((error.code, error.causes[0].field), (409, ".spec.a"))
        self.assertEqual(error.causes[0].message, 'conflict with "one"')
        second = self.apply(first, {"a": 9}, "two", force=True)
        self.assertEqual(second["spec"], {"a": 9, "b": 2})
        self.assertEqual(managers(second)["one"], {"f:spec": {"f:b": {}}})
        self.assertEqual(self.apply(first, {"a": 1}, "two")["spec"], {"a": 1, "b": 2})

    def test_lists(self) -> None:
        """A list of Istio's kinds is one field; the ports of a Service are merged by port and protocol."""
        first = self.apply(None, {"hosts": ["a"]}, "one")
        self.assertRaises(RefusedError, self.apply, first, {"hosts": ["b"]}, "two")
        first = self.apply(None, {"ports": [{"port": 80, "name": "a"}]}, "one", SERVICE)
        second = self.apply(first, {"ports": [{"port": 81, "name": "b"}]}, "two", SERVICE)
        self.assertEqual([port["port"] for port in second["spec"]["ports"]], [80, 81])
        third = self.apply(second, {"ports": []}, "one", SERVICE)
        self.assertEqual([port["port"] for port in third["spec"]["ports"]], [81])

    def test_after_another_write(self) -> None:
        """A write of another kind takes the fields that it changes, and an apply then conflicts with it."""
        first = self.apply(None, {"a": 1, "b": 2}, "one")
        changed = copy.deepcopy(first)
        changed["spec"]["a"] = 5
        second = tracked(GATEWAY, first, changed, "edit", LATER)
        self.assertEqual(managers(second), {"one": {"f:spec": {"f:b": {}}}, "edit": {"f:spec": {"f:a": {}}}})
        self.assertRaises(RefusedError, self.apply, second, {"a": 1, "b": 2}, "one")

    def test_times(self) -> None:
        """The time of a manager is that of the last change of its fields."""
        first = self.apply(None, {"a": 1}, "one")
        changed = tracked(GATEWAY, first, {**first, "spec": {"a": 1, "b": 2}}, "edit", LATER)
        times = {each["manager"]: each["time"] for each in changed["metadata"]["managedFields"]}
        self.assertEqual(times, {"one": NOW, "edit": LATER})


VALUES = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, min_size=1, max_size=2),
    max_leaves=4,
)
SPECS = st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3)


class PropertyTests(SynchronousTestCase):
    """Whatever is applied."""

    @given(st.lists(st.tuples(st.sampled_from(["one", "two"]), SPECS), min_size=1, max_size=5))
    def test_forced_applies(self, applies: list[tuple[str, Any]]) -> None:
        """A forced apply leaves what it wants, and once again changes nothing; nothing is changed in place."""
        object_: Any = None
        for manager, spec in applies:
            before = copy.deepcopy(object_)
            after = applied(GATEWAY, object_, object_of(spec), manager, True, NOW)
            self.assertEqual(object_, before)
            self.assertEqual(applied(GATEWAY, after, object_of(spec), manager, False, LATER), after)
            for key, value in spec.items():
                self.assert_contains(after["spec"][key], value)
            object_ = after

    def assert_contains(self, found: Any, wanted: Any) -> None:
        """Everything that is wanted is there."""
        if isinstance(wanted, dict):
            for key, value in wanted.items():
                self.assert_contains(found[key], value)
        else:
            self.assertEqual(found, wanted)

    @given(SPECS, SPECS)
    def test_one_manager(self, first: Any, second: Any) -> None:
        """What a single manager applies last is what is there, but for empty mappings."""
        before = applied(GATEWAY, None, object_of(first), "one", False, NOW)
        after = applied(GATEWAY, before, object_of(second), "one", False, NOW)
        self.assertEqual(_without_empty(after["spec"]), _without_empty(second))


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    cleaned = {key: _without_empty(each) for key, each in value.items()}
    return {key: each for key, each in cleaned.items() if each != {}}
