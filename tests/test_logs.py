"""Tests of both logs of a real gateway with workers: their forms, and where they go."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.installation import ECHO, SNI, Installation
from tests.log_receivers import FakeJournal, parse_syslog, socket_folder
from tests.support import IMPORT_ROOT, Program, free_port, wait_for

TWISTD = Path(sys.executable).with_name("twistd")
PYTHON = {"PYTHONPATH": str(IMPORT_ROOT)}
ON_JOURNAL = 'export JOURNAL_STREAM="$(stat --dereference --format=%d:%i /proc/self/fd/2)"; exec "$@"'
"""Runs a program as systemd does with its log in the journal."""


class LogTestCase(TestCase):
    """A gateway with two workers."""

    timeout = 120

    def setUp(self) -> None:
        """Make its installation."""
        self.lab = Installation(self)
        self.lab.edit_settings(workers="2")
        self.command: list[str | Path] = [TWISTD, "-n", "--pidfile=", "meshgate", "--config", self.lab.settings]

    def edit_section(self, name: str, **values: object) -> None:
        """Write a section of the settings anew; what is left out has its default."""
        text = self.lab.settings.read_text()
        begin = text.index(f"\n{name}:") + 1
        end = text.index("\n\n", begin)
        self.lab.settings.write_text(f"{text[:begin]}{name}: {json.dumps(values)}{text[end:]}")

    def reload(self) -> None:
        """Have everything read again."""
        self.lab.process.signal(signal.SIGHUP)


class ServiceLogTests(LogTestCase):
    """The program's own log."""

    def events(self) -> list[dict[str, Any]]:
        """The whole lines of the log so far."""
        return [json.loads(line) for line in self.process.stderr.splitlines(True) if line.endswith("\n")]

    async def event(self, **facts: object) -> dict[str, Any]:
        """The first event with these facts, once it is there."""

        def find() -> list[dict[str, Any]]:
            return [each for each in self.events() if facts.items() <= each.items()]

        return (await wait_for(find, f"an event with {facts}"))[0]

    async def test_json(self) -> None:
        """Every line is an object from the first one on, with facts of its own; workers have their number."""
        self.edit_section("log", format="json")
        self.process: Program = Program(self, self.command, self.lab.folder, PYTHON)
        serving = await self.event(generation=1)
        self.assertEqual((serving["level"], serving["logger"]), ("info", "meshgate.workers.pool.WorkerPool"))
        self.assertEqual(serving["message"], "all 2 workers serve")
        self.assertIn("starting up", self.events()[0]["message"])
        route = next(self.lab.routes.glob("*.yaml"))
        route.write_text("kind: [\n")
        broken = await self.event(code="MG0001")
        self.assertEqual((broken["file"], broken["line"]), (str(route), 2))
        os.kill(await self.worker_pid(1), signal.SIGKILL)
        ended = await self.event(code="MG3102", worker=1)
        self.assertIn("was killed by SIGKILL", ended["message"])

    async def worker_pid(self, number: int) -> int:
        """The process of a worker."""
        pids = [worker["pid"] for worker in self.lab.status()["workers"]]
        pid: int = pids[number - 1]
        return pid

    async def test_levels_by_part(self) -> None:
        """A reload changes them: the control process tells no more that it reads anew, but still that it cannot."""
        await self.lab.start()
        self.edit_section("log", levels={"control": "error"})
        self.reload()
        self.lab.edit_settings(connect="soon")
        self.reload()
        await self.lab.process.wait_for_output("the settings stay as they were")
        self.assertNotIn("everything was read again", self.lab.process.stderr)

    async def test_unknown_parts(self) -> None:
        """A part that does not exist, and a level that does not, are told with their places and a hint."""
        self.edit_section("log", levels={"provider": "debug", "api": "loud"})
        process = Program(self, self.command, None, PYTHON)
        self.assertEqual(await process.exit_status(), 1)
        line = self.lab.settings.read_text().splitlines().index('log: {"levels": {"provider": "debug", "api": "loud"}}')
        place = f"{self.lab.settings}:{line + 1}"
        self.assertIn(f"{place}:18: error[MG0102]: log.levels.provider: unknown part provider", process.stderr)
        self.assertIn("did you mean providers?", process.stderr)
        self.assertIn(f"{place}:46: error[MG0104]: log.levels.api: must be debug or info or", process.stderr)
        self.assertNotIn("Traceback", process.stderr)

    async def test_the_journal(self) -> None:
        """With the journal on standard error, events go to its socket, those of workers as well."""
        journal = FakeJournal(self)
        self.edit_section("log", journal=str(journal.path), levels={"workers": "debug"})
        process = Program(self, ["/bin/sh", "-c", ON_JOURNAL, "sh", *self.command], self.lab.folder, PYTHON)
        entries = journal.received

        def found(**fields: str) -> bool:
            return any(fields.items() <= each.items() for each in entries())

        await wait_for(lambda: found(MESHGATE_GENERATION="1"), "the first generation")
        entry = next(each for each in entries() if each.get("MESHGATE_GENERATION") == "1")
        self.assertEqual((entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]), ("6", "meshgate"))
        self.assertTrue(entry["CODE_FILE"].endswith("meshgate/workers/pool.py"))
        self.assertNotIn("#info]", process.stderr)
        process.signal(signal.SIGTERM)
        self.assertEqual(await process.exit_status(), 0)


