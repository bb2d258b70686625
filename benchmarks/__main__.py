"""Compare meshgate with other proxies: run the chosen works, print the tables, and write the figures and a plot."""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bench import QUICK, Amounts, Bench
from benchmarks.figures import GATEWAYS
from benchmarks.gateways import Choice
from benchmarks.machine import describe, missing, revision, versions
from benchmarks.peers import PEERS
from benchmarks.plot import draw
from benchmarks.processes import BUILD, BenchmarkError, backend, build
from benchmarks.readme import around_summary, with_summary
from benchmarks.systemcalls import calls_of_all
from benchmarks.table import as_text
from benchmarks.works import WORKS

SUBJECTS = (*GATEWAYS, *PEERS)


def main() -> int:
    """Run it; gives the exit status."""
    options = read_options(sys.argv[1:])
    # A terminated run ends its proxies as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    lacking = list(missing(options.peers, options.strace, plot=options.output != BUILD))
    if lacking:
        print("This run needs programs that are not installed:", *lacking, sep="\n  ", file=sys.stderr)
        return 2
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    try:
        build()
        results = measure(options)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(as_text(results))
    if results["faults"]:
        write(results, BUILD)  # the published figures stay
        return 1
    write(results, options.output)
    if options.readme is not None:
        options.readme.write_text(with_summary(options.readme.read_text(), results))
    return 0


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the program if it is wrong."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--work", type=_several(tuple(WORKS)), help="the works to run, as a,c (default: all that are possible)"
    )
    parser.add_argument(
        "--peers",
        type=_several(SUBJECTS),
        default=list(SUBJECTS),
        help="the proxies, as meshgate,envoy (default: all)",
    )
    parser.add_argument("--rounds", type=int, help="the number of rounds (default: 5, or 3 for a quick run)")
    parser.add_argument("--quick", action="store_true", help="do a little of everything, as a check that it works")
    parser.add_argument("--transport", choices=("lean", "twisted"), help="meshgate's setting of that name")
    parser.add_argument(
        "--pin",
        action="store_true",
        help="keep proxies and load on different processors: figures vary less",
    )
    parser.add_argument("--strace", action="store_true", help="also count the system calls of a connection")
    parser.add_argument("--output", type=Path, default=BUILD, help="the folder for results.json and results.svg")
    parser.add_argument("--readme", type=Path, help="a file whose summary table is replaced")
    options = parser.parse_args(arguments)
    if options.work is None:
        options.work = [letter for letter in WORKS if letter != "g" or not options.pin]
    if options.pin and "g" in options.work:
        parser.error("work g needs two processors, and --pin leaves the proxies only one")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds has to be at least 1")
    if options.readme is not None:
        try:
            around_summary(options.readme.read_text())
        except (OSError, ValueError) as error:
            parser.error(f"{options.readme}: {error}")
    return options


def _several(known: Sequence[str]) -> Any:
    def several(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not among {', '.join(known)}")
        return [name for name in known if name in chosen]

    return several


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The results of a run."""
    amounts = QUICK if options.quick else Amounts()
    if options.rounds is not None:
        amounts = replace(amounts, rounds=options.rounds)
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "revision": revision(),
        "machine": describe(),
        "versions": versions(options.peers),
        "rounds": amounts.rounds,
        "quick": options.quick,
        "transport": options.transport or "default",
        "pinned": options.pin,
        "figures": {},
        "faults": {},
    }
    cpus = frozenset(os.sched_getaffinity(0))
    proxy_cpus = frozenset({min(cpus)}) if options.pin else cpus
    os.sched_setaffinity(0, cpus - proxy_cpus or cpus)  # inherited by all that is started
    with backend() as port:
        bench = Bench(port, options.peers, amounts, Choice(options.transport), proxy_cpus)
        for letter in options.work:
            print(f"work {letter} ...", file=sys.stderr, flush=True)
            try:
                results["figures"] |= WORKS[letter](bench)
            except BenchmarkError as error:
                print(f"work {letter}: {error}", file=sys.stderr)
                results["faults"][letter] = str(error)
        if options.strace:
            print("system calls ...", file=sys.stderr, flush=True)
            results["system_calls"] = calls_of_all(bench)
    return results


def write(results: dict[str, Any], folder: Path) -> None:
    """Write the figures and their plot."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    try:
        draw(results, folder / "results.svg")
    except ImportError:
        print("No plot is drawn, since matplotlib is not installed (pip install '.[bench]').", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
