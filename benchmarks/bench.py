"""
What all works share: the proxies they run, how much they do, and how the rounds of one go.

The subjects of a work take turns, round by round, so that whatever else the machine does meets all of them.
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
from benchmarks.figures import GATEWAYS, INTERPRETED, Sample
from benchmarks.gateways import Choice, fresh_gateway
from benchmarks.peers import PEERS
from benchmarks.processes import BenchmarkError, Load, Server, free_port, place, proxy

Rounds = dict[str, list[Sample]]
"""The samples of each subject."""

SETTLE = 1.2
"""Seconds until a proxy has done what it puts off: meshgate's access log is written within one."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of each work a round is; for all connections together, unless it says otherwise."""

    rounds: int = 5
    paced: int = 4_000
    """Connections begun at :attr:`rate`."""
    rate: int = 1_000
    """Connections begun in a second; few enough for the slowest proxy to rest between them."""
    connections: int = 10_000
    """Connections made as fast as it goes, :attr:`concurrent` at a time."""
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
    """Connections that watch a gateway whose routes change, at :attr:`watch_rate`."""
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
    What all works share.

    :ivar backend: the port of the backend.
    :ivar subjects: the proxies that are compared, meshgate first.
    :ivar choice: what is chosen of meshgate's settings.
    :ivar cpus: the processors on which proxies run.
    """

    backend: int
    subjects: Sequence[str]
    amounts: Amounts
    choice: Choice
    cpus: frozenset[int]

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A fresh folder until the block ends. The unprivileged processes of a proxy may enter it."""
        with tempfile.TemporaryDirectory(prefix="meshgate-bench-") as name:
            Path(name).chmod(0o755)
            yield Path(name)

    @contextlib.contextmanager
    def subject(self, name: str) -> Iterator[Server]:
        """Run one of the subjects, with one route, until the block ends."""
        with self.folder() as folder:
            if name in GATEWAYS:
                choice = replace(self.choice, interpreted=name == INTERPRETED)
                with fresh_gateway(folder, self.backend, choice) as server:
                    place(server, self.cpus)
                    yield server
            else:
                port = free_port()
                command = PEERS[name].prepare(folder, port, self.backend)
                with proxy(name, command, folder, port) as server:
                    place(server, self.cpus)
                    yield server

    @contextlib.contextmanager
    def all_subjects(self) -> Iterator[dict[str, Server]]:
        """Run all of them."""
        with ExitStack() as stack:
            yield {name: stack.enter_context(self.subject(name)) for name in self.subjects}

    @contextlib.contextmanager
    def gateway(self, choice: Choice, services: int = 1, names: int = 1) -> Iterator[Server]:
        """Run a meshgate until the block ends."""
        with self.folder() as folder, fresh_gateway(folder, self.backend, choice, services, names) as server:
            place(server, self.cpus)
            yield server


def alternate(subjects: Mapping[str, Callable[[], Sample]], rounds: int) -> Rounds:
    """Take one sample of each subject, and again, for so many rounds."""
    samples: Rounds = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, take in subjects.items():
            samples[name].append(take())
    return samples


def measured(server: Server, mode: str, units: Callable[[Mapping[str, Any]], float], **options: int) -> Sample:
    """
    Put a load on a proxy, and take the processor time that each unit of it costs, in µs.

    :param units: how many units a report of the load generator tells of.
    :param options: of the load generator.
    """
    with Load(mode, server.port, **options) as load:
        load.prepare()
        time.sleep(SETTLE)
        pids = server.pids()
        before = cpu_time(pids)
        report = load.work()
        time.sleep(SETTLE)
        used = cpu_time(pids) - before
        if server.pids() != pids:
            raise BenchmarkError(f"{server.name} has started or ended processes meanwhile")
    count = units(report)
    return {
        "cost": used.total / count * 1e6,
        "user": used.user / count * 1e6,
        "per_second": count / report["seconds"],
        "p50_ms": report["latency_us"]["p50"] / 1000,
        "p99_ms": report["latency_us"]["p99"] / 1000,
    }
