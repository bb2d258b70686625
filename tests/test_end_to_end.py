"""The whole product as its users meet it: a real twistd with the shipped configuration, real telnet and curl."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import ssl
import subprocess
import sys
import time

from twisted.trial.unittest import TestCase

from tests.hello_builder import build_hello
from tests.installation import ECHO, NAME_1, NAME_2, SNI, Installation, running
from tests.support import read_to_end, require_program, wait_for

GREETING = "Welcome, you are connected to node minikube."
SECONDS = 30.0


class Telnet:
    """A telnet client at a terminal of its own."""

    def __init__(self, test: TestCase, port: int) -> None:
        self._terminal, far_end = pty.openpty()
        self._process = subprocess.Popen(
            [require_program("telnet"), "127.0.0.1", str(port)],
            stdin=far_end,
            stdout=far_end,
            stderr=far_end,
            start_new_session=True,
        )
        os.close(far_end)
        self._seen = ""
        test.addCleanup(self.close)

    def type(self, text: str) -> None:
        """Type, and press return."""
        os.write(self._terminal, text.encode() + b"\r")

    def read_until(self, text: str) -> str:
        """Everything shown since the last call, up to a text that has to appear."""
        deadline = time.monotonic() + SECONDS
        while text not in self._seen:
            ready, _, _ = select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"telnet never showed {text!r}, but {self._seen!r}")
            self._seen += os.read(self._terminal, 4096).decode()
        shown, _, self._seen = self._seen.partition(text)
        return shown + text

    def close(self) -> None:
        """End it; does nothing the second time."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            os.close(self._terminal)


def curl(installation: Installation, name: str, port: int) -> subprocess.CompletedProcess[str]:
    """Ask for a name through the gateway, as the lab's tutorial does."""
    return subprocess.run(
        [
            require_program("curl"),
            "--silent",
            "--show-error",
            "--max-time",
            str(SECONDS),
            "--cacert",
            str(installation.ca_chain),
            "--resolve",
            f"{name}:{port}:127.0.0.1",
            f"https://{name}:{port}/",
        ],
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
    )


def body(installation: Installation, name: str, port: int) -> str:
    """What the service behind a name says; empty when it cannot be reached."""
    answer = curl(installation, name, port)
    return str(json.loads(answer.stdout)["body"]) if answer.returncode == 0 else ""


class KeptConnection:
    """A TLS connection through the gateway that stays open over several requests."""

    def __init__(self, test: TestCase, installation: Installation, name: str, port: int) -> None:
        context = ssl.create_default_context(cafile=str(installation.ca_chain))
        plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        test.addCleanup(plain.close)
        self._connection = context.wrap_socket(plain, server_hostname=name)
        test.addCleanup(self._connection.close)
        self._name = name

    def ask(self) -> str:
        """One request and its answer over the same connection."""
        self._connection.sendall(f"GET / HTTP/1.1\r\nHost: {self._name}\r\n\r\n".encode())
        answer = b""
        while not answer.rstrip().endswith(b"}"):
            piece = self._connection.recv(65536)
            if not piece:
                raise AssertionError("the connection was closed")
            answer += piece
        return answer.decode()


