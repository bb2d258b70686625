"""Tests of the shipped routes, ``etc/routes``: what they say, what they compile to, and that they fit the lab."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.directory.provider import DirectoryFactory
from meshgate.providers.registry import Registry
from meshgate.resources.latest import latest
from meshgate.resources.problem import Problem
from meshgate.resources.reader import read_text
from meshgate.routing.compile.compiler import compile_table
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.table import Chain, Listener, ListenerKey, RoutingTable
from meshgate.settings.load import load_settings
from tests.support import IMPORT_ROOT

DEFAULTS = IMPORT_ROOT / "meshgate" / "defaults"
ECHO = ListenerKey("0.0.0.0", 31400)
SNI = ListenerKey("0.0.0.0", 31443)
NAME_1, NAME_2 = "simple-sni-1.istioinaction.io", "simple-sni-2.istioinaction.io"

MOVED = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: sni-on-the-echo-port}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 31400, name: tls-sni, protocol: TLS}
      tls: {mode: PASSTHROUGH}
      hosts: [simple-sni-1.istioinaction.io]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: sni-on-the-echo-port}
spec:
  hosts: [simple-sni-1.istioinaction.io]
  gateways: [sni-on-the-echo-port]
  tls:
    - match: [{port: 31400, sniHosts: [simple-sni-1.istioinaction.io]}]
      route: [{destination: {host: simple-tls-service-1, port: {number: 80}}}]
"""
"""The one file that takes the TCP port for TLS, once the TCP Gateway's file is gone."""


def endpoints(chain: Chain | None) -> list[str]:
    """Where a chain's connections go."""
    assert chain is not None
    return [str(endpoint) for destination in chain.destinations for endpoint in destination.endpoints]


class ShippedRoutesTests(SynchronousTestCase):
    """The routes, read and compiled for the shipped settings."""

    def setUp(self) -> None:
        """Read the settings and the files."""
        settings = load_settings(DEFAULTS / "meshgate.yaml", Registry({"directory": DirectoryFactory()}))
        assert settings.content.lab is not None
        self.lab = settings.content.lab
        self.namespace = settings.content.default_namespace
        self.proxy = Proxy(
            settings.content.gateway.labels, settings.content.gateway.namespace, settings.content.domain_suffix
        )
        self.texts = {path.name: path.read_text(encoding="utf-8") for path in (DEFAULTS / "routes").glob("*.yaml")}

    def compile(self, texts: Mapping[str, str]) -> tuple[RoutingTable, list[Problem]]:
        """The table that files make, and everything that is said about them."""
        readings = [read_text(texts[name], name, default_namespace=self.namespace) for name in sorted(texts)]
        said = [problem for reading in readings for problem in reading.all_problems]
        winners, doubled = latest([resource for reading in readings for resource in reading.resources])
        compilation = compile_table(winners, self.proxy)
        return compilation.table, [*said, *doubled, *compilation.problems]

    def listeners(self, texts: Mapping[str, str]) -> Mapping[ListenerKey, Listener]:
        """The listeners that files make, by their keys."""
        table, _ = self.compile(texts)
        return table.listeners

    def test_nothing_is_said_about_them(self) -> None:
        """What we ship as an example gives not even an info."""
        _, problems = self.compile(self.texts)
        self.assertEqual(list(map(str, problems)), [])

    def test_the_tcp_port_leads_to_the_echo_service(self) -> None:
        """Port 31400 sends everything to the echo service, without a look at the first bytes."""
        listener = self.listeners(self.texts)[ECHO]
        self.assertFalse(listener.sniffs)
        self.assertEqual(endpoints(listener.lookup(None)), ["127.0.0.1:2701"])

    def test_the_tls_port_tells_the_names_apart(self) -> None:
        """Port 31443 leads each of the two names to its own service, and nothing else anywhere."""
        listener = self.listeners(self.texts)[SNI]
        self.assertEqual(endpoints(listener.lookup(NAME_1)), ["127.0.0.1:18001"])
        self.assertEqual(endpoints(listener.lookup(NAME_2)), ["127.0.0.1:18002"])
        self.assertIsNone(listener.lookup("simple-sni-3.istioinaction.io"))
        self.assertIsNone(listener.lookup(None))

    def test_there_are_no_other_ports(self) -> None:
        """The lab opens exactly these two ports."""
        self.assertEqual(set(self.listeners(self.texts)), {ECHO, SNI})

    def test_they_lead_to_the_labs_own_services(self) -> None:
        """Every endpoint is a workload of the shipped settings; a name leads to a certificate made for it."""
        listeners = self.listeners(self.texts)
        echo = [f"{workload.bind}:{workload.port}" for workload in self.lab.echo]
        self.assertEqual(endpoints(listeners[ECHO].catch_all), echo)
        hosts = {f"{workload.bind}:{workload.port}": workload.hosts for workload in self.lab.https}
        led = {endpoint: (name,) for name, chain in listeners[SNI].exact.items() for endpoint in endpoints(chain)}
        self.assertEqual(led, hosts)

    def test_one_file_is_one_move(self) -> None:
        """The TCP Gateway's file replaced by one that has TLS on its port: that port changes, the other does not."""
        texts = {name: text for name, text in self.texts.items() if name != "20-echo-gateway.yaml"}
        before, between = self.listeners(self.texts), self.listeners(texts)
        after = self.listeners({**texts, "40-sni-on-the-echo-port.yaml": MOVED})
        self.assertEqual(set(between), {SNI})
        self.assertTrue(after[ECHO].sniffs)
        self.assertEqual(endpoints(after[ECHO].lookup(NAME_1)), ["127.0.0.1:18001"])
        self.assertEqual(after[SNI], before[SNI])

    def test_a_route_is_a_file(self) -> None:
        """Without the second name's file the first name is served as before, and the second is not."""
        texts = {name: text for name, text in self.texts.items() if name != "32-sni-route-2.yaml"}
        listener = self.listeners(texts)[SNI]
        self.assertEqual(endpoints(listener.lookup(NAME_1)), ["127.0.0.1:18001"])
        self.assertIsNone(listener.lookup(NAME_2))

    def test_every_file_says_what_it_is_for(self) -> None:
        """Each file begins with a comment, ends in a newline, and fits a screen."""
        for name, text in self.texts.items():
            self.assertTrue(text.startswith("# "), name)
            self.assertTrue(text.endswith("\n"), name)
            self.assertLess(max(map(len, text.splitlines())), 121, name)

    def test_the_folder_has_nothing_else(self) -> None:
        """Only files that are shipped lie in the folder: package data takes ``*.yaml`` alone."""
        routes: Path = DEFAULTS / "routes"
        self.assertEqual({path.name for path in routes.iterdir()}, set(self.texts))
