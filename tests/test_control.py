"""Tests of :mod:`meshgate.control`: the whole gateway in the test's own reactor, with real sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import TestCase

from meshgate.control import ControlProcess
from meshgate.providers.registry import find_factories
from meshgate.settings.load import load_settings
from meshgate.state.status_text import read_status
from meshgate.transport.dialing import dial
from tests.dns_server import DnsServer, Fault
from tests.peers import LOOPBACK, Origin, Peer, end_all
from tests.support import free_port, new_folder, reactor, wait_for

SETTINGS = """
providers: [{{name: files, type: directory, paths: [routes.yaml]}}]
dns: {{servers: ["127.0.0.1:{dns}"]}}
access_log: {{path: access.log, format: json}}
timeouts: {{connect: 5s}}
"""

ROUTES = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw}}
spec:
  servers: [{{port: {{number: {port}, name: tcp, protocol: TCP}}, hosts: ["*"], bind: 127.0.0.1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs}}
spec:
  hosts: ["*"]
  gateways: [gw]
  tcp: [{{route: [{{destination: {{host: db.example.org, port: {{number: 5432}}}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: db}}
spec:
  hosts: [db.example.org]
  ports: [{{number: 5432, name: tcp, protocol: TCP, targetPort: {target}}}]
  resolution: DNS
"""


class ServiceTestCase(TestCase):
    """A test with a gateway."""

    timeout = 60

    def start(self, dns: int, target: int, port: int | None = None) -> tuple[Path, int]:
        """A gateway with one port for ``db.example.org``; gives its folder and the port."""
        folder, port = new_folder(self), port or free_port()
        (folder / "routes.yaml").write_text(ROUTES.format(port=port, target=target))
        settings = folder / "meshgate.yaml"
        settings.write_text(SETTINGS.format(dns=dns) + "workers: 1\n")
        registry = find_factories()
        gateway: Any = ControlProcess(load_settings(settings, registry), registry, reactor)
        gateway.startService()
        self.addCleanup(maybeDeferred, gateway.stopService)
        return folder, port


class DnsTests(ServiceTestCase):
    """Endpoints that are names."""

    async def test_an_endpoint_is_resolved_and_followed(self) -> None:
        """A ServiceEntry's name is asked of the configured server; the last good answer survives its failure."""
        dns = DnsServer(reactor)
        dns.start()
        self.addCleanup(dns.stop)
        origin = Origin(self, b"welcome")
        dns.set("db.example.org", [LOOPBACK], ttl=1)
        folder, port = self.start(dns.address[1], origin.endpoint.port)
        await self.greeted(port, origin, 0)
        dns.break_down("db.example.org", Fault.SERVFAIL)
        await wait_for(
            lambda: [p for p in read_status(folder / "state")["problems"] if p["code"] == "MG3101"],
            "the problem in the status",
        )
        await self.greeted(port, origin, 1)
        (name,) = await wait_for(lambda: failing(read_status(folder / "state")["names"]), "the name in the figures")
        self.assertEqual((name["name"], name["addresses"]), ("db.example.org", [LOOPBACK]))
        (provider,) = read_status(folder / "state")["providers"]
        self.assertEqual((provider["name"], provider["resources"], provider["failing_since"]), ("files", 3, None))

    async def test_an_endpoint_that_fails_is_told(self) -> None:
        """An endpoint that refuses stands in the figures with its destination, and when it is tried again."""
        dns = DnsServer(reactor)
        dns.start()
        self.addCleanup(dns.stop)
        dns.set("db.example.org", [LOOPBACK])
        closed = free_port()
        folder, port = self.start(dns.address[1], closed)
        client: Peer = await dial(reactor, LOOPBACK, port, Peer(), timeout=10)
        await wait_for(lambda: read_status(folder / "state")["failing_endpoints"], "the endpoint")
        (found,) = read_status(folder / "state")["failing_endpoints"]
        self.assertGreater(found.pop("until"), read_status(folder / "state")["started"])
        endpoint = {"destination": "db.example.org:5432", "endpoint": f"{LOOPBACK}:{closed}"}
        self.assertEqual(found, {**endpoint, "state": "tried_last", "workers": 1, "reason": ""})
        await end_all([client])

    async def greeted(self, port: int, origin: Origin, number: int) -> None:
        """Connect through the gateway, and be greeted by the origin."""
        client: Peer = await dial(reactor, LOOPBACK, port, Peer(), timeout=10)
        await client.got(b"welcome")
        await end_all([client, await origin.peer(number)])


def failing(names: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that do not resolve now."""
    return [name for name in names if name["failing_since"]]
