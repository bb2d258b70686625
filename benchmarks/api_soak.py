"""
A soak of the API's store: very many applies to a real gateway that is killed again and again at random moments.

Whatever was answered must be there after the next start, and served; what was under way may be there or not, but never
by half. Run it as ``python -m benchmarks.api_soak``; it exits with 1 and names each object that is wrong. The tests run
it with ``--alone``: the API without a gateway, which starts within a moment.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zope.interface import implementer

from benchmarks.processes import ROOT, BenchmarkError, free_port, wait_until
from meshgate.api.api_client import ApiClient, ApiClientError, address
from meshgate.api.configuration_api import ConfigurationApi
from meshgate.api.resource_types import TYPES
from meshgate.providers.interfaces import ISnapshotSink
from meshgate.providers.snapshot import Snapshot
from meshgate.settings.service_sections import ApiSettings

GATEWAYS = next(each for each in TYPES if each.kind == "Gateway")
CONFIG_MAPS = next(each for each in TYPES if each.kind == "ConfigMap")

NAMES = 20
"""The number of objects that are applied in turn."""

SETTINGS = """\
workers: 1
api: {{port: {port}}}
"""


def run_alone(folder: str, port: int) -> None:
    """Run the API without a gateway, until the process is killed. This is a process of its own."""
    from twisted.internet import reactor  # none that another process has made

    with (Path(folder) / "log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    api = ConfigurationApi(reactor, NoSink(), lambda: True)
    api.start(ApiSettings(port=port), Path(folder) / "state", "default", "istio-system")
    reactor.run()


@implementer(ISnapshotSink)
class NoSink:
    """A sink for routes that nobody serves."""

    def publish(self, snapshot: Snapshot) -> None:
        """Do nothing."""

    def failed(self, reason: str | Exception) -> None:
        """Do nothing."""


class KilledGateway:
    """
    A gateway that is killed and started again.

    :param folder: the folder of its settings and its state.
    :cvar type: the type of the objects that it gets.
    :cvar content: their field with the content.
    :cvar longest_life: seconds after which it is killed at the latest, once it answers.
    :ivar kills: the number of times that it was killed.
    """

    type = GATEWAYS
    content = "spec"
    longest_life = 1.5

    def __init__(self, folder: Path, randomness: random.Random) -> None:
        self.kills = 0
        self._folder = folder
        self._randomness = randomness
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def object(name: str, number: int) -> dict[str, Any]:
        """A Gateway whose annotations and server have a number, so that half of it would be seen."""
        port = {"number": 10_000 + number % 50_000, "name": f"tcp-{number}", "protocol": "TCP"}
        return {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": name, "annotations": {"number": str(number)}},
            "spec": {"selector": {"nobody": "has-this"}, "servers": [{"port": port, "hosts": ["*"]}]},
        }

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
        return self._client(lambda: process.poll() is not None)

    def _client(self, ended: Callable[[], bool]) -> ApiClient:
        """Wait until the API answers."""

        def answers() -> bool:
            if ended():
                raise BenchmarkError(f"the gateway ends:\n{(self._folder / 'log').read_text()[-2000:]}")
            try:
                ApiClient(self._folder / "state" / "kubeconfig").get("/version")
            except ApiClientError:
                return False
            return True

        wait_until(answers, "the API to answer", 0.02)
        return ApiClient(self._folder / "state" / "kubeconfig")

    def doom(self) -> threading.Timer:
        """Have it killed at a random moment."""
        timer = threading.Timer(self._randomness.uniform(0, self.longest_life), self.kill)
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


class KilledApi(KilledGateway):
    """An API without a gateway, in a process that is made by one with all modules, and so starts at once."""

    type = CONFIG_MAPS
    content = "data"
    longest_life = 0.3

    def __init__(self, folder: Path, randomness: random.Random) -> None:
        super().__init__(folder, randomness)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([ConfigurationApi.__module__])
        self._port = free_port()
        self._alone: Any = None

    @staticmethod
    def object(name: str, number: int) -> dict[str, Any]:
        """A ConfigMap that has a number twice: no table is compiled for it."""
        metadata = {"name": name, "annotations": {"number": str(number)}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"number": str(number)}}

    def start(self) -> ApiClient:
        """Start it, and wait until it answers."""
        alone = self._context.Process(target=run_alone, args=(str(self._folder), self._port), daemon=True)
        alone.start()
        self._alone = alone
        return self._client(lambda: not alone.is_alive())

    def kill(self) -> None:
        """Kill it."""
        self.kills += 1
        self.end()

    def end(self) -> None:
        """Kill it, since it does not stop otherwise."""
        if self._alone is not None:
            self._alone.kill()
            self._alone.join()


def soaked(gateway: KilledGateway, applies: int, kills: int) -> Iterator[str]:
    """Run the soak; yields a sentence for each fault."""
    answered: dict[str, int] = {}
    possible: dict[str, set[int]] = {}
    number = 0
    try:
        while number < applies or gateway.kills < kills:
            client = gateway.start()
            yield from wrong(gateway, client, answered, possible)
            timer = gateway.doom() if gateway.kills < kills else None
            try:
                while number < applies or timer is not None:
                    number += 1
                    name = f"g{number % NAMES}"
                    possible.setdefault(name, set()).add(number)
                    query = {"fieldManager": "soak", "force": "true"}
                    path, body = address(gateway.type, "default", name), gateway.object(name, number)
                    client.send("PATCH", path, body, "application/apply-patch+yaml", query=query)
                    answered[name], possible[name] = number, {number}
            except ApiClientError as error:
                if error.code:
                    yield f"apply {number} was refused: {error}"
            if timer is not None:
                timer.join()
            gateway.end()
        yield from wrong(gateway, gateway.start(), answered, possible)
        print(f"{len(answered)} objects, {number} applies, {gateway.kills} kills")
    finally:
        gateway.end()


def wrong(
    gateway: KilledGateway, client: ApiClient, answered: dict[str, int], possible: dict[str, set[int]]
) -> Iterator[str]:
    """Compare the objects of a gateway with the answers that it has given; yields the differences."""
    found = {each["metadata"]["name"]: each for each in client.list(gateway.type)}
    for name, number in answered.items():
        if name not in found:
            yield f"{name} is lost, of apply {number}"
    for name, object_ in found.items():
        number = int(object_["metadata"]["annotations"]["number"])
        if number not in possible[name]:
            yield f"{name} is that of apply {number}, of {sorted(possible[name])}"
        if object_[gateway.content] != gateway.object(name, number)[gateway.content]:
            yield f"{name} is half that of apply {number}: {object_[gateway.content]}"
        answered[name], possible[name] = number, {number}


def main() -> None:
    """Run it as the options say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applies", type=int, default=1_000, help="how many at least (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=200, help="how many (default: %(default)s)")
    parser.add_argument("--alone", action="store_true", help="run the API without a gateway")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments of the kills")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    print(f"seed {options.seed}", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="meshgate-soak-") as folder:
            randomness = random.Random(options.seed)  # noqa: S311 -- moments, no secret
            (Path(folder) / "meshgate.yaml").write_text(SETTINGS.format(port=free_port()))
            gateway = (KilledApi if options.alone else KilledGateway)(Path(folder), randomness)
            faults = list(soaked(gateway, options.applies, options.kills))
    except BenchmarkError as error:
        sys.exit(f"the soak is invalid: {error}")
    for fault in faults:
        print(f"MISSED: {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
