"""Tests of :mod:`benchmarks.pairs`, but for the installation of commits, which takes minutes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import pairs
from benchmarks.bench import QUICK
from benchmarks.figures import FIGURES
from benchmarks.gateways import Choice
from benchmarks.pairs import (
    AFTER,
    BEFORE,
    Costs,
    PairBench,
    counted,
    earlier,
    instructions_in,
    measured_pairs,
    read_options,
    rows,
)
from benchmarks.processes import BenchmarkError, Server
from benchmarks.table import aligned


class PairsTests(SynchronousTestCase):
    """The table of the pairs, and the order of the subjects."""

    def test_rows(self) -> None:
        """The medians, their ratio, and the spread and median of the pairs' ratios."""
        table = list(rows({"connection": [(100.0, 102.0), (110.0, 110.0), (90.0, 99.0)]}))
        self.assertEqual(
            table[1],
            (
                "a",
                "A connection by server name",
                "100 µs CPU",
                "102 µs CPU",
                "1.020",
                "3",
                "1.000 to 1.100",
                "1.020",
            ),
        )
        self.assertEqual(len(list(aligned(table))), 2)

    def test_order(self) -> None:
        """Every other pair begins with the other commit, and each sample stays with its own."""
        began: list[Sequence[str]] = []

        def work(bench: PairBench) -> Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]:
            began.append(bench.subjects)
            found = {name: [{"cost": 1.0 if name == BEFORE else 2.0}] for name in bench.subjects}
            return {"connection": found, "connection_full": found}

        self.patch(pairs, "WORKS", {"a": work})
        bench = PairBench(1, (), QUICK, Choice(), frozenset({0}), {})
        costs: Costs = {}
        measured_pairs(bench, ["a"], 3, costs)
        self.assertEqual(costs, {key: [[1.0, 2.0]] * 3 for key in ("connection", "connection_full")})
        self.assertEqual(began, [(BEFORE, AFTER), (AFTER, BEFORE), (BEFORE, AFTER)])

    def test_parts(self) -> None:
        """A run goes on from what a file has, keeps each pair, and refuses the file of another run."""
        began: list[Sequence[str]] = []

        def work(bench: PairBench) -> Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]:
            began.append(bench.subjects)
            return {"download": {key: [{"cost": 1.0}] for key in bench.subjects}}

        self.patch(pairs, "FIGURES", {"download": FIGURES["download"]})
        self.patch(pairs, "WORKS", {"d": work})
        file, run = Path(self.mktemp()), {"before": "1234", "metrics": True}
        self.assertEqual(earlier(file, run), {})
        file.write_text(json.dumps({**run, "costs": {"download": [[3.0, 4.0]]}}))
        costs, kept = earlier(file, run), list[int]()
        bench = PairBench(1, (), QUICK, Choice(), frozenset({0}), {})
        measured_pairs(bench, ["d"], 3, costs, lambda: kept.append(len(costs["download"])))
        self.assertEqual((costs["download"], kept), ([[3.0, 4.0], [1.0, 1.0], [1.0, 1.0]], [2, 3]))
        self.assertEqual(began, [(AFTER, BEFORE), (BEFORE, AFTER)])
        error = self.assertRaises(BenchmarkError, earlier, file, {**run, "metrics": False})
        self.assertIn("of another run: metrics", str(error))

    def test_each_runs_its_own(self) -> None:
        """A subject is the program of its installation, and nothing of this checkout is on its path."""
        ran: list[tuple[str, Path, Mapping[str, str]]] = []

        @contextmanager
        def started(
            name: str, twistd: Path, folder: Path, port: int, environment: Mapping[str, str]
        ) -> Iterator[Server]:
            ran.append((name, twistd, environment))
            yield Server(name, 0, port, folder)

        self.patch(pairs, "started", started)
        self.patch(pairs, "pin", lambda server, cpus: None)
        programs = {BEFORE: Path("/old/twistd"), AFTER: Path("/new/twistd")}
        with PairBench(1, (BEFORE, AFTER), QUICK, Choice(), frozenset({0}), programs).all_subjects() as servers:
            self.assertEqual(set(servers), {BEFORE, AFTER})
        self.assertEqual([(name, program) for name, program, _ in ran], list(programs.items()))
        self.assertEqual({environment["PYTHONPATH"] for _, _, environment in ran}, {""})

    def test_instructions(self) -> None:
        """The newest dump counts, by unit of work, and with each of them both subjects; the table calls them so."""
        self.assertEqual(instructions_in("version: 1\nevents: Ir\nsummary: 4711\n\nfn=(1)\ntotals: 4711\n"), 4711)
        self.assertRaises(BenchmarkError, instructions_in, "events: Ir\n")
        asked: list[tuple[str, str]] = []

        @contextmanager
        def started(name: str, twistd: Path, *_: object) -> Iterator[Server]:
            self.assertRegex(" ".join(twistd.read_text().split()), f"callgrind.* /{name}/python /{name}/twistd")
            yield Server(name, 0, 1, twistd.parent)

        def instructions(server: Server, mode: str, *_: object, **amount: int) -> float:
            asked.append((server.name, mode))
            return 2.0

        self.patch(pairs, "started", started)
        self.patch(pairs, "pin", lambda server, cpus: None)
        self.patch(pairs, "_instructions", instructions)
        programs = {AFTER: Path(f"/{AFTER}/twistd")}
        bench = PairBench(1, (AFTER,), QUICK, Choice(), frozenset({0}), programs, counting=True)
        self.assertEqual(counted(bench, "d"), {key: {AFTER: [{"cost": 2.0}]} for key in ("download", "upload")})
        self.assertEqual(asked, [(AFTER, mode) for mode in ("download", "download", "upload", "upload")])
        (_, row) = rows({"download": [(3.0, 4.0)]}, counts=True)
        self.assertEqual(row[2], "3.00 instructions per MB")

    def test_options(self) -> None:
        """Works are chosen by their letters; a commit has to be named, and to exist."""
        options = read_options(["--before", "v1", "--work", "c"])
        self.assertEqual((options.before, options.after, options.work, options.pairs), ("v1", "HEAD", ["c"], 9))
        for arguments in ([], ["--before", "v1", "--work", "g"], ["--before", "v1", "--pairs", "0"]):
            self.assertRaises(SystemExit, read_options, arguments)
        self.assertRaises(BenchmarkError, pairs.commit_of, "no-such-commit")
