"""
A soak: very many connections of all kinds through a real gateway, and a check of what they leave behind.

They must leave no descriptor, next to no memory, and one line each in the access log, with the ending of their kind.
Meanwhile an endpoint fails and heals, a route leads back to the gateway, routes and a listener come and go, and the
wall clock is stepped, if libfaketime is installed. Run it as ``python -m benchmarks.soak``; it exits with 1 and names
each check that failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from unittest import SkipTest

from benchmarks.counters import PROC, private_bytes
from benchmarks.gateways import ACCESS_LOG, Choice, gateway, prepare
from benchmarks.processes import BenchmarkError, Server, backend, build, free_port, wait_until
from benchmarks.soak_kinds import FAILING, PATIENCE, Kind, connected, mixed, pattern_of
from benchmarks.soak_troubles import FailingEndpoint, RouteChanges, SteppedClock, routes
from meshgate.transport.lean.pipes import SPARE
from tests.clock_steps import WallClock, forget_clocks

GROWTH = 0.05
"""The growth of memory that is allowed after the warm-up, as a share."""

WARM_UP = 20_000
"""Connections of the warm-up, in which memory reaches its size; half of all if there are fewer than 40,000."""

CONNECTIONS_FOR_A_CHANGE = 200
"""The number of connections for which there is one change of the routes."""

HEALED_WITHIN = 40.0
"""Seconds within which a healed endpoint must be used again: its longest back-off, and some more."""

HELLO = "timeouts: {hello: 3s}\n"
"""Long enough for a slow hello on a busy machine."""


@dataclass(frozen=True, slots=True)
class State:
    """
    The resources of the gateway while no connection is open.

    :ivar descriptors: the number of open descriptors of all its processes, by kind.
    :ivar memory: the private bytes of all its processes.
    """

    descriptors: Counter[str]
    memory: int

    @classmethod
    def of(cls, server: Server) -> State:
        """The state now."""
        return cls(descriptors(server.pids()), private_bytes(server.pids()))

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.descriptors.items()))
        return f"{self.memory / 1e6:.1f} MB private, {self.descriptors.total()} descriptors ({kinds})"


def descriptors(pids: Iterable[int]) -> Counter[str]:
    """The number of open descriptors of some processes, by the kernel's name for their kind."""
    found: Counter[str] = Counter()
    for pid in pids:
        for entry in (PROC / str(pid) / "fd").iterdir():
            try:
                name = os.readlink(entry)
            except OSError:  # it has just been closed
                continue
            found["file" if name.startswith("/") else name.partition(":")[0]] += 1
    return found


class Soak:
    """
    The load and its outcome so far.

    :ivar endings: the endings that the connections must have.
    :ivar faults: failures that clients have seen, counted.
    """

    def __init__(self, port: int, pattern: bytes, concurrent: int) -> None:
        self.endings: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._port, self._pattern, self._concurrent = port, pattern, concurrent
        self._numbers = iter(range(1 << 60))

    def work(self, kinds: Iterable[Kind]) -> None:
        """Make connections of these kinds, and wait for their ends."""
        asyncio.run(self._work(iter(kinds)))

    def work_through(self, kinds: Sequence[Kind], changes: RouteChanges) -> int:
        """
        Make connections of these kinds while routes change, and wait for the ends of both.

        :return: the number of connections, with those of the clients that await the changes.
        """
        changes.start()
        self.work(kinds)
        changes.join()
        self.endings.update(changes.endings)
        if changes.fault:
            self.faults[changes.fault] += 1
        return len(kinds) + changes.endings.total()

    async def _work(self, kinds: Iterator[Kind]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrent):
                group.create_task(self._one_after_the_other(kinds))

    async def _one_after_the_other(self, kinds: Iterator[Kind]) -> None:
        for kind in kinds:
            self.endings[kind.ending] += 1
            try:
                await connected(kind, self._port, next(self._numbers), self._pattern)
            except Exception as error:
                self.faults[f"{kind.name}: {type(error).__name__} {error}"] += 1


def endings(log: Path) -> Counter[str]:
    """The number of lines in an access log by ending; ``-`` counts lines without one."""
    with log.open() as lines:
        return Counter(line.rpartition(" ending=")[2].strip() if " ending=" in line else "-" for line in lines)


def idle_state(server: Server, connections: int, before: State | None = None) -> State:
    """
    Wait until so many connections are logged and none is open, and return the state; print it if that never happens.

    :param before: an earlier idle state; with as many sockets as then, no connection is open, and with as many files,
        none is just being read or written.
    """

    def over() -> bool:
        if before is not None:
            now = descriptors(server.pids())
            if any(now[kind] > before.descriptors[kind] for kind in ("socket", "file")):
                return False
        return endings(server.folder / ACCESS_LOG).total() >= connections

    try:
        wait_until(over, "the last connection to end", 0.5)
    except BenchmarkError as error:
        print(error)
    return State.of(server)


def missed(soak: Soak, logged: Counter[str], start: State, warm: State, end: State, processes: int) -> Iterator[str]:
    """The checks that failed."""
    yield from (f"{count} times {fault}" for fault, count in soak.faults.most_common(20))
    for ending in sorted(logged | soak.endings):
        if logged[ending] != soak.endings[ending]:
            yield f"{logged[ending]} lines say {ending}, of {soak.endings[ending]} connections"
    for kind, count in end.descriptors.items():
        # A few pipes are kept for later connections.
        if count > start.descriptors[kind] + (2 * SPARE * processes if kind == "pipe" else 0):
            yield f"{count} descriptors of the kind {kind}, {start.descriptors[kind]} at the start"
    if end.memory > warm.memory * (1 + GROWTH):
        yield f"the memory has grown by {end.memory / warm.memory - 1:.1%}"


