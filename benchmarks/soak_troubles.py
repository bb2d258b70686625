"""
What goes wrong around a soak while it runs: an endpoint dies and heals, a route leads back to the gateway, and the
wall clock is stepped.

None of it may show in how the connections end, but for those of the route that leads back.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from typing import Final

from benchmarks.soak_kinds import LOOPBACK, MESSAGE, MORTAL_NAME, ROUND_NAME
from tests.clock_steps import WallClock

ALIVE: Final = 4.0
DEAD: Final = 1.5
"""Seconds that the endpoint lives and is dead, in turns; it is used again within a second or two of its back-off."""

STEPS: Final = (7200, -3600, 0)
"""Seconds from the true time to the wall clock, one after the other."""

STEP_EVERY: Final = 1.5

_TIMEOUT: Final = 5.0
_POLL: Final = 0.05

ROUTES: Final = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: mortal}}
spec:
  hosts: [mortal.internal]
  resolution: STATIC
  ports: [{{number: 443, name: tls, protocol: TLS}}]
  endpoints: [{{address: 127.0.0.1, ports: {{tls: {backend}}}}}, {{address: 127.0.0.1, ports: {{tls: {mortal}}}}}]
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
  hosts: [{mortal_name}, {round_name}]
  gateways: [tls]
  tls:
  - match: [{{sniHosts: [{mortal_name}]}}]
    route: [{{destination: {{host: mortal.internal}}}}]
  - match: [{{sniHosts: [{round_name}]}}]
    route: [{{destination: {{host: round.internal}}}}]
"""


def routes(gateway: int, backend: int, mortal: int) -> str:
    """The routes to the endpoint that dies and beside it to the backend, and back to the gateway; by their ports."""
    return ROUTES.format(
        gateway=gateway, backend=backend, mortal=mortal, mortal_name=MORTAL_NAME, round_name=ROUND_NAME
    )


class MortalEndpoint(threading.Thread):
    """
    An endpoint that answers hellos, and that listens only now and then.

    :param port: where it does.
    :ivar served: connections it has answered.
    :ivar deaths: how often it has died.
    """

    def __init__(self, port: int) -> None:
        super().__init__(name="mortal endpoint", daemon=True)
        self.served = 0
        self.deaths = 0
        self._port = port
        self._immortal = threading.Event()
        self._over = threading.Event()

    def run(self) -> None:
        """Live and die in turns."""
        while not self._over.is_set():
            with socket.create_server((LOOPBACK, self._port), backlog=1024) as listening:
                self._live(listening)
            self.deaths += 1
            self._immortal.wait(DEAD)

    def stay(self) -> None:
        """Heal, and die no more."""
        self._immortal.set()

    def end(self) -> None:
        """Die for good."""
        self._over.set()
        self._immortal.set()
        self.join()

    def _live(self, listening: socket.socket) -> None:
        listening.settimeout(_POLL)
        rest = ALIVE
        while not self._over.is_set() and (rest > 0 or self._immortal.is_set()):
            try:
                client, _ = listening.accept()
            except TimeoutError:
                rest -= _POLL
            else:
                self._serve(client)
        # Nobody may be reset who has connected: that would be another death than the one that is meant.
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

    :ivar steps: how often it has.
    """

    def __init__(self, clock: WallClock) -> None:
        super().__init__(name="stepped clock", daemon=True)
        self.steps = 0
        self._clock = clock
        self._over = threading.Event()

    def run(self) -> None:
        """Step it until the end."""
        for seconds in itertools.cycle(STEPS):
            if self._over.wait(STEP_EVERY):
                return
            self._clock.step(seconds)
            self.steps += 1

    def end(self) -> None:
        """Leave it as it is."""
        self._over.set()
        self.join()
