"""Tests of what the documentation says things cost: README, table and plot are those of the figures beside them."""

from __future__ import annotations

import json
import re
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from benchmarks.figures import BARS, compare, medians
from benchmarks.plot import PANELS
from benchmarks.readme import with_summary
from benchmarks.table import machine_text, number
from tests.support import IMPORT_ROOT

FOLDER = IMPORT_ROOT / "docs" / "benchmarks"


def published(name: str) -> str:
    """A file of the documentation."""
    if not FOLDER.exists():
        raise SkipTest("this test is not run from a checkout")
    return (FOLDER / name).read_text(encoding="utf-8")


class PublishedTests(SynchronousTestCase):
    """The last run that was published."""

    def results(self) -> dict[str, Any]:
        """Its figures."""
        results: dict[str, Any] = json.loads(published("results.json"))
        return results

    def test_it_is_complete(self) -> None:
        """Every bar can be told, met or not, and nothing failed."""
        results = self.results()
        self.assertEqual([one.bar for one in compare(results)], list(BARS))
        self.assertEqual(results["faults"], {})

    def test_the_readme_says_the_same(self) -> None:
        """The summary is the one that these figures make; ``make bench`` writes it."""
        text = Path(IMPORT_ROOT, "README.md").read_text(encoding="utf-8")
        self.assertEqual(with_summary(text, self.results()), text)

    def test_the_plot_says_the_same(self) -> None:
        """Each of its bars is labelled with the median of these figures, and machine and versions are named."""
        results = self.results()
        texts = [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", published("results.svg"))]
        labels = [
            number(medians(samples)[field]) for key, field, _ in PANELS for samples in results["figures"][key].values()
        ]
        self.assertEqual(Counter(labels) - Counter(texts), Counter())
        self.assertIn(machine_text(results), " ".join(texts))
