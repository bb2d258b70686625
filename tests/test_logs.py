"""Tests of both logs of a real gateway with workers: their forms, and where they go."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.installation import Installation
from tests.log_receivers import FakeJournal
from tests.support import IMPORT_ROOT, Program, wait_for

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
