"""Tests of the benchmarks' configurations of meshgate and of the other proxies, and of their options."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from threading import Thread

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from benchmarks.__main__ import read_options
from benchmarks.gateways import Choice, prepare
from benchmarks.machine import cpu_model, python_build, version_in
from benchmarks.peers import NAME, PEERS, routes
from benchmarks.processes import ROOT, client_hello, free_port, proxy, wait_until
from meshgate.providers.registry import find_factories
from meshgate.resources.reader import read_text
from meshgate.routing.compile.compiler import compile_table
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.table import Listener, ListenerKey
from meshgate.settings.load import load_settings
from tests.support import new_folder

PORT, BACKEND = 20443, 20444


class GatewayTests(SynchronousTestCase):
    """Meshgate's own settings and routes."""

    def listener(self, services: int, names: int) -> Listener:
        """The listener of the port; the routes have no problems."""
        folder = new_folder(self)
        prepare(folder, PORT, BACKEND, Choice(), services, names)
        settings = load_settings(folder / "meshgate.yaml", find_factories())
        self.assertEqual(settings.route_paths(), (f"{folder}/routes",))
        self.assertEqual(settings.content.access_log.path, f"{folder}/access.log")
        proxy = Proxy(
            settings.content.gateway.labels, settings.content.gateway.namespace, settings.content.domain_suffix
        )
        texts = [file.read_text() for file in sorted((folder / "routes").iterdir())]
        readings = [read_text(text, "routes", default_namespace=settings.content.default_namespace) for text in texts]
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

    def test_settings(self) -> None:
        """One worker and the text log, unless a run chooses others; the transport is meshgate's choice."""
        self.assertIn("format: text}\nworkers: 1\n", Choice().settings())
        self.assertNotIn("transport", Choice().settings())
        self.assertIn("format: json}\nworkers: 2\ntransport: lean\n", Choice("lean", 2, "json").settings())


@contextlib.contextmanager
def stopped(origin: socket.socket, serving: Thread) -> Iterator[None]:
    """Stop a thread that accepts connections when the block ends."""
    try:
        yield
    finally:
        origin.shutdown(socket.SHUT_RDWR)
        serving.join()


class PeerTests(SynchronousTestCase):
    """The other proxies' files."""

    def test_configurations(self) -> None:
        """Each file is complete, names port, backend and server name, and is the one that runs; none logs accesses."""
        for name, peer in PEERS.items():
            folder = new_folder(self)
            command = peer.prepare(folder, PORT, BACKEND)
            file = folder / f"configuration.{peer.suffix}"
            text = file.read_text()
            self.assertIn(peer.program or name, command)
            self.assertTrue(any(str(file) in argument for argument in command), command)
            for value in (str(BACKEND), str(PORT), NAME):
                self.assertIn(value, text)
            self.assertEqual(text.count("{"), text.count("}"))
            self.assertNotRegex(text, r"\{\w+\}|\{\{|access_?log|tcplog")

    def test_one_worker(self) -> None:
        """Each runs one worker; nginx passes half-closes on, as all others but sniproxy do."""
        self.assertIn("worker_processes 1;", PEERS["nginx"].configuration)
        self.assertIn("proxy_half_close on;", PEERS["nginx"].configuration)
        self.assertIn("nbthread 1", PEERS["haproxy"].configuration)
        self.assertEqual(PEERS["envoy"].arguments[:2], ("--concurrency", "1"))
        self.assertEqual(PEERS["traefik"].variables, ("GOMAXPROCS=1",))
        self.assertIn("terminationDelay: -1", PEERS["traefik"].configuration)

    def serve(self, origin: socket.socket) -> None:
        """Answer each connection with a letter, and with another one after its end, until the socket is shut down."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = origin.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(10)
                    client.recv(4096)
                    client.sendall(b"A")
                    while client.recv(4096):
                        pass
                    client.sendall(b"Z")

    def assert_serves(self, name: str, last_word: bytes = b"Z") -> None:
        """
        A peer starts with its configuration, and carries a connection with a half-close.

        :param last_word: comes from the origin after the client's end of stream.
        """
        peer = PEERS[name]
        if peer.program is None:
            why = f"{name} is not installed ({peer.install})"
            raise AssertionError(why) if os.environ.get("CI") else SkipTest(why)
        folder = new_folder(self)
        folder.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as origin:
            serving = Thread(target=self.serve, args=(origin,))
            serving.start()
            port = free_port()
            command = peer.prepare(folder, port, origin.getsockname()[1])
            with stopped(origin, serving), proxy(name, command, folder, port):
                wait_until(lambda: routes(port), f"{name} to route")
                with socket.create_connection(("127.0.0.1", port), 10) as client:
                    client.sendall(client_hello(NAME))
                    answer = client.recv(1)
                    client.shutdown(socket.SHUT_WR)
                    self.assertEqual((answer, client.recv(1), client.recv(1)), (b"A", last_word, b""))

    def test_envoy(self) -> None:
        """Envoy serves."""
        self.assert_serves("envoy")

    def test_nginx(self) -> None:
        """So does nginx."""
        self.assert_serves("nginx")

    def test_haproxy(self) -> None:
        """So does HAProxy."""
        self.assert_serves("haproxy")

    def test_traefik(self) -> None:
        """So does Traefik."""
        self.assert_serves("traefik")

    def test_sniproxy(self) -> None:
        """So does sniproxy, which ends a connection at the client's end of stream."""
        self.assert_serves("sniproxy", last_word=b"")


