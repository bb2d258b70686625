"""
The troubles of a soak: an endpoint that fails and heals, a route that leads back to the gateway, and a wall clock that
is stepped. They must not change the ending of any connection, except for those of the route that leads back.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from typing import Final

from benchmarks.soak_kinds import FAILING_NAME, LOOPBACK, MESSAGE, ROUND_NAME
from tests.clock_steps import WallClock

LISTENING: Final = 4.0
REFUSING: Final = 1.5
"""Seconds for which the endpoint listens and does not, in turns; its back-off ends within a second or two."""

STEPS: Final = (7200, -3600, 0)
"""Offsets of the wall clock from the true time in seconds, one after the other."""

STEP_EVERY: Final = 1.5

_TIMEOUT: Final = 5.0
_POLL: Final = 0.05

ROUTES: Final = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: failing}}
spec:
  hosts: [failing.internal]
  resolution: STATIC
  ports: [{{number: 443, name: tls, protocol: TLS}}]
  endpoints: [{{address: 127.0.0.1, ports: {{tls: {backend}}}}}, {{address: 127.0.0.1, ports: {{tls: {failing}}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: round}}
spec:
  hosts: [round.internal]
  resolution: STATIC
  ports: [{{number: 443, name: tls, protocol: TLS}}]
  endpoints: [{{address: 127.0.0.1, ports: {{tls: {gateway}}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: troubles}}
spec:
  hosts: [{failing_name}, {round_name}]
  gateways: [tls]
  tls:
  - match: [{{sniHosts: [{failing_name}]}}]
    route: [{{destination: {{host: failing.internal}}}}]
  - match: [{{sniHosts: [{round_name}]}}]
    route: [{{destination: {{host: round.internal}}}}]
"""


def routes(gateway: int, backend: int, failing: int) -> str:
    """The route to the failing endpoint and the backend, and the route back to the gateway; all by their ports."""
    return ROUTES.format(
        gateway=gateway, backend=backend, failing=failing, failing_name=FAILING_NAME, round_name=ROUND_NAME
    )


class FailingEndpoint(threading.Thread):
    """
    An endpoint that answers hellos and listens only some of the time.

    :param port: the port it listens on.
    :ivar served: the number of connections that it has answered.
    :ivar failures: the number of times that it has stopped listening.
    """

    def __init__(self, port: int) -> None:
        super().__init__(name="failing endpoint", daemon=True)
        self.served = 0
        self.failures = 0
        self._port = port
        self._healed = threading.Event()
        self._over = threading.Event()

    def run(self) -> None:
        """Listen and not listen, in turns."""
        while not self._over.is_set():
            with socket.create_server((LOOPBACK, self._port), backlog=1024) as listening:
                self._listen(listening)
            self.failures += 1
            self._healed.wait(REFUSING)

    def heal(self) -> None:
        """Listen for good."""
        self._healed.set()

    def end(self) -> None:
        """Stop for good."""
        self._over.set()
        self._healed.set()
        self.join()

    def _listen(self, listening: socket.socket) -> None:
        listening.settimeout(_POLL)
        rest = LISTENING
        while not self._over.is_set() and (rest > 0 or self._healed.is_set()):
            try:
                client, _ = listening.accept()
            except TimeoutError:
                rest -= _POLL
            else:
                self._serve(client)
        # Serve the queue first: closing the socket would reset its connections, and only refusals are meant.
        listening.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._serve(listening.accept()[0])

    def _serve(self, client: socket.socket) -> None:
        with client:
            client.settimeout(_TIMEOUT)
            if client.recv(1 << 16):
                client.sendall(b"A".ljust(MESSAGE, b"-"))
                self.served += 1
                while client.recv(1 << 16):
                    pass


class SteppedClock(threading.Thread):
    """
    Steps a wall clock back and forth.

    :ivar steps: the number of steps so far.
    """

    def __init__(self, clock: WallClock) -> None:
        super().__init__(name="stepped clock", daemon=True)
        self.steps = 0
        self._clock = clock
        self._over = threading.Event()

    def run(self) -> None:
        """Step the clock until :meth:`end`."""
        for seconds in itertools.cycle(STEPS):
            if self._over.wait(STEP_EVERY):
                return
            self._clock.step(seconds)
            self.steps += 1

    def end(self) -> None:
        """Stop stepping."""
        self._over.set()
        self.join()
