"""
Record series of gateways in real failures, for the tests of the alert rules.

``python -m twisted.trial tests.metrics.record_failures`` writes the files of ``tests/metrics/failures`` again. Each has
the series of one failure as ``promtool test rules`` reads them. A gateway is asked each 0.25 seconds, and its failure
lasts some seconds; the files take these answers for those of every 15 seconds. Ports are named alike in each recording.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.metrics.alert_rules import FAILURES, families_of_rules
from tests.metrics.test_gateway_metrics import ROUTES, SETTINGS, ScrapedGateway
from tests.peers import LOOPBACK, Origin
from tests.support import free_port, reactor

STEP = 0.25
INSTANCE = {"instance": "gateway-1", "job": "meshgate"}

BEFORE, DURING = 8, 24
"""The number of answers before the failure, and from its beginning on."""

SECOND_PORT = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: second}}
spec:
  servers: [{{port: {{number: {port}, name: tcp, protocol: TCP}}, bind: {bind}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: second}}
spec:
  hosts: ["*"]
  gateways: [second]
  tcp: [{{route: [{{destination: {{host: db.local, port: {{number: 443}}}}}}]}}]
"""

NAME = """\
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named}
spec:
  hosts: [db.example.org]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: DNS
"""


async def moment() -> None:
    """Wait for the next answer's time."""
    await deferLater(reactor, STEP)


class Recorder:
    """
    The series of one gateway.

    :param names: the numbers of ports, and what they are called in the file.
    """

    def __init__(self, gateway: ScrapedGateway, names: dict[int, int]) -> None:
        self._gateway = gateway
        self._names = {str(number): str(name) for number, name in names.items()}
        self._families = families_of_rules()
        self.series: dict[str, list[float | None]] = {}
        self._answers = 0

    async def answer(self) -> None:
        """Add an answer, or its absence."""
        samples: dict[str, float] = {}
        try:
            text = (await self._gateway.get("/metrics"))[2]
        except Exception:
            samples[self._key("up", {})] = 0.0
        else:
            samples[self._key("up", {})] = 1.0
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.name in self._families and sample.labels.get("le", "0.1") == "0.1":
                        samples[self._key(sample.name, sample.labels)] = sample.value
        for key in samples.keys() | self.series.keys():
            self.series.setdefault(key, [None] * self._answers).append(samples.get(key))
        self._answers += 1

    def _key(self, name: str, labels: dict[str, str]) -> str:
        texts = []
        for label, value in sorted({**labels, **INSTANCE}.items()):
            for number, port in self._names.items():
                value = value.replace(f":{number}", f":{port}")
            texts.append(f'{label}="{value}"')
        return f"{name}{{{', '.join(texts)}}}"

    def write(self, name: str) -> None:
        """Write the file of a failure."""
        lines = [f"# {name}: recorded by tests/metrics/record_failures.py", "interval: 15s", "input_series:"]
        for key, values in sorted(self.series.items()):
            texts = " ".join("_" if value is None else f"{value:.10g}" for value in values)
            lines += [f"- series: '{key}'", f"  values: '{_short(texts)}'"]
        FAILURES.mkdir(exist_ok=True)
        (FAILURES / f"{name}.yaml").write_text("\n".join(lines) + "\n")


def _short(values: str) -> str:
    """Values as promtool writes repeated ones: ``1x3`` is four times 1."""
    shortened: list[list[Any]] = []
    for value in values.split():
        if shortened and shortened[-1][0] == value:
            shortened[-1][1] += 1
        else:
            shortened.append([value, 0])
    return " ".join(value + (f"x{more}" if more else "") for value, more in shortened)


