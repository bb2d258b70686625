"""Tests of :mod:`meshgate.state.folder`: real files, real locks, real limits, and processes that are killed."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.pidfile import own_identity
from meshgate.state.folder import (
    LOCK_NAME,
    FolderInUseError,
    StateFolder,
    WriteReport,
    holder,
    identity_in,
    replace_file,
)
from tests.support import IMPORT_ROOT, new_folder

HOLD = """
import sys, subprocess
from pathlib import Path
from meshgate.state.folder import StateFolder
folder = StateFolder()
folder.note(pid=4711, started="then")
folder.hold(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
"""


class StateFolderTests(SynchronousTestCase):
    """:class:`StateFolder` and :func:`holder`."""

    def setUp(self) -> None:
        """A folder that is not there yet."""
        self.path = new_folder(self) / "state"

    def held(self) -> StateFolder:
        """A folder that this test holds."""
        folder = StateFolder()
        folder.note(pid=os.getpid(), started="now")
        self.addCleanup(folder.release)
        folder.hold(self.path)
        return folder

    def test_held_and_released(self) -> None:
        """Others see that it is held, by whom, and that it is not any more."""
        self.assertEqual(holder(self.path).held, False)
        folder = self.held()
        self.assertEqual(holder(self.path).held, True)
        self.assertEqual(holder(self.path).facts, {"pid": os.getpid(), "started": "now"})
        folder.note(ending="in order")
        folder.release()
        self.assertEqual(holder(self.path).held, False)
        self.assertEqual(holder(self.path).facts["ending"], "in order")

    def test_two_processes_of_an_upgrade(self) -> None:
        """Both hold the lock; the one that is silent writes nothing; and the end of one leaves it to the other."""
        folder = self.held()
        replace_file(folder, "file", ["before"])
        heir = StateFolder()
        heir.silent, heir.inherited = True, os.dup(folder.lock)
        heir.note(pid=4711)
        heir.hold(self.path)
        self.addCleanup(heir.release)
        replace_file(heir, "file", ["after"])
        self.assertEqual((self.path / "file").read_text(), "before")
        self.assertEqual(holder(self.path).facts["pid"], os.getpid())
        folder.silent, heir.silent = True, False
        folder.note(ending="in order")
        heir.note()
        replace_file(heir, "file", ["after"])
        folder.release()
        self.assertEqual((self.path / "file").read_text(), "after")
        self.assertEqual(holder(self.path).facts, {"pid": 4711})
        self.assertEqual(holder(self.path).held, True)

    def test_the_lock_of_another_folder_is_not_inherited(self) -> None:
        """A process whose settings name another folder holds that one, and not the one before."""
        folder = self.held()
        heir = StateFolder()
        heir.inherited = os.dup(folder.lock)
        heir.hold(other := self.path.with_name("other"))
        self.addCleanup(heir.release)
        folder.release()
        self.assertEqual((holder(self.path).held, holder(other).held), (False, True))

    def test_facts_are_replaced(self) -> None:
        """A fact may be taken back, and a shorter text leaves nothing of a longer one."""
        folder = self.held()
        folder.note(trouble="x" * 100)
        folder.note(trouble=None)
        self.assertEqual(holder(self.path).facts, {"pid": os.getpid(), "started": "now"})

    def test_a_second_one_is_refused(self) -> None:
        """The message names the process, the folder, and what to do; the first goes on."""
        self.held()
        error = self.assertRaises(FolderInUseError, StateFolder().hold, self.path)
        self.assertIn(f"{self.path} is in use by another gateway (process {os.getpid()}, started now)", str(error))
        self.assertIn("state_dir", str(error))
        self.assertEqual(holder(self.path).held, True)

    def test_who_asks_is_not_in_the_way(self) -> None:
        """A gateway starts although somebody asks at this moment."""
        self.held().release()
        asking = os.open(self.path / LOCK_NAME, os.O_RDONLY)
        fcntl.flock(asking, fcntl.LOCK_SH)
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            os.close(asking)

        self.patch(sys.modules["meshgate.state.folder"].time, "sleep", sleep)
        self.held()
        self.assertEqual(len(waits), 1)

    def test_killed_while_a_child_lives(self) -> None:
        """The lock goes with the process that holds it, not with those that it has started."""
        environment = {**os.environ, "PYTHONPATH": str(IMPORT_ROOT)}
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        ) as process:
            assert process.stdout is not None
            child = int(process.stdout.readline())
            self.assertEqual(holder(self.path).held, True)
            child_lives = Path(f"/proc/{child}")
            os.kill(child, 19)  # so that it cannot notice that its parent is gone
            self.addCleanup(os.kill, child, 9)
            process.kill()
            process.wait()
        self.assertTrue(child_lives.exists())
        self.assertEqual(holder(self.path).held, False)
        self.assertEqual(holder(self.path).facts["pid"], 4711)

    def test_removed_and_replaced(self) -> None:
        """Where the folder, or the lock in it, is gone or another one, it is made and held anew."""
        folder = self.held()
        self.assertFalse(folder.renew())
        shutil.rmtree(self.path)
        self.assertTrue(folder.renew())
        self.assertEqual(holder(self.path).held, True)
        self.path.rename(self.path.with_name("old"))
        self.path.mkdir()
        self.assertTrue(folder.renew())
        self.assertFalse(folder.renew())
        self.assertEqual(holder(self.path).facts["started"], "now")
        self.assertEqual(holder(self.path.with_name("old")).held, False)

    def test_replaced_by_that_of_another(self) -> None:
        """A folder that another gateway holds by now is left to it."""
        folder = self.held()
        shutil.rmtree(self.path)
        other = self.held()
        self.assertRaises(FolderInUseError, folder.renew)
        self.assertFalse(other.renew())

    def test_what_cannot_be_made(self) -> None:
        """A folder that cannot be made is tried again, and held as soon as it can be."""
        self.path.write_text("a file")
        folder = StateFolder()
        self.addCleanup(folder.release)
        self.assertRaises(OSError, folder.hold, self.path)
        self.assertRaises(OSError, folder.renew)
        self.path.unlink()
        self.assertTrue(folder.renew())
        self.assertEqual(holder(self.path).held, True)

    def test_another_folder(self) -> None:
        """The one before is let go of when the other is held, and kept when another gateway has that."""
        folder, second = self.held(), self.path.with_name("second")
        other = StateFolder()
        other.hold(second)
        self.assertRaises(FolderInUseError, folder.hold, second)
        self.assertEqual((folder.path, holder(self.path).held), (self.path, True))
        other.release()
        folder.hold(second)
        self.assertEqual((holder(self.path).held, holder(second).held), (False, True))

    def test_others_may_ask(self) -> None:
        """Whoever may read the folder may ask, whatever the umask of the gateway."""
        self.addCleanup(os.umask, os.umask(0o077))
        self.held()
        self.assertEqual((self.path / LOCK_NAME).stat().st_mode & 0o777, 0o644)

    def test_broken_content(self) -> None:
        """What is no JSON, or not an object, tells nothing; the lock counts."""
        self.held()
        for content in ("", "[1]", "{"):
            (self.path / LOCK_NAME).write_text(content)
            self.assertEqual((holder(self.path).held, holder(self.path).facts), (True, {}))

    def test_what_cannot_be_read(self) -> None:
        """Where the lock cannot be opened, nobody knows."""
        self.path.write_text("a file instead of the folder")
        self.assertEqual(holder(self.path).held, None)

    def test_identity(self) -> None:
        """The facts tell which process it was, as far as they are there."""
        own = own_identity()
        facts = {"pid": own.pid, "boot_id": own.boot_id, "process_start": own.start}
        self.assertEqual(identity_in(facts), own)
        self.assertEqual(identity_in({}), None)
        self.assertEqual(identity_in({"pid": "7"}), None)


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
