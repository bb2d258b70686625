"""Tests of :mod:`meshgate.compiled`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate import compiled
from meshgate.compiled import compiled_text


class CompiledTests(SynchronousTestCase):
    """:func:`compiled_text`."""

    def test_all_some_and_none(self) -> None:
        """The parts are named where some are compiled."""
        for parts, expected in (
            (set[str](), "not compiled"),
            ({"meshgate.proxy.connection", "meshgate.proxy._line"}, "compiled in part (connections, log lines)"),
            (set(compiled._MODULES.values()), "compiled"),
        ):
            self.patch(compiled, "_is_compiled", parts.__contains__)
            self.assertEqual(compiled_text(), expected)

    def test_this_installation(self) -> None:
        """Whatever it is, it can be told."""
        self.assertIn("compiled", compiled_text())
