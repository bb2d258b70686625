"""Tests of :mod:`meshgate.resources.codes`."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import meshgate
from meshgate.resources.codes import CODES

ROOT = Path(meshgate.__file__).parent


class CodeTests(SynchronousTestCase):
    """Every code has its line in the reference, and every line its code."""

    def test_used_and_explained(self) -> None:
        """The codes in the sources are those of the table."""
        table = ROOT / "resources" / "codes.py"
        used = {
            code
            for file in ROOT.rglob("*.py")
            if file != table
            for code in re.findall(r"\"(MG\d{4})\"", file.read_text(encoding="utf-8"))
        }
        self.assertEqual(used, set(CODES))