class Recordings(TestCase):
    """Each failure in turn."""

    timeout = 120

    def gateway(self, target: int) -> ScrapedGateway:
        """A gateway with one route."""
        return ScrapedGateway(self, target)

    async def record(
        self,
        name: str,
        gateway: ScrapedGateway,
        fail: Callable[[], object],
        meanwhile: Callable[[], Awaitable[object]] = moment,
        ports: dict[int, int] | None = None,
    ) -> None:
        """
        Record a failure.

        :param fail: brings it about.
        :param meanwhile: goes on before and during it, once for each answer.
        """
        recorder = Recorder(gateway, {gateway.port: 8443, **(ports or {})})
        await gateway.ready()
        for number in range(BEFORE + DURING):
            if number == BEFORE:
                fail()
            await meanwhile()
            await recorder.answer()
        recorder.write(name)

    async def connect(self, gateway: ScrapedGateway) -> None:
        """A client that comes and goes."""
        client = await gateway.connect("a.example.com")
        await moment()
        client.reset()

    async def test_backend_dead(self) -> None:
        """The only endpoint goes away while clients come."""
        origin = Origin(self, b"welcome")
        gateway = self.gateway(origin.endpoint.port)

        async def client() -> None:
            await self.connect(gateway)

        def end() -> None:
            listening, origin._port = origin._port, reactor.listenTCP(0, origin, interface=LOOPBACK)
            listening.stopListening()

        await self.record("backend_dead", gateway, end, client, {origin.endpoint.port: 5432})

    async def test_snapshot_refused(self) -> None:
        """The file of the routes gets a mistake."""
        gateway = self.gateway(free_port())
        broken = gateway.routes.read_text().replace("mode: PASSTHROUGH", "mode: PASSTROUGH")
        await self.record("snapshot_refused", gateway, lambda: gateway.routes.write_text(broken))

    async def test_port_not_bound(self) -> None:
        """A Gateway asks for a port that another process has."""
        gateway, other = self.gateway(free_port()), Origin(self)
        port = other.endpoint.port
        text = gateway.routes.read_text() + SECOND_PORT.format(port=port, bind=LOOPBACK)
        await self.record("port_not_bound", gateway, lambda: gateway.routes.write_text(text), ports={port: 5432})

    async def test_workers_killed(self) -> None:
        """Workers are killed again and again."""
        gateway = self.gateway(free_port())
        failing: list[int] = []

        async def kill() -> None:
            for worker in gateway.control._pool.workers() if failing else ():
                if worker.pid is not None and worker.worker == 1:
                    os.kill(worker.pid, signal.SIGKILL)
            await moment()

        await self.record("workers_killed", gateway, lambda: failing.append(1), kill)

    async def test_worker_stuck(self) -> None:
        """A worker is stopped, and the routes change."""
        gateway = self.gateway(free_port())
        text = gateway.routes.read_text().replace("*.example.com", "*.example.net")

        def stop() -> None:
            pid = gateway.control._pool.workers()[0].pid
            os.kill(pid, signal.SIGSTOP)
            self.addCleanup(os.kill, pid, signal.SIGCONT)
            gateway.routes.write_text(text)

        await self.record("worker_stuck", gateway, stop)

    async def test_worker_late(self) -> None:
        """A worker gets the processor only now and then."""
        gateway = self.gateway(free_port())
        failing: list[int] = []

        async def hold() -> None:
            pid = gateway.control._pool.workers()[0].pid
            if failing:
                os.kill(pid, signal.SIGSTOP)
            await deferLater(reactor, 0.6)
            os.kill(pid, signal.SIGCONT)
            await moment()

        await self.record("worker_late", gateway, lambda: failing.append(1), hold)

    async def test_descriptors_low(self) -> None:
        """Clients take nearly all descriptors that a worker may have."""
        origin = Origin(self, b"welcome")
        gateway = self.gateway(origin.endpoint.port)

        def fill() -> None:
            for worker in gateway.control._pool.workers():
                resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (60, 60))

        async def client() -> None:
            await gateway.connect("a.example.com")
            await gateway.connect("b.example.com")
            await gateway.connect("c.example.com")
            await moment()

        await self.record("descriptors_low", gateway, fill, client, {origin.endpoint.port: 5432})

    async def test_name_not_resolved(self) -> None:
        """A route leads to a name, and its name server does not answer."""
        gateway = self.gateway(free_port())
        text = gateway.routes.read_text().replace("host: db.local, port: {number: 443}", "host: db.example.org")
        await self.record("name_not_resolved", gateway, lambda: gateway.routes.write_text(text + NAME))

    async def test_gateway_ended(self) -> None:
        """The gateway is stopped for good."""
        gateway = self.gateway(free_port())
        await self.record("gateway_ended", gateway, gateway.stop)

    async def test_never_ready(self) -> None:
        """The gateway starts on a machine that does not have its address yet."""
        settings = SETTINGS + "listening: {{wait_for_addresses: true}}\n"
        routes = ROUTES + SECOND_PORT.replace("{port}", "5432").replace("{bind}", "192.0.2.1")
        gateway = ScrapedGateway(self, free_port(), settings, routes)
        recorder = Recorder(gateway, {gateway.port: 8443})
        for _ in range(DURING):
            await moment()
            await recorder.answer()
        recorder.write("never_ready")

    async def test_provider_fails(self) -> None:
        """A provider reports that it fails."""
        gateway = self.gateway(free_port())
        sink = gateway.control._feed._sinks["files"]
        await self.record("provider_fails", gateway, lambda: sink.failed("its source does not answer"))
