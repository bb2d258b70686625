"""The base of the models."""

from __future__ import annotations

import pickle
from typing import Annotated, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.model import Int32, Items, KubernetesModel, Labels, Model, NonEmpty, PortNumber, UInt32


class Inner(Model):
    """A model within."""

    port_number: PortNumber


class Outer(Model):
    """A model with a field of each shared type."""

    inner: Items[Inner] = ()
    names: Annotated[Items[NonEmpty], Field(min_length=1)] = ("a",)
    labels: Labels = Labels()
    unsigned: UInt32 = 0
    signed: Int32 = 0


class Foreign(KubernetesModel):
    """A model of which a part is read."""

    name: str = ""


class ModelTests(SynchronousTestCase):
    """Strictness."""

    def assert_refused(self, value: Any, *paths: tuple[str | int, ...]) -> None:
        """Check that the value is refused at exactly these paths."""
        with self.assertRaises(ValidationError) as caught:
            Outer.model_validate(value)
        self.assertEqual({error["loc"] for error in caught.exception.errors()}, set(paths))

    def test_fields_are_in_camel_case(self) -> None:
        """By no other name."""
        outer = Outer.model_validate({"inner": [{"portNumber": 80}]})
        self.assertEqual(outer.inner[0].port_number, 80)
        self.assert_refused({"inner": [{"port_number": 80}]}, ("inner", 0, "portNumber"), ("inner", 0, "port_number"))

    def test_null_is_absent_but_no_item_of_a_list(self) -> None:
        """As in protobuf's JSON form."""
        self.assertEqual(Outer.model_validate({"names": None, "labels": None, "unsigned": None}), Outer())
        self.assert_refused({"inner": [None]}, ("inner", 0))

    def test_whole_numbers_may_be_quoted(self) -> None:
        """Booleans, floats and anything else that is quoted may not."""
        self.assertEqual(Outer.model_validate({"unsigned": "4294967295", "signed": "-2147483648"}).signed, -(2**31))
        wrong: Any
        for wrong in (True, 1.0, "1.0", "01", "+1", " 1", "", "0x1", "1e3", [], -1, 2**32, "9" * 5000):
            self.assert_refused({"unsigned": wrong}, ("unsigned",))

    def test_ports_are_within_their_range(self) -> None:
        """From 1 to 65535."""
        for number in (1, 65535, "443"):
            Inner.model_validate({"portNumber": number})
        for number in (0, 65536, "65536"):
            self.assert_refused({"inner": [{"portNumber": number}]}, ("inner", 0, "portNumber"))

    def test_texts_and_lists_are_not_converted(self) -> None:
        """A number is no text, a text and a mapping are no list."""
        self.assert_refused({"names": [1, True, ""]}, ("names", 0), ("names", 1), ("names", 2), ("names",))
        self.assert_refused({"names": "abc"}, ("names",))
        self.assert_refused({"names": {"a": "b"}}, ("names",))
        self.assert_refused({"labels": {"a": 1}}, ("labels", "a"))

    def test_unknown_fields(self) -> None:
        """Refused, except in what is Kubernetes' own."""
        self.assert_refused({"nme": 1}, ("nme",))
        self.assertEqual(Foreign.model_validate({"nme": 1, "name": None}), Foreign())

    def test_instances_are_frozen_hashable_and_picklable(self) -> None:
        """Instances of models are immutable, and can be hashed and pickled."""
        outer = Outer.model_validate({"inner": [{"portNumber": 80}], "labels": {"a": "b"}})
        self.assertEqual(pickle.loads(pickle.dumps(outer)), outer)  # noqa: S301
        self.assertEqual(len({outer, outer.model_copy()}), 1)
        with self.assertRaises(ValidationError):
            outer.unsigned = 1


class LabelsTests(SynchronousTestCase):
    """The frozen mapping."""

    @settings(deadline=None, max_examples=100)
    @given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5))
    def test_it_is_the_mapping_it_was_made_of(self, items: dict[str, str]) -> None:
        """Equal to it, hashed whatever the order, and the same after pickling."""
        labels = Labels(items)
        self.assertEqual(labels, items)
        self.assertEqual(dict(labels), items)
        self.assertEqual(hash(labels), hash(Labels(dict(reversed(items.items())))))
        self.assertEqual(pickle.loads(pickle.dumps(labels)), labels)  # noqa: S301

    def test_it_never_changes(self) -> None:
        """Neither by itself nor with what it was made of."""
        items = {"a": "b"}
        labels = Labels(items)
        items["a"] = "c"
        self.assertEqual(labels, {"a": "b"})
        self.assertFalse(hasattr(labels, "__setitem__"))
