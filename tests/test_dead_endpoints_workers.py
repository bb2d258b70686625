"""Endpoints that are dead, as two real workers see them: a failure that one has found is known to both."""

from __future__ import annotations

import socket
import threading
import time

from tests.installation import Installation
from tests.lab_with_workers import SECONDS, WorkersTestCase
from tests.support import free_port, wait_for

CLIENTS = 200


class Greeter:
    """An endpoint in a thread of its own: it greets, and keeps the connection until the client goes."""

    def __init__(self, test: WorkersTestCase, port: int = 0) -> None:
        self._listening = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port = self._listening.getsockname()[1]
        self.greeted = 0
        self._accepted: list[socket.socket] = []
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        test.addCleanup(self._end, thread)

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            self._accepted.append(accepted)
            accepted.sendall(b"hello")
            self.greeted += 1

    def _end(self, thread: threading.Thread) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        thread.join(SECONDS)
        for accepted in self._accepted:
            accepted.close()


class DeadEndpointTests(WorkersTestCase):
    """Three dead endpoints of four."""

    async def serve(self, *ports: int) -> tuple[Installation, int]:
        """A lab with a port for endpoints on these ports."""
        lab, port = await self.start(), free_port()
        await self.serve_fleet(lab, port, *(("127.0.0.1", each) for each in ports))
        return lab, port

    def greeted(self, port: int) -> bool:
        """Whether one more client is served."""
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
            return client.recv(5) == b"hello"

    async def test_everybody_is_served(self) -> None:
        """All clients are, beside a long session; each dead endpoint is found once, not once by each worker."""
        living, dead = Greeter(self), [free_port() for _ in range(3)]
        lab, port = await self.serve(*dead, living.port)
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as session:
            self.assertEqual(session.recv(5), b"hello")
            self.assertEqual(sum(self.greeted(port) for _ in range(CLIENTS)), CLIENTS)
            session.settimeout(0.01)
            self.assertRaises(TimeoutError, session.recv, 1)
        found = "it is tried last until it answers again"
        await wait_for(lambda: found in lab.process.stdout + lab.process.stderr, "a line in the log")
        self.assertLessEqual((lab.process.stdout + lab.process.stderr).count(found), 4)

    async def test_a_healed_endpoint_is_back(self) -> None:
        """Within its back-off, which is a second after its first failure, both workers use it again."""
        living, port_of_dead = Greeter(self), free_port()
        _, port = await self.serve(port_of_dead, living.port)
        for _ in range(20):
            self.assertTrue(self.greeted(port))
        healed, since = Greeter(self, port_of_dead), time.monotonic()
        while not healed.greeted:
            self.assertTrue(self.greeted(port))
            self.assertLess(time.monotonic() - since, 2)
        for _ in range(100):
            self.assertTrue(self.greeted(port))
        self.assertGreater(healed.greeted, 25)