def durations(log: Path) -> tuple[float, float]:
    """The shortest and the longest duration in an access log, in seconds."""
    with log.open() as lines:
        found = [float(line.partition(" duration=")[2].partition(" ")[0]) for line in lines if " duration=" in line]
    return min(found, default=0.0), max(found, default=0.0)


def spread_of_times(log: Path) -> timedelta:
    """The time between the earliest and the latest line of an access log, by the gateway's wall clock."""
    with log.open() as lines:
        times = [line.split(" ", 1)[0].removeprefix("time=") for line in lines if line.startswith("time=")]
    return datetime.fromisoformat(max(times)) - datetime.fromisoformat(min(times)) if times else timedelta()


@contextlib.contextmanager
def stepped_clock(folder: Path) -> Iterator[tuple[SteppedClock, Mapping[str, str]] | None]:
    """
    Step a wall clock until the block ends. Yields the clock and the variables by which a process follows it, or None
    if libfaketime is not installed.
    """
    try:
        clock = WallClock(folder)
    except SkipTest as error:
        print(f"the wall clock is not stepped: {error}")
        yield None
        return
    stepped = SteppedClock(clock)
    stepped.start()
    try:
        yield stepped, clock.environment
    finally:
        stepped.end()


@contextlib.contextmanager
def failing_endpoint(port: int) -> Iterator[FailingEndpoint]:
    """Run an endpoint that fails and heals until the block ends."""
    endpoint = FailingEndpoint(port)
    endpoint.start()
    try:
        yield endpoint
    finally:
        endpoint.end()


def heal(soak: Soak, endpoint: FailingEndpoint) -> int:
    """
    Heal the endpoint for good, and make connections until it gets one; they count as all others.

    :return: the number of connections made.
    """
    endpoint.heal()
    before, made, end = endpoint.served, 0, time.monotonic() + HEALED_WITHIN
    while endpoint.served == before:
        if time.monotonic() > end:
            soak.faults[f"the healed endpoint got nothing within {HEALED_WITHIN:g} s"] += 1
            break
        soak.work([FAILING] * 10)
        made += 10
        time.sleep(0.1)
    return made


def even(number: float) -> int:
    """The nearest even number that is not 0."""
    return max(2, 2 * round(number / 2))


def soaked(folder: Path, connections: int, concurrent: int, choice: Choice) -> bool:
    """Run the soak and print its outcome; returns False if a check failed."""
    failing_port = free_port()
    with backend() as origin, failing_endpoint(failing_port) as endpoint, stepped_clock(folder) as clock:
        port = free_port()
        prepare(folder, port, origin, choice)
        (folder / "routes" / "troubles.yaml").write_text(routes(port, origin, failing_port))
        with (folder / "meshgate.yaml").open("a") as settings:
            settings.write(HELLO)
        with gateway(folder, port, choice, environment=clock[1] if clock else None) as server:
            log = folder / ACCESS_LOG
            start = idle_state(server, 1)  # the connection that found the port open
            before = endings(log)
            print(f"start        {start}", flush=True)
            soak = Soak(port, pattern_of(origin), concurrent)
            kinds = list(mixed(connections, random.Random(1)))  # noqa: S311 -- an order, no secret
            began, first = time.monotonic(), min(WARM_UP, connections // 2)
            further, changes = free_port(), even(first / CONNECTIONS_FOR_A_CHANGE)
            made = soak.work_through(kinds[:first], RouteChanges(folder, port, further, range(changes)))
            warm = idle_state(server, before.total() + made, start)
            print(f"{made:<12} {warm}", flush=True)
            rest = range(changes, changes + even((connections - first) / CONNECTIONS_FOR_A_CHANGE))
            made += soak.work_through(kinds[first:], RouteChanges(folder, port, further, rest))
            connections = made + heal(soak, endpoint)
            end = idle_state(server, before.total() + connections, start)
            took = time.monotonic() - began
            print(f"{connections:<12} {end}; memory {end.memory / warm.memory - 1:+.1%}")
            logged = endings(log) - before
            print(f"{logged.total()} lines, {connections / took:.0f} connections a second")
            print(f"the routes changed {rest.stop} times")
            print(f"the endpoint failed {endpoint.failures} times, and got {endpoint.served} connections")
            if clock:
                print(f"the wall clock was stepped {clock[0].steps} times")
            for ending, count in logged.most_common():
                print(f"  {ending:20} {count:8}   of {soak.endings[ending]}")
            faults = list(missed(soak, logged, start, warm, end, len(server.pids())))
            shortest, longest = durations(log)
            if shortest < 0 or longest > took + PATIENCE:
                faults.append(f"connections lasted from {shortest:g} to {longest:g} s, by the access log")
            if clock and spread_of_times(log) < timedelta(hours=1):
                faults.append("the gateway has not noticed that its wall clock was stepped")
        forget_clocks()
    for fault in faults:
        print(f"MISSED: {fault}")
    return not faults


def main() -> None:
    """Run it as the options say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=200_000, help="how many (default: %(default)s)")
    parser.add_argument("--concurrent", type=int, default=200, help="how many at once (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="the number of workers (default: %(default)s)")
    parser.add_argument("--interpreted", action="store_true", help="run the sources and not the compiled data path")
    options = parser.parse_args()
    choice = Choice(workers=options.workers, interpreted=options.interpreted)
    # A terminated run ends its gateway as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        build(interpreted=choice.interpreted)
        with tempfile.TemporaryDirectory(prefix="meshgate-soak-") as folder:
            good = soaked(Path(folder), options.connections, options.concurrent, choice)
    except BenchmarkError as error:
        sys.exit(f"the soak is invalid: {error}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
