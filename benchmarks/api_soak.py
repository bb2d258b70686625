"""
A soak of the API's store: very many applies to a real gateway that is killed again and again at random moments.

Whatever was answered must be there after the next start, and served; what was under way may be there or not, but never
by half. Run it as ``python -m benchmarks.api_soak``; it exits with 1 and names each object that is wrong.
"""

from __future__ import annotations

import argparse
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
from typing import Any

from benchmarks.processes import ROOT, BenchmarkError, free_port, wait_until
from meshgate.api.api_client import ApiClient, ApiClientError, address
from meshgate.api.resource_types import TYPES

GATEWAYS = next(each for each in TYPES if each.kind == "Gateway")

NAMES = 20
"""The number of objects that are applied in turn."""

LONGEST_LIFE = 1.5
"""Seconds after which the gateway is killed at the latest, once it answers."""

SETTINGS = """\
workers: 1
api: {{port: {port}}}
"""


def gateway_object(name: str, number: int) -> dict[str, Any]:
    """A Gateway whose annotations and server have a number, so that half of it would be seen."""
    server = {"port": {"number": 10_000 + number % 50_000, "name": f"tcp-{number}", "protocol": "TCP"}, "hosts": ["*"]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "annotations": {"number": str(number)}},
        "spec": {"selector": {"nobody": "has-this"}, "servers": [server]},
    }


class KilledGateway:
    """
    A gateway that is killed and started again.

    :param folder: the folder of its settings and its state.
    :ivar kills: the number of times that it was killed.
    """

    def __init__(self, folder: Path, randomness: random.Random) -> None:
        self.kills = 0
        self._folder = folder
        self._randomness = randomness
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ApiClient:
        """
        Start it, and wait until the API answers.

        :raises BenchmarkError: if it does not start.
        """
        twistd = Path(sys.executable).with_name("twistd")
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [twistd, "-n", "--pidfile=", "meshgate", "--config", "meshgate.yaml"],
                cwd=self._folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._process = process

        def answers() -> bool:
            if process.poll() is not None:
                raise BenchmarkError(f"the gateway ends:\n{(self._folder / 'log').read_text()[-2000:]}")
            try:
                ApiClient(self._folder / "state" / "kubeconfig").get("/version")
            except ApiClientError:
                return False
            return True

        wait_until(answers, "the API to answer")
        return ApiClient(self._folder / "state" / "kubeconfig")

    def doom(self) -> threading.Timer:
        """Have it killed at a random moment."""
        timer = threading.Timer(self._randomness.uniform(0, LONGEST_LIFE), self.kill)
        timer.daemon = True
        timer.start()
        return timer

    def kill(self) -> None:
        """Kill it with all its processes."""
        if self._process is not None and self._process.poll() is None:
            self.kills += 1
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def end(self) -> None:
        """Stop it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def soaked(folder: Path, applies: int, kills: int, randomness: random.Random) -> Iterator[str]:
    """Run the soak; yields a sentence for each fault."""
    (folder / "meshgate.yaml").write_text(SETTINGS.format(port=free_port()))
    gateway = KilledGateway(folder, randomness)
    answered: dict[str, int] = {}
    possible: dict[str, set[int]] = {}
    number = 0
    try:
        while number < applies or gateway.kills < kills:
            client = gateway.start()
            yield from wrong(client, answered, possible)
            timer = gateway.doom() if gateway.kills < kills else None
            try:
                while number < applies or timer is not None:
                    number += 1
                    name = f"g{number % NAMES}"
                    possible.setdefault(name, set()).add(number)
                    query = {"fieldManager": "soak", "force": "true"}
                    path, body = address(GATEWAYS, "default", name), gateway_object(name, number)
                    client.send("PATCH", path, body, "application/apply-patch+yaml", query=query)
                    answered[name], possible[name] = number, {number}
            except ApiClientError as error:
                if error.code:
                    yield f"apply {number} was refused: {error}"
            if timer is not None:
                timer.join()
            gateway.end()
        yield from wrong(gateway.start(), answered, possible)
        print(f"{len(answered)} objects, {number} applies, {gateway.kills} kills")
    finally:
        gateway.end()


def wrong(client: ApiClient, answered: dict[str, int], possible: dict[str, set[int]]) -> Iterator[str]:
    """Compare the objects of a gateway with the answers that it has given; yields the differences."""
    found = {each["metadata"]["name"]: each for each in client.list(GATEWAYS)}
    for name, number in answered.items():
        if name not in found:
            yield f"{name} is lost, of apply {number}"
    for name, object_ in found.items():
        number = int(object_["metadata"]["annotations"]["number"])
        if number not in possible[name]:
            yield f"{name} is that of apply {number}, of {sorted(possible[name])}"
        if object_["spec"] != gateway_object(name, number)["spec"]:
            yield f"{name} is half that of apply {number}: {object_['spec']}"
        answered[name], possible[name] = number, {number}


def main() -> None:
    """Run it as the options say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applies", type=int, default=1_000, help="how many at least (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=200, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments of the kills")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    print(f"seed {options.seed}", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="meshgate-soak-") as folder:
            randomness = random.Random(options.seed)  # noqa: S311 -- moments, no secret
            faults = list(soaked(Path(folder), options.applies, options.kills, randomness))
    except BenchmarkError as error:
        sys.exit(f"the soak is invalid: {error}")
    for fault in faults:
        print(f"MISSED: {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
