"""A lab served by two real workers, and clients of it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.installation import Installation, running
from tests.support import read_to_end, wait_for

END_OF_GREETING = b"Service default.\n"
SECONDS = 30.0

PORT = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: further-gateway, namespace: default}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {port}, name: tcp, protocol: TCP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: further-route, namespace: default}}
spec:
  hosts: ["*"]
  gateways: [further-gateway]
  tcp: [{{route: [{{destination: {{host: tcp-echo-service, port: {{number: {target}}}}}}}]}}]
"""
"""A further port for the echo service."""

FLEET = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: fleet-gateway, namespace: default}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {port}, name: tcp, protocol: TCP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: fleet, namespace: default}}
spec:
  hosts: [fleet.example.com]
  ports: [{{number: 80, name: tcp, protocol: TCP}}]
  resolution: {resolution}
  endpoints: [{endpoints}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: fleet, namespace: default}}
spec:
  hosts: ["*"]
  gateways: [fleet-gateway]
  tcp: [{{route: [{{destination: {{host: fleet.example.com, port: {{number: 80}}}}}}]}}]
"""
"""A port for endpoints of the test's own."""


class Client:
    """One client of the echo service."""

    def __init__(self, test: TestCase, port: int, address: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((address, port), timeout=SECONDS)
        #: As the access log has it.
        self.name = "{}:{}".format(*self.socket.getsockname())
        test.addCleanup(self.socket.close)
        self._unread = b""

    def read_until(self, text: bytes) -> None:
        """Read up to a text that has to come."""
        while text not in self._unread:
            piece = self.socket.recv(4096)
            if not piece:
                raise AssertionError(f"the connection was closed before {text!r} came, with {self._unread!r}")
            self._unread += piece
        self._unread = self._unread.partition(text)[2]

    def echoes(self, text: bytes) -> None:
        """Send something, and read it again."""
        self.socket.sendall(text)
        self.read_until(text)

    def finish(self) -> None:
        """Close, once all has come."""
        self.socket.shutdown(socket.SHUT_WR)
        read_to_end(self.socket)
        self.socket.close()


def exists(pid: int) -> bool:
    """Whether the process is there, and not only its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class WorkersTestCase(TestCase):
    """A lab with two workers."""

    timeout = 120

    #: Variables for the processes on top of the test's own.
    environment: Mapping[str, str] | None = None

    async def start(self, **settings: str) -> Installation:
        """Run it until both workers serve."""
        lab = await running(self, {"workers": "2", **settings}, self.environment)
        await self.state(lab, "both workers", lambda status: status["live_generation"] == 1)
        return lab

    async def serve_fleet(self, lab: Installation, port: int, *endpoints: tuple[str, int]) -> None:
        """Lead a port to endpoints, each an address or a name and a port, and wait until both workers serve it."""
        resolution = "DNS" if any(address[-1].isalpha() for address, _ in endpoints) else "STATIC"
        each = ", ".join(f"{{address: {address}, ports: {{tcp: {target}}}}}" for address, target in endpoints)
        (lab.routes / "40-fleet.yaml").write_text(FLEET.format(port=port, resolution=resolution, endpoints=each))
        await self.state(lab, "the route", lambda status: status["live_generation"] == 2)

    async def state(self, lab: Installation, what: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a status."""

        def look() -> dict[str, Any] | None:
            status = lab.status()
            return status if holds(status) else None

        return await wait_for(look, what) or {}

    async def pid(self, lab: Installation, worker: int, but: Iterable[int] = ()) -> int:
        """The process of a worker, which is none of those."""

        def of(status: dict[str, Any]) -> int | None:
            pid: int | None = status["workers"][worker - 1]["pid"]
            return None if pid is None or pid in but else pid

        return await wait_for(lambda: of(lab.status()), f"worker {worker}") or 0

    async def lines(self, lab: Installation, number: int) -> list[dict[str, Any]]:
        """Wait for so many lines of the access log."""
        await wait_for(lambda: len(lab.log()) >= number, f"{number} log lines")
        return lab.log()

    def clients(self, port: int, number: int) -> list[Client]:
        """So many clients."""
        return [Client(self, port) for _ in range(number)]


def accepts(port: int) -> bool:
    """Whether anybody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionError:
        return False
    return True
