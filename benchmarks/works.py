"""The works: each puts a load through proxies and measures one or more figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.bench import FLUSH_TIME, Amounts, Bench, Rounds, alternate, measured
from benchmarks.counters import private_bytes, socket_count
from benchmarks.figures import (
    CHANGING,
    GATEWAYS,
    JSON_LOG,
    MANY_NAMES,
    MESHGATE,
    ONE_ROUTE,
    ONE_WORKER,
    QUIET,
    TWO_WORKERS,
    Sample,
)
from benchmarks.gateways import logged
from benchmarks.processes import BenchmarkError, Load, Server
from benchmarks.routechanges import changing


def paced(server: Server, amounts: Amounts, names: int = 1) -> Sample:
    """Short connections at a rate at which the proxy is idle between them."""
    return connections(server, amounts.paced, rate=amounts.rate, concurrent=amounts.rate, names=names)


def connections(server: Server, count: int, **options: int) -> Sample:
    """
    Short connections.

    :raises BenchmarkError: if meshgate has not logged each of them.
    """
    checked = server.name in (*GATEWAYS, JSON_LOG)
    before = logged(server) if checked else 0
    sample = measured(server, "connections", done, count=count, **options)
    if checked and (lines := logged(server) - before) != count:
        raise BenchmarkError(f"{count} connections left {lines} lines in the access log")
    return sample


def done(report: Mapping[str, Any]) -> float:
    """The number of connections or round trips in a report of the load generator."""
    return float(report["done"])


def megabytes(report: Mapping[str, Any]) -> float:
    """The number of bytes in a report, in millions."""
    return float(report["bytes"]) / 1e6


def _over_all(bench: Bench, samplers: Mapping[str, Callable[[Server], Sample]], *further: str) -> dict[str, Rounds]:
    """
    Measure figures of all subjects.

    :param samplers: takes a sample of a proxy, by the key of the figure.
    :param further: subjects besides those of the run.
    :return: the rounds, by the key of the figure.
    """
    with bench.all_subjects(*further) as servers:
        found = {}
        for key, sampler in samplers.items():
            for server in servers.values():
                sampler(server)  # a first round, to warm up
            found[key] = alternate(
                {name: partial(sampler, server) for name, server in servers.items()}, bench.amounts.rounds
            )
        return found


def connection(bench: Bench) -> dict[str, Rounds]:
    """Work a."""
    amounts = bench.amounts
    return _over_all(
        bench,
        {
            "connection": lambda server: paced(server, amounts),
            "connection_full": lambda server: connections(server, amounts.connections, concurrent=amounts.concurrent),
        },
        *([JSON_LOG] if MESHGATE in bench.subjects else []),
    )


def names(bench: Bench) -> dict[str, Rounds]:
    """Work b."""
    amounts, each = bench.amounts, 100
    with (
        bench.gateway(bench.choice) as one,
        bench.gateway(bench.choice, amounts.services, each) as many,
    ):
        samplers: dict[str, Callable[[], Sample]] = {
            ONE_ROUTE: lambda: paced(one, amounts),
            MANY_NAMES: lambda: paced(many, amounts, amounts.services * each),
        }
        for sampler in samplers.values():
            sampler()
        return {"names": alternate(samplers, amounts.rounds)}


def round_trip(bench: Bench) -> dict[str, Rounds]:
    """Work c."""
    amounts = bench.amounts

    def sample(server: Server, **options: int) -> Sample:
        return measured(server, "round-trips", done, concurrent=amounts.kept, **options)

    return _over_all(
        bench,
        {
            "round_trip": lambda server: sample(server, count=amounts.paced_trips, rate=amounts.trip_rate),
            "round_trip_full": lambda server: sample(server, count=amounts.round_trips),
        },
    )


def bulk(bench: Bench) -> dict[str, Rounds]:
    """Work d."""

    def sample(mode: str, server: Server) -> Sample:
        return measured(server, mode, megabytes, concurrent=4, bytes=bench.amounts.bulk_bytes)

    return _over_all(bench, {mode: partial(sample, mode) for mode in ("download", "upload")})


def memory(bench: Bench) -> dict[str, Rounds]:
    """Work e. Every sample is of a fresh process, since processes keep the memory that they once had."""

    def sample(name: str) -> Sample:
        count = bench.amounts.idle
        with bench.subject(name) as server:
            with Load("connections", server.port, count=32) as load:
                load.prepare()
                load.work()
            time.sleep(FLUSH_TIME)
            pids = server.carriers()
            before = private_bytes(pids)
            with Load("round-trips", server.port, concurrent=count, count=count) as load:
                load.prepare()
                time.sleep(FLUSH_TIME)
                held = private_bytes(pids) - before
                load.work()  # all connections are still open
        return {"cost": held / count / 1000}

    return {"memory": alternate({name: partial(sample, name) for name in bench.subjects}, bench.amounts.rounds)}


def change(bench: Bench) -> dict[str, Rounds]:
    """Work f."""
    amounts = bench.amounts
    with bench.gateway(bench.choice, amounts.files, 1) as server:

        def quiet() -> Sample:
            rate = amounts.watch_rate
            with Load("connections", server.port, count=amounts.watch, rate=rate, concurrent=1000) as load:
                load.prepare()
                latency = load.work()["latency_us"]
            return {"cost": latency["p99"] / 1000, "p50_ms": latency["p50"] / 1000, "longest_ms": latency["max"] / 1000}

        def busy() -> Sample:
            with changing(server) as effects:
                latency = quiet()
            return {**latency, "changes": len(effects), "effect_seconds": sorted(effects)[len(effects) // 2]}

        quiet()
        return {"change": alternate({QUIET: quiet, CHANGING: busy}, amounts.rounds)}


def workers(bench: Bench) -> dict[str, Rounds]:
    """Work g."""
    amounts = bench.amounts
    with (
        bench.gateway(replace(bench.choice, workers=1)) as one,
        bench.gateway(replace(bench.choice, workers=2)) as two,
    ):
        twice = replace(amounts, paced=2 * amounts.paced, rate=2 * amounts.rate)
        samplers: dict[str, Callable[[], Sample]] = {
            ONE_WORKER: lambda: paced(one, amounts),
            TWO_WORKERS: lambda: paced(two, amounts),
            "twice": lambda: paced(two, twice),
        }
        for sampler in samplers.values():
            sampler()
        rounds = alternate(samplers, amounts.rounds)
        return {
            "workers": {name: rounds[name] for name in (ONE_WORKER, TWO_WORKERS)},
            "workers_each": {ONE_WORKER: rounds[ONE_WORKER], TWO_WORKERS: rounds["twice"]},
            "spread": alternate({TWO_WORKERS: lambda: spread(two, amounts.spread)}, amounts.rounds),
        }


def spread(server: Server, count: int) -> Sample:
    """The spread of kept connections over the workers: the busiest one's connections for each of the idlest one's."""
    time.sleep(FLUSH_TIME)  # until the connections of the round before are gone
    pids = server.carriers()
    before = [socket_count(pid) for pid in pids]
    with Load("round-trips", server.port, concurrent=count, count=count) as load:
        load.prepare()
        grown = sorted(socket_count(pid) - earlier for pid, earlier in zip(pids, before, strict=True))
        load.work()
    return {"cost": grown[-1] / max(1, grown[0]), "busiest": grown[-1], "idlest": grown[0]}


WORKS: dict[str, Callable[[Bench], dict[str, Rounds]]] = {
    "a": connection,
    "b": names,
    "c": round_trip,
    "d": bulk,
    "e": memory,
    "f": change,
    "g": workers,
}
"""By the letters of :data:`benchmarks.figures.FIGURES`; each returns the rounds of its figures by their keys."""
