"""
The troubles of a soak: an endpoint that fails and heals, a route that leads back to the gateway, a wall clock that is
stepped, and routes and listeners that come and go. They must not change the ending of any connection, except for those
of the route that leads back.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks.processes import answers, client_hello
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

CHANGING_ROUTE: Final = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: changing}}
spec:
  hosts: [{name}]
  gateways: [tls, further]
  tls:
  - match: [{{sniHosts: [{name}]}}]
    route: [{{destination: {{host: backend, port: {{number: 443}}}}}}]
"""

FURTHER_LISTENER: Final = """\
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: further}}
spec:
  servers:
  - port: {{number: {port}, name: tls, protocol: TLS}}
    bind: 127.0.0.1
    tls: {{mode: PASSTHROUGH}}
    hosts: ["*"]
"""

EFFECT_WITHIN: Final = 60.0
"""Seconds within which a change must have its effect on a machine that is busy with the soak."""


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


class RouteChanges(threading.Thread):
    """
    Changes routes, one change after the other; each is awaited. Every other change opens a further listener, and the
    next one closes it.

    :param folder: the folder of the gateway.
    :param port: the port of its listener.
    :param further: the port of the listener that comes and goes.
    :param numbers: the numbers of the changes; the last one should be odd, so that the further listener is closed.
    :ivar endings: the endings that the clients which await the changes must have.
    :ivar changes: the number of changes with an effect.
    :ivar fault: the fault that has ended the changes; empty if there is none.
    """

    def __init__(self, folder: Path, port: int, further: int, numbers: range) -> None:
        super().__init__(name="route changes", daemon=True)
        self.endings: Counter[str] = Counter()
        self.changes = 0
        self.fault = ""
        self._folder, self._port, self._further, self._numbers = folder, port, further, numbers

    def run(self) -> None:
        """Make all changes, or stop at the first one without an effect."""
        for number in self._numbers:
            try:
                self._change(number)
            except (OSError, TimeoutError) as error:
                self.fault = f"change {number} of the routes: {type(error).__name__} {error}"
                return
            self.changes += 1

    def _change(self, number: int) -> None:
        name = f"t{number:06}.example.com"
        opened = number % 2 == 0
        fresh = self._folder / "fresh"
        fresh.write_text(
            CHANGING_ROUTE.format(name=name) + (FURTHER_LISTENER.format(port=self._further) if opened else "")
        )
        fresh.rename(self._folder / "routes" / "changing.yaml")
        hello, end = client_hello(name), time.monotonic() + EFFECT_WITHIN
        while not (self._answered(self._port, hello) and self._answered(self._further, hello) is opened):
            if time.monotonic() > end:
                raise TimeoutError(f"no effect within {EFFECT_WITHIN:g} s")
            time.sleep(_POLL)

    def _answered(self, port: int, hello: bytes) -> bool:
        try:
            answered = answers(port, hello)
        except ConnectionError:
            if port == self._further:  # the listener is closed
                return False
            raise
        self.endings["ok" if answered else "no_route"] += 1
        return answered
