"""Tests of the published figures: README, table and plot agree with them."""

from __future__ import annotations

import json
import re
from collections import Counter
from html import unescape
from itertools import combinations
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from benchmarks.figures import BARS, FIGURES, compare, medians
from benchmarks.plot import COLORS, PANELS, chart
from benchmarks.processes import ROOT
from benchmarks.readme import with_summary
from benchmarks.table import machine_text, number

FOLDER = ROOT / "docs" / "benchmarks"


class PublishedTests(SynchronousTestCase):
    """The last run that was published."""

    def results(self) -> dict[str, Any]:
        """Its figures."""
        results: dict[str, Any] = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
        return results

    def test_it_is_complete(self) -> None:
        """Every figure was measured, and nothing failed; every bar is met or not, if its proxies were in the run."""
        results = self.results()
        self.assertEqual(results["figures"].keys(), FIGURES.keys())
        self.assertEqual(results["faults"], {})
        measured = {subject for series in results["figures"].values() for subject in series} | {""}
        bars = [bar for bar in BARS if {bar.subject, bar.against} <= measured]
        self.assertEqual([one.bar for one in compare(results)], bars)

    def test_the_soak_of_the_metrics(self) -> None:
        """The soak of the metrics has been run in full, and was within its limits."""
        soak = json.loads((FOLDER / "metrics_soak.json").read_text(encoding="utf-8"))
        self.assertLessEqual(soak["answer_ms"] * min(1, 10_000 / soak["lines"]), 300)
        self.assertEqual((soak["live_names"], soak["counted_names"]), (20_000, 1_000_000))
        self.assertEqual((soak["live_lines"], soak["counted_series"]), (0, 0))

    def test_the_readme_says_the_same(self) -> None:
        """The summary is made from these figures, by ``make bench``."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        self.assertEqual(with_summary(text, self.results()), text)

    def test_the_plot_says_the_same(self) -> None:
        """Each of its bars is labelled with the median of these figures, and machine and versions are named."""
        results = self.results()
        plot = (FOLDER / "results.svg").read_text(encoding="utf-8")
        texts = [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", plot)]
        labels = [
            number(medians(samples)[field]) for key, field, _ in PANELS for samples in results["figures"][key].values()
        ]
        self.assertEqual(Counter(labels) - Counter(texts), Counter())
        self.assertIn(machine_text(results), " ".join(texts))

    def test_labels_of_the_plot_do_not_overlap(self) -> None:
        """Neither in the published plot nor in one with every proxy and long versions."""
        try:
            import matplotlib as mpl
        except ImportError:
            raise SkipTest("matplotlib is not installed") from None
        mpl.use("agg")
        published = self.results()
        samples = published["figures"]["download"]["meshgate"]
        everything = {key: dict.fromkeys(COLORS, samples) for key, _, _ in PANELS}
        versions = {f"{name} with a suffix": "1.2.3" for name in [*COLORS, *published["versions"]]}
        for results in (published, {**published, "figures": everything, "versions": versions}):
            figure = chart(results)
            figure.canvas.draw()
            hidden = {label for axis in figure.axes for label in axis.xaxis.findobj(mpl.text.Text)}
            texts = [each for each in figure.findobj(mpl.text.Text) if each.get_text() and each not in hidden]
            shown = [(each.get_text(), each.get_window_extent()) for each in texts if each.get_visible()]
            self.assertIn("sniproxy", dict(shown))
            for (text, box), (other, other_box) in combinations(shown, 2):
                self.assertFalse(box.overlaps(other_box), f"{text!r} over {other!r}")
            for text, box in shown:
                self.assertTrue(figure.bbox.padded(1).containsx(box.x1), text)
