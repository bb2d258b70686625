"""
Compare two commits: install each as a user would, compiled and in an environment of its own, and measure both in pairs.
With ``--metrics``, the second of each pair counts for metrics, and is asked for them each second.

Two runs differ by more than most changes do. So both samples of a pair are taken within a minute and from fresh
processes, and every other pair begins with the other commit; the spread of the pairs' ratios shows how much the ratio
of the medians is worth. Both run with one worker, and only the processes that carry connections are measured: the
commits may have different layouts and models of processes. Run it as ``python -m benchmarks.pairs --before COMMIT
--work a,c --pairs 9``. With ``--json FILE`` it goes on from the pairs in that file, and keeps each new one there, so
that a long comparison can be made in parts. With ``--instructions`` valgrind counts what the worker does outside the
kernel: that differs by a percent from run to run even where others use the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from benchmarks.bench import FLUSH_TIME, QUICK, Amounts, Bench, Rounds
from benchmarks.figures import FIGURES
from benchmarks.gateways import Choice, prepare, started
from benchmarks.machine import describe, versions
from benchmarks.processes import BUILD, ROOT, BenchmarkError, Load, Server, backend, build, free_port, pin
from benchmarks.table import Row, aligned, number
from benchmarks.works import WORKS, done, megabytes

BEFORE, AFTER = "before", "after"

POSSIBLE = ("a", "c", "d", "e")
"""The works that measure one gateway with one route."""

COUNTED: dict[str, tuple[str, Callable[[Mapping[str, Any]], float], dict[str, int]]] = {
    "connection_full": ("connections", done, {"count": 1_000, "concurrent": 16}),
    "round_trip_full": ("round-trips", done, {"count": 5_000, "concurrent": 16}),
    "download": ("download", megabytes, {"concurrent": 4, "bytes": 25_000_000}),
    "upload": ("upload", megabytes, {"concurrent": 4, "bytes": 25_000_000}),
}
"""The load for each figure whose instructions are counted: its mode, its units in a report, and its amount."""

CALLGRIND = """#!/bin/sh
exec valgrind --quiet --tool=callgrind --trace-children=yes --instr-atstart=no \\
    --callgrind-out-file={folder}/counts.%p {python} {twistd} "$@"
"""

Costs = dict[str, list[list[float]]]
"""The costs before and after of each pair, by the key of the figure."""


@dataclass(frozen=True, slots=True)
class PairBench(Bench):
    """
    A bench whose subjects are installations.

    :ivar programs: the ``twistd`` of each subject.
    :ivar metrics: have :data:`AFTER` serve metrics, and ask for them each second.
    :ivar counting: run them so that their instructions can be counted.
    """

    programs: Mapping[str, Path]
    metrics: bool = False
    counting: bool = False

    @contextlib.contextmanager
    def subject(self, name: str) -> Iterator[Server]:
        """Run one of the installations, with one route, until the block ends."""
        with self.folder() as folder:
            port, metrics = free_port(), free_port() if self.metrics and name == AFTER else 0
            prepare(folder, port, self.backend, replace(self.choice, metrics=metrics))
            clean = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "1"}
            program = self.programs[name]
            if self.counting:
                python, twistd, program = program.with_name("python"), program, folder / "counting"
                program.write_text(CALLGRIND.format(folder=folder, python=python, twistd=twistd))
                program.chmod(0o755)
            with started(name, program, folder, port, clean) as server, scraped(metrics):
                pin(server, self.cpus)
                yield server


@contextlib.contextmanager
def scraped(port: int) -> Iterator[None]:
    """
    Ask for the metrics each second until the block ends.

    :param port: their port; 0 for nothing.
    :raises BenchmarkError: if a request fails.
    """
    if not port:
        yield
        return
    over = threading.Event()
    failures: list[Exception] = []

    def scrape() -> None:
        while not over.wait(1.0):
            try:
                with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    answer.read()
            except OSError as error:
                failures.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise BenchmarkError(f"the metrics could not be read: {failures[0]}")


def commit_of(name: str) -> str:
    """
    The full name of a commit.

    :raises BenchmarkError: if there is no such commit.
    """
    return _run(["git", "-C", ROOT, "rev-parse", "--verify", f"{name}^{{commit}}"]).decode().strip()


def installed(commit: str) -> Path:
    """
    The ``twistd`` of an environment in which a commit is installed, compiled. It is made if it does not exist yet.

    :raises BenchmarkError: if the installation fails.
    """
    folder = BUILD / "pairs" / commit
    done, programs = folder / "installed", folder / "bin"
    if not done.exists():
        print(f"installing {commit[:10]} ...", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        source = f"git+{ROOT.as_uri()}@{commit}"
        _run([programs / "pip", "install", "--quiet", source], {"MESHGATE_COMPILE": "1"})
        done.touch()
    return programs / "twistd"


def _run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> bytes:
    made = subprocess.run(
        [str(each) for each in command], env={**os.environ, **(environment or {})}, capture_output=True, check=False
    )
    if made.returncode:
        raise BenchmarkError(f"{' '.join(map(str, command))}:\n{made.stderr.decode(errors='replace')}")
    return made.stdout


def counted(bench: PairBench, letter: str) -> dict[str, Rounds]:
    """Count the worker's instructions outside the kernel for each unit of work, of one subject after the other."""
    found: dict[str, Rounds] = {}
    for name in bench.subjects:
        with bench.subject(name) as server:
            for key, (mode, units, amount) in COUNTED.items():
                if FIGURES[key].work == letter:
                    _instructions(server, mode, units, **amount)  # a first round, to warm up
                    rounds = found.setdefault(key, {})
                    rounds[name] = [{"cost": _instructions(server, mode, units, **amount)}]
    return found


