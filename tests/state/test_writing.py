"""Tests of :mod:`meshgate.state.writing`: real files, real limits."""

from __future__ import annotations

import json
import resource
from typing import cast

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from meshgate.state.folder import StateFolder, holder
from meshgate.state.writing import WriteReport, replace_file
from tests.support import new_folder


class StateFilesTestCase(SynchronousTestCase):
    """A test with a state folder."""

    def setUp(self) -> None:
        """Hold one."""
        self.path = new_folder(self)
        self.state = StateFolder()
        self.state.hold(self.path)
        self.addCleanup(self.state.release)

    def names(self) -> set[str]:
        """The files in it, but for the lock."""
        return {path.name for path in self.path.iterdir()} - {"meshgate.lock"}


class ReplaceFileTests(StateFilesTestCase):
    """:func:`replace_file`."""

    def test_pieces(self) -> None:
        """The file has all pieces in their order, and nothing else is left."""
        replace_file(self.state, "a.json", ["[", *["1, "] * 20, "1]"])
        self.assertEqual(json.loads((self.path / "a.json").read_text()), [1] * 21)
        self.assertEqual(self.names(), {"a.json"})

    def test_what_does_not_fit(self) -> None:
        """Where there is no room, the file stays as it was, and nothing of the new one is left."""
        replace_file(self.state, "a.json", ["before"])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, (soft, hard))
        self.assertRaises(OSError, replace_file, self.state, "a.json", ["after" * 1000])
        self.assertEqual((self.path / "a.json").read_text(), "before")
        self.assertEqual(self.names(), {"a.json"})

    def test_what_a_killed_process_has_left(self) -> None:
        """A file that was never finished is no hindrance, and does not stay."""
        (self.path / "a.json.new").write_text("half of")
        replace_file(self.state, "a.json", ["whole"])
        self.assertEqual(self.names(), {"a.json"})


class WriteReportTests(StateFilesTestCase):
    """:class:`WriteReport`."""

    def setUp(self) -> None:
        """Collect what is logged."""
        super().setUp()
        self.events: list[LogEvent] = []
        observer = cast("ILogObserver", self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.report = WriteReport(self.state)

    def said(self) -> list[tuple[LogLevel, str]]:
        """What was logged since this was asked last."""
        found = [(event["log_level"], str(formatEvent(event))) for event in self.events]
        self.events.clear()
        return found

    def test_once(self) -> None:
        """A failure is said once with its reason, whichever file has it, and its end once."""
        full = OSError(28, "No space left on device")
        for name in ("a.json", "b.json", "a.json"):
            self.report.failed(name, full)
        ((level, text),) = self.said()
        self.assertEqual(level, LogLevel.warn)
        self.assertIn(f"a.json in {self.path} cannot be written: No space left on device; the gateway tries", text)
        self.assertEqual(holder(self.path).facts, {"not_written": "No space left on device"})
        self.report.succeeded("a.json")
        self.assertEqual(self.said(), [])
        self.report.succeeded("b.json")
        self.report.succeeded("b.json")
        self.assertEqual(self.said(), [(LogLevel.info, f"the files in {self.path} are written again")])
        self.assertEqual(holder(self.path).facts, {})

    def test_another_reason(self) -> None:
        """It is news when it fails for another reason."""
        self.report.failed("a.json", OSError(28, "No space left on device"))
        self.report.failed("a.json", OSError(30, "Read-only file system"))
        self.assertEqual(len(self.said()), 2)
