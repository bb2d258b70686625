"""Tests of :mod:`meshgate.resources.codes`."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import meshgate
from meshgate.resources.codes import CODES

ROOT = Path(meshgate.__file__).parent
OF_ISTIO = (
    *(101, 109, 112, 118, 128, 129, 130, 131, 132, 134, 138, 140, 145, 150),
    *(161, 162, 165, 173, 174, 177),
)
"""The numbers of Istio's messages about the kinds that are read."""


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

    def test_each_has_its_text(self) -> None:
        """Of every code some test, or golden text, has what is shown to people, word for word."""
        tests = Path(__file__).parent.parent
        shown = {
            code
            for file in (*tests.rglob("*.py"), *tests.glob("golden/*/*.txt"))
            for code in re.findall(r"(?:error|warning|info)\[(MG\d{4})\]: ", file.read_text(encoding="utf-8"))
        }
        self.assertEqual(set(CODES) - shown, set())

    def test_those_of_istio_have_one_of_ours(self) -> None:
        """The page about the analysis has a row for each message of Istio's analyzers about the kinds that are read."""
        page = (ROOT.parent / "docs" / "reference" / "analysis.rst").read_text(encoding="utf-8")
        rows = re.findall(r"^   \* - (IST.*)\n     - (.*)$", page, re.MULTILINE)
        ours = {code: re.findall(r"MG\d{4}", codes) for istio, codes in rows for code in istio.split(", ")}
        self.assertEqual(set(ours), {f"IST{number:04}" for number in OF_ISTIO})
        for code, codes in ours.items():
            self.assertTrue(codes and set(codes) <= set(CODES), code)

    def test_each_means_one_thing(self) -> None:
        """No code is in the table twice, and no two say the same."""
        table = (ROOT / "resources" / "codes.py").read_text(encoding="utf-8")
        written = re.findall(r"^    \"(MG\d{4})\":", table, re.MULTILINE)
        self.assertEqual(written, sorted(CODES))
        self.assertEqual(len(set(CODES.values())), len(CODES))
