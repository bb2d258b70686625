"""
Measure the API with thousands of resources: lists, applies until all workers serve them, memory, and what connections
notice of it.

Run from a checkout: ``python -m benchmarks.api_scale``. With ``--json docs/explanation/api_scale.json``, the
documentation shows the figures. The objects are put into the store before the start.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from benchmarks.counters import cpu_time
from benchmarks.processes import (
    COMPILED,
    DEADLINE,
    ROOT,
    accepts,
    answers,
    build,
    client_hello,
    free_port,
    wait_until,
)
from benchmarks.scale import echo_server, longest_turn, percentile, resident, round_trips, show
from meshgate.api.api_client import ApiClient, address
from meshgate.api.collection import Collection, WriteOptions
from meshgate.api.resource_types import TYPES
from meshgate.api.sqlite_store import SqliteStore
from meshgate.resources.kinds.supported_kinds import ISTIO_GROUP

ENVIRONMENT: Final = {**os.environ, "PYTHONPATH": f"{COMPILED}{os.pathsep}{ROOT}"}
"""The environment of the gateway, which runs the compiled form, and of the other programs."""

KUBECTL: Final = ROOT / "build" / "kubectl" / "bin" / "kubectl"

PER_GATEWAY: Final = 100
"""The number of VirtualServices of a Gateway."""

APPLIES: Final = 100
PERIOD: Final = 0.5
"""Seconds from one apply to the next."""

ROUNDS: Final = 5
"""The rounds of measuring round trips; the figures are the medians of them."""
QUIET: Final = 4.0
"""Seconds for which round trips are measured at a time."""
TURN: Final = 0.04
"""Seconds of a turn of a program that computes: about as long as a page of a list takes."""

_TYPES: Final = {each.kind: each for each in TYPES}


def gateway(number: int, port: int) -> dict[str, Any]:
    """A Gateway for the names of its VirtualServices."""
    server = {
        "port": {"number": port, "name": "tls", "protocol": "TLS"},
        "bind": "127.0.0.1",
        "tls": {"mode": "PASSTHROUGH"},
        "hosts": [f"*.g{number}.example.com"],
    }
    return _object("Gateway", f"g{number}", {"servers": [server]})


def virtual_service(number: int, change: int = 0) -> dict[str, Any]:
    """A VirtualService with a name of its own; another one with each change."""
    name = host(number, change)
    route = {"destination": {"host": "backend", "port": {"number": 443}}}
    spec = {
        "hosts": [name],
        "gateways": [f"g{number // PER_GATEWAY}"],
        "tls": [{"match": [{"sniHosts": [name]}], "route": [route]}],
    }
    return _object("VirtualService", f"v{number}", spec)


def host(number: int, change: int = 0) -> str:
    """The name that a VirtualService routes."""
    return f"h{number}-{change}.g{number // PER_GATEWAY}.example.com"


def shared(plain: int, backend: int) -> list[dict[str, Any]]:
    """The backend, and a plain port to it."""
    port = {"port": 443, "name": "tls", "targetPort": backend}
    server = {"port": {"number": plain, "name": "plain", "protocol": "TCP"}, "bind": "127.0.0.1", "hosts": ["*"]}
    route = {"destination": {"host": "backend", "port": {"number": 443}}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "backend", "namespace": "default"}}
    return [
        {**service, "spec": {"ports": [port], "selector": {"app": "backend"}}},
        _object("WorkloadEntry", "backend", {"address": "127.0.0.1", "labels": {"app": "backend"}}),
        _object("Gateway", "plain", {"servers": [server]}),
        _object("VirtualService", "plain", {"hosts": ["*"], "gateways": ["plain"], "tcp": [{"route": [route]}]}),
    ]


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": f"{ISTIO_GROUP}/v1", "kind": kind, "metadata": metadata, "spec": spec}


def fill(folder: Path, objects: list[dict[str, Any]]) -> None:
    """Put objects into the store of a gateway that does not run. This runs a reactor, so it is done in a process."""

    async def run(reactor: Any) -> None:
        store = SqliteStore(folder / "api.sqlite", reactor)
        randomness = random.Random(1)  # noqa: S311 -- no secret
        collection = Collection(store, lambda type_: None, time.time, randomness)
        collection.open(["default"])
        for at in range(0, len(objects), 500):
            writes = (collection.create(_TYPES[each["kind"]], each, WriteOptions()) for each in objects[at : at + 500])
            await gatherResults([Deferred.fromCoroutine(each) for each in writes])
        await store.close()

    react(lambda reactor: Deferred.fromCoroutine(run(reactor)))


def measure(folder: Path, count: int, workers: int) -> dict[str, Any]:
    """All figures. Durations are in seconds unless their name says otherwise, memory is in MiB."""
    with echo_server() as backend:
        plain, tls = free_port(), free_port()
        objects = shared(plain, backend)
        objects += [gateway(number, tls) for number in range(-(-count // PER_GATEWAY))]
        objects += [virtual_service(number) for number in range(count)]
        (folder / "state" / "api").mkdir(parents=True)
        (folder / "objects").write_text(json.dumps(objects))
        subprocess.run(
            [sys.executable, "-m", "benchmarks.api_scale", "--fill", folder], cwd=ROOT, env=ENVIRONMENT, check=True
        )
        (folder / "meshgate.yaml").write_text(f"workers: {workers}\napi: {{port: {free_port()}}}\n")
        with running(folder, plain) as (gateway_pid, started):
            return {"start_seconds": started, **measured(folder, gateway_pid, plain, tls, count)}


@contextlib.contextmanager
def running(folder: Path, plain: int) -> Iterator[tuple[int, float]]:
    """Run a gateway until the block ends; yields its process id, and the seconds until it served."""
    twistd = [sys.executable, "-m", "benchmarks.reactor_turns", str(folder / "turns"), "-n", "--pidfile="]
    begin = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*twistd, "meshgate", "--config", "meshgate.yaml"], cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: serves(plain), "the gateway to serve", 0.01)
        started = round(time.monotonic() - begin, 2)
        wait_until(lambda: (folder / "state" / "figures.json").exists(), "the end of the start", 0.01)
        time.sleep(3.0)  # for the statuses of the start
        yield process.pid, started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE)


def serves(port: int) -> bool:
    """True if the gateway carries a connection; False also if none of its workers runs in time."""
    with contextlib.suppress(TimeoutError):
        return accepts(port) and answers(port, b"ready")
    return False


def measured(folder: Path, pid: int, plain: int, tls: int, count: int) -> dict[str, Any]:
    """The figures of a running gateway."""
    kubeconfig, turns = folder / "state" / "kubeconfig", folder / "turns"
    figures: dict[str, Any] = {"control_mib": round(resident(pid))}
    client = ApiClient(kubeconfig)
    turns.write_text("")
    begin = time.monotonic()
    listed = sum(1 for _ in client.list(_TYPES["VirtualService"]))
    figures |= {"listed": listed, "list_in_pages_seconds": round(time.monotonic() - begin, 2)}
    figures |= kubectl(kubeconfig)
    figures |= longest_turn(turns, "while_listing")
    effects = [applied(client, number, tls, count) for number in range(APPLIES)]
    figures |= {
        "apply_answered_median_ms": percentile([each for each, _ in effects], 50),
        "apply_served_median_ms": percentile([each for _, each in effects], 50),
        "apply_served_p99_ms": percentile([each for _, each in effects], 99),
        "apply_served_longest_ms": percentile([each for _, each in effects], 100),
    }
    figures |= longest_turn(turns, "while_applying")
    figures |= trips(kubeconfig, pid, plain)
    figures["control_mib_in_the_end"] = round(resident(pid))
    return figures


def trips(kubeconfig: Path, pid: int, plain: int) -> dict[str, float]:
    """
    Round trips without load, with the API's, and with that of programs which compute as much, but are not meshgate.

    The last ones tell the work of the workers and the processors' being busy apart.
    """
    rounds: list[dict[str, list[float]]] = []
    shares: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        with round_trips(plain) as quiet:
            time.sleep(QUIET)
        with program("--load", str(kubeconfig)) as client:
            pids = (pid,), (client,)
            before = [cpu_time(each).total for each in pids]
            with round_trips(plain) as busy:
                time.sleep(QUIET)
            used = [cpu_time(each).total for each in pids]
        control, generator = ((after - earlier) / QUIET for earlier, after in zip(before, used, strict=True))
        with (
            program("--compute", str(control)),
            program("--idle", "--compute", str(generator)),
            round_trips(plain) as others,
        ):
            time.sleep(QUIET)
        rounds.append({"quiet": quiet, "with_api_load": busy, "with_other_programs": others})
        shares.append((control, generator))
    figures = {
        f"round_trip_{name}_ms_{when}": median(percentile(each[when], percent) for each in rounds)
        for when in rounds[0]
        for name, percent in (("p50", 50), ("p99", 99), ("longest", 100))
    }
    names = "control_processors_with_api_load", "client_processors_with_api_load"
    return figures | {name: round(median(each), 2) for name, each in zip(names, zip(*shares, strict=True), strict=True)}


@contextlib.contextmanager
def program(*options: str) -> Iterator[int]:
    """Run this program with other options until the block ends, which begins when it has begun; yields its process."""
    command = [sys.executable, "-m", "benchmarks.api_scale", *options]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is not None:
                process.stdout.readline()
            yield process.pid
        finally:
            process.terminate()


def kubectl(kubeconfig: Path) -> dict[str, Any]:
    """The time of ``kubectl get vs -A``, the second time, when it knows the types."""
    if not KUBECTL.exists():
        return {"kubectl_get_seconds": None}
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": home}
        for _ in range(2):
            begin = time.monotonic()
            subprocess.run([KUBECTL, "get", "vs", "-A"], env=environment, stdout=subprocess.DEVNULL, check=True)
    return {"kubectl_get_seconds": round(time.monotonic() - begin, 2)}


def applied(client: ApiClient, number: int, tls: int, count: int) -> tuple[float, float]:
    """
    Apply one VirtualService with another name.

    :return: the seconds until the answer, and those until all workers serve it, as its status says.
    """
    changed = number * 97 % count
    type_ = _TYPES["VirtualService"]
    path = address(type_, "default", f"v{changed}")
    revision_ = client.get(address(type_, "default"), limit="1")["metadata"]["resourceVersion"]
    query = {"fieldManager": "bench", "force": "true"}
    answered: list[float] = []

    def apply() -> None:
        body = virtual_service(changed, number + 1)
        client.send("PATCH", path, body, "application/apply-patch+yaml", query=query)
        answered.append(time.monotonic())

    begin = time.monotonic()
    thread = threading.Thread(target=apply)
    thread.start()
    events = client.watch(
        address(type_, "default"), resourceVersion=revision_, fieldSelector=f"metadata.name=v{changed}"
    )
    for event in events:
        if _serves(event["object"], host(changed, number + 1)):
            break
    served = time.monotonic() - begin
    thread.join()
    if not answers(tls, client_hello(host(changed, number + 1))):
        raise AssertionError("it does not serve what its status says")
    time.sleep(max(0.0, begin + PERIOD - time.monotonic()))
    return answered[0] - begin, served


def _serves(object_: dict[str, Any], name: str) -> bool:
    """True if a status says that all workers serve an object, which has this name."""
    if object_["spec"]["hosts"] != [name]:
        return False
    conditions = {each["type"]: each for each in object_.get("status", {}).get("conditions", ())}
    programmed = conditions.get("Programmed", {})
    current = programmed.get("observedGeneration") == object_["metadata"]["generation"]
    return bool(programmed.get("status") == "True" and current)


def load(kubeconfig: Path) -> None:
    """
    Use the API until the process is ended: list everything page by page, and apply an object after each page.

    It stands for clients on other machines, so it takes only processor time that nobody else wants: two programs that
    compute at normal priority make the longest round trips ten times as long by themselves.
    """
    take_idle_time()
    client = ApiClient(kubeconfig)
    print("begins", flush=True)
    type_, token, number = _TYPES["VirtualService"], "", 0
    while True:
        page = {"limit": "500", **({"continue": token} if token else {})}
        found = client.get(address(type_), **page)
        token = found["metadata"].get("continue", "")
        number += 1
        body = virtual_service(number, 1_000 + number)
        path, query = address(type_, "default", f"v{number}"), {"fieldManager": "load", "force": "true"}
        client.send("PATCH", path, body, "application/apply-patch+yaml", query=query)


def take_idle_time() -> None:
    """Take only processor time that nobody else wants from now on."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def compute(share: float) -> None:
    """Use a share of a processor until the process is ended."""
    print("begins", flush=True)
    while True:
        end = time.thread_time() + share * TURN
        while time.thread_time() < end:
            pass
        time.sleep(max(0.0, (1 - share) * TURN))


def main() -> None:
    """Measure, print the figures, and write them as JSON if a file is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=10_000, help="the number of VirtualServices")
    parser.add_argument("--workers", type=int, default=2, help="the number of workers")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--compute", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--idle", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.fill:
        fill(chosen.fill / "state" / "api", json.loads((chosen.fill / "objects").read_text()))
        return
    if chosen.load:
        load(chosen.load)
    if chosen.idle:
        take_idle_time()
    if chosen.compute is not None:
        compute(chosen.compute)
    build()
    show(measure, chosen.routes, chosen.workers, chosen.json)


if __name__ == "__main__":
    main()
