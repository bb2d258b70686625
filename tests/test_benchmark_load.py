"""Tests of the benchmarks' load generator and backend: compiled, and run against each other."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import IO, Any, ClassVar, cast

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from meshgate.wire.clienthello import HelloParser
from tests.support import IMPORT_ROOT, free_port, new_folder, read_to_end, require_program

SECONDS = 20.0


class LoadTests(SynchronousTestCase):
    """The load generator against the backend, and against wrong servers."""

    folder: ClassVar[Path | None] = None

    def setUp(self) -> None:
        """Compile load generator and backend, once for all tests."""
        if not (IMPORT_ROOT / "Makefile").exists():
            raise SkipTest("these tests are not run from a checkout")
        require_program("cc")
        if LoadTests.folder is None:
            folder = new_folder(self)
            targets = [str(folder / name) for name in ("load", "backend")]
            command = [require_program("make"), "-C", str(IMPORT_ROOT), f"BENCH={folder}", "CFLAGS=-O1 -Wall -Werror"]
            made = subprocess.run([*command, *targets], capture_output=True, text=True, check=False)
            self.assertEqual(made.returncode, 0, made.stderr)
            LoadTests.folder = folder
        self.programs = LoadTests.folder

    def backend(self) -> int:
        """Run the backend until the test ends; returns its port."""
        process = subprocess.Popen(
            [self.programs / "backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

        def stop() -> None:
            process.communicate(timeout=SECONDS)  # the end of its input ends it
            self.assertEqual(process.returncode, 0)

        self.addCleanup(stop)
        return int(cast("IO[str]", process.stdout).readline())

    def run_load(self, *arguments: str, answers: Sequence[str] = ("ready",)) -> tuple[int, dict[str, Any]]:
        """Run the load generator to its end; returns its exit status and its report."""
        done = subprocess.run(
            [self.programs / "load", *arguments, "--seconds", "10"],
            input="\n",
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        *before, report = done.stdout.splitlines()
        self.assertEqual(before, list(answers), done.stderr)
        return done.returncode, json.loads(report)

    def test_every_mode(self) -> None:
        """The whole load is done, without a fault, and is timed."""
        port = str(self.backend())
        cases: list[tuple[list[str], int, int]] = [
            (["connections", "--count", "50", "--concurrent", "8", "--names", "7"], 50, 50),
            (["connections", "--count", "20", "--rate", "1000"], 20, 20),
            (["round-trips", "--count", "100", "--concurrent", "5"], 5, 100),
            (["round-trips", "--count", "50", "--concurrent", "5", "--rate", "2000"], 5, 50),
            (["download", "--bytes", "1000001", "--concurrent", "3"], 3, 3),
            (["upload", "--bytes", "1000001", "--concurrent", "3"], 3, 3),
        ]
        for arguments, connections, done in cases:
            status, report = self.run_load(*arguments, "--port", port)
            self.assertEqual((status, report["faults"]["all"]), (0, 0), report)
            self.assertEqual((report["connections"], report["done"]), (connections, done))
            self.assertEqual(report["bytes"], 3000003 if "--bytes" in arguments else 0)
            self.assertGreater(report["latency_us"]["p50"], 0)
            self.assertGreaterEqual(report["latency_us"]["max"], report["latency_us"]["p99"])

    def test_nobody_listens(self) -> None:
        """All refused connections are counted."""
        status, report = self.run_load("connections", "--count", "5", "--port", str(free_port()))
        self.assertEqual((status, report["done"], report["faults"]["refused"]), (1, 0, 5))

    def test_wrong_arguments(self) -> None:
        """Wrong arguments are refused at once."""
        for arguments in (
            ["sing", "--port", "1"],
            ["upload"],
            ["upload", "--port", "0"],
            ["upload", "--count", "many"],
        ):
            done = subprocess.run([self.programs / "load", *arguments], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertTrue(done.stderr)

    def answering(self, answer: bytes) -> tuple[str, list[bytes]]:
        """Run a server of one connection that answers and closes; returns its port and the list of received bytes."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        got: list[bytes] = []

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.settimeout(SECONDS)
                got.append(client.recv(4096))
                client.sendall(answer)
                client.shutdown(socket.SHUT_WR)
                read_to_end(client)

        thread = Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join, SECONDS)
        return str(server.getsockname()[1]), got

    def test_wrong_answers(self) -> None:
        """An answer that is short, changed or too long is a fault, each of its kind."""
        for answer, fault in ((b"A" * 63, "early"), (b"A" * 64, "wrong"), (b"A" * 65, "wrong"), (b"", "early")):
            port, _ = self.answering(answer)
            status, report = self.run_load("connections", "--count", "1", "--port", port)
            self.assertEqual((status, report["faults"][fault], report["faults"]["all"]), (1, 1, 1), answer)

    def test_a_connection_that_cannot_be_set_up(self) -> None:
        """A kept connection that fails is reported, and the load does not begin."""
        port, _ = self.answering(b"A" * 64)
        status, report = self.run_load("round-trips", "--concurrent", "1", "--port", port, answers=())
        self.assertEqual((status, report["done"], report["faults"]["wrong"]), (1, 0, 1))

    def test_the_hello(self) -> None:
        """It has 517 bytes and is a ClientHello with one of the names, in turn."""
        port, got = self.answering(b"")
        self.run_load("connections", "--count", "1", "--names", "10", "--port", port)
        self.assertEqual(len(got[0]), 517)
        hello = HelloParser(16384).feed(got[0])
        assert hello is not None
        self.assertEqual((hello.sni, hello.alpn), ("n000000.example.com", ("h2", "http/1.1")))
