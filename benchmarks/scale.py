"""
Measure meshgate with thousands of routes: time and memory of ``meshgate check`` and of a running gateway, and what its
connections notice while files change.

Run from a checkout: ``python -m benchmarks.scale --routes 10000``. With ``--json docs/explanation/scale.json``, the
documentation shows the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import revision
from benchmarks.processes import DEADLINE, ROOT, accepts, answers, client_hello, free_port, wait_until

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
CHANGES = 10
PERIOD = 1.0
"""Seconds from one change to the next."""
PAUSE = 0.005
"""Seconds between two checks of a condition."""

SHARED = """\
apiVersion: v1
kind: Service
metadata: {{name: backend}}
spec: {{ports: [{{port: 443, name: tls, targetPort: {backend}}}], selector: {{app: backend}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: backend}}
spec: {{address: 127.0.0.1, labels: {{app: backend}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: plain}}
spec: {{servers: [{{port: {{number: {plain}, name: plain, protocol: TCP}}, hosts: ["*"], bind: 127.0.0.1}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: plain}}
spec:
  hosts: ["*"]
  gateways: [plain]
  tcp: [{{route: [{{destination: {{host: backend, port: {{number: 443}}}}}}]}}]
"""

PAIR = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: g{number}}}
spec:
  servers:
  - port: {{number: {port}, name: tls, protocol: TLS}}
    bind: 127.0.0.1
    tls: {{mode: PASSTHROUGH}}
    hosts: [{name}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v{number}}}
spec:
  hosts: [{name}]
  gateways: [g{number}]
  tls:
  - match: [{{sniHosts: [{name}]}}]
    route: [{{destination: {{host: backend, port: {{number: 443}}}}}}]
"""


def main() -> None:
    """Measure, print the figures, and write them as JSON if a file is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=10_000, help="the number of Gateways and of VirtualServices")
    parser.add_argument("--workers", type=int, default=1, help="the number of workers")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    chosen = parser.parse_args()
    show(measure, chosen.routes, chosen.workers, chosen.json)


def show(measure: Callable[[Path, int, int], dict[str, Any]], routes: int, workers: int, file: Path | None) -> None:
    """
    Print the figures of a measurement, with those that say of what and where they are.

    :param measure: called with a new folder, the number of routes and that of workers.
    :param file: gets the figures as JSON, if there is one.
    """
    folder = Path(tempfile.mkdtemp(prefix="meshgate-scale-"))
    try:
        figures = {
            "machine": machine(),
            "revision": revision(),
            "date": datetime.now(UTC).date().isoformat(),
            "routes": routes,
            "workers": workers,
            **measure(folder, routes, workers),
        }
    finally:
        shutil.rmtree(folder)
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):45} {value}")
    if file:
        file.write_text(json.dumps(figures, indent=2) + "\n")


def machine() -> str:
    """The machine, in words."""
    return f"{os.cpu_count()} processors, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def measure(folder: Path, count: int, workers: int) -> dict[str, Any]:
    """All figures. Durations are in seconds unless their name says otherwise, memory is in MiB."""
    with echo_server() as backend:
        plain, tls = free_port(), free_port()
        routes = folder / "routes"
        routes.mkdir()
        (routes / "shared.yaml").write_text(SHARED.format(backend=backend, plain=plain))
        for number in range(count):
            (routes / f"r{number:06}.yaml").write_text(pair(number, tls))
        figures = check(routes)
        settings = folder / "meshgate.yaml"
        settings.write_text(
            "providers: [{name: files, type: directory, paths: [routes/]}]\n"
            f"access_log: {{path: access.log}}\nworkers: {workers}\n"
        )
        return {**figures, **run(settings, routes, plain, tls, count)}


def pair(number: int, port: int, suffix: str = "") -> str:
    """A Gateway and a VirtualService for one name."""
    return PAIR.format(number=number, port=port, name=f"h{number}{suffix}.example.com")


def check(routes: Path) -> dict[str, Any]:
    """``meshgate check`` over everything."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "meshgate", "check", str(routes)], env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "check_seconds": round(time.monotonic() - begin, 2),
        "check_mib": round(peak),
        "check_exit": done.returncode,
    }


def run(settings: Path, routes: Path, plain: int, tls: int, count: int) -> dict[str, Any]:
    """The figures of a running gateway, while nothing changes and while one file after the other is replaced."""
    log, turns = settings.parent / "log", settings.parent / "turns"
    twistd = [sys.executable, "-m", "benchmarks.reactor_turns", str(turns), "-n", "--pidfile="]
    begin = time.monotonic()
    with log.open("wb") as stderr:
        gateway = subprocess.Popen([*twistd, "meshgate", "--config", str(settings)], env=ENVIRONMENT, stderr=stderr)
    try:
        wait_until(lambda: accepts(plain) and answers(plain, b"ready"), "the gateway to serve", PAUSE)
        started = time.monotonic() - begin
        wait_until(lambda: (settings.parent / "state" / "figures.json").exists(), "the end of the start", PAUSE)
        time.sleep(PERIOD)
        turns.write_text("")
        figures: dict[str, Any] = {}
        effects: list[float] = []
        steady = client_hello(f"h{count - 1}.example.com")
        measures: dict[str, Callable[[], AbstractContextManager[list[float]]]] = {
            "round_trip": lambda: round_trips(plain),
            "short_connection": lambda: short_connections(tls, steady),
        }
        for what, measured in measures.items():
            with measured() as quiet:
                time.sleep(CHANGES * PERIOD)
            with measured() as busy:
                for _ in range(CHANGES):
                    begin = time.monotonic()
                    effects.append(change(routes, len(effects), tls))
                    time.sleep(max(0.0, begin + PERIOD - time.monotonic()))
            for when, times in (("quiet", quiet), ("while_changing", busy)):
                for name, percent in (("p50", 50), ("p99", 99), ("longest", 100)):
                    figures[f"{what}_{name}_ms_{when}"] = percentile(times, percent)
        memory = resident(gateway.pid)
        status = json.loads((settings.parent / "state" / "figures.json").read_text())
        workers = [resident(worker["pid"]) for worker in status["workers"]]
        figures |= longest_turn(turns, "while_changing")
        gateway.send_signal(signal.SIGHUP)
        wait_until(lambda: "everything was read again" in log.read_text(), "the reload", PAUSE)
        time.sleep(CHANGES * PERIOD)  # for the analysis and the status
        figures |= longest_turn(turns, "at_reload")
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(DEADLINE)
    return {
        "start_seconds": round(started, 2),
        "control_mib": round(memory),
        "workers_mib": list(map(round, workers)),
        "change_to_effect_median_seconds": round(sorted(effects)[len(effects) // 2], 3),
        "change_to_effect_longest_seconds": round(max(effects), 3),
        **figures,
    }


def longest_turn(turns: Path, when: str) -> dict[str, float]:
    """The longest turn of the control process' reactor since the last call, by the clock and by processor time."""
    rows = [tuple(map(float, line.split())) for line in turns.read_text().splitlines()] or [(0.0, 0.0)]
    turns.write_text("")
    names = f"control_longest_turn_ms_{when}", f"control_longest_turn_processor_ms_{when}"
    return dict(zip(names, map(max, zip(*rows, strict=True)), strict=True))


def change(routes: Path, number: int, tls: int) -> float:
    """Give one route another name; returns the seconds until the gateway routes it."""
    fresh = routes.parent / "fresh"
    fresh.write_text(pair(number, tls, "x"))
    begin = time.monotonic()
    fresh.rename(routes / f"r{number:06}.yaml")
    hello = client_hello(f"h{number}x.example.com")
    wait_until(lambda: answers(tls, hello), f"the effect of change {number}", PAUSE)
    return time.monotonic() - begin


@contextlib.contextmanager
def round_trips(port: int) -> Iterator[list[float]]:
    """Time small round trips over one connection through the gateway until the block ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:

        def trip() -> None:
            client.sendall(b"x" * 64)
            got = 0
            while got < 64:
                got += len(client.recv(64))

        with repeated(trip, 0.001) as times:
            yield times


@contextlib.contextmanager
def short_connections(port: int, hello: bytes) -> Iterator[list[float]]:
    """Time connections of one hello and its echo, from the connect to the answer, until the block ends."""
    with repeated(lambda: answers(port, hello), 0.002) as times:
        yield times


@contextlib.contextmanager
def repeated(action: Callable[[], Any], pause: float) -> Iterator[list[float]]:
    """Repeat an action in a thread until the block ends; yields the list of the seconds that each took."""
    times: list[float] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(pause):
            begin = time.monotonic()
            action()
            times.append(time.monotonic() - begin)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """Run a backend that echoes until the block ends, and yield its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while data := client.recv(65536):
                client.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()


def resident(pid: int) -> float:
    """The resident memory of a process, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def percentile(times: list[float], percent: int) -> float:
    """A percentile of some seconds, in milliseconds."""
    ordered = sorted(times)
    return round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 2)


if __name__ == "__main__":
    main()
