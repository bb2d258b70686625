"""Tests of :mod:`benchmarks.figures` and :mod:`benchmarks.table`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.bench import alternate
from benchmarks.figures import BARS, FIGURES, compare, medians
from benchmarks.table import as_rst, as_text, bar_rows, call_rows, figure_rows, number, summary_rows
from benchmarks.works import WORKS


def rounds(*costs: float) -> list[dict[str, float]]:
    """The samples of one subject."""
    return [{"cost": cost, "user": cost / 2, "per_second": 1000.0} for cost in costs]


RESULTS: dict[str, Any] = {
    "figures": {
        "connection": {"meshgate": rounds(100, 300, 110), "nginx": rounds(100, 90, 100)},
        "round_trip": {"meshgate": rounds(20)},
        "spread": {"2 workers": [{"cost": 1.6}]},
    },
    "system_calls": {"meshgate": {"recvfrom": 4.0, "close": 2.0}, "nginx": {"recvfrom": 4.0, "getpid": 0.001}},
}


class FiguresTests(SynchronousTestCase):
    """Figures and bars."""

    def test_they_fit_each_other(self) -> None:
        """Every bar is about a figure, every figure belongs to a work, and every aim is within its bar."""
        self.assertLessEqual({bar.figure for bar in BARS}, FIGURES.keys())
        self.assertEqual({figure.work for figure in FIGURES.values()}, WORKS.keys())
        self.assertTrue(all(bar.aim <= bar.most for bar in BARS))

    def test_medians(self) -> None:
        """One extreme round does not count."""
        self.assertEqual(medians(rounds(100, 300, 110)), {"cost": 110, "user": 55, "per_second": 1000})

    def test_comparison(self) -> None:
        """A bar is compared if both of its sides were measured, or if it needs only one."""
        found = [(one.bar.figure, round(one.ratio, 3), one.verdict) for one in compare(RESULTS)]
        self.assertEqual(found, [("connection", 1.1, "met"), ("spread", 1.6, "not met")])

    def test_aim(self) -> None:
        """A ratio within the aim has a verdict of its own."""
        figures = {"connection": {"meshgate": rounds(90), "nginx": rounds(100)}}
        self.assertEqual([one.verdict for one in compare({"figures": figures})], ["aim met"])

    def test_rounds_alternate(self) -> None:
        """Each subject has its turn before any has its next."""
        turns: list[str] = []

        def take(name: str) -> dict[str, float]:
            turns.append(name)
            return {"cost": float(len(turns))}

        samples = alternate({name: lambda name=name: take(name) for name in "ab"}, 2)  # type: ignore[misc]
        self.assertEqual("".join(turns), "abab")
        self.assertEqual(samples, {"a": [{"cost": 1.0}, {"cost": 3.0}], "b": [{"cost": 2.0}, {"cost": 4.0}]})


class TableTests(SynchronousTestCase):
    """The tables."""

    def test_figures(self) -> None:
        """Median, range, and the other numbers."""
        rows = list(figure_rows(RESULTS))
        self.assertEqual(
            rows[1],
            (
                "a",
                "A connection by server name",
                "meshgate",
                "110 µs CPU",
                "100 to 300",
                "55.0 of it in user space, 1,000 connections/s",
            ),
        )
        self.assertEqual(len(rows), 5)

    def test_bars(self) -> None:
        """The ratio stands beside its bar."""
        self.assertEqual(
            list(bar_rows(RESULTS))[1],
            ("a", "A connection by server name", "meshgate / nginx", "1.10", "1.10", "1.00", "met"),
        )

    def test_summary(self) -> None:
        """The costs of all measured proxies stand beside the ratio and its bar, and so does a ratio without a peer."""
        heading, connection, spread = summary_rows(RESULTS)
        self.assertEqual(heading, ("", "meshgate", "nginx", "Ratio", "interpreted", "To", "At most", ""))
        self.assertEqual(
            connection,
            ("A connection by server name, µs CPU", "110", "100", "1.10", "", "nginx", "1.10", "met"),
        )
        figures: Any = RESULTS["figures"]
        connections = {**figures["connection"], "interpreted": [{"cost": 150}]}
        both = {**RESULTS, "figures": {**figures, "connection": connections}}
        verdict = "met; interpreted: not met"
        self.assertEqual(list(summary_rows(both))[1][-5:], ("1.10", "1.50", "nginx", "1.10", verdict))
        self.assertEqual(spread[1:], ("1.60", "", "1.60", "", "", "1.50", "not met"))

    def test_summary_against_envoy(self) -> None:
        """With Envoy in the run, the table begins with the ratio to it; the JSON log has a row of its own."""
        figures: Any = {
            "connection": {
                "meshgate": rounds(100),
                "meshgate, JSON log": rounds(105),
                "envoy": rounds(200),
                "nginx": rounds(100),
            },
            "round_trip": {"meshgate": rounds(20), "envoy": rounds(40), "nginx": rounds(20)},
        }
        self.assertEqual(
            list(summary_rows({"figures": figures})),
            [
                ("", "Against Envoy", "meshgate", "envoy", "nginx", "Ratio", "interpreted", "To", "At most", ""),
                (
                    "A connection by server name, µs CPU",
                    *("**0.50**", "100", "200", "100", "1.00", "", "nginx", "1.10", "aim met"),
                ),
                (
                    "A connection by server name, JSON log, µs CPU",
                    *("**0.53**, not met", "105", "200", "100", "1.05", "", "nginx", "1.10", "met"),
                ),
                (
                    "A 64-byte round trip, µs CPU",
                    *("**0.50**", "20.0", "40.0", "20.0", "1.00", "", "nginx", "1.05", "met"),
                ),
            ],
        )

    def test_system_calls(self) -> None:
        """Frequent calls stand first; calls that hardly occur are left out; without counts there is no table."""
        self.assertEqual(
            list(call_rows(RESULTS)),
            [
                ("System calls of a connection", "meshgate", "nginx"),
                ("all", "6.0", "4.0"),
                ("recvfrom", "4.00", "4.00"),
                ("close", "2.00", ""),
            ],
        )
        self.assertEqual(list(call_rows({"figures": {}})), [])

    def test_forms(self) -> None:
        """Both forms hold all three tables."""
        self.assertEqual(as_text(RESULTS).count("\n\n"), 2)
        lines = list(as_rst(RESULTS))
        self.assertEqual(lines.count(".. list-table::"), 3)
        self.assertEqual([line for line in lines if "close" in line], ["   * - close"])

    def test_numbers(self) -> None:
        """Three significant digits."""
        self.assertEqual([number(value) for value in (1234.5, 99.96, 12.34, 1.234)], ["1,234", "100.0", "12.3", "1.23"])