class AccessLogTests(LogTestCase):
    """The access log."""

    def connect(self, greeting: bytes = b"plain\n") -> None:
        """Have a line: a connection to the port of TLS that says something else, and ends as not_tls."""
        with socket.create_connection(("127.0.0.1", self.lab.ports[SNI]), timeout=10) as client:
            client.sendall(greeting)
            client.settimeout(10)
            client.recv(1)

    async def test_a_template(self) -> None:
        """Lines have the form of the template, and a change of it takes effect at a reload."""
        self.edit_section("access_log", format="template", template="{client} -> {listener}: {ending} [{sni}]")
        await self.lab.start()
        self.connect()
        pattern = rf"^127\.0\.0\.1:\d+ -> \[::\]:{self.lab.ports[SNI]}: not_tls \[-\]$"
        await wait_for(lambda: re.findall(pattern, self.lab.process.stdout, re.MULTILINE), "the line")
        self.edit_section("access_log", format="template", template="now: {ending}")
        self.reload()
        await self.lab.process.wait_for_output("everything was read again")
        self.connect()
        await self.lab.process.wait_for_output("now: not_tls")

    async def test_a_choice(self) -> None:
        """Only the endings that were asked for have lines; a sample of nothing leaves out what ended well."""
        self.edit_section("access_log", format="json", only=["ok", "bad_hello"], sample_ok=0)
        await self.lab.start()
        self.connect()
        self.connect(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00")
        await self.lab.logged(ending="bad_hello")
        self.assertEqual(await self.lab.stop(), 0)
        self.assertEqual([line["ending"] for line in self.lab.log()], ["bad_hello"])

    async def test_connections_that_go_on(self) -> None:
        """An open connection has lines while it lives, with its bytes so far."""
        self.edit_section("access_log", format="json", every="1s")
        await self.lab.start()
        with socket.create_connection(("127.0.0.1", self.lab.ports[ECHO]), timeout=10) as client:
            client.sendall(b"hello")
            line = await self.lab.logged(ending="open", bytes_in=5)
            self.assertEqual(line["listener"], f"[::]:{self.lab.ports[ECHO]}")
            self.assertGreaterEqual(line["duration"], 1.0)

    async def test_syslog(self) -> None:
        """Workers send their lines to a server, and none to standard output."""
        for kind in ("udp", "unix"):
            if kind == "udp":
                server, address = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "127.0.0.1"
                server.bind((address, 0))
                text = f"udp:{address}:{server.getsockname()[1]}"
            else:
                server, address = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), str(socket_folder(self) / "log")
                server.bind(address)
                text = f"unix:{address}"
            self.addCleanup(server.close)
            server.setblocking(False)
            self.edit_section("access_log", to="syslog", format="json", syslog={"server": text, "facility": "daemon"})
            if kind == "udp":
                await self.lab.start()
            else:
                self.reload()
                await self.lab.process.wait_for_output("everything was read again")
            self.connect()
            message = parse_syslog(await wait_for(partial(received, server), f"a message over {kind}"))
            self.assertEqual((message.priority, json.loads(message.text)["ending"]), (3 * 8 + 6, "not_tls"))
        self.assertEqual(self.lab.process.stdout, "")

    async def test_the_journal(self) -> None:
        """Each connection is an entry with fields."""
        journal = FakeJournal(self)
        self.edit_section("log", journal=str(journal.path))
        self.edit_section("access_log", to="journal")
        await self.lab.start()
        self.connect()
        entry = (await wait_for(journal.received, "the entry"))[0]
        self.assertEqual((entry["SYSLOG_IDENTIFIER"], entry["MESHGATE_ENDING"]), ("meshgate-access", "not_tls"))
        self.assertIn("ending=not_tls", entry["MESSAGE"])

    async def test_lost_lines_are_counted(self) -> None:
        """Lines that nobody took until a worker ended are in the metrics, though the worker is gone."""
        self.edit_section("metrics", port=(port := free_port()))
        self.edit_section("access_log", to="syslog", syslog={"server": f"unix:{socket_folder(self)}/none"})
        await self.lab.start()
        self.connect()
        self.assertIn("\nmeshgate_access_log_lost_lines_total 0\n", scrape(port))
        for worker in self.lab.status()["workers"]:
            os.kill(worker["pid"], signal.SIGTERM)
        await wait_for(lambda: "\nmeshgate_access_log_lost_lines_total 1\n" in scrape(port), "the count")
        self.assertIn("No such file or directory", self.lab.process.stderr)


def received(server: socket.socket) -> bytes:
    """The next datagram; empty if there is none."""
    try:
        return server.recv(65536)
    except BlockingIOError:
        return b""


def scrape(port: int) -> str:
    """The metrics, in Prometheus' format."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        client.settimeout(10)
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()
