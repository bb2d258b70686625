"""The system calls of one connection, as ``strace`` counts them in the processes that carry connections."""

from __future__ import annotations

import signal
import subprocess
from typing import IO, cast

from benchmarks.bench import Bench
from benchmarks.counters import system_calls
from benchmarks.processes import DEADLINE, Load, Server

CONNECTIONS = 500
"""One after the other, so that no two connections share a call."""


def calls_of_all(bench: Bench) -> dict[str, dict[str, float]]:
    """The calls of one connection through each proxy, by name."""
    with bench.all_subjects() as servers:
        return {name: calls_of(server) for name, server in servers.items()}


def calls_of(server: Server) -> dict[str, float]:
    """The calls of one connection through a proxy."""
    summary = server.folder / "strace"
    with Load("connections", server.port, count=CONNECTIONS, concurrent=1) as load:
        load.prepare()
        pids = [text for pid in server.carriers() for text in ("-p", str(pid))]
        command = ["strace", "-f", "-c", "-o", str(summary), *pids]
        watching = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            for _ in server.carriers():
                cast("IO[str]", watching.stderr).readline()  # a line when strace is attached
            load.work()
        finally:
            watching.send_signal(signal.SIGINT)
            watching.communicate(timeout=DEADLINE)
    return {name: count / CONNECTIONS for name, count in system_calls(summary.read_text()).items()}