def _instructions(server: Server, mode: str, units: Callable[[Mapping[str, Any]], float], **amount: int) -> float:
    (pid,) = server.carriers()
    with Load(mode, server.port, **amount) as load:
        load.prepare()
        time.sleep(FLUSH_TIME)
        for action in ("--instr=on", "--zero"):
            _run(["callgrind_control", action, str(pid)])
        report = load.work()
        time.sleep(FLUSH_TIME)
        for action in ("--dump", "--instr=off"):
            _run(["callgrind_control", action, str(pid)])
    dumps = sorted(server.folder.glob(f"counts.{pid}.*"), key=lambda file: int(file.suffix[1:]))
    return instructions_in(dumps[-1].read_text()) / units(report)


def instructions_in(dump: str) -> int:
    """
    The instructions in a dump of callgrind.

    :raises BenchmarkError: if it does not say.
    """
    found = re.search(r"(?m)^(?:summary|totals): (\d+)", dump)
    if found is None:
        raise BenchmarkError("callgrind has counted nothing")
    return int(found[1])


def measured_pairs(
    bench: PairBench, works: Sequence[str], pairs: int, costs: Costs, keep: Callable[[], object] = lambda: None
) -> None:
    """
    Measure the costs of all figures of some works, pair by pair, until each has so many.

    :param costs: those that there are; the new ones are added.
    :param keep: called when costs were added.
    """
    for pair in range(pairs):
        order = (BEFORE, AFTER) if pair % 2 == 0 else (AFTER, BEFORE)
        for letter in works:
            if min((len(each) for key, each in costs.items() if FIGURES[key].work == letter), default=0) > pair:
                continue
            print(f"work {letter}, pair {pair + 1} of {pairs} ...", file=sys.stderr, flush=True)
            work = partial(counted, letter=letter) if bench.counting else WORKS[letter]
            for key, rounds in work(replace(bench, subjects=order)).items():
                costs.setdefault(key, []).append([rounds[name][0]["cost"] for name in (BEFORE, AFTER)])
            keep()


def earlier(file: Path, run: Mapping[str, Any]) -> Costs:
    """
    The costs that a file has from earlier parts of a run.

    :param run: what has to be the same.
    :raises BenchmarkError: if the file is of another run.
    """
    if not file.exists():
        return {}
    found = json.loads(file.read_text())
    if different := [name for name, value in run.items() if found.get(name) != value]:
        raise BenchmarkError(f"{file} is of another run: {', '.join(different)}")
    costs: Costs = found["costs"]
    return costs


