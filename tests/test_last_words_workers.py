"""Last words through a real gateway with two workers: an upload that is refused, and a download that a stop cuts."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import threads

from tests.installation import Installation
from tests.lab_with_workers import SECONDS, WorkersTestCase
from tests.support import free_port, new_folder, wait_for
from tests.transport.test_last_words import MIB, REFUSAL, ROUNDS, read_all

BEGINNING = b"HTTP/1.0 200 OK\r\n\r\n"
SHARE = bytes(80_000)


class Endpoint:
    """An endpoint that does one thing with each connection, in a thread."""

    def __init__(self, test: WorkersTestCase, serve: Callable[[socket.socket], None]) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._serve = serve
        self._accepted: list[socket.socket] = []
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        test.addCleanup(self._end, thread)

    def _run(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            self._accepted.append(accepted)
            self._serve(accepted)

    def _end(self, thread: threading.Thread) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        thread.join(SECONDS)
        for accepted in self._accepted:
            accepted.close()


class LastWordsTests(WorkersTestCase):
    """Two workers in front of one endpoint."""

    async def serve(self, endpoint: Endpoint) -> tuple[Installation, int]:
        """A lab with a port for it."""
        lab, port = await self.start(), free_port()
        await self.serve_fleet(lab, port, ("127.0.0.1", endpoint.port))
        return lab, port

    async def test_an_upload_that_is_refused(self) -> None:
        """The endpoint refuses and closes with most of the upload unread; the client gets the whole refusal."""
        full = threading.Event()

        def refuse(accepted: socket.socket) -> None:
            full.wait(SECONDS)
            accepted.sendall(REFUSAL)
            accepted.close()

        lab, port = await self.serve(Endpoint(self, refuse))

        def upload() -> int:
            with socket.create_connection(("127.0.0.1", port), timeout=0.3) as client:
                try:
                    while True:
                        client.send(bytes(MIB))
                except TimeoutError:
                    full.set()
                client.settimeout(SECONDS)
                count, _ = read_all(client)
            full.clear()
            return count

        for _ in range(ROUNDS):
            self.assertEqual(await threads.deferToThread(upload), len(REFUSAL))
        await wait_for(lambda: len(self.talked(lab)) == ROUNDS, "the log lines")
        endings = {(line["ending"], line["bytes_out"]) for line in self.talked(lab)}
        self.assertEqual(endings, {("upstream_reset", len(REFUSAL))})

    def talked(self, lab: Installation) -> list[dict[str, Any]]:
        """The log lines of clients that said something; one only looked whether the port is open."""
        return [line for line in lab.log() if line["bytes_in"]]

    async def download(self, number: signal.Signals) -> tuple[Installation, Path, subprocess.Popen[bytes]]:
        """Send a signal while curl has a part of a file without a length; gives curl, which has ended."""

        def begin(accepted: socket.socket) -> None:
            accepted.recv(MIB)
            accepted.sendall(BEGINNING + SHARE)

        lab, port = await self.serve(Endpoint(self, begin))
        into = new_folder(self) / "file"
        curl = subprocess.Popen(["curl", "-s", "-N", "-o", into, f"http://127.0.0.1:{port}/"])
        self.addCleanup(curl.wait)
        self.addCleanup(curl.kill)
        await wait_for(lambda: into.exists() and into.stat().st_size == len(SHARE), "the first part")
        lab.process.signal(number)
        self.assertEqual(await lab.process.exit_status(), 0)
        await wait_for(lambda: curl.poll() is not None, "curl's end")
        return lab, into, curl

    async def test_a_stop_is_seen_as_a_cut(self) -> None:
        """A download that a stop cuts fails, with all that came; curl took an end of stream for success."""
        for number in (signal.SIGTERM, signal.SIGINT):
            lab, into, curl = await self.download(number)
            self.assertIn(curl.returncode, (18, 56))
            self.assertEqual(into.stat().st_size, len(SHARE))
            (line,) = self.talked(lab)
            self.assertEqual((line["ending"], line["bytes_out"]), ("drained", len(BEGINNING) + len(SHARE)))
