"""Tests of the configurations that the benchmarks give to meshgate and to the others, and of their options."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.__main__ import read_options
from benchmarks.gateways import Choice, prepare
from benchmarks.machine import cpu_model, version_in
from benchmarks.peers import NAME, PEERS
from benchmarks.processes import ROOT
from meshgate.providers.registry import find_factories
from meshgate.resources.reader import read_text
from meshgate.routing.compile.compiler import compile_table
from meshgate.routing.compile.servers import Proxy
from meshgate.routing.table import Listener, ListenerKey
from meshgate.settings.load import load_settings
from tests.support import new_folder

PORT, BACKEND = 20443, 20444


class GatewayTests(SynchronousTestCase):
    """Meshgate's own settings and routes."""

    def listener(self, services: int, names: int) -> Listener:
        """What the routes make of the port; that nothing is said about them is asserted."""
        folder = new_folder(self)
        prepare(folder, PORT, BACKEND, Choice(), services, names)
        settings = load_settings(folder / "meshgate.yaml", find_factories())
        self.assertEqual(settings.route_paths(), (f"{folder}/routes",))
        self.assertEqual(settings.access_log.path, f"{folder}/access.log")
        proxy = Proxy(settings.gateway.labels, settings.gateway.namespace, settings.domain_suffix)
        texts = [file.read_text() for file in sorted((folder / "routes").iterdir())]
        readings = [read_text(text, "routes", default_namespace=settings.default_namespace) for text in texts]
        self.assertEqual([problem for reading in readings for problem in reading.all_problems], [])
        compiled = compile_table([resource for reading in readings for resource in reading.resources], proxy)
        self.assertEqual(list(map(str, compiled.problems)), [])
        return compiled.table.listeners[ListenerKey("127.0.0.1", PORT)]

    def test_every_name_leads_to_the_backend(self) -> None:
        """Each VirtualService has names of its own, which are those that the load generator asks for."""
        listener = self.listener(4, 3)
        self.assertEqual(set(listener.exact), {f"n{number:06}.example.com" for number in range(12)})
        for chain in listener.exact.values():
            endpoints = [str(endpoint) for one in chain.destinations for endpoint in one.endpoints]
            self.assertEqual(endpoints, [f"127.0.0.1:{BACKEND}"])

    def test_one_name(self) -> None:
        """With one route there is one name, that of the other proxies."""
        self.assertEqual(set(self.listener(1, 1).exact), {NAME})

    def test_only_what_is_chosen_is_written(self) -> None:
        """A key that meshgate may not know yet stands in the settings only when it was asked for."""
        self.assertNotRegex(Choice().settings(), "transport|workers")
        self.assertIn("\ntransport: lean\nworkers: 2\n", Choice("lean", 2).settings())


class PeerTests(SynchronousTestCase):
    """The other proxies' files."""

    def test_configurations(self) -> None:
        """Each file is complete, names port, backend and name, and is what the command runs; none logs accesses."""
        for name, peer in PEERS.items():
            folder = new_folder(self)
            command = peer.prepare(folder, PORT, BACKEND)
            text = (folder / f"{name}.conf").read_text()
            self.assertEqual((command[0], command[-1]), (name, f"{folder}/{name}.conf"))
            for part in (f"127.0.0.1:{BACKEND}", str(PORT), NAME):
                self.assertIn(part, text)
            self.assertEqual(text.count("{"), text.count("}"))
            self.assertNotRegex(text, r"\{\w+\}|\{\{|access_?log|tcplog")

    def test_one_worker(self) -> None:
        """What is compared is one worker of each; nginx passes half-closes on, as all others do."""
        self.assertIn("worker_processes 1;", PEERS["nginx"].configuration)
        self.assertIn("proxy_half_close on;", PEERS["nginx"].configuration)
        self.assertIn("nbthread 1", PEERS["haproxy"].configuration)


class MachineTests(SynchronousTestCase):
    """What a machine says of itself."""

    def test_versions(self) -> None:
        """The first number is the version."""
        texts = ("nginx version: nginx/1.22.1\n", "HAProxy version 2.6.12-1+deb12u4 2026/10/17", "sniproxy 0.6")
        self.assertEqual([version_in(text) for text in texts], ["1.22.1", "2.6.12", "0.6"])

    def test_cpu_model(self) -> None:
        """The first processor's name, or that of the architecture."""
        self.assertEqual(
            cpu_model("processor\t: 0\nmodel name\t: A CPU @ 2GHz\nflags: x\nmodel name\t: B\n"), "A CPU @ 2GHz"
        )
        self.assertTrue(cpu_model("processor : 0\n"))


class MissingTests(SynchronousTestCase):
    """What a run needs, where it is not installed."""

    def test_all_of_it_is_said(self) -> None:
        """The run ends before it has measured anything, and names programs and packages; nothing is installed."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "--strace"],
            cwd=ROOT,
            env={"PATH": str(new_folder(self))},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        for text in ("make (apt-get install make)", "cc (apt-get install gcc libc6-dev)", "strace", *PEERS):
            self.assertIn(f"\n  {text}", done.stderr)


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def refusal(self, *arguments: str) -> str:
        """What is said of arguments that cannot be used."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            self.assertRaises(SystemExit, read_options, arguments)
        return re.sub(r"\s+", " ", said.getvalue())

    def test_choices(self) -> None:
        """Works and proxies run in their own order, whatever the order in which they are named."""
        options = read_options(["--work", "c,a", "--peers", "nginx,meshgate", "--rounds", "7"])
        self.assertEqual((options.work, options.peers, options.rounds), (["a", "c"], ["meshgate", "nginx"], 7))

    def test_unknown_ones(self) -> None:
        """What does not exist is named."""
        self.assertIn("x: not among a, b", self.refusal("--work", "a,x"))
        self.assertIn("caddy: not among meshgate", self.refusal("--peers", "caddy"))
        self.assertIn("there has to be a round", self.refusal("--rounds", "0"))

    def test_a_readme_without_a_place(self) -> None:
        """A run that could not be written into a file is not begun."""
        file = new_folder(self) / "README.md"
        self.assertIn("No such file", self.refusal("--readme", str(file)))
        file.write_text("Nothing here.\n")
        self.assertIn("README.md: there is no place for the summary", self.refusal("--readme", str(file)))
