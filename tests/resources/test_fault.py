"""Faults."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.fault import duplicate_faults


class RepeatedTests(SynchronousTestCase):
    """Values that may stand once."""

    def test_each_repetition_names_the_first(self) -> None:
        """The path is that of the later one, and empty values may repeat."""
        found = list(duplicate_faults(["a", "", "b", "a", "", "a"], ("spec", "ports"), ("port", "name"), "port"))
        self.assertEqual(
            [(fault.path, fault.message) for fault in found],
            [
                (("spec", "ports", 3, "port", "name"), 'the name "a" is taken by spec.ports[0].port.name'),
                (("spec", "ports", 5, "port", "name"), 'the name "a" is taken by spec.ports[0].port.name'),
            ],
        )
