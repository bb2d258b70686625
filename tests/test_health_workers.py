"""Health of endpoints with real processes: two workers under load, whose endpoints are killed, and stopped."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
import time
from typing import Any

from twisted.internet.threads import deferToThread

from tests.installation import Installation
from tests.lab_with_workers import SECONDS, WorkersTestCase
from tests.support import Program, free_port, wait_for

SERVICE = """
import socket, sys, threading
def serve(client):
    try:
        client.sendall(sys.argv[1].encode())
        while data := client.recv(4096):
            client.sendall(data)
    except OSError:
        pass
    client.close()
listening = socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=256)
print("serving", flush=True)
while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
"""
"""An endpoint: greets with a letter, and echoes."""

CLIENTS = 16
HEALTH = """health:
  checks:
  - host: fleet.example.com
    expect: hello-
    interval: 200ms
    timeout: 300ms
    rise: 2
    fall: 2
    on_unhealthy: end
  on_removed: end
  spread: 1s

"""


class Load:
    """Clients that connect through the gateway, exchange a few bytes and leave, all the time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends = False
        self.served = 0
        #: Sessions that have failed: when each began, the greeting that it got, and how it ended.
        self.failures: list[tuple[float, bytes, str]] = []
        #: The sessions that are under way, each with its greeting.
        self.under_way: dict[int, bytes] = {}
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all clients."""
        self._ends = True
        for thread in self._threads:
            thread.join(SECONDS)

    def _run(self) -> None:
        while not self._ends:
            began, me = time.monotonic(), threading.get_ident()
            self.under_way[me] = b""
            try:
                self._session(me)
            except (OSError, AssertionError) as error:
                self.failures.append((began, self.under_way[me], repr(error)))
            else:
                self.served += 1
            del self.under_way[me]

    def _session(self, me: int) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=SECONDS) as client:
            self.under_way[me] = greeting = client.recv(7)
            assert len(greeting) == 7, greeting
            for _ in range(5):
                client.sendall(b"ping")
                answer = client.recv(4)
                assert answer == b"ping", answer
                time.sleep(0.004)


class HealthTests(WorkersTestCase):
    """Two endpoints, of which one fails."""

    async def serve(self, **settings: str) -> tuple[Installation, int, dict[str, tuple[Program, int]]]:
        """A lab with a port for two endpoints, its health checks set by a reload."""
        lab = await self.start(**settings)
        endpoints = {}
        for letter in "ab":
            name, port = f"hello-{letter}", free_port()
            program = Program(self, [sys.executable, "-c", SERVICE, name, str(port)])
            await program.wait_for_output("serving")
            endpoints[name] = program, port
        port = free_port()
        await self.serve_fleet(lab, port, *(("127.0.0.1", each) for _, each in endpoints.values()))
        return lab, port, endpoints

    async def reload(self, lab: Installation, health: str) -> None:
        """Read other settings of health."""
        text = lab.settings.read_text()
        lab.settings.write_text(re.sub(r"(?ms)^health:\n.*?(?=^# )", health, text))
        lab.process.signal(signal.SIGHUP)
        await lab.process.wait_for_output("everything was read again")

    async def failing(self, lab: Installation, *names: str) -> list[dict[str, Any]]:
        """Wait until exactly these endpoints are unhealthy."""

        def holds(status: dict[str, Any]) -> bool:
            unhealthy = [each for each in status["failing_endpoints"] if each["state"] == "unhealthy"]
            return {each["endpoint"] for each in unhealthy} == set(names)

        status = await self.state(lab, f"{names} to be unhealthy", holds)
        return [each for each in status["failing_endpoints"] if each["state"] == "unhealthy"]

    async def killed_under_load(self, transport: str) -> None:
        """Kill one endpoint of two under load."""
        _, port, endpoints = await self.serve(transport=transport)
        load = Load(port)
        try:
            await wait_for(lambda: load.served > 100, "served clients")
            endpoints["hello-a"][0].signal(signal.SIGKILL)
            await endpoints["hello-a"][0].exit_status()
            served, dead = load.served, time.monotonic()
            # What it held when it died: sessions that have failed by now, or are under way and not with the other one.
            held = len(load.failures) + sum(greeting != b"hello-b" for greeting in [*load.under_way.values()])
            await wait_for(lambda: load.served > served + 300 and time.monotonic() > dead + 2, "others served")
            self.assertLessEqual(len(load.failures), min(held, CLIENTS), load.failures)
            self.assertEqual([each for each in load.failures if each[0] > dead or each[1] == b"hello-b"], [])
        finally:
            await deferToThread(load.stop)

    async def test_an_endpoint_killed_under_load(self) -> None:
        """No more clients fail than it held connections, and then none; on the transport of its own."""
        await self.killed_under_load("auto")

    async def test_an_endpoint_killed_under_load_on_the_reactors_transport(self) -> None:
        """The same on the other transport."""
        await self.killed_under_load("twisted")

    async def test_an_endpoint_that_hangs(self) -> None:
        """
        A stopped process, to which the kernel still connects, is found by its check alone: its connections are ended
        over the time set, clients get the other endpoint, and it is back when it goes on. A removed one ends as well.
        """
        lab, port, endpoints = await self.serve()
        await self.reload(lab, HEALTH)
        program, port_of_a = endpoints["hello-a"]
        sessions = [self.session(port) for _ in range(12)]
        of_a = [client for client, greeting in sessions if greeting == b"hello-a"]
        self.assertTrue(0 < len(of_a) < 12)
        program.signal(signal.SIGSTOP)
        (found,) = await self.failing(lab, f"127.0.0.1:{port_of_a}")
        self.assertEqual((found["until"], found["workers"]), (None, 2))
        self.assertEqual(found["reason"], "there is no answer within 0.3 s")
        self.assertEqual({self.session(port)[1] for _ in range(20)}, {b"hello-b"})
        ended = await wait_for(
            lambda: (
                [each for each in lab.log() if each["ending"] == "endpoint_unhealthy"][len(of_a) - 1 :]
                and [each for each in lab.log() if each["ending"] == "endpoint_unhealthy"]
            ),
            "the ends",
        )
        self.assertEqual({each["endpoint"] for each in ended}, {f"127.0.0.1:{port_of_a}"})
        for client in of_a:
            self.assertRaises(ConnectionResetError, client.recv, 1)
        program.signal(signal.SIGCONT)
        await self.failing(lab)
        await wait_for(lambda: self.session(port)[1] == b"hello-a", "the endpoint to be back")
        await self.serve_only(lab, port, endpoints["hello-b"][1])
        gone = await lab.logged(ending="endpoint_removed")
        self.assertEqual(gone["endpoint"], f"127.0.0.1:{port_of_a}")
        self.assertEqual({self.session(port)[1] for _ in range(5)}, {b"hello-b"})
        status = "passes its health check"
        self.assertIn(status, lab.process.stdout + lab.process.stderr)

    async def serve_only(self, lab: Installation, port: int, target: int) -> None:
        """Lead the port to one endpoint."""
        generation = lab.status()["generation"]
        file = lab.routes / "40-fleet.yaml"
        file.write_text(
            re.sub(
                r"endpoints: \[.*\]", f"endpoints: [{{address: 127.0.0.1, ports: {{tcp: {target}}}}}]", file.read_text()
            )
        )
        await self.state(lab, "the route", lambda status: status["live_generation"] > generation)

    def session(self, port: int) -> tuple[socket.socket, bytes]:
        """A client with its greeting."""
        client = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.addCleanup(client.close)
        return client, client.recv(7)
