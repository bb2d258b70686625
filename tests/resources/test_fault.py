"""Faults, and rules over values that may be broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.fault import BROKEN, BrokenValueError, Fault, chain_rules, duplicate_faults, sound_items


class RepeatedTests(SynchronousTestCase):
    """Values that may stand once."""

    def test_each_repetition_names_the_first(self) -> None:
        """The path is that of the later one, and empty values may repeat."""
        found = list(duplicate_faults(["a", "", "b", "a", "", "a"], str, ("spec", "ports"), ("port", "name"), "port"))
        self.assertEqual(
            [(fault.path, fault.message) for fault in found],
            [
                (("spec", "ports", 3, "port", "name"), 'the name "a" is taken by spec.ports[0].port.name'),
                (("spec", "ports", 5, "port", "name"), 'the name "a" is taken by spec.ports[0].port.name'),
            ],
        )


class BrokenTests(SynchronousTestCase):
    """The stand-in for a faulty value."""

    def test_nothing_can_be_said_of_it(self) -> None:
        """Every use that decides by a broken value, or shows it, raises an error."""
        for look in (
            lambda: bool(BROKEN),
            lambda: BROKEN == 1,
            lambda: "a" in ("b", BROKEN),
            lambda: BROKEN in {"a"},
            lambda: [*BROKEN],
            lambda: len(BROKEN),
            lambda: BROKEN < 1,
            lambda: f"{BROKEN}",
            lambda: BROKEN.startswith("a"),
            lambda: BROKEN[0],
        ):
            self.assertRaises(BrokenValueError, look)

    def test_its_fields_are_broken(self) -> None:
        """Looking for a value within it is no harm yet."""
        self.assertIs(BROKEN.port.number, BROKEN)

    def test_sound_items_keep_their_indexes(self) -> None:
        """The broken ones are passed over, not closed up."""
        self.assertEqual(list(sound_items(["a", BROKEN, "c"])), [(0, "a"), (2, "c")])

    def test_rules_end_at_a_broken_value(self) -> None:
        """Faults that a rule has found before count, and so do those of other rules."""

        def rule(name: str, value: Any) -> Iterator[Fault]:
            yield Fault((name,), "MG1006", "before")
            if value:
                yield Fault((name,), "MG1006", "after")

        found = [(fault.path[0], fault.message) for fault in chain_rules(rule("a", BROKEN), rule("b", 1))]
        self.assertEqual(found, [("a", "before"), ("b", "before"), ("b", "after")])

    def test_repetitions_are_found_among_the_sound(self) -> None:
        """A broken name repeats no other."""
        found = [
            fault.path
            for fault in duplicate_faults(["a", BROKEN, "a"], lambda name: name, ("ports",), ("name",), "port")
        ]
        self.assertEqual(found, [("ports", 2, "name")])
