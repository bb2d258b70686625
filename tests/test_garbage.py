"""Tests of :mod:`meshgate.processes.garbage`."""

from __future__ import annotations

import gc
import weakref

from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.garbage import held_off


class Circle:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


class HeldOffTests(SynchronousTestCase):
    """:func:`held_off`."""

    def setUp(self) -> None:
        """Other tests find the collector as it was."""
        self.addCleanup(gc.unfreeze)

    def test_nothing_is_looked_at_meanwhile(self) -> None:
        """The collector is off inside, and on again behind it."""
        with held_off():
            self.assertFalse(gc.isenabled())
        self.assertTrue(gc.isenabled())

    def test_it_is_on_again_after_a_fault(self) -> None:
        """Whatever happens inside."""
        with self.assertRaises(ValueError), held_off():
            raise ValueError
        self.assertTrue(gc.isenabled())

    def test_two_hold_it_off(self) -> None:
        """It is on again behind the last of several that take turns."""
        first, second = held_off(), held_off()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        self.assertFalse(gc.isenabled())
        second.__exit__(None, None, None)
        self.assertTrue(gc.isenabled())

    def test_what_was_made_is_never_walked(self) -> None:
        """No generation has it."""
        with held_off():
            made = [{"a": 1}]
        self.assertFalse(any(each is made for each in gc.get_objects()))

    def test_what_was_garbage_before_is_freed(self) -> None:
        """A circle of before would stay forever, as it is never walked again."""
        circle = Circle()
        gone = weakref.ref(circle)
        del circle
        with held_off():
            self.assertIsNone(gone())
