"""
A soak of the metrics: many series are read quickly and hold no worker, and names of strangers leave nothing behind.

A gateway gets a route for each of many names, and a connection to each, so that it has many series. Its metrics are
read while a client measures short connections through its worker, and while nobody connects: the worker may not spend
more time then than when nobody reads. Then strangers ask for names without a route, each for another one: neither the
number of lines nor the memory of the gateway may grow. Run it as ``python -m benchmarks.metrics_soak``; it prints the
figures, and exits with 1 if one is beyond its limit. With ``--json docs/benchmarks/metrics_soak.json``, the page about
metrics shows the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.counters import cpu_time, private_bytes
from benchmarks.gateways import Choice, prepare, started
from benchmarks.machine import revision
from benchmarks.processes import ROOT, BenchmarkError, Load, Server, backend, build, free_port
from benchmarks.scale import machine
from meshgate.proxy.connection_counts import ConnectionCounts, region_bytes
from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord
from tests.hello_builder import build_hello

MOST_SECONDS = 0.3
"""The longest time that the answer with :data:`LINES` lines may take."""

LINES = 10_000

LOAD = (1_000, 1, 300)
"""Connections, names and connections a second while the metrics are read, and while they are not."""

MOST_GROWTH = 3_000_000
"""Bytes by which the memory of all processes may grow meanwhile: allocators keep some of what connections had."""

ANSWERS = 20
"""Answers while nobody connects."""

MOST_WORKER_TIME = 0.001
"""Seconds of processor time that the worker may spend for each of these answers, beyond what it spends without."""


class Finding(NamedTuple):
    """
    Something that was measured.

    :ivar text: the figures in a line for people.
    :ivar fits: True if they are within their limits.
    :ivar figures: the same by name.
    """

    text: str
    fits: bool
    figures: Mapping[str, float]


class MetricsSoak:
    """
    A running gateway with metrics.

    :param server: its processes.
    :param metrics: the port of its metrics.
    """

    def __init__(self, server: Server, metrics: int) -> None:
        self._server = server
        self._metrics = metrics

    def connect(self, name: str) -> None:
        """Ask for a name, and wait for the end or the first byte."""
        with socket.create_connection(("127.0.0.1", self._server.port), timeout=30) as client:
            client.sendall(build_hello(name))
            client.recv(1)

    def scrape(self) -> tuple[float, int]:
        """The seconds that an answer takes, and its number of lines with a value."""
        # By a program of its own, whose work does not hold up what this one measures.
        command = ["curl", "-s", "-m", "30", "-o", "-", "-w", "%{stderr}%{time_total}"]
        url = f"http://127.0.0.1:{self._metrics}/metrics"
        done = subprocess.run([*command, url], capture_output=True, check=True)
        return float(done.stderr), sum(not line.startswith(b"#") for line in done.stdout.splitlines())

    def memory(self) -> int:
        """The private memory of all processes."""
        return private_bytes(self._server.pids())

    def load(self, count: int, names: int, rate: int) -> Mapping[str, float]:
        """Connections of the load generator; gives the milliseconds that they took, as ``p50`` and ``p99``."""
        with Load("connections", self._server.port, count=count, names=names, rate=rate, concurrent=rate) as load:
            load.prepare()
            latency = load.work()["latency_us"]
        return {name: latency[name] / 1000 for name in ("p50", "p99")}

    def worker_time(self, seconds: float) -> float:
        """The processor time that the workers spend in so many seconds."""
        before = cpu_time(self._server.carriers())
        time.sleep(seconds)
        return (cpu_time(self._server.carriers()) - before).total


def run(routes: int, strangers: int) -> Iterator[Finding]:
    """Run it."""
    build(interpreted=True)
    with backend() as target, tempfile.TemporaryDirectory() as name:
        folder, port, metrics = Path(name), free_port(), free_port()
        prepare(folder, port, target, Choice(metrics=metrics), routes)
        twistd = Path(sys.executable).with_name("twistd")
        with started("meshgate", twistd, folder, port, {"PYTHONPATH": str(ROOT)}) as server:
            soak = MetricsSoak(server, metrics)
            soak.load(max(routes, 100), routes, 500)
            time.sleep(1)
            yield from _reading(soak)
            yield _worker(soak)
            yield from _strangers(soak, strangers)


def _reading(soak: MetricsSoak) -> Iterator[Finding]:
    quiet = soak.load(*LOAD)
    over, answers = threading.Event(), list[tuple[float, int]]()

    def read() -> None:
        while not over.wait(0.2):
            answers.append(soak.scrape())

    thread = threading.Thread(target=read)
    thread.start()
    try:
        busy = soak.load(*LOAD)
    finally:
        over.set()
        thread.join()
    seconds, lines = median(seconds for seconds, _ in answers), answers[-1][1]
    fits = seconds * min(1.0, LINES / lines) <= MOST_SECONDS
    text = f"{lines} lines are read in {seconds:.3f} s (median of {len(answers)})"
    yield Finding(text, fits, {"lines": lines, "answer_ms": round(seconds * 1000)})
    text = (
        f"connections take {quiet['p50']:.2f} ms (p99 {quiet['p99']:.1f} ms); "
        f"while this is read five times a second, {busy['p50']:.2f} ms (p99 {busy['p99']:.1f} ms)"
    )
    figures = {"quiet_p50_ms": quiet["p50"], "quiet_p99_ms": quiet["p99"]}
    figures |= {"read_p50_ms": busy["p50"], "read_p99_ms": busy["p99"]}
    yield Finding(text, True, {name: round(value, 2) for name, value in figures.items()})


def _worker(soak: MetricsSoak) -> Finding:
    """The time of the worker, which nobody connects to, for answers."""
    began, over = time.monotonic(), threading.Event()

    def read() -> None:
        for _ in range(ANSWERS):
            soak.scrape()
        over.set()

    thread = threading.Thread(target=read)
    thread.start()
    busy = 0.0
    while not over.is_set():
        busy += soak.worker_time(0.5)
    thread.join()
    idle = soak.worker_time(time.monotonic() - began)
    each = max(0.0, busy - idle) / ANSWERS
    text = (
        f"the worker spends {busy * 1000:.1f} ms while {ANSWERS} answers are made, and {idle * 1000:.1f} ms in the "
        "same time without"
    )
    return Finding(text, each <= MOST_WORKER_TIME, {"worker_ms": round(busy * 1e3, 1), "idle_ms": round(idle * 1e3, 1)})


def _strangers(soak: MetricsSoak, strangers: int) -> Iterator[Finding]:
    for number in range(2_000):  # a first round, to warm up
        soak.connect(f"w{number}.stranger.example.org")
    time.sleep(1)
    soak.scrape()
    lines, memory = soak.scrape()[1], soak.memory()
    for number in range(strangers):
        soak.connect(f"s{number}.stranger.example.org")
    time.sleep(1)
    grown, more = soak.memory() - memory, soak.scrape()[1] - lines
    yield Finding(f"{strangers} names of strangers add {more} lines", more == 0, {"live_lines": more})
    figures = {"live_mb": round(grown / 1e6, 2), "live_names": strangers}
    yield Finding(f"and {grown / 1e6:.2f} MB of memory", grown <= MOST_GROWTH, figures)


def counted(strangers: int) -> Iterator[Finding]:
    """Count connections for names of strangers without making them: the counts themselves must not grow."""
    counts = ConnectionCounts(bytearray(region_bytes()))
    counts.listener_block("127.0.0.1:443")
    counts.news()
    memory = 0
    for number in range(strangers):
        if number == min(1_000, strangers // 2):
            memory = private_bytes([os.getpid()])
        record = ConnectionRecord(number, 0.0, 0.0, "127.0.0.1:443", ("192.0.2.1", 5))
        record.sni, record.ending = f"s{number}.stranger.example.org", Ending.NO_ROUTE
        counts.ended(record)
    grown = private_bytes([os.getpid()]) - memory
    blocks, patterns = counts.news()
    text = (
        f"{strangers} counted names of strangers add {len(blocks)} series, {len(patterns)} patterns and "
        f"{grown / 1e6:.2f} MB of memory"
    )
    figures = {"counted_names": strangers, "counted_series": len(blocks) + len(patterns)}
    fits = not (blocks or patterns) and grown <= MOST_GROWTH
    yield Finding(text, fits, {**figures, "counted_mb": round(grown / 1e6, 2)})


def main() -> int:
    """Run it; gives the exit status."""
    parser = argparse.ArgumentParser("python -m benchmarks.metrics_soak", description=__doc__)
    parser.add_argument("--routes", type=int, default=300, help="the number of routes (default: %(default)s)")
    parser.add_argument("--strangers", type=int, default=20_000, help="connections of strangers (default: %(default)s)")
    parser.add_argument("--counted", type=int, default=1_000_000, help="counted ones besides (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    fine = True
    figures: dict[str, Any] = {
        "machine": machine(),
        "revision": revision(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    try:
        for findings in (run(options.routes, options.strangers), counted(options.counted)):
            for text, fits, found in findings:
                print(text if fits else f"BEYOND ITS LIMIT: {text}", flush=True)
                fine = fine and fits
                figures |= found
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
