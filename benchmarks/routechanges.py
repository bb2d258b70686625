"""Changes of one route after the other, each awaited, in the files that :mod:`benchmarks.gateways` writes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

from benchmarks.gateways import ROUTE
from benchmarks.processes import Server, answers, client_hello, wait_until

INTERVAL = 1.0
"""Seconds from one change to the next; a change that takes longer delays the next."""

PAUSE = 0.05
"""Seconds between two checks for the effect of a change; each check is a connection."""


@contextlib.contextmanager
def changing(server: Server) -> Iterator[list[float]]:
    """
    Rewrite one route file after the other until the block ends, but never the one that the load generator uses.

    :return: a list that is filled with the seconds from each change to its effect.
    :raises BenchmarkError: if one does not take effect in time.
    """
    effects: list[float] = []
    faults: list[Exception] = []
    stop = threading.Event()

    def change() -> None:
        number = 0
        # This thread is not measured, and must not delay the load generator.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        try:
            while not stop.is_set():
                begin = time.monotonic()
                number += 1
                effects.append(rename(server, number))
                stop.wait(INTERVAL - (time.monotonic() - begin))
        except Exception as fault:
            faults.append(fault)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield effects
    finally:
        stop.set()
        thread.join()
    if faults:
        raise faults[0]


def rename(server: Server, number: int) -> float:
    """Give one route a new name; returns the seconds until that is served."""
    name = f"t{time.time_ns()}.example.com"
    hello = client_hello(name)
    fresh = server.folder / "fresh"
    fresh.write_text(ROUTE.format(number=number, hosts=name))
    begin = time.monotonic()
    fresh.rename(server.folder / "routes" / f"v{number:06}.yaml")
    wait_until(lambda: answers(server.port, hello), f"the effect of change {number}", PAUSE)
    return time.monotonic() - begin