def rows(costs: Mapping[str, Sequence[Sequence[float]]], metrics: bool = False, counts: bool = False) -> Iterator[Row]:
    """
    The rows of the table, one for each figure, the heading first.

    :param metrics: the second of each pair serves metrics.
    :param counts: the costs are instructions.
    """
    before_and_after = ("Without metrics", "With metrics") if metrics else ("Before", "After")
    yield ("Work", "What", *before_and_after, "Ratio of medians", "Pairs", "Their ratios", "Median of them")
    for key, pairs in costs.items():
        figure = FIGURES[key]
        before, after = (median(values) for values in zip(*pairs, strict=True))
        ratios = sorted(second / first for first, second in pairs)
        unit = figure.unit.replace("µs CPU", "instructions") if counts else figure.unit
        yield (
            figure.work,
            figure.title,
            f"{number(before)} {unit}",
            f"{number(after)} {unit}",
            f"{after / before:.3f}",
            str(len(pairs)),
            f"{ratios[0]:.3f} to {ratios[-1]:.3f}",
            f"{median(ratios):.3f}",
        )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the program if it is wrong."""
    parser = argparse.ArgumentParser("python -m benchmarks.pairs", description=__doc__)
    parser.add_argument("--before", required=True, metavar="COMMIT", help="the commit to compare with")
    parser.add_argument(
        "--after", default="HEAD", metavar="COMMIT", help="the commit to compare (default: %(default)s)"
    )
    parser.add_argument(
        "--work", default="a,c", help=f"the works to run, of {','.join(POSSIBLE)} (default: %(default)s)"
    )
    parser.add_argument("--pairs", type=int, default=9, help="the number of pairs (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="do a little of everything, as a check that it works")
    parser.add_argument("--transport", choices=("lean", "twisted"), help="meshgate's setting of that name")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="the form of the access log")
    parser.add_argument(
        "--metrics", action="store_true", help="have the second of each pair serve metrics, and read them each second"
    )
    parser.add_argument(
        "--instructions", action="store_true", help="count the worker's instructions outside the kernel, by valgrind"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="go on from the pairs in a file, and keep all there")
    options = parser.parse_args(arguments)
    options.work = options.work.split(",")
    if unknown := set(options.work) - set(POSSIBLE):
        parser.error(f"{', '.join(sorted(unknown))}: not among {', '.join(POSSIBLE)}")
    if options.pairs < 1:
        parser.error("--pairs has to be at least 1")
    return options


def main() -> int:
    """Run it; gives the exit status."""
    options = read_options(sys.argv[1:])
    # A terminated run ends its gateways as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    amounts = replace(QUICK if options.quick else Amounts(), rounds=1)
    cpus = frozenset(os.sched_getaffinity(0))
    pinned = frozenset({min(cpus)})
    try:
        build(interpreted=True)
        commits = {BEFORE: commit_of(options.before), AFTER: commit_of(options.after)}
        run = {**commits, "machine": describe(), "log_format": options.log_format, "metrics": options.metrics}
        run |= {
            "quick": options.quick,
            "instructions": options.instructions,
            "transport": options.transport or "default",
        }
        costs = earlier(options.json, run) if options.json else {}
        run |= {"versions": versions(()), "date": datetime.now(UTC).date().isoformat(), "costs": costs}
        programs = {name: installed(commit) for name, commit in commits.items()}
        os.sched_setaffinity(0, cpus - pinned or cpus)  # inherited by all that is started
        with backend() as port:
            choice = Choice(options.transport, log_format=options.log_format)
            bench = PairBench(port, (), amounts, choice, pinned, programs, options.metrics, options.instructions)
            measured_pairs(
                bench,
                options.work,
                options.pairs,
                costs,
                lambda: options.json and options.json.write_text(json.dumps(run, indent=1) + "\n"),
            )
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    names = ", ".join(f"{name} {commit[:10]}" for name, commit in commits.items())
    print(f"{names}; one worker, {options.log_format} log, one processor for the gateway")
    print("\n".join(aligned(list(rows(costs, options.metrics, options.instructions)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
