"""
Meshgate itself, configured for what is measured; its access log is on, as a file.

Knows meshgate's settings and Istio's YAML; must not know what is measured.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import INTERPRETED
from benchmarks.processes import COMPILED, ROOT, Server, free_port, proxy

ACCESS_LOG = "access.log"

SETTINGS = """\
providers: [{name: files, type: directory, paths: [routes/]}]
access_log: {path: access.log}
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
    What a run chooses of meshgate's settings; what it does not choose is not written.

    :ivar transport: the value of the key of that name.
    :ivar workers: likewise.
    :ivar interpreted: runs the sources as they are, and not what is compiled of them.
    """

    transport: str | None = None
    workers: int | None = None
    interpreted: bool = False

    def settings(self) -> str:
        """The settings file."""
        chosen = {"transport": self.transport, "workers": self.workers}
        return SETTINGS + "".join(f"{key}: {value}\n" for key, value in chosen.items() if value is not None)


def routes(services: int, names: int) -> Iterator[tuple[str, str]]:
    """
    VirtualServices, each with names of its own: those that the load asks for.

    :param services: how many.
    :param names: how many names each has.
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
def gateway(
    folder: Path, port: int, interpreted: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run what a folder holds until the block ends, with these variables on top of our own."""
    twistd = Path(sys.executable).with_name("twistd")
    command: list[str | Path] = [twistd, "-n", "--pidfile=", "meshgate", "--config", folder / "meshgate.yaml"]
    name, code = (INTERPRETED, ROOT) if interpreted else ("meshgate", COMPILED)
    with proxy(name, command, folder, port, {"PYTHONPATH": str(code), **(environment or {})}) as server:
        yield server


@contextlib.contextmanager
def fresh_gateway(folder: Path, backend: int, choice: Choice, services: int = 1, names: int = 1) -> Iterator[Server]:
    """Write and run one until the block ends."""
    port = free_port()
    prepare(folder, port, backend, choice, services, names)
    with gateway(folder, port, choice.interpreted) as server:
        yield server


def logged(server: Server) -> int:
    """How many connections of the load its access log has lines of."""
    with (server.folder / ACCESS_LOG).open("rb") as log:
        return sum(b" sni=n" in line for line in log)
