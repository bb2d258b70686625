"""
A soak of the metrics: many series are read quickly and hold no worker, and names of strangers leave nothing behind.

A gateway gets a route for each of many names, and a connection to each, so that it has many series. Its metrics are
read while a client measures short connections through its worker. Then strangers ask for names without a route, each
for another one: neither the number of lines nor the memory of the gateway may grow. Run it as ``python -m
benchmarks.metrics_soak``; it prints the figures, and exits with 1 if one is beyond its limit.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

from benchmarks.counters import private_bytes
from benchmarks.gateways import Choice, prepare, started
from benchmarks.processes import ROOT, BenchmarkError, Load, Server, backend, build, free_port
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


def run(routes: int, strangers: int) -> Iterator[tuple[str, bool]]:
    """
    Run it.

    :return: lines for people, each with True if the figure is within its limit.
    """
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
            yield from _strangers(soak, strangers)


def _reading(soak: MetricsSoak) -> Iterator[tuple[str, bool]]:
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
    yield f"{lines} lines are read in {seconds:.3f} s (median of {len(answers)})", fits
    yield (
        (
            f"connections take {quiet['p50']:.2f} ms (p99 {quiet['p99']:.1f} ms); "
            f"while this is read five times a second, {busy['p50']:.2f} ms (p99 {busy['p99']:.1f} ms)"
        ),
        True,
    )


def _strangers(soak: MetricsSoak, strangers: int) -> Iterator[tuple[str, bool]]:
    for number in range(2_000):  # a first round, to warm up
        soak.connect(f"w{number}.stranger.example.org")
    time.sleep(1)
    soak.scrape()
    lines, memory = soak.scrape()[1], soak.memory()
    for number in range(strangers):
        soak.connect(f"s{number}.stranger.example.org")
    time.sleep(1)
    grown, more = soak.memory() - memory, soak.scrape()[1] - lines
    yield f"{strangers} names of strangers add {more} lines", more == 0
    yield f"and {grown / 1e6:.2f} MB of memory", grown <= MOST_GROWTH


def counted(strangers: int) -> Iterator[tuple[str, bool]]:
    """Count connections for names of strangers without making them: the counts themselves must not grow."""
    memory = bytearray(region_bytes())
    counts = ConnectionCounts(memory)
    counts.listener_block("127.0.0.1:443")
    counts.news()
    for number in range(strangers):
        record = ConnectionRecord(number, 0.0, 0.0, "127.0.0.1:443", ("192.0.2.1", 5))
        record.sni, record.ending = f"s{number}.stranger.example.org", Ending.NO_ROUTE
        counts.ended(record)
    blocks, patterns = counts.news()
    yield (
        f"{strangers} counted names of strangers add {len(blocks)} series and {len(patterns)} patterns",
        not (blocks or patterns),
    )


def main() -> int:
    """Run it; gives the exit status."""
    parser = argparse.ArgumentParser("python -m benchmarks.metrics_soak", description=__doc__)
    parser.add_argument("--routes", type=int, default=300, help="the number of routes (default: %(default)s)")
    parser.add_argument("--strangers", type=int, default=20_000, help="connections of strangers (default: %(default)s)")
    parser.add_argument("--counted", type=int, default=1_000_000, help="counted ones besides (default: %(default)s)")
    options = parser.parse_args()
    fine = True
    try:
        for lines in (run(options.routes, options.strangers), counted(options.counted)):
            for line, fits in lines:
                print(line if fits else f"BEYOND ITS LIMIT: {line}", flush=True)
                fine = fine and fits
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
