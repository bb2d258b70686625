"""The base of the models, and the types of fields."""

from __future__ import annotations

import enum
import pickle
from typing import Annotated, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.durations import format_nanoseconds
from meshgate.resources.model import (
    AnyDuration,
    Count,
    Duration,
    IdleDuration,
    Int32,
    Items,
    KubernetesModel,
    Labels,
    Model,
    NonEmpty,
    Number,
    Percent,
    PortNumber,
    UInt32,
    UInt64,
    by_number,
)


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


class Color(enum.StrEnum):
    """A choice."""

    RED = "RED"
    BLUE = "BLUE"


def taken(kind: Any, value: Any) -> Any:
    """The value as a field of the type has it."""
    return TypeAdapter(kind).validate_python(value)


class FieldTypeTests(SynchronousTestCase):
    """Values that each type accepts or refuses."""

    def refusal(self, kind: Any, value: Any) -> str:
        """The message with which a type refuses a value."""
        error = self.assertRaises(ValidationError, taken, kind, value)
        context = error.errors()[0].get("ctx", {})
        return f"{context.get('code')}: {context.get('message')}"

    def test_durations_are_seconds(self) -> None:
        """Whole milliseconds are exact, however many there are."""
        self.assertEqual(taken(Duration, "1h0.25s"), 3600.25)
        self.assertEqual(taken(Duration, "100000h1ms"), 360_000_000.001)
        self.assertEqual(taken(Duration, "1ms"), 0.001)

    def test_durations_have_bounds(self) -> None:
        """Too short ones and too fine ones are refused with the reason."""
        self.assertEqual(self.refusal(Duration, "0s"), 'MG1061: the duration "0s" is shorter than a millisecond')
        self.assertEqual(self.refusal(Duration, "-1s"), 'MG1061: the duration "-1s" is shorter than a millisecond')
        self.assertEqual(
            self.refusal(Duration, "100000h0.0001s"),
            'MG1061: the duration "100000h0.0001s" is not a whole number of milliseconds',
        )

    def test_a_number_is_no_duration(self) -> None:
        """A duration without unit is refused, quoted or not."""
        self.assertEqual(self.refusal(Duration, 10), "MG1003: must be a duration, not the number 10")
        self.assertTrue(self.refusal(Duration, "10").startswith("MG1006: the duration '10' lacks a unit"))

    def test_idle_durations_may_be_short(self) -> None:
        """Istio looks at their whole seconds only, so that 0 switches off."""
        self.assertEqual(taken(IdleDuration, "0s"), 0.0)
        self.assertEqual(taken(IdleDuration, "0.5ms"), 0.0005)
        self.assertTrue(self.refusal(IdleDuration, "1.0005s").startswith("MG1061"))
        self.assertTrue(self.refusal(IdleDuration, "-1s").startswith("MG1061"))

    def test_any_duration(self) -> None:
        """Some fields take any."""
        self.assertEqual([taken(AnyDuration, text) for text in ("0", "-1s", "1ns")], [0.0, -1.0, 1e-9])

    def test_numbers(self) -> None:
        """Whole numbers may be quoted; other numbers may be whole."""
        self.assertEqual(taken(UInt64, str(2**63)), 2**63)
        self.assertEqual((taken(Count, "7"), taken(Percent, 100)), (7, 100))
        self.assertEqual((taken(Number, 2), taken(Number, 0.5)), (2.0, 0.5))
        for kind, value in ((UInt64, -1), (UInt64, 2**64), (Count, -1), (Percent, 101), (Number, True), (Number, "1")):
            self.assertRaises(ValidationError, taken, kind, value)

    def test_choices_by_number(self) -> None:
        """A choice goes by its name or its number."""
        choice = Annotated[Color, Field(strict=False), by_number(Color)]
        self.assertEqual([taken(choice, value) for value in (0, 1, "BLUE")], [Color.RED, Color.BLUE, Color.BLUE])
        for value in (2, -1, True, "1", "blue", 0.0):
            self.assertRaises(ValidationError, taken, choice, value)

    @given(st.integers(1, 9 * 10**12))
    @settings(deadline=None, max_examples=200)
    def test_what_go_writes_is_read(self, milliseconds: int) -> None:
        """Any number of milliseconds survives being written and read."""
        seconds = milliseconds / 1000
        self.assertEqual(taken(Duration, format_nanoseconds(milliseconds * 1_000_000)), seconds)
        self.assertEqual(taken(Duration, f"{milliseconds}ms"), seconds)
