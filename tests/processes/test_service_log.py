"""Tests of :mod:`meshgate.processes.service_log`: what is logged, and how."""

from __future__ import annotations

import ast
import io
import json
import os
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.service_log import PARTS, LevelChoice, ServiceLog
from meshgate.resources.problem import Phase, Problem, Severity
from tests.log_receivers import FakeJournal
from tests.support import new_folder
from tests.test_layers import SOURCES

PROBLEM = Problem(Severity.ERROR, "MG0104", "is wrong", Phase.VALIDATION, "routes/a.yaml", 3, 5, hint="mend it")


class LogTestCase(SynchronousTestCase):
    """A log on a stream in memory."""

    def setUp(self) -> None:
        """Make it."""
        self.stream = io.StringIO()
        self.log = ServiceLog(self.stream, "meshgate", {})

    def logger(self, namespace: str = "meshgate.proxy.guard.Guard") -> Logger:
        """A logger of that name."""
        return Logger(namespace, observer=self.log)

    def lines(self) -> list[str]:
        """The lines so far."""
        return self.stream.getvalue().splitlines()


class LevelTests(LogTestCase):
    """The choice of events."""

    def test_info_unless_asked_for_more(self) -> None:
        """Without settings, debug is left out."""
        self.logger().debug("a detail")
        self.logger().info("an event")
        (line,) = self.lines()
        self.assertRegex(line, r"^\d{4}-.* \[meshgate\.proxy\.guard\.Guard#info\] an event$")

    def test_levels_by_part(self) -> None:
        """A part with a level of its own has that, any other one, and libraries, the common level."""
        self.log.configure(LevelChoice("error", (("providers", "debug"),)), False, "")
        ours = ("meshgate.providers.feed.Feed", "meshgate.proxy.guard.Guard")
        for namespace in (*ours, "twisted.web", "plug.providers"):
            for level in ("debug", "warn", "error"):
                getattr(self.logger(namespace), level)("x")
        found = [line.partition("[")[2].partition("]")[0] for line in self.lines()]
        self.assertEqual(
            found,
            [
                *(f"meshgate.providers.feed.Feed#{level}" for level in ("debug", "warn", "error")),
                *("meshgate.proxy.guard.Guard#error", "twisted.web#error", "plug.providers#error"),
            ],
        )

    def test_settings_may_change(self) -> None:
        """What is configured later counts from then on."""
        self.log.configure(LevelChoice("error"), False, "")
        self.logger().info("not this")
        self.log.configure(LevelChoice("debug"), False, "")
        self.logger().debug("but this")
        self.assertEqual(len(self.lines()), 1)

    def test_the_parts_are_those_that_log(self) -> None:
        """Every folder and module with a logger has its name in the list, and no other."""
        found = set()
        for name, file in SOURCES.items():
            calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
            if any(ast.unparse(call) == "Logger()" for call in calls):
                found.add(name.split(".")[1])
        self.assertEqual(found, set(PARTS))


class JsonTests(LogTestCase):
    """Lines of JSON."""

    def setUp(self) -> None:
        """Log so."""
        super().setUp()
        self.log.configure(LevelChoice(), True, "")

    def test_the_keys(self) -> None:
        """Time, level, logger and message, then the facts that are known."""
        self.logger().warn("{problem}", problem=PROBLEM, provider="files", generation=0)
        (line,) = map(json.loads, self.lines())
        self.assertRegex(line.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(
            line,
            {
                "level": "warn",
                "logger": "meshgate.proxy.guard.Guard",
                "message": str(PROBLEM),
                "provider": "files",
                "code": "MG0104",
                "file": "routes/a.yaml",
                "line": 3,
                "column": 5,
                "hint": "mend it",
            },
        )

    def test_the_traceback_has_a_key(self) -> None:
        """A fault of the program itself stays one line, too."""
        self.logger().failure("it failed", Failure(ValueError("why")))
        (line,) = map(json.loads, self.lines())
        self.assertEqual(line["message"], "it failed")
        self.assertIn("ValueError: why", line["traceback"])

    @given(st.text())
    @example('a\nb"}{"level":"info"')
    def test_any_text_stays_one_line(self, text: str) -> None:
        """Whatever is logged, there is one object, and it has the text."""
        self.stream.seek(0)
        self.stream.truncate()
        self.logger().info("{reason}", reason=text)
        (line,) = map(json.loads, self.stream.getvalue().split("\n")[:-1])
        self.assertEqual(line["message"], text)


class JournalTests(SynchronousTestCase):
    """Entries in the journal."""

    def setUp(self) -> None:
        """A stream that leads to a journal, as far as one can tell."""
        self.folder = new_folder(self)
        self.stream = (self.folder / "stream").open("w+")
        self.addCleanup(self.stream.close)
        status = os.fstat(self.stream.fileno())
        self.log = ServiceLog(self.stream, "meshgate", {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        self.logger = Logger("tests.processes.test_service_log.JournalTests", observer=self.log)

    def text(self) -> str:
        """What the stream got."""
        return Path(self.stream.name).read_text()

    def test_fields(self) -> None:
        """The facts are fields, with the place in the code; the stream gets nothing."""
        journal = FakeJournal(self)
        self.log.configure(LevelChoice(), False, str(journal.path))
        self.logger.error("{problem}\nand more", problem=PROBLEM, worker=2)
        (entry,) = journal.received()
        self.assertGreater(int(entry.pop("CODE_LINE")), 100)
        self.assertEqual(
            entry,
            {
                "MESSAGE": f"{PROBLEM}\nand more",
                "PRIORITY": "3",
                "SYSLOG_IDENTIFIER": "meshgate",
                "CODE_FILE": __file__,
                "CODE_FUNC": "test_fields",
                "MESHGATE_LOGGER": "tests.processes.test_service_log.JournalTests",
                "MESHGATE_WORKER": "2",
                "MESHGATE_CODE": "MG0104",
                "MESHGATE_FILE": "routes/a.yaml",
                "MESHGATE_LINE": "3",
                "MESHGATE_COLUMN": "5",
                "MESHGATE_HINT": "mend it",
            },
        )
        self.assertEqual(self.text(), "")

    def test_a_journal_that_is_gone(self) -> None:
        """What the journal does not take is on the stream, and nothing is lost."""
        self.log.configure(LevelChoice(), False, str(self.folder / "none"))
        self.logger.info("an event")
        self.assertIn("#info] an event\n", self.text())

    def test_another_stream(self) -> None:
        """A log that was led elsewhere, as to a file, is text, though the variable is there."""
        with (self.folder / "other").open("w+") as other:
            log = ServiceLog(other, "meshgate", {"JOURNAL_STREAM": "1:2"})
            self.assertFalse(log.is_journal)
