"""
Two commits side by side: each is installed as a user would, compiled and in an environment of its own, and the same
work is put through both, one after the other, pair by pair.

A run differs from the next by more than most changes do. So a pair is what was measured within a minute, its processes
are fresh, and every other pair begins with the other commit; the spread of the pairs' ratios tells what the ratio of
the medians is worth. Run it as ``python -m benchmarks.pairs --before COMMIT --work a,c --pairs 9``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from statistics import median

from benchmarks.bench import QUICK, Amounts, Bench
from benchmarks.figures import FIGURES
from benchmarks.gateways import Choice, prepare
from benchmarks.processes import BUILD, ROOT, BenchmarkError, Server, backend, build, free_port, place, proxy
from benchmarks.table import Row, aligned, number
from benchmarks.works import WORKS

BEFORE, AFTER = "before", "after"

POSSIBLE = ("a", "c", "d", "e")
"""The works that are about one gateway with one route."""

Costs = Mapping[str, Sequence[tuple[float, float]]]
"""By the key of a figure what each pair gave: before and after."""


@dataclass(frozen=True, slots=True)
class PairBench(Bench):
    """
    A bench whose subjects are installations.

    :ivar programs: the ``twistd`` of each subject.
    """

    programs: Mapping[str, Path]

    @contextlib.contextmanager
    def subject(self, name: str) -> Iterator[Server]:
        """Run one of them, with one route, until the block ends."""
        with self.folder() as folder:
            port = free_port()
            prepare(folder, port, self.backend, self.choice)
            command: list[str | Path] = [
                self.programs[name],
                "-n",
                "--pidfile=",
                "meshgate",
                "--config",
                folder / "meshgate.yaml",
            ]
            with proxy(name, command, folder, port, {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}) as server:
                place(server, self.cpus)
                yield server


def commit_of(name: str) -> str:
    """
    The full name of a commit.

    :raises BenchmarkError: when there is no such commit.
    """
    return _run(["git", "-C", ROOT, "rev-parse", "--verify", f"{name}^{{commit}}"]).decode().strip()


def installed(commit: str) -> Path:
    """
    The ``twistd`` of an environment that a commit is installed in, compiled; made where it is not there yet.

    :raises BenchmarkError: when it cannot be.
    """
    folder = BUILD / "pairs" / commit
    done, programs = folder / "installed", folder / "bin"
    if not done.exists():
        print(f"installing {commit[:10]} ...", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        with tempfile.TemporaryDirectory() as sources:
            with tarfile.open(fileobj=BytesIO(_run(["git", "-C", ROOT, "archive", commit]))) as archive:
                archive.extractall(sources, filter="data")
            _run([programs / "pip", "install", "--quiet", sources], {"MESHGATE_COMPILE": "1"})
        done.touch()
    return programs / "twistd"


def _run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> bytes:
    made = subprocess.run(
        [str(each) for each in command], env={**os.environ, **(environment or {})}, capture_output=True, check=False
    )
    if made.returncode:
        raise BenchmarkError(f"{' '.join(map(str, command))}:\n{made.stderr.decode(errors='replace')}")
    return made.stdout


def measured_pairs(bench: PairBench, works: Sequence[str], pairs: int) -> Costs:
    """The costs of all figures of some works, pair by pair."""
    costs: dict[str, list[tuple[float, float]]] = {}
    for pair in range(pairs):
        print(f"pair {pair + 1} of {pairs} ...", file=sys.stderr, flush=True)
        order = (BEFORE, AFTER) if pair % 2 == 0 else (AFTER, BEFORE)
        for letter in works:
            for key, rounds in WORKS[letter](replace(bench, subjects=order)).items():
                before, after = (rounds[name][0]["cost"] for name in (BEFORE, AFTER))
                costs.setdefault(key, []).append((before, after))
    return costs


def rows(costs: Costs) -> Iterator[Row]:
    """What pairs tell of each figure, the heading first."""
    yield ("Work", "What", "Before", "After", "Ratio of medians", "Ratios of the pairs", "Their median")
    for key, pairs in costs.items():
        figure = FIGURES[key]
        before, after = (median(values) for values in zip(*pairs, strict=True))
        ratios = sorted(second / first for first, second in pairs)
        yield (
            figure.work,
            figure.title,
            f"{number(before)} {figure.unit}",
            f"{number(after)} {figure.unit}",
            f"{after / before:.3f}",
            f"{ratios[0]:.3f} to {ratios[-1]:.3f}",
            f"{median(ratios):.3f}",
        )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the program when it cannot be used."""
    parser = argparse.ArgumentParser("python -m benchmarks.pairs", description=__doc__)
    parser.add_argument("--before", required=True, metavar="COMMIT", help="what is compared with")
    parser.add_argument("--after", default="HEAD", metavar="COMMIT", help="what is compared (default: %(default)s)")
    parser.add_argument("--work", default="a,c", help=f"which works of {','.join(POSSIBLE)} (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=9, help="how many pairs (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="do little of everything, to see that it works")
    parser.add_argument("--transport", choices=("lean", "twisted"), help="meshgate's setting of that name")
    options = parser.parse_args(arguments)
    options.work = options.work.split(",")
    if unknown := set(options.work) - set(POSSIBLE):
        parser.error(f"{', '.join(sorted(unknown))}: not among {', '.join(POSSIBLE)}")
    if options.pairs < 1:
        parser.error("there has to be a pair")
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
        programs = {name: installed(commit) for name, commit in commits.items()}
        os.sched_setaffinity(0, cpus - pinned or cpus)  # what is started inherits it
        with backend() as port:
            bench = PairBench(port, (), amounts, Choice(options.transport), pinned, programs)
            costs = measured_pairs(bench, options.work, options.pairs)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    told = ", ".join(f"{name} {commit[:10]}" for name, commit in commits.items())
    print(f"{told}; {options.pairs} pairs, one processor for the gateway")
    print("\n".join(aligned(list(rows(costs)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
