"""Tests of :mod:`meshgate.lab.lab` and :mod:`meshgate.lab.listening`, the services over real sockets."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from twisted.application.service import IService
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.lab.certificates import CertificatesError, ensure_certificates
from meshgate.lab.lab import Lab, banner, make_lab
from meshgate.lab.listening import WorkloadError
from meshgate.settings.service_sections import EchoSettings, HttpsSettings, LabSettings
from tests.configurations import compiled, gateway, tcp_rule, tcp_server, tls_rule, tls_server, virtual_service
from tests.support import free_port, new_folder, reactor, read_to_end, wait_for

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)


def can_bind(port: int) -> bool:
    """Return true if nobody listens on a port."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def first_line(port: int) -> bytes:
    """The first line that a service sends, blocking."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client, client.makefile("rb") as stream:
        return stream.readline()


def https(name: str, *hosts: str, message: str = "") -> HttpsSettings:
    """An HTTPS service on a free port."""
    return HttpsSettings(name=name, hosts=hosts, port=free_port(), message=message)


def lab_of(echo: Sequence[EchoSettings], https: Sequence[HttpsSettings]) -> LabSettings:
    """The settings of a lab with these services."""
    return LabSettings(echo=tuple(echo), https=tuple(https))


class LabTests(TestCase):
    """The workloads as one service."""

    def setUp(self) -> None:
        """Choose a folder and ports."""
        self.folder = new_folder(self) / "certificates"
        self.echo = EchoSettings(port=free_port(), node="one")
        self.https = [
            https("simple-tls-service-1", "localhost", "one.example.com"),
            https("simple-tls-service-2", "localhost", message="Hi."),
        ]

    def started(self, echo: Sequence[EchoSettings], https: Sequence[HttpsSettings]) -> IService:
        """Start a lab that is stopped when the test ends."""
        lab = make_lab(lab_of(echo, https), self.folder, reactor)
        lab.startService()
        self.addCleanup(lab.stopService)
        return lab

    def fetch(self, port: int) -> dict[str, object]:
        """The document of an HTTPS workload, verified, blocking."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca-chain.cert.pem"))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(f"https://localhost:{port}/", timeout=10) as answer:
            document: dict[str, object] = json.load(answer)
        return document

    async def test_every_workload_serves(self) -> None:
        """Echo sends the greeting of its settings, and each HTTPS service answers with its own name and message."""
        self.started([self.echo], self.https)
        self.assertEqual(
            await deferToThread(first_line, self.echo.port),
            b"Welcome, you are connected to node one.\n",
        )
        answers = [await deferToThread(self.fetch, workload.port) for workload in self.https]
        self.assertEqual(
            [(answer["name"], answer["body"]) for answer in answers],
            [
                ("simple-tls-service-1", "Hello from simple-tls-service-1!!!"),
                ("simple-tls-service-2", "Hi."),
            ],
        )

    def test_nothing_is_touched_before_the_start(self) -> None:
        """Making a lab opens no port and writes no file."""
        make_lab(lab_of([self.echo], self.https), self.folder, reactor)
        self.assertFalse(self.folder.exists())
        self.assertTrue(can_bind(self.echo.port))

    def test_a_lab_without_https_needs_no_certificates(self) -> None:
        """No folder is made for nothing."""
        self.started([self.echo], [])
        self.assertFalse(self.folder.exists())

    async def test_stop_frees_ports_and_ends_connections(self) -> None:
        """After the stop all ports can be bound again, and live connections are over."""
        lab = make_lab(lab_of([self.echo], self.https), self.folder, reactor)
        lab.startService()
        ports = [self.echo.port, self.https[0].port, self.https[1].port]
        clients = [socket.create_connection(("127.0.0.1", port), timeout=10) for port in ports]
        for client in clients:
            self.addCleanup(client.close)
        self.assertEqual(await deferToThread(clients[0].recv, 7), b"Welcome")
        await lab.stopService()
        self.assertTrue(all(can_bind(port) for port in ports))
        for client in clients:
            await deferToThread(read_to_end, client)

    async def test_a_drain(self) -> None:
        """The ports are free at once; a connection goes on for its time, or ends the drain by its end."""
        settings = lab_of([self.echo], [])
        for seconds, closes in ((0.05, False), (60.0, True)):
            lab = Lab(reactor, reactor.listenTCP)
            lab.start(settings, self.folder)
            client = socket.create_connection(("127.0.0.1", self.echo.port), timeout=10)
            self.addCleanup(client.close)
            self.assertEqual(await deferToThread(client.recv, 7), b"Welcome")
            drained = lab.drain(seconds)
            await wait_for(lambda: can_bind(self.echo.port), "the port")
            if closes:
                client.close()
            await drained
            if not closes:
                await deferToThread(client.sendall, b"still here")
            await lab.stop()
            if not closes:
                await deferToThread(read_to_end, client)
        await Lab(reactor, reactor.listenTCP).drain(60.0)

    async def test_it_can_be_started_again(self) -> None:
        """A stopped lab starts anew on the same ports, with the same certificates."""
        lab = self.started([self.echo], self.https)
        before = (self.folder / "ca-chain.cert.pem").read_bytes()
        await lab.stopService()
        lab.startService()
        self.assertEqual((await deferToThread(self.fetch, self.https[1].port))["body"], "Hi.")
        self.assertEqual((self.folder / "ca-chain.cert.pem").read_bytes(), before)

    async def test_a_taken_port_is_an_error_for_people_and_frees_the_others(self) -> None:
        """The message names the port, the workload and the reason; ports bound before it are free again."""
        taken = socket.create_server(("127.0.0.1", self.https[1].port))
        self.addCleanup(taken.close)
        lab = make_lab(lab_of([self.echo], self.https), self.folder, reactor)
        with self.assertRaises(WorkloadError) as caught:
            lab.startService()
        self.assertEqual(
            str(caught.exception),
            f"port 127.0.0.1:{self.https[1].port} for the lab's HTTPS service simple-tls-service-2 cannot be "
            "bound: Address already in use",
        )
        self.assertFalse(lab.running)
        await wait_for(lambda: can_bind(self.echo.port), "the echo service's port to be free again")
        await wait_for(lambda: can_bind(self.https[0].port), "the first HTTPS service's port to be free again")

    def test_a_port_that_only_listening_finds_taken(self) -> None:
        """A socket that is bound but does not listen yet is found by listen(), and reported all the same."""
        racing = socket.socket()
        self.addCleanup(racing.close)
        racing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        racing.bind(("127.0.0.1", self.echo.port))
        listen = socket.socket.listen

        def overtaken(ours: socket.socket, backlog: int) -> None:
            listen(racing, 1)
            listen(ours, backlog)

        self.patch(socket.socket, "listen", overtaken)
        with self.assertRaises(WorkloadError) as caught:
            make_lab(lab_of([self.echo], []), self.folder, reactor).startService()
        self.assertIn("cannot be bound: Address already in use", str(caught.exception))

    def test_an_address_of_another_machine_is_an_error_for_people(self) -> None:
        """The address stands in the message as it was given, IPv6 in brackets."""
        for bind, text in (("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "[2001:db8::1]")):
            lab = make_lab(lab_of([EchoSettings(port=self.echo.port, bind=bind)], []), self.folder, reactor)
            with self.assertRaises(WorkloadError) as caught:
                lab.startService()
            self.assertIn(
                f"port {text}:{self.echo.port} for the lab's echo service cannot be bound: ",
                str(caught.exception),
            )

    def test_two_services_of_one_name_are_refused(self) -> None:
        """They would share a certificate's file."""
        twice = [self.https[0], https("simple-tls-service-1", "b.io")]
        with self.assertRaises(WorkloadError) as caught:
            make_lab(lab_of([], twice), self.folder, reactor).startService()
        self.assertIn("two HTTPS services", str(caught.exception))

    def test_certificates_that_cannot_be_made_are_an_error_for_people(self) -> None:
        """An unusable folder of certificates is an error, and no port stays open."""
        self.folder.write_text("a file")
        with self.assertRaises(CertificatesError):
            make_lab(lab_of([self.echo], self.https), self.folder, reactor).startService()
        self.assertTrue(can_bind(self.echo.port))

    def test_the_clock_is_the_callers(self) -> None:
        """Certificates are made for the time that the lab is given."""
        past = datetime(2020, 1, 1, tzinfo=UTC)
        lab = make_lab(lab_of([], self.https), self.folder, reactor, now=lambda: past)
        lab.startService()
        self.addCleanup(lab.stopService)
        before = self.modified()
        hosts = {workload.name: workload.hosts for workload in self.https}
        ensure_certificates(self.folder, hosts, past)
        self.assertEqual(self.modified(), before)
        ensure_certificates(self.folder, hosts, NOW)
        self.assertNotEqual(self.modified(), before)

    def modified(self) -> dict[Path, bytes]:
        """Return the content of the certificates' folder."""
        return {path: path.read_bytes() for path in self.folder.iterdir()}


class BannerTests(SynchronousTestCase):
    """The text that the lab prints when it is up."""

    def test_lines_to_try(self) -> None:
        """Every port is named with the command that reaches it; names that are refused are not offered."""
        table = compiled(
            gateway("gw", tcp_server(9000), tls_server(443, ["a.com"]), tls_server(443, ["b.com"], mode="SIMPLE")),
            virtual_service("v", tls=[tls_rule(["a.com"], "x")], tcp=[tcp_rule("x")]),
        ).table
        text = banner(table, "state/certificates", ["etc/routes"])
        self.assertIn("telnet 127.0.0.1 9000\n", text)
        command = (
            "curl --cacert state/certificates/ca-chain.cert.pem --resolve a.com:443:127.0.0.1 https://a.com:443/\n"
        )
        self.assertIn(command, text)
        self.assertNotIn("b.com", text)
        self.assertIn("Edit etc/routes", text)
        self.assertNotIn("KUBECONFIG", text)

    def test_kubectl(self) -> None:
        """Where there is an API, the text has the line that makes kubectl use it."""
        text = banner(compiled().table, "state/certificates", ["etc/routes"], "$PWD/etc/state/kubeconfig")
        self.assertIn("    export KUBECONFIG=$PWD/etc/state/kubeconfig\n", text)
