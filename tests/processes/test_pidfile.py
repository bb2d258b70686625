"""Tests of :mod:`meshgate.processes.pidfile`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes import pidfile
from meshgate.processes.pidfile import (
    PidfileError,
    ProcessIdentity,
    boot_id,
    clear_stale,
    hold,
    own_identity,
    renumber,
    require_writable,
    start_of,
)
from tests.support import new_folder

LOCKED = """
import sys
from pathlib import Path
from meshgate.processes.pidfile import hold
assert hold(Path(sys.argv[1])) is not None
print("held", flush=True)
sys.stdin.read()
"""


class IdentityTests(SynchronousTestCase):
    """:class:`ProcessIdentity`."""

    def test_own(self) -> None:
        """Our own process lives, and its start is known."""
        identity = own_identity()
        self.assertEqual((identity.pid, identity.lives()), (os.getpid(), True))
        self.assertTrue(identity.boot_id)
        self.assertGreater(identity.start, 0)

    def test_another_with_the_same_number(self) -> None:
        """A process with the number that was started at another moment, or in another boot, is another one."""
        identity = own_identity()
        self.assertFalse(replace(identity, start=identity.start - 1).lives())
        self.assertFalse(replace(identity, boot_id="another").lives())
        self.assertTrue(replace(identity, boot_id="").lives())
        self.assertTrue(replace(identity, start=0).lives())

    def test_gone(self) -> None:
        """A process that has ended does not live, and a number that none can have neither."""
        with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
            identity = ProcessIdentity(child.pid, boot_id(), start_of(child.pid))
            self.assertTrue(identity.lives())
        self.assertFalse(identity.lives())
        self.assertEqual(start_of(child.pid), 0)
        self.assertFalse(replace(identity, pid=1 << 40).lives())

    def test_a_command_with_parentheses(self) -> None:
        """The name of the command does not shift the fields."""
        command = (
            "import sys; open('/proc/self/comm', 'w').write('a) b (c'); print(end='x', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            self.assertEqual(child.stdout.read(1), "x")
            self.assertGreaterEqual(start_of(child.pid), own_identity().start)


class PidfileTestCase(SynchronousTestCase):
    """A pidfile, and processes that may have written it."""

    def setUp(self) -> None:
        """Nothing is written yet."""
        self.file = new_folder(self) / "twistd.pid"

    def sleeper(self) -> int:
        """A process that was started now."""
        process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        self.addCleanup(process.communicate)
        return process.pid

    def written(self, number: int | str, seconds_ago: float = 0.0) -> None:
        """The file, as written so long ago."""
        self.file.write_text(str(number))
        when = time.time() - seconds_ago
        os.utime(self.file, (when, when))

    def refused(self) -> str:
        """The message with which the file is left as it is."""
        before = self.file.read_bytes()
        with self.assertRaises(PidfileError) as caught:
            clear_stale(self.file)
        self.assertEqual(self.file.read_bytes(), before)
        return str(caught.exception)


class StaleTests(PidfileTestCase):
    """Files that their process has left behind."""

    def removed(self) -> int | None:
        """The number in the file, which is removed."""
        number = clear_stale(self.file)
        self.assertFalse(self.file.exists())
        return number

    def test_none(self) -> None:
        """No file is in nobody's way."""
        self.assertIsNone(self.removed())

    def test_a_process_that_is_gone(self) -> None:
        """The number is nobody's."""
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        self.written(process.pid)
        self.assertEqual(self.removed(), process.pid)

    def test_a_process_that_nobody_has_asked_for(self) -> None:
        """A zombie has ended, though its number is still taken."""
        process = subprocess.Popen([sys.executable, "-c", ""])
        self.addCleanup(process.wait)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.written(process.pid)
        self.assertEqual(self.removed(), process.pid)

    def test_another_program_got_the_number(self) -> None:
        """A process that was started after the file was written did not write it."""
        number = self.sleeper()
        self.written(number, seconds_ago=60)
        self.assertEqual(self.removed(), number)

    def test_a_number_of_long_ago(self) -> None:
        """A process that was started long before the file was written is not the one either: here process 1."""
        self.written(1)
        if time.clock_gettime(time.CLOCK_BOOTTIME) < pidfile.LONGEST_START:
            self.patch(pidfile, "LONGEST_START", 1.0)
        self.patch(os, "kill", self.fail)  # it may be another user's, and is not asked
        self.assertEqual(self.removed(), 1)

    def test_ourselves(self) -> None:
        """The number is this process's own, as in a container that is started again."""
        self.written(os.getpid())
        self.assertEqual(self.removed(), os.getpid())

    def test_an_interrupted_start(self) -> None:
        """An empty file names no process."""
        self.written("")
        self.assertEqual(self.removed(), 0)

    def test_a_number_that_no_process_can_have(self) -> None:
        """However large it is."""
        self.written(10**30)
        self.assertEqual(self.removed(), 10**30)


