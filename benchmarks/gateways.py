"""meshgate as it is measured: its settings, its routes, and how it is started. It writes its access log to a file."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import INTERPRETED, JSON_LOG, MESHGATE
from benchmarks.processes import COMPILED, OUTPUT, ROOT, Server, free_port, proxy, wait_until

ACCESS_LOG = "access.log"

_SERVES = re.compile(r"the worker serves|all \d+ workers serve")

SETTINGS = """\
providers: [{{name: files, type: directory, paths: [routes/]}}]
access_log: {{path: access.log, format: {log_format}}}
workers: {workers}
"""

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
metadata: {{name: tls}}
spec:
  servers:
  - port: {{number: {port}, name: tls, protocol: TLS}}
    bind: 127.0.0.1
    tls: {{mode: PASSTHROUGH}}
    hosts: ["*"]
"""

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v{number:06}}}
spec:
  hosts: [{hosts}]
  gateways: [tls]
  tls:
  - match: [{{sniHosts: [{hosts}]}}]
    route: [{{destination: {{host: backend, port: {{number: 443}}}}}}]
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """
    The meshgate to measure.

    :ivar transport: the setting of that name; None leaves it to meshgate.
    :ivar workers: the setting of that name.
    :ivar log_format: ``text`` or ``json``.
    :ivar interpreted: run the sources and not the compiled data path.
    :ivar metrics: the port of the metrics; 0 for none.
    """

    transport: str | None = None
    workers: int = 1
    log_format: str = "text"
    interpreted: bool = False
    metrics: int = 0

    def settings(self) -> str:
        """The text of the settings file."""
        text = SETTINGS.format(log_format=self.log_format, workers=self.workers)
        if self.metrics:
            text += f"metrics: {{port: {self.metrics}}}\n"
        return text if self.transport is None else f"{text}transport: {self.transport}\n"


def routes(services: int, names: int) -> Iterator[tuple[str, str]]:
    """
    VirtualServices that share no name; together they have the names that the load generator asks for.

    :param services: the number of VirtualServices.
    :param names: the number of names of each.
    :return: file names and texts.
    """
    for number in range(services):
        hosts = ", ".join(f"n{name:06}.example.com" for name in range(number * names, (number + 1) * names))
        yield f"v{number:06}.yaml", ROUTE.format(number=number, hosts=hosts)


def prepare(folder: Path, port: int, backend: int, choice: Choice, services: int = 1, names: int = 1) -> None:
    """Write settings and routes into a folder."""
    (folder / "routes").mkdir()
    (folder / "meshgate.yaml").write_text(choice.settings())
    (folder / "routes" / "shared.yaml").write_text(SHARED.format(port=port, backend=backend))
    for file, text in routes(services, names):
        (folder / "routes" / file).write_text(text)


@contextlib.contextmanager
def started(
    name: str, twistd: Path, folder: Path, port: int, environment: Mapping[str, str], workers: int = 1
) -> Iterator[Server]:
    """
    Run a prepared folder until the block ends; the block begins when all workers serve.

    :param name: the name of the subject.
    :param twistd: the ``twistd`` of the environment to run.
    :param port: the port of :func:`prepare`.
    :param environment: variables on top of our own.
    :param workers: the number that the settings ask for.
    """
    command: list[str | Path] = [twistd, "-n", "--pidfile=", "meshgate", "--config", folder / "meshgate.yaml"]
    log = folder / ACCESS_LOG
    with proxy(name, command, folder, port, environment, controlled=True) as server:
        # The control process opens the ports. The connection that found one open is logged once a worker serves.
        wait_until(lambda: log.exists() and log.stat().st_size > 0, f"a worker of {name} to serve")
        wait_until(lambda: len(server.carriers()) >= workers, f"all workers of {name} to run")
        yield server


@contextlib.contextmanager
def gateway(folder: Path, port: int, choice: Choice, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a prepared folder with the code of this checkout until the block ends, with these variables on top."""
    if choice.interpreted:
        name, code = INTERPRETED, ROOT
    else:
        name, code = JSON_LOG if choice.log_format == "json" else MESHGATE, COMPILED
    variables = {"PYTHONPATH": str(code), **(environment or {})}
    with started(name, Path(sys.executable).with_name("twistd"), folder, port, variables, choice.workers) as server:
        # A process that runs is not yet a worker that has opened all that it keeps open.
        wait_until(lambda: bool(_SERVES.search((folder / OUTPUT).read_text())), f"all workers of {name} to serve")
        yield server


@contextlib.contextmanager
def fresh_gateway(folder: Path, backend: int, choice: Choice, services: int = 1, names: int = 1) -> Iterator[Server]:
    """Prepare a folder and run it until the block ends."""
    port = free_port()
    prepare(folder, port, backend, choice, services, names)
    with gateway(folder, port, choice) as server:
        yield server


def logged(server: Server) -> int:
    """The number of lines in the access log that are about connections of the load generator."""
    with (server.folder / ACCESS_LOG).open("rb") as log:
        return sum(b" sni=n" in line or b'"sni":"n' in line for line in log)
