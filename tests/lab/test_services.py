"""Tests of :mod:`meshgate.lab.services`: real ``twistd`` processes."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from meshgate import __version__
from meshgate.lab.certificates import Leaf, ensure_certificates
from tests.support import Program, TwistdProcess, free_port, new_folder, once_more, require_program

HOST = "simple-sni-1.istioinaction.io"


class TapTestCase(TestCase):
    """Ways to run twistd."""

    async def serving(self, *arguments: str | Path) -> tuple[TwistdProcess, int]:
        """Start a service on a free port and wait until it listens."""

        async def start() -> tuple[TwistdProcess, int]:
            port = free_port()
            process = TwistdProcess(self, [*arguments, f"--port={port}"])
            await process.wait_for_port(port)
            return process, port

        return await once_more(start)

    async def refused(self, *arguments: str | Path) -> TwistdProcess:
        """Run twistd, which has to end with exit status 1 and without a traceback."""
        process = TwistdProcess(self, arguments)
        self.assertEqual(await process.exit_status(), 1)
        self.assertNotIn("Traceback", process.stdout + process.stderr)
        return process

    async def output(self, *arguments: str) -> str:
        """Run twistd, and return its output."""
        process = TwistdProcess(self, arguments)
        self.assertEqual(await process.exit_status(), 0)
        return process.stdout

    def taken_port(self) -> int:
        """A port that somebody listens on."""
        port = free_port()
        self.addCleanup(socket.create_server(("127.0.0.1", port)).close)
        return port


class CommonTests(TapTestCase):
    """The common base of the two plug-ins."""

    async def test_twistd_lists_both(self) -> None:
        """The plug-ins are found and say what they are."""
        text = await self.output("--help")
        self.assertIn("meshgate-echo ", text)
        self.assertIn("meshgate-https ", text)

    async def test_help_says_what_it_does_and_how_to_try_it(self) -> None:
        """Every option, the defaults, and a line to try."""
        echo = await self.output("meshgate-echo", "--help")
        https = await self.output("meshgate-https", "--help")
        for wanted in (
            "--port",
            "[default: 2701]",
            "--bind",
            "--node",
            "--namespace",
            "telnet 127.0.0.1 2701",
        ):
            self.assertIn(wanted, echo)
        for wanted in (
            "--certificate",
            "--key",
            "--name",
            "--message",
            "Hello from NAME!!!",
            "curl --cacert",
        ):
            self.assertIn(wanted, https)

    async def test_version_is_ours(self) -> None:
        """--version is about meshgate, not Twisted."""
        self.assertEqual(await self.output("meshgate-echo", "--version"), f"meshgate {__version__}\n")

    async def test_bad_values_are_refused(self) -> None:
        """The message names what is no port, and what is no address."""
        for port in ("0", "65536", "http"):
            process = await self.refused("meshgate-echo", f"--port={port}")
            self.assertIn(f"{port!r} is not a port, a number from 1 to 65535", process.stdout)
        process = await self.refused("meshgate-echo", "--bind=localhost")
        self.assertIn("'localhost' does not appear to be an IPv4 or IPv6 address", process.stdout)


class EchoTapTests(TapTestCase):
    """``twistd -n meshgate-echo``."""

    def talk(self, port: int, send: bytes) -> bytes:
        """Say something, finish, and read everything, blocking."""
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(send)
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as stream:
                return stream.read()

    async def test_it_greets_as_told_and_echoes(self) -> None:
        """Every text of the greeting comes from the command line."""
        texts = ("--node=n1", "--pod=p1", "--namespace=ns1", "--address=10.0.0.1", "--service=s1")
        _, port = await self.serving("meshgate-echo", *texts)
        self.assertEqual(
            await deferToThread(self.talk, port, b"hello"),
            b"Welcome, you are connected to node n1.\n"
            b"Running on Pod p1.\n"
            b"In namespace ns1.\n"
            b"With IP address 10.0.0.1.\n"
            b"Service s1.\n"
            b"hello",
        )

    async def test_it_listens_on_loopback_only(self) -> None:
        """Without --bind nobody else can reach it: another loopback address is refused."""
        _, port = await self.serving("meshgate-echo")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=10)

    async def test_bind_says_where_it_listens(self) -> None:
        """With --bind it listens there, and not on the usual address."""
        port = free_port()
        process = TwistdProcess(self, ["meshgate-echo", f"--port={port}", "--bind=127.0.0.3"])
        await process.wait_for_port(port, "127.0.0.3")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)

    async def test_a_signal_ends_it_with_a_connection_open(self) -> None:
        """SIGTERM resets the connections and ends the process."""
        process, port = await self.serving("meshgate-echo")
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.addCleanup(client.close)
        self.assertEqual(await deferToThread(client.recv, 7), b"Welcome")
        process.signal(signal.SIGTERM)
        self.assertEqual(await process.exit_status(), 0)
        self.assertNotIn("Traceback", process.stdout + process.stderr)

    async def test_a_taken_port_ends_it(self) -> None:
        """One line on standard error that names the port, and exit status 1."""
        port = self.taken_port()
        process = await self.refused("meshgate-echo", f"--port={port}")
        self.assertEqual(
            process.stderr,
            f"meshgate-echo: port 127.0.0.1:{port} for the lab's echo service cannot be bound: "
            "Address already in use\n",
        )


class HttpsTapTests(TapTestCase):
    """``twistd -n meshgate-https``."""

    def setUp(self) -> None:
        """Make a certificate."""
        self.folder = new_folder(self)
        self.leaf: Leaf = ensure_certificates(self.folder, {"one": [HOST]}, datetime.now(UTC))["one"]

    def command(self, certificate: Path | None = None, key: Path | None = None) -> Sequence[str | Path]:
        """The command line without the port."""
        return (
            "meshgate-https",
            "--certificate",
            certificate or self.leaf.certificate_chain,
            "--key",
            key or self.leaf.key,
            "--name=one",
        )

    async def fetch(self, port: int) -> dict[str, object]:
        """Return the output of curl, which verifies the name, without a proxy."""
        curl = Program(
            self,
            [
                *(require_program("curl"), "--silent", "--show-error", "--noproxy", "*"),
                *("--cacert", self.folder / "ca-chain.cert.pem", "--resolve", f"{HOST}:{port}:127.0.0.1"),
                f"https://{HOST}:{port}/",
            ],
        )
        self.assertEqual(await curl.exit_status(), 0, curl.stderr)
        document: dict[str, object] = json.loads(curl.stdout)
        return document

    async def test_it_says_hello_in_its_name(self) -> None:
        """The usual message is made from the name; the times are the present."""
        process, port = await self.serving(*self.command())
        answer = await self.fetch(port)
        self.assertEqual((answer["name"], answer["body"]), ("one", "Hello from one!!!"))
        started = datetime.fromisoformat(str(answer["start_time"])).replace(tzinfo=UTC)
        self.assertLess(abs((datetime.now(UTC) - started).total_seconds()), 60)
        self.assertNotIn("GET / HTTP", process.stdout + process.stderr)

    async def test_the_message_can_be_told(self) -> None:
        """--message is the answers' body."""
        _, port = await self.serving(*self.command(), "--message=Grüezi")
        self.assertEqual((await self.fetch(port))["body"], "Grüezi")

    async def test_a_missing_certificate_ends_it(self) -> None:
        """One line that names the file, and exit status 1."""
        missing = self.folder / "missing.pem"
        process = await self.refused(*self.command(certificate=missing), f"--port={free_port()}")
        self.assertEqual(process.stderr, f"the certificate {missing} cannot be read: No such file or directory\n")

    async def test_a_broken_key_ends_it(self) -> None:
        """One line that names the file, and exit status 1."""
        broken = self.folder / "broken.pem"
        broken.write_text("-----BEGIN PRIVATE KEY-----")
        process = await self.refused(*self.command(key=broken), f"--port={free_port()}")
        self.assertEqual(process.stderr, f"the key {broken} is not a PEM private key\n")

    async def test_a_taken_port_ends_it(self) -> None:
        """One line on standard error that names the port and the service, and exit status 1."""
        port = self.taken_port()
        process = await self.refused(*self.command(), f"--port={port}")
        self.assertEqual(
            process.stderr,
            f"meshgate-https: port 127.0.0.1:{port} for the lab's HTTPS service one cannot be bound: "
            "Address already in use\n",
        )

    async def test_what_has_no_default_is_asked_for(self) -> None:
        """Everything that is missing is named at once."""
        process = await self.refused("meshgate-https", "--name=one")
        self.assertIn("required, but not given: --port, --certificate, --key", process.stdout)