class RunningTests(PidfileTestCase):
    """Files of processes that run, and what is no pidfile."""

    def test_a_program_without_a_lock(self) -> None:
        """A process that was started just before the file was written has written it."""
        number = self.sleeper()
        self.written(f"{number}\n")
        self.assertIn(f"already running as process {number}", self.refused())
        self.assertEqual(self.printed(), f"{number}\n")
        self.written(number, seconds_ago=60)
        self.assertEqual(self.printed(), "")

    def printed(self) -> str:
        """What the module prints as a program: the number of a process that runs."""
        command = [sys.executable, "-m", "meshgate.processes.pidfile", str(self.file)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def test_a_new_number(self) -> None:
        """The number is replaced by that of this process, and the lock stays with whoever holds it."""
        path = new_folder(self) / "pid"
        path.write_text("123456789\n")
        lock = hold(path)
        assert lock is not None
        self.addCleanup(os.close, lock)
        renumber(path)
        self.assertEqual(path.read_text(), str(os.getpid()))
        self.assertIsNone(hold(path))

    def test_a_lock_decides(self) -> None:
        """A process that holds its file runs, whatever the clock has done since."""
        self.written(os.getppid())
        process = subprocess.Popen(
            [sys.executable, "-c", LOCKED, self.file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(process.communicate)
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "held\n")
        self.written(process.pid, seconds_ago=7200)
        self.assertIn(f"already running as process {process.pid}", self.refused())
        process.communicate()
        self.assertEqual(clear_stale(self.file), process.pid)

    def test_where_nothing_tells_the_start(self) -> None:
        """Without /proc the number decides, and one that may not be signalled is somebody's."""
        self.patch(pidfile, "start_of", lambda pid: 0)
        self.written(self.sleeper(), seconds_ago=60)
        self.assertIn("already running", self.refused())

        def forbidden(pid: int, number: int) -> None:
            raise PermissionError

        self.patch(os, "kill", forbidden)
        self.assertIn("already running", self.refused())

    def test_no_pidfile(self) -> None:
        """What is no number is somebody's file, named by mistake."""
        for text in ("providers: []\n", "-1", "0", "1 2", "1\0", "9" * 100):
            self.written(text)
            self.assertIn("is no pidfile", self.refused())

    def test_no_file(self) -> None:
        """Neither a folder nor a pipe is waited for or removed."""
        folder = new_folder(self)
        os.mkfifo(folder / "pipe")
        for path in (folder, folder / "pipe"):
            with self.assertRaises(PidfileError) as caught:
                clear_stale(path)
            self.assertIn("is not a file", str(caught.exception))

    def test_where_none_can_be_written(self) -> None:
        """A folder that is not there is told before the start."""
        with self.assertRaises(PidfileError) as caught:
            require_writable(Path("/nowhere/twistd.pid"))
        self.assertIn("its folder does not exist", str(caught.exception))
        require_writable(self.file)

    def test_nothing_to_hold(self) -> None:
        """A file that cannot be opened, or that another process holds, is not held."""
        self.assertIsNone(hold(self.file))
        self.written(1)
        first = hold(self.file)
        assert first is not None
        self.addCleanup(os.close, first)
        self.assertIsNone(hold(self.file))