class MachineTests(SynchronousTestCase):
    """The description of the machine."""

    def test_versions(self) -> None:
        """The first number is the version."""
        texts = ("nginx version: nginx/1.22.1\n", "HAProxy version 2.6.12-1+deb12u4 2026/10/17", "sniproxy 0.6")
        self.assertEqual([version_in(text) for text in texts], ["1.22.1", "2.6.12", "0.6"])

    def test_python_build(self) -> None:
        """A Python says in its configuration if it is optimized, but for Debian's, of which it is known."""
        self.assertEqual(
            python_build("'--enable-shared' '--enable-optimizations'", debian=True),
            "configured with --enable-optimizations",
        )
        self.assertEqual(python_build("'--enable-shared'", debian=True), "of Debian, optimized by a profile")
        self.assertEqual(python_build("'--enable-shared'", debian=False), "configured without --enable-optimizations")

    def test_cpu_model(self) -> None:
        """The first processor's name, or that of the architecture."""
        self.assertEqual(
            cpu_model("processor\t: 0\nmodel name\t: A CPU @ 2GHz\nflags: x\nmodel name\t: B\n"), "A CPU @ 2GHz"
        )
        self.assertTrue(cpu_model("processor : 0\n"))


class MissingTests(SynchronousTestCase):
    """Programs that a run needs and that are not installed."""

    def test_all_of_it_is_said(self) -> None:
        """The run ends before measuring anything, and names each program with the command that installs it."""
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
        for text in ("make (apt-get install make)", "cc (apt-get install gcc libc6-dev)", "strace (apt-get"):
            self.assertIn(f"\n  {text}", done.stderr)
        for name, peer in PEERS.items():
            if name not in ("envoy", "traefik") or peer.program is None:
                self.assertIn(f"\n  {name} ({peer.install})", done.stderr)


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def refusal(self, *arguments: str) -> str:
        """The message about wrong arguments."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            self.assertRaises(SystemExit, read_options, arguments)
        return re.sub(r"\s+", " ", said.getvalue())

    def test_choices(self) -> None:
        """Works and proxies run in their own order, whatever the order in which they are named."""
        options = read_options(["--work", "c,a", "--peers", "nginx,meshgate", "--rounds", "7"])
        self.assertEqual((options.work, options.peers, options.rounds), (["a", "c"], ["meshgate", "nginx"], 7))

    def test_unknown_ones(self) -> None:
        """Unknown works and proxies are named."""
        self.assertIn("x: not among a, b", self.refusal("--work", "a,x"))
        self.assertIn("caddy: not among meshgate", self.refusal("--peers", "caddy"))
        self.assertIn("--rounds has to be at least 1", self.refusal("--rounds", "0"))

    def test_a_readme_without_markers(self) -> None:
        """A run whose summary could not be written does not begin."""
        file = new_folder(self) / "README.md"
        self.assertIn("No such file", self.refusal("--readme", str(file)))
        file.write_text("Nothing here.\n")
        self.assertIn("README.md: the lines <!-- What follows", self.refusal("--readme", str(file)))
