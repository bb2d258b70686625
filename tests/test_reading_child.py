"""Tests of :mod:`meshgate.providers.reading_child`: the real process, whose parent is the test."""

from __future__ import annotations

import pickle
import socket
import subprocess
from pathlib import Path
from typing import Any, BinaryIO

from twisted.trial.unittest import SynchronousTestCase

from meshgate import __version__
from meshgate.processes.pieces import PieceUnpacker
from meshgate.processes.starting import python_command, python_environment
from meshgate.providers.reading_messages import LENGTH, Request
from meshgate.resources.problem import Severity
from meshgate.resources.reader import read_text
from tests.route_files import broken_gateway, gateway, large_gateway
from tests.support import new_folder
from tests.test_file_reading import sight_of

SECONDS = 20.0


class ReadingChildTests(SynchronousTestCase):
    """One process and one file."""

    def setUp(self) -> None:
        """A file; the process is not started."""
        self.path = new_folder(self) / "a.yaml"
        self.path.write_text(gateway("a") + broken_gateway("b"))
        self.output = new_folder(self) / "output"

    def start(self, version: str = __version__) -> subprocess.Popen[bytes]:
        """Start it, with the other end of its socket as ours."""
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(SECONDS)
        self.addCleanup(self.socket.close)
        command = python_command("meshgate.providers.reading_child", version)
        with theirs, self.output.open("wb") as output:
            process = subprocess.Popen(
                command, env=python_environment(), stdin=theirs.fileno(), stdout=output, stderr=output
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.stream: BinaryIO = self.socket.makefile("rb")
        self.addCleanup(self.stream.close)
        return process

    def request(self, path: Path) -> bytes:
        """What asks for a file as it looks now."""
        message = pickle.dumps(Request(str(path), sight_of(path), "files", "edge"))
        return LENGTH.pack(len(message)) + message

    def answer(self) -> Any:
        """Wait for an answer."""
        unpacker, whole = PieceUnpacker(), None
        while length := LENGTH.unpack(self.stream.read(LENGTH.size))[0]:
            (*_, whole) = unpacker.unpack(self.stream.read(length))
        return whole

    def assert_silent_end(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for an end without a word."""
        self.assertEqual((process.wait(SECONDS), self.output.read_bytes()), (0, b""))

    def test_it_reads_one_file_after_the_other(self) -> None:
        """What it answers is what reading the text comes to; then it ends with its parent."""
        process = self.start()
        for _ in range(2):
            self.socket.sendall(self.request(self.path))
            text = self.path.read_text()
            self.assertEqual(self.answer(), read_text(text, str(self.path), "files", "edge", Severity.WARNING))
            self.path.write_text(gateway("c", 8443))
        self.socket.shutdown(socket.SHUT_WR)
        self.assert_silent_end(process)

    def test_a_file_that_looks_otherwise(self) -> None:
        """One that has changed since it was seen, or is gone, is not what was asked for."""
        self.start()
        request = self.request(self.path)
        self.path.write_text(gateway("c", 8443))
        self.socket.sendall(request)
        self.assertIsNone(self.answer())
        request = self.request(self.path)
        self.path.unlink()
        self.socket.sendall(request)
        self.assertIsNone(self.answer())

    def test_a_parent_that_is_gone(self) -> None:
        """Where nobody takes the answer, it ends all the same, and without a traceback."""
        process = self.start()
        self.path.write_text(large_gateway("a", 1000))
        self.socket.sendall(self.request(self.path))
        self.assertEqual(len(self.stream.read(1)), 1)
        self.stream.close()
        self.socket.close()
        self.assert_silent_end(process)

    def test_another_version(self) -> None:
        """After an upgrade under a running gateway it does not answer what that would not understand."""
        process = self.start("0.0.1")
        self.assertEqual(process.wait(SECONDS), 1)
        self.assertIn("does not read files for another version", self.output.read_text())
