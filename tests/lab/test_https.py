"""Tests of :mod:`meshgate.lab.https`, over real sockets and with real clients."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from OpenSSL import SSL
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate import __version__
from meshgate.lab.certificates import Leaf, ensure_certificates
from meshgate.lab.https import HelloResource, HttpsSite, format_duration, format_time, make_tls, over_tls, read_key_pair
from meshgate.lab.listening import WorkloadError
from tests.support import Program, new_folder, reactor, read_to_end, require_program, wait_for

NAME = "simple-tls-service-1"
HOST = "simple-sni-1.istioinaction.io"
STARTED = 1_795_359_600_123_456_000
"""2026-11-22, 15:00 UTC and 123,456 microseconds."""


class HttpsTests(TestCase):
    """One HTTPS service on loopback, with certificates of its own."""

    def setUp(self) -> None:
        """Make certificates and listen on a port of the system's choice."""
        self.folder = new_folder(self)
        leaf = ensure_certificates(self.folder, {NAME: [HOST]}, datetime.now(UTC))[NAME]
        self.ca = self.folder / "ca-chain.cert.pem"
        ticks = iter(range(STARTED, STARTED + 10**9, 210_400))
        self.site = HttpsSite(HelloResource(NAME, "Hello!", lambda: next(ticks)), reactor)
        factory = over_tls(self.site, make_tls(read_key_pair(leaf.certificate_chain, leaf.key)), reactor)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(self.site.live.abort)
        self.port: int = port.getHost().port

    async def in_thread(self, client: Callable[..., Any], *arguments: Any) -> Any:
        """Run a blocking client while the service goes on."""
        return await deferToThread(client, *arguments)

    def tls_socket(self, server_name: str, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """Connect and verify, blocking."""
        context = context or ssl.create_default_context(cafile=str(self.ca))
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        try:
            return context.wrap_socket(plain, server_hostname=server_name)
        except BaseException:
            plain.close()
            raise

    def ask(self, *requests: tuple[str, str]) -> list[tuple[int, dict[str, str], bytes]]:
        """Send requests over one connection, blocking; the answers' status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.sock = self.tls_socket(HOST)
        answers = []
        for method, path in requests:
            connection.request(method, path)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            answers.append((response.status, headers, response.read()))
        connection.close()
        return answers

    async def curl(self, *arguments: str) -> Program:
        """Run curl to its end."""
        curl = Program(self, [require_program("curl"), "--silent", "--show-error", "--noproxy", "*", *arguments])
        await curl.exit_status()
        return curl

    async def test_it_says_in_json_who_answers(self) -> None:
        """The whole document, key by key and in order."""
        ((status, headers, body),) = await self.in_thread(self.ask, ("GET", "/some/path?q=1"))
        self.assertEqual(status, 200)
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(headers["server"], f"meshgate/{__version__}")
        document = json.loads(body)
        self.assertEqual(
            list(document.items()),
            [
                ("name", NAME),
                ("uri", "/some/path?q=1"),
                ("type", "HTTP"),
                ("ip_addresses", ["127.0.0.1"]),
                ("start_time", "2026-11-22T15:00:00.123456"),
                ("end_time", "2026-11-22T15:00:00.123666"),
                ("duration", "210.4µs"),
                ("body", "Hello!"),
                ("code", 200),
            ],
        )
        self.assertTrue(body.decode().startswith('{\n  "name": "simple-tls-service-1",\n'))
        self.assertTrue(body.endswith(b"}\n"))

    async def test_head_has_the_headers_and_no_body(self) -> None:
        """The answer to HEAD has the length of the document, and the connection stays usable."""
        with capturedLogs() as events:
            head, get = await self.in_thread(self.ask, ("HEAD", "/"), ("GET", "/"))
        self.assertEqual((head[0], head[2]), (200, b""))
        self.assertEqual(head[1]["content-length"], get[1]["content-length"])
        self.assertEqual(int(get[1]["content-length"]), len(get[2]))
        self.assertEqual(events, [])

    async def test_other_methods_are_refused(self) -> None:
        """Known, uncommon and made-up methods alike: 405, and what is allowed."""
        methods = ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW")
        for status, headers, _ in await self.in_thread(self.ask, *((method, "/") for method in methods)):
            self.assertEqual((status, headers["allow"]), (405, "GET, HEAD"))

    async def test_python_verifies_the_name(self) -> None:
        """Python's TLS, trusting the chain's file alone, takes the service's name and refuses another."""
        connection = await self.in_thread(self.tls_socket, HOST)
        self.assertEqual(connection.version(), "TLSv1.3")
        connection.close()
        with self.assertRaises(ssl.SSLCertVerificationError) as caught:
            await self.in_thread(self.tls_socket, "simple-sni-2.istioinaction.io")
        self.assertIn("Hostname mismatch", str(caught.exception))

    async def test_curl_verifies_the_name(self) -> None:
        """The lab's curl line works, with HTTP/1.1 agreed upon by ALPN."""
        resolve = f"{HOST}:{self.port}:127.0.0.1"
        curl = await self.curl(
            "--cacert",
            str(self.ca),
            "--resolve",
            resolve,
            "--write-out",
            "%{http_version}",
            f"https://{HOST}:{self.port}/",
        )
        self.assertEqual(curl.stderr, "")
        document, version = curl.stdout.rsplit("\n", 1)
        self.assertEqual((json.loads(document)["body"], version), ("Hello!", "1.1"))

    async def test_curl_refuses_another_name(self) -> None:
        """Asked for as somebody else, the service is not believed."""
        resolve = f"other.example.com:{self.port}:127.0.0.1"
        curl = await self.curl(
            "--cacert", str(self.ca), "--resolve", resolve, f"https://other.example.com:{self.port}/"
        )
        self.assertEqual(await curl.exit_status(), 60)
        self.assertEqual(curl.stdout, "")

    async def test_openssl_sees_the_whole_chain(self) -> None:
        """The service sends its intermediate too: trusting the root alone is enough."""
        root = self.folder / "root.cert.pem"
        openssl = Program(
            self,
            [
                *(
                    require_program("openssl"),
                    "s_client",
                    "-connect",
                    f"127.0.0.1:{self.port}",
                    "-servername",
                    HOST,
                ),
                *("-CAfile", root, "-verify_hostname", HOST, "-verify_return_error"),
            ],
        )
        self.assertEqual(await openssl.exit_status(), 0, openssl.stderr)
        self.assertIn("Verify return code: 0 (ok)", openssl.stdout)

    async def test_tls_1_2_is_the_oldest_spoken(self) -> None:
        """A client that speaks TLS 1.2 at most is served; one that stops at 1.1 is refused by the service."""
        old = ssl.create_default_context(cafile=str(self.ca))
        old.set_ciphers("DEFAULT@SECLEVEL=0")
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        connection = await self.in_thread(self.tls_socket, HOST, old)
        self.assertEqual(connection.version(), "TLSv1.2")
        connection.close()
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises(ssl.SSLError) as caught:
            await self.in_thread(self.tls_socket, HOST, old)
        self.assertEqual(caught.exception.reason, "TLSV1_ALERT_PROTOCOL_VERSION")

    async def test_bad_clients_leave_no_noise(self) -> None:
        """Nothing is logged about requests, plain text instead of TLS, and a refused certificate."""
        with capturedLogs() as events:
            await self.in_thread(self.ask, ("GET", "/"))
            with self.assertRaises(ssl.SSLError):
                await self.in_thread(self.tls_socket, HOST, ssl.create_default_context())
            await self.in_thread(self.speak_plainly)
            await self.site.live.abort()
        self.assertEqual(events, [])

    def speak_plainly(self) -> None:
        """Send plain HTTP and read until the connection is over, blocking."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            read_to_end(plain)

    async def test_abort_ends_idle_connections_and_silent_ones(self) -> None:
        """A connection that is kept alive and one that never began its handshake both end."""
        idle = await self.in_thread(self.tls_socket, HOST)
        silent = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.addCleanup(idle.close)
        self.addCleanup(silent.close)
        await wait_for(lambda: len(self.site.live) == 2, "both connections")
        await self.site.live.abort()
        self.assertEqual(len(self.site.live), 0)
        for client in (idle, silent):
            await deferToThread(read_to_end, client)


class FormatTests(SynchronousTestCase):
    """Times in answers."""

    def test_times_have_six_digits_of_microseconds(self) -> None:
        """A moment in UTC, also where the microseconds begin with zeros."""
        self.assertEqual(format_time(STARTED), "2026-11-22T15:00:00.123456")
        self.assertEqual(format_time(1_000), "1970-01-01T00:00:00.000001")

    def test_durations_are_in_the_largest_unit_that_fits(self) -> None:
        """From nothing to seconds, without zeros at the end."""
        for nanoseconds, text in (
            (-5, "0ns"),
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1µs"),
            (210_400, "210.4µs"),
            (999_999, "999.999µs"),
            (3_184_000, "3.184ms"),
            (61_000_000_000, "61s"),
        ):
            self.assertEqual(format_duration(nanoseconds), text)


class LoadTests(SynchronousTestCase):
    """Certificates and keys that a user names."""

    def setUp(self) -> None:
        """Make good ones."""
        self.folder = new_folder(self)
        leaves = ensure_certificates(self.folder, {"one": ["a.io"], "two": ["b.io"]}, datetime.now(UTC))
        self.one: Leaf = leaves["one"]
        self.two: Leaf = leaves["two"]

    def refusal(self, certificate: Path, key: Path) -> str:
        """The message about a pair that cannot be used."""
        with self.assertRaises(WorkloadError) as caught:
            make_tls(read_key_pair(certificate, key))
        return str(caught.exception)

    def stored(self, key: Any, password: bytes | None = None) -> Path:
        """A key in a file."""
        encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        path = self.folder / "given.pem"
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
        return path

    def test_old_versions_of_tls_are_off(self) -> None:
        """Whatever OpenSSL's own defaults are, nothing before TLS 1.2 is spoken."""
        context = make_tls(read_key_pair(self.one.certificate_chain, self.one.key)).getContext()
        old = SSL.OP_NO_SSLv3 | SSL.OP_NO_TLSv1 | SSL.OP_NO_TLSv1_1
        self.assertEqual(context.set_options(0) & (old | SSL.OP_NO_TLSv1_2), old)

    def test_files_that_are_not_there(self) -> None:
        """The message names the file, and which of the two it was to be."""
        missing = self.folder / "missing.pem"
        reason = f"{missing} cannot be read: No such file or directory"
        self.assertEqual(self.refusal(missing, self.one.key), f"the certificate {reason}")
        self.assertEqual(self.refusal(self.one.certificate_chain, missing), f"the key {reason}")

    def test_files_that_hold_something_else(self) -> None:
        """A key and a certificate in the wrong order are an error."""
        chain, key = self.one.certificate_chain, self.one.key
        self.assertEqual(self.refusal(key, key), f"the certificate {key} is not a PEM certificate")
        self.assertEqual(self.refusal(chain, chain), f"the key {chain} is not a PEM private key")

    def test_a_key_that_belongs_to_another_certificate(self) -> None:
        """The message names both files."""
        message = self.refusal(self.one.certificate_chain, self.two.key)
        self.assertEqual(
            message, f"the key {self.two.key} does not belong to the certificate {self.one.certificate_chain}"
        )

    def test_a_key_with_a_password(self) -> None:
        """A service cannot ask for a password."""
        key = self.stored(ec.generate_private_key(ec.SECP256R1()), b"secret")
        self.assertIn(f"the key {key} is encrypted", self.refusal(self.one.certificate_chain, key))

    def test_a_key_that_cannot_sign(self) -> None:
        """A key for key exchange only is no server's key."""
        key = self.stored(x25519.X25519PrivateKey.generate())
        self.assertIn("is of a kind that TLS servers do not use", self.refusal(self.one.certificate_chain, key))
