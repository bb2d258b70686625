"""Tests of :mod:`meshgate.metrics` as users see them: a gateway in the test's own reactor, with a real worker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from meshgate.control import ControlProcess
from meshgate.metrics.metric_families import FAMILIES, Family
from meshgate.providers.registry import find_factories
from meshgate.settings.load import load_settings
from meshgate.transport.dialing import dial
from meshgate.workers import count_totals
from tests.hello_builder import build_hello
from tests.peers import LOOPBACK, Origin, Peer, end_all
from tests.support import free_port, new_folder, reactor, require_program

SETTINGS = """
providers: [{{name: files, type: directory, paths: [routes.yaml], poll: 100ms}}]
access_log: {{path: access.log}}
metrics: {{port: {metrics}}}
workers: 2
"""

ROUTES = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw}}
spec:
  servers:
  - port: {{number: {port}, name: tls, protocol: TLS}}
    bind: 127.0.0.1
    tls: {{mode: PASSTHROUGH}}
    hosts: ["*.example.com"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs}}
spec:
  hosts: ["*.example.com"]
  gateways: [gw]
  tls:
  - match: [{{sniHosts: ["*.example.com"]}}]
    route: [{{destination: {{host: db.local, port: {{number: 443}}}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: db}}
spec:
  hosts: [db.local]
  ports: [{{number: 443, name: tls, protocol: TLS}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{tls: {target}}}}}]
"""


