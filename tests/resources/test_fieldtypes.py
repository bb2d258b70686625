"""Types of fields that several kinds share."""

from __future__ import annotations

import enum
from typing import Annotated, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.durations import format_nanoseconds
from meshgate.resources.fieldtypes import AnyDuration, Count, Duration, IdleDuration, Number, Percent, UInt64, by_number


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