class LabTests(TestCase):
    """The lab as shipped."""

    timeout = 120

    async def test_telnet_reaches_the_echo_service(self) -> None:
        """The greeting comes before anything is typed, and a typed line comes back."""
        lab = await running(self)
        telnet = Telnet(self, lab.ports[ECHO])
        telnet.read_until(GREETING)
        telnet.read_until("Service default.")
        telnet.type("hello meshgate")
        # The terminal shows the line as it is typed; the second time is the echo.
        telnet.read_until("hello meshgate")
        telnet.read_until("hello meshgate")
        telnet.close()
        line = await lab.logged(listener=f"[::]:{lab.ports[ECHO]}", ending="ok")
        self.assertEqual(line["virtual_service"], "default/tcp-echo-vs-from-gw")
        self.assertEqual(line["bytes_in"], len("hello meshgate\r\n"))

    async def test_curl_reaches_both_https_services(self) -> None:
        """Each name reaches its own service, with a certificate that curl verifies."""
        lab = await running(self)
        for number, name in ((1, NAME_1), (2, NAME_2)):
            self.assertEqual(body(lab, name, lab.ports[SNI]), f"Hello from simple-tls-service-{number}!!!")
            line = await lab.logged(sni=name, ending="ok")
            self.assertEqual(line["virtual_service"], f"default/simple-sni-{number}-vs")
            self.assertEqual(line["gateway"], "default/sni-passthrough-gateway")
            self.assertEqual(line["endpoint"], f"127.0.0.1:{lab.ports[18000 + number]}")

    async def test_what_cannot_be_routed_is_closed_and_logged(self) -> None:
        """Unknown name, no name, plain text, half a hello and silence: each closed, each with its ending."""
        lab = await running(self, {"hello": "1s"})
        hello = build_hello(sni=NAME_1)
        cases: list[tuple[bytes, bool, dict[str, object]]] = [
            (
                build_hello(sni="unknown.example.com"),
                False,
                {"ending": "no_route", "sni": "unknown.example.com"},
            ),
            (build_hello(sni=None), False, {"ending": "no_sni"}),
            (b"GET / HTTP/1.1\r\n\r\n", False, {"ending": "not_tls"}),
            (hello[: len(hello) // 2], True, {"ending": "client_closed_early"}),
            (hello[: len(hello) // 2], False, {"ending": "hello_timeout", "bytes_in": 0}),
            (b"\x16\x03\x01\x00\x00", False, {"ending": "bad_hello"}),
            (b"", False, {"ending": "hello_timeout"}),
        ]
        # All at once, since two of them take a second each, and lines of the log come in batches.
        clients = []
        for sent, finished, _ in cases:
            client = socket.create_connection(("127.0.0.1", lab.ports[SNI]), timeout=SECONDS)
            self.addCleanup(client.close)
            client.sendall(sent)
            if finished:
                client.shutdown(socket.SHUT_WR)
            clients.append(client)
        for client, (_, _, facts) in zip(clients, cases, strict=True):
            read_to_end(client)
            await lab.logged(client=f"127.0.0.1:{client.getsockname()[1]}", **facts)

    async def test_a_port_changes_from_tcp_to_tls_under_an_open_session(self) -> None:
        """The TCP Gateway goes, a TLS one takes its port: curl works within a second, the echo session stays."""
        lab = await running(self)
        port = lab.ports[ECHO]
        telnet = Telnet(self, port)
        telnet.read_until("Service default.")
        (lab.routes / "20-echo-gateway.yaml").unlink()
        gateway = (lab.routes / "30-sni-gateway.yaml").read_text()
        gateway = gateway.replace("sni-passthrough-gateway", "second-gateway").replace(str(lab.ports[SNI]), str(port))
        route = (lab.routes / "31-sni-route-1.yaml").read_text()
        route = route.replace("sni-passthrough-gateway", "second-gateway").replace("simple-sni-1-vs", "second-vs")
        (lab.routes / "40-second.yaml").write_text(f"{gateway}\n---\n{route.replace(str(lab.ports[SNI]), str(port))}")
        await wait_for(lambda: body(lab, NAME_1, port), "curl through the new gateway", timeout=1.0)
        telnet.type("still here")
        telnet.read_until("still here")
        telnet.read_until("still here")

    async def test_a_route_is_added_beside_a_live_connection(self) -> None:
        """The second host is added to the gateway; the connection to the first goes on carrying requests."""
        lab = await running(self)
        gateway = lab.routes / "30-sni-gateway.yaml"
        both = gateway.read_text()
        gateway.write_text(both.replace(f"        - {NAME_2}\n", ""))
        port = lab.ports[SNI]
        await wait_for(lambda: not body(lab, NAME_2, port), "the second host to go")
        kept = KeptConnection(self, lab, NAME_1, port)
        self.assertIn("simple-tls-service-1", kept.ask())
        gateway.write_text(both)
        await wait_for(lambda: body(lab, NAME_2, port), "the second host to come", timeout=1.0)
        self.assertIn("simple-tls-service-1", kept.ask())

    async def test_a_broken_edit_changes_nothing(self) -> None:
        """A file that is no YAML any more keeps serving its last good version; the status shows the problem."""
        lab = await running(self)
        file = lab.routes / "30-sni-gateway.yaml"
        good = file.read_text()
        file.write_text(good + "\n  - broken: [")
        await wait_for(lambda: _problem_codes(lab) & {"MG0001"}, "the problem in the status")
        self.assertTrue(body(lab, NAME_1, lab.ports[SNI]))
        file.write_text(good)
        await wait_for(lambda: not _problem_codes(lab), "the problem to go")


class VolumeTests(TestCase):
    """Many bytes and bounded memory."""

    timeout = 180
    AMOUNT = 64 * 2**20
    ALLOWED_KIB = 24 * 1024

    async def test_64_mib_each_way_against_a_slow_reader(self) -> None:
        """Bytes come through equal both ways at once, and the gateway's memory stays within 24 MiB of idle."""
        lab = await running(self)
        pid = lab.process.pid
        client = subprocess.run(
            [sys.executable, "-c", ECHO_CLIENT, str(lab.ports[ECHO]), str(self.AMOUNT), str(pid)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(client.returncode, 0, client.stderr)
        idle, peak = map(int, client.stdout.split())
        self.assertLess(peak - idle, self.ALLOWED_KIB, f"{idle} KiB idle, {peak} KiB at most")
        line = await lab.logged(ending="ok")
        self.assertEqual(line["bytes_in"], self.AMOUNT)
        self.assertGreater(line["bytes_out"], self.AMOUNT)


ECHO_CLIENT = r"""
import hashlib, random, socket, sys, threading, time

port, amount, pid = map(int, sys.argv[1:])


def resident(field):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))


with open(f"/proc/{pid}/clear_refs", "w") as refs:
    refs.write("5")  # the peak is counted anew from here
idle = resident("VmRSS")
client = socket.create_connection(("127.0.0.1", port), timeout=60)
greeting = b""
while b"Service default.\n" not in greeting:
    greeting += client.recv(4096)
block = random.Random(1).randbytes(1 << 20)
sent, received = hashlib.sha256(), hashlib.sha256()


def send():
    for start in range(0, amount, len(block)):
        piece = block[: amount - start]
        sent.update(piece)
        client.sendall(piece)
    client.shutdown(socket.SHUT_WR)


threading.Thread(target=send).start()
time.sleep(1)  # the slow reader: everything in between has to fill up and hold
got, pauses = 0, 0
while piece := client.recv(65536):
    received.update(piece)
    got += len(piece)
    if got >> 23 > pauses:
        pauses = got >> 23
        time.sleep(0.1)
assert got == amount, (got, amount)
assert sent.digest() == received.digest()
print(idle, resident("VmHWM"))
"""


def _problem_codes(lab: Installation) -> set[str]:
    problems = lab.status()["problems"]
    return {problem["code"] for problem in problems if problem["severity"] != "info"}
