"""The comparison: run the works chosen, print the tables, and write the figures and a plot of them."""

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
from benchmarks.machine import describe, missing, revision, settings_know, versions
from benchmarks.peers import PEERS
from benchmarks.plot import draw
from benchmarks.processes import BUILD, BenchmarkError, backend, build
from benchmarks.readme import around_summary, with_summary
from benchmarks.systemcalls import calls_of_all
from benchmarks.table import as_text
from benchmarks.works import WORKS

SUBJECTS = (*GATEWAYS, *PEERS)


def main() -> int:
    """Run; gives the exit status."""
    options = read_options(sys.argv[1:])
    # A terminated run ends its proxies as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    lacking = list(missing(options.peers, options.strace, plot=options.output != BUILD))
    if lacking:
        print("This run needs what is not installed:", *lacking, sep="\n  ", file=sys.stderr)
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
        write(results, BUILD)  # what is published stays what it was
        return 1
    write(results, options.output)
    if options.readme is not None:
        options.readme.write_text(with_summary(options.readme.read_text(), results))
    return 0


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the program when it cannot be used."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--work", type=_several(tuple(WORKS)), help="which works, as a,c; all that are possible but for this"
    )
    parser.add_argument(
        "--peers", type=_several(SUBJECTS), default=list(SUBJECTS), help="which proxies, as meshgate,nginx"
    )
    parser.add_argument("--rounds", type=int, help="how many rounds; 5, or 3 of a quick run, but for this")
    parser.add_argument("--quick", action="store_true", help="do little of everything, to see that it works")
    parser.add_argument("--transport", choices=("lean", "twisted"), help="meshgate's setting of that name")
    parser.add_argument(
        "--pin", action="store_true", help="all proxies on the first processor and the load on the others: varies less"
    )
    parser.add_argument("--strace", action="store_true", help="count the system calls of a connection too")
    parser.add_argument("--output", type=Path, default=BUILD, help="the folder for results.json and results.svg")
    parser.add_argument("--readme", type=Path, help="a file whose summary is to be replaced")
    options = parser.parse_args(arguments)
    if options.work is None:
        options.work = [letter for letter in WORKS if letter != "g" or (settings_know("workers") and not options.pin)]
    if options.pin and "g" in options.work:
        parser.error("work g needs more than one processor, and --pin leaves the proxies one")
    for key, chosen in (("workers", "g" in options.work), ("transport", options.transport)):
        if chosen and not settings_know(key):
            parser.error(f"meshgate's settings have no key {key} yet")
    if options.rounds is not None and options.rounds < 1:
        parser.error("there has to be a round")
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
    """All results of a run."""
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
    os.sched_setaffinity(0, cpus - proxy_cpus or cpus)  # what is started inherits it
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
        print("There is no plot: matplotlib is not installed (pip install '.[bench]').", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