class ScrapedGateway:
    """A gateway with one route, in this process, with two workers."""

    def __init__(self, test: TestCase, target: int, settings_text: str = SETTINGS, routes: str = ROUTES) -> None:
        self.folder = new_folder(test)
        self.port, self.metrics_port = free_port(), free_port()
        self.routes = self.folder / "routes.yaml"
        self.routes.write_text(routes.format(port=self.port, target=target))
        settings = self.folder / "meshgate.yaml"
        settings.write_text(settings_text.format(metrics=self.metrics_port))
        registry = find_factories()
        self.control: Any = ControlProcess(load_settings(settings, registry), registry, reactor)
        self.control.startService()
        self._clients: list[Peer] = []
        test.addCleanup(self.stop)
        test.addCleanup(lambda: Deferred.fromCoroutine(end_all(self._clients)))

    def stop(self) -> Any:
        """Stop it, unless it has been."""
        return self.control.stopService() if self.control.running else None

    async def get(self, path: str, accept: str = "") -> tuple[int, str, str]:
        """The status, the content type and the body of an answer, by curl."""
        arguments = ["curl", "-s", "-m", "10", "-w", "\\n%{http_code} %{content_type}"]
        if accept:
            arguments += ["-H", f"Accept: {accept}"]
        url = f"http://127.0.0.1:{self.metrics_port}{path}"
        output = await deferToThread(subprocess.check_output, [*arguments, url], text=True)
        body, _, facts = output.rpartition("\n")
        code, _, content_type = facts.partition(" ")
        return int(code), content_type, body

    async def values(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """All samples of a scrape: by name, and then by labels."""
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in parse_text((await self.get("/metrics"))[2]):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return found

    async def total(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        samples = (await self.values()).get(name, {})
        return sum(value for each, value in samples.items() if labels.items() <= dict(each).items())

    async def reaches(self, value: float, name: str, **labels: str) -> None:
        """Wait until the sum is this value."""
        found = -1.0
        for _ in range(200):
            found = await self.total(name, **labels)
            if found == value:
                return
            await wait_for_moment()
        raise AssertionError(f"{name}{labels} is {found} and not {value}")

    async def connect(self, name: str) -> Peer:
        """A client that has asked for a name."""
        client: Peer = await dial(reactor, LOOPBACK, self.port, Peer(), timeout=10)
        self._clients.append(client)
        client.send(build_hello(name))
        return client

    async def ready(self) -> None:
        """Wait until the gateway is ready."""
        for _ in range(300):
            if (await self.get("/readyz"))[0] == 200:
                return
            await wait_for_moment()
        raise AssertionError((await self.get("/readyz"))[2])


async def wait_for_moment() -> None:
    """Let a moment pass."""
    await deferLater(reactor, 0.05)


class GatewayMetricsTests(TestCase):
    """A gateway that is asked for its metrics."""

    timeout = 90

    async def test_connections_and_a_worker_that_is_killed(self) -> None:
        """Counts come from all workers, and stay when a worker is killed; the answer is in order in both formats."""
        origin = Origin(self, b"welcome")
        gateway = ScrapedGateway(self, origin.endpoint.port)
        await gateway.ready()
        for _ in range(6):
            client = await gateway.connect("a.example.com")
            await client.got(b"welcome")
            client.reset()
        live = await gateway.connect("b.example.com")
        await live.got(b"welcome")
        refused = await gateway.connect("x.example.org")
        await refused.got_finish()
        listener = f"127.0.0.1:{gateway.port}"
        await gateway.reaches(8, "meshgate_connections_opened_total", listener=listener)
        await gateway.reaches(6, "meshgate_connections_ended_total", ending="client_reset", gateway="default/gw")
        await gateway.reaches(1, "meshgate_connections_ended_total", ending="no_route", gateway="")
        labels = {"virtual_service": "default/vs", "destination": "db.local:443", "endpoint": str(origin.endpoint)}
        await gateway.reaches(7, "meshgate_upstream_connections_opened_total", **labels)
        await gateway.reaches(1, "meshgate_upstream_connections_open", **labels)
        await gateway.reaches(1, "meshgate_connections_open")
        await gateway.reaches(7, "meshgate_server_name_connections_total", pattern="*.example.com")
        await gateway.reaches(7 * 7, "meshgate_sent_bytes_total", **labels)
        await self.check_formats(gateway)

        before = await gateway.values()
        for worker in gateway.control._pool.workers():
            os.kill(worker.pid, signal.SIGKILL)
        await gateway.reaches(2, "meshgate_worker_restarts_total")
        await gateway.reaches(0, "meshgate_connections_open")
        await gateway.reaches(2, "meshgate_workers_serving")
        after = await gateway.values()
        for name, samples in before.items():
            if name.startswith("meshgate_") and name.endswith(("_total", "_count", "_bucket")) and "_cpu_" not in name:
                for key, value in samples.items():
                    self.assertGreaterEqual(after[name][key], value, f"{name}{key}")
        await (await gateway.connect("a.example.com")).got(b"welcome")
        await gateway.reaches(8, "meshgate_upstream_connections_opened_total", **labels)

    async def check_formats(self, gateway: ScrapedGateway) -> None:
        """Both formats are in order, and have no family that is not listed, with its help and type."""
        _, content_type, text = await gateway.get("/metrics")
        self.assertTrue(content_type.startswith("text/plain; version="), content_type)
        self.check_families(parse_text(text))
        accept = "application/openmetrics-text; version=1.0.0"
        _, content_type, openmetrics = await gateway.get("/metrics", accept)
        self.assertTrue(content_type.startswith("application/openmetrics-text"), content_type)
        self.check_families(parse_openmetrics(openmetrics))
        checked = subprocess.run(
            [require_program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))

    def check_families(self, families: Iterable[Any]) -> None:
        """Compare parsed families with the list."""
        listed = {name: each for each in FAMILIES for name in (each.name, each.exposed_name)}
        for found in families:
            family: Family = listed[found.name]
            self.assertIn(found.type, (family.type, "gauge"))
            self.assertEqual(found.documentation, family.meaning)
            for sample in found.samples:
                self.assertEqual(set(sample.labels) - {"le"}, set(family.labels), sample)

    async def test_an_endpoint_that_is_gone(self) -> None:
        """
        Its series is left out once no route leads to it and its last connection has ended, in all workers; the others
        stay. The time until then is left out here.
        """
        self.patch(count_totals, "FORGET_AFTER", 0.0)
        before, after = Origin(self, b"welcome"), Origin(self, b"welcome")
        gateway = ScrapedGateway(self, before.endpoint.port)
        await gateway.ready()
        clients = [await gateway.connect("a.example.com") for _ in range(8)]
        for client in clients:
            await client.got(b"welcome")
        gateway.routes.write_text(ROUTES.format(port=gateway.port, target=after.endpoint.port))
        await gateway.reaches(2, "meshgate_live_generation")
        await (await gateway.connect("a.example.com")).got(b"welcome")
        name, gone = "meshgate_upstream_connections_opened_total", {"endpoint": str(before.endpoint)}
        await gateway.reaches(8, name, **gone)
        for _ in range(3):
            gateway.control._pool.end_series()
            await wait_for_moment()
        self.assertEqual(await gateway.total(name, **gone), 8)
        for client in clients:
            client.reset()
        await gateway.reaches(8, "meshgate_connections_ended_total", **gone)
        for _ in range(100):
            gateway.control._pool.end_series()
            await wait_for_moment()
            if not await gateway.total(name, **gone):
                break
        values = await gateway.values()
        endpoints = {dict(key).get("endpoint", "") for samples in values.values() for key in samples}
        self.assertEqual(endpoints, {"", str(after.endpoint)})
        self.assertEqual(sum(values["meshgate_connections_open"].values()), 1)
        self.assertEqual(sum(values["meshgate_connections_opened_total"].values()), 9)

    async def test_ready_and_not(self) -> None:
        """A gateway that stops says so; it lives until it is gone, and tells what is missing."""
        gateway = ScrapedGateway(self, free_port())
        self.assertEqual((await gateway.get("/livez"))[::2], (200, "ok\n"))
        code, _, body = await gateway.get("/readyz")
        if code != 200:
            self.assertIn("[-]workers 0 of 2 workers serve\n", body)
            self.assertTrue(body.endswith("\nnot ready\n"), body)
        await gateway.ready()
        body = (await gateway.get("/readyz"))[2]
        self.assertEqual(body, "[+]configured ok\n[+]bound ok\n[+]workers ok\n[+]draining ok\nready\n")
        gateway.control.readiness.draining = "the gateway is stopping"
        code, _, body = await gateway.get("/readyz")
        self.assertEqual(code, 503)
        self.assertIn("[-]draining the gateway is stopping\n", body)
        self.assertEqual((await gateway.get("/nothing"))[0], 404)

    async def test_settings_that_change(self) -> None:
        """Another port at a reload is told of, and the old one goes on."""
        gateway = ScrapedGateway(self, free_port())
        await gateway.ready()
        settings = gateway.folder / "meshgate.yaml"
        text = settings.read_text()
        settings.write_text(
            text.replace(f"metrics: {{port: {gateway.metrics_port}}}", f"metrics: {{port: {free_port()}}}")
        )
        gateway.control.reload()
        await gateway.reaches(1, "meshgate_problems", code="MG3103")
        settings.write_text(text)
        gateway.control.reload()
        await gateway.reaches(0, "meshgate_problems", code="MG3103")

    async def test_every_family_is_exposed(self) -> None:
        """No family of the list is left out by a gateway in full use, except those of what it does not use."""
        origin = Origin(self, b"welcome")
        gateway = ScrapedGateway(self, origin.endpoint.port)
        await gateway.ready()
        await (await gateway.connect("a.example.com")).got(b"welcome")
        await gateway.reaches(1, "meshgate_upstream_connections_open")
        text = (await gateway.get("/metrics"))[2]
        exposed = set(re.findall(r"(?m)^# TYPE (\S+)", text))
        missing = {family.exposed_name for family in FAMILIES} - exposed
        unused = {"meshgate_endpoint_left_out_workers", "meshgate_api_answers_total", "meshgate_problems"}
        unused |= {"meshgate_endpoint_healthy", "meshgate_health_checks_total"}
        ended = {"meshgate_connections_ended_total", "meshgate_connection_duration_seconds"}
        self.assertEqual(missing - ended, unused)


class SettingsTests(TestCase):
    """Without the key."""

    def test_nothing_is_counted(self) -> None:
        """A gateway without ``metrics`` has no port, and its workers count nothing."""
        folder = new_folder(self)
        (folder / "meshgate.yaml").write_text("providers: []\n")
        registry = find_factories()
        control: Any = ControlProcess(load_settings(Path(folder / "meshgate.yaml"), registry), registry, reactor)
        self.assertIsNone(control._pool.metrics)
        self.assertIsNone(control._metrics)
