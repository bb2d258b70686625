"""
How long the steps are that a running gateway divides its work into while one of thousands of routes changes: what a
connection may have to wait for, at the worst.

Run from a checkout: ``python -m benchmarks.slices --routes 10000``. Uses loopback only, and ends by itself. Steps are
measured by the processor time of the reactor's thread, so that what else runs on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.scale import (
    DEADLINE,
    ENVIRONMENT,
    PAIR,
    SHARED,
    accepts,
    answers,
    client_hello,
    echo_server,
    free_port,
    pair,
    wait_until,
)

LIMIT = 0.005
"""Seconds that a step may take."""

SHAPES = {
    "pairs": "each VirtualService has a Gateway of its own, and one VirtualService changes with its Gateway",
    "one": "all VirtualServices belong to one Gateway for every name, and one VirtualService changes",
    "hosts": "all VirtualServices belong to one Gateway with all names, and that Gateway changes",
    "file": "all VirtualServices of one Gateway for every name are in one file, and one of them changes",
    "rules": "one VirtualService has all names, each in a rule of its own, and a rule changes",
    "block": "one VirtualService has all names in one match block, and a name changes",
}


class Measured:
    """
    Steps of work, each of them timed.

    :cvar times: seconds of processor time, of all steps so far.
    """

    times: ClassVar[list[float]] = []

    def __init__(self, steps: Iterator[None]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[None]:
        return self

    def __next__(self) -> None:
        begin = time.thread_time()
        try:
            return next(self._steps)
        finally:
            self.times.append(time.thread_time() - begin)


def main() -> None:
    """Measure, and print the figures of each shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=10_000, help="how many VirtualServices")
    parser.add_argument("--changes", type=int, default=60, help="how many changes")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds from one change to the next")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="all of them if left out")
    parser.add_argument("--serve", nargs=2, metavar=("SETTINGS", "FIGURES"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(*chosen.serve)
        return
    for shape in chosen.shape or SHAPES:
        folder = Path(tempfile.mkdtemp(prefix="meshgate-slices-"))
        try:
            times = sorted(measure(folder, shape, chosen.routes, chosen.changes, chosen.pause))
            tables = json.loads((folder / "state" / "status.json").read_text())["generation"] - 1
        finally:
            shutil.rmtree(folder)
        long = sum(each > LIMIT for each in times)
        print(f"{shape}: {SHAPES[shape]}")
        print(f"  {tables} tables, made in {len(times)} steps")
        print(f"  {long} of them over {1000 * LIMIT:.0f} ms, the longest {1000 * times[-1]:.1f} ms")


def measure(folder: Path, shape: str, count: int, changes: int, pause: float) -> list[float]:
    """The seconds that each step took while routes changed."""
    figures = folder / "steps.json"
    routes = folder / "routes"
    routes.mkdir()
    with echo_server() as backend:
        plain, tls = free_port(), free_port()
        (routes / "shared.yaml").write_text(SHARED.format(backend=backend, plain=plain))
        for name, text in files(shape, count, tls):
            (routes / name).write_text(text)
        settings = folder / "meshgate.yaml"
        settings.write_text(
            "providers: [{name: files, type: directory, paths: [routes/]}]\naccess_log: {path: access.log}\n"
        )
        serving = [sys.executable, "-m", "benchmarks.slices", "--serve", str(settings), str(figures)]
        process = subprocess.Popen(serving, env=ENVIRONMENT, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: accepts(tls))
            for change in range(changes):
                name, text = changed(shape, count, change, tls)
                (folder / "fresh").write_text(text)
                (folder / "fresh").rename(routes / name)
                time.sleep(pause)
            last = f"h{changes - 1}x.example.com" if shape != "hosts" else "h0.example.com"
            wait_until(lambda: answers(tls, client_hello(last)))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE)
    times: list[float] = json.loads(figures.read_text())
    return times


def files(shape: str, count: int, port: int) -> Iterator[tuple[str, str]]:
    """The files of a shape besides the shared one, each with its text."""
    if shape != "pairs":
        yield "gateway.yaml", gateway(names(count) if shape == "hosts" else ["'*'"], port)
    if shape in ("rules", "block"):
        yield "wide.yaml", wide(shape, names(count))
        return
    if shape == "file":
        yield "all.yaml", together(count, 0, port)
        return
    for number in range(count):
        yield f"r{number:06}.yaml", route(shape, number, port)


def changed(shape: str, count: int, change: int, port: int) -> tuple[str, str]:
    """The file that changes, and its text after so many changes; one name gets an ``x``."""
    if shape == "hosts":
        return "gateway.yaml", gateway(names(count + 1 + change), port)
    if shape in ("rules", "block"):
        others = names(count)
        others[change] = f"h{change}x.example.com"
        return "wide.yaml", wide(shape, others)
    if shape == "file":
        return "all.yaml", together(count, change + 1, port)
    return f"r{change:06}.yaml", route(shape, change, port, "x")


def names(count: int) -> list[str]:
    """So many server names."""
    return [f"h{number}.example.com" for number in range(count)]


def route(shape: str, number: int, port: int, suffix: str = "") -> str:
    """A VirtualService for one name, in ``pairs`` with its Gateway."""
    if shape == "pairs":
        return pair(number, port, suffix)
    own = PAIR.partition("---\n")[2].replace("[g{number}]", "[one]")
    return own.format(number=number, name=f"h{number}{suffix}.example.com")


def gateway(hosts: list[str], port: int) -> str:
    """The Gateway of all VirtualServices."""
    return PAIR.partition("---\n")[0].replace("g{number}", "one").format(port=port, name=", ".join(hosts))


def together(count: int, changed: int, port: int) -> str:
    """So many VirtualServices; the last one that has changed has its name changed."""
    routes = (route("file", number, port, "x" if number == changed - 1 else "") for number in range(count))
    return "---\n".join(routes)


def wide(shape: str, hosts: list[str]) -> str:
    """The VirtualService of all names."""
    head, _, rule = PAIR.partition("---\n")[2].partition("  - match:")
    head = head.replace("[g{number}]", "[one]").format(number="wide", name=", ".join(hosts))
    asked = [", ".join(hosts)] if shape == "block" else hosts
    return head + "".join(f"  - match:{rule}".format(name=each) for each in asked)


def serve(settings: str, figures: str) -> None:
    """Be the gateway, and note in the end how long each step has taken."""
    from meshgate.providers import slices

    in_slices = slices.in_slices

    def measured(steps: Iterator[None], clock: Any) -> Any:
        return in_slices(Measured(steps), clock)

    # Before whoever uses it is imported.
    slices.in_slices = measured
    from twisted.internet import reactor
    from twisted.scripts.twistd import run

    ending: Any = reactor
    ending.addSystemEventTrigger("during", "shutdown", lambda: Path(figures).write_text(json.dumps(Measured.times)))
    sys.argv = ["twistd", "-n", "--pidfile=", "meshgate", "--config", settings]
    run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
