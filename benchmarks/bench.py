"""
The frame of all works: their subjects, their amounts, and their rounds.

The subjects of a work take turns, round by round, so that whatever else the machine does affects all of them.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.counters import cpu_time
from benchmarks.figures import GATEWAYS, INTERPRETED, JSON_LOG, Sample
from benchmarks.gateways import Choice, fresh_gateway
from benchmarks.peers import PEERS, routes
from benchmarks.processes import BenchmarkError, Load, Server, free_port, pin, proxy, wait_until

Rounds = dict[str, list[Sample]]
"""The samples of each subject, round by round."""

FLUSH_TIME = 1.2
"""Seconds until a proxy has done all deferred work: meshgate writes its access log within one."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """The amount of work of one round; for all connections together, unless it says otherwise."""

    rounds: int = 5
    paced: int = 4_000
    """Connections begun at :attr:`rate`."""
    rate: int = 1_000
    """Connections begun in a second; few enough for the slowest proxy to be idle between them."""
    connections: int = 10_000
    """Connections made as fast as possible, :attr:`concurrent` at a time."""
    concurrent: int = 16
    paced_trips: int = 32_000
    trip_rate: int = 8_000
    round_trips: int = 100_000
    kept: int = 64
    bulk_bytes: int = 400_000_000
    """For each of the four connections."""
    idle: int = 3_000
    files: int = 10_000
    watch: int = 2_000
    """Connections through a gateway whose routes change, begun at :attr:`watch_rate`."""
    watch_rate: int = 200
    services: int = 1_000
    spread: int = 2_000


QUICK = Amounts(
    rounds=3,
    paced=1_500,
    connections=3_000,
    paced_trips=12_000,
    round_trips=30_000,
    bulk_bytes=100_000_000,
    idle=1_000,
    files=1_000,
    watch=800,
    services=100,
    spread=500,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """
    One run.

    :ivar backend: the port of the backend.
    :ivar subjects: the names of the proxies that are compared, meshgate first.
    :ivar choice: the meshgate to measure.
    :ivar cpus: the processors on which proxies run.
    """

    backend: int
    subjects: Sequence[str]
    amounts: Amounts
    choice: Choice
    cpus: frozenset[int]

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A fresh folder until the block ends, which unprivileged processes of a proxy may enter."""
        with tempfile.TemporaryDirectory(prefix="meshgate-bench-") as name:
            Path(name).chmod(0o755)
            yield Path(name)

    @contextlib.contextmanager
    def subject(self, name: str) -> Iterator[Server]:
        """Run one subject, with one route, until the block ends."""
        with self.folder() as folder:
            if name in (*GATEWAYS, JSON_LOG):
                log_format = "json" if name == JSON_LOG else self.choice.log_format
                choice = replace(self.choice, interpreted=name == INTERPRETED, log_format=log_format)
                with fresh_gateway(folder, self.backend, choice) as server:
                    pin(server, self.cpus)
                    yield server
            else:
                port = free_port()
                command = PEERS[name].prepare(folder, port, self.backend)
                with proxy(name, command, folder, port) as server:
                    wait_until(lambda: routes(port), f"{name} to route")
                    pin(server, self.cpus)
                    yield server

    @contextlib.contextmanager
    def all_subjects(self, *further: str) -> Iterator[dict[str, Server]]:
        """Run all subjects, and these further ones, until the block ends."""
        with ExitStack() as stack:
            yield {name: stack.enter_context(self.subject(name)) for name in (*self.subjects, *further)}

    @contextlib.contextmanager
    def gateway(self, choice: Choice, services: int = 1, names: int = 1) -> Iterator[Server]:
        """Run a meshgate until the block ends."""
        with self.folder() as folder, fresh_gateway(folder, self.backend, choice, services, names) as server:
            pin(server, self.cpus)
            yield server


def alternate(subjects: Mapping[str, Callable[[], Sample]], rounds: int) -> Rounds:
    """Take one sample of each subject, for so many rounds."""
    samples: Rounds = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, sample in subjects.items():
            samples[name].append(sample())
    return samples


def measured(server: Server, mode: str, units: Callable[[Mapping[str, Any]], float], **options: int) -> Sample:
    """
    Put a load on a proxy and measure its processor time for each unit of work, in µs.

    The cost is that of the processes that carry connections; the time of a control process stands beside it.

    :param units: the number of units in a report of the load generator.
    :param options: options of the load generator.
    :raises BenchmarkError: if the load fails, or the proxy starts or ends a process meanwhile.
    """
    with Load(mode, server.port, **options) as load:
        load.prepare()
        time.sleep(FLUSH_TIME)
        pids, carriers, control = server.pids(), server.carriers(), server.control()
        before, before_control = cpu_time(carriers), cpu_time(control)
        report = load.work()
        time.sleep(FLUSH_TIME)
        used, used_control = cpu_time(carriers) - before, cpu_time(control) - before_control
        if server.pids() != pids:
            raise BenchmarkError(f"{server.name} has started or ended processes meanwhile")
    count = units(report)
    return {
        "cost": used.total / count * 1e6,
        "user": used.user / count * 1e6,
        **({"control": used_control.total / count * 1e6} if control else {}),
        "per_second": count / report["seconds"],
        "p50_ms": report["latency_us"]["p50"] / 1000,
        "p99_ms": report["latency_us"]["p99"] / 1000,
    }
