"""Tests of :mod:`meshgate.processes.processors`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes import processors
from meshgate.processes.processors import quota, usable_processors
from tests.support import IMPORT_ROOT, new_folder


class UsableProcessorsTests(SynchronousTestCase):
    """:func:`usable_processors`."""

    def setUp(self) -> None:
        """Eight processors, and cgroups of the test's own."""
        self.folder = new_folder(self)
        (self.folder / "own").write_text("0::/machine/service\n")
        (self.folder / "machine" / "service").mkdir(parents=True)
        self.patch(processors, "_OWN_CGROUPS", self.folder / "own")
        self.patch(processors, "_CGROUPS", self.folder)
        self.patch(os, "sched_getaffinity", lambda pid: set(range(8)))

    def limit(self, group: str, text: str) -> None:
        """Set the limit of a cgroup."""
        (self.folder / group / "cpu.max").write_text(text)

    def test_no_limit(self) -> None:
        """Without a limit, all processors that the process may run on are used."""
        self.limit("machine", "max 100000\n")
        self.assertEqual(usable_processors(), 8)

    def test_the_least_limit_counts(self) -> None:
        """The limits of the process's cgroup and of those around it count; a part of a processor is one more."""
        self.limit("machine", "400000 100000\n")
        self.assertEqual(usable_processors(), 4)
        self.limit("machine/service", "150000 100000\n")
        self.assertEqual(usable_processors(), 2)
        self.limit("machine/service", "10000 100000\n")
        self.assertEqual(usable_processors(), 1)

    def test_no_cgroups(self) -> None:
        """Where there are no cgroups, or older ones, they are no limit."""
        (self.folder / "own").write_text("4:cpu,cpuacct:/machine\n")
        self.assertEqual(usable_processors(), 8)
        (self.folder / "own").unlink()
        self.assertEqual(usable_processors(), 8)

    def test_no_affinity(self) -> None:
        """Where a process cannot be bound to processors, it may use all that exist."""
        self.patch(os, "cpu_count", lambda: 6)
        del os.sched_getaffinity  # put back by the patch of setUp
        self.assertEqual(usable_processors(), 6)

    def test_unreadable_limits(self) -> None:
        """What cannot be read is no limit."""
        for text in ("", "many 100000", "1 0", "100000"):
            self.assertIsNone(quota(text), text)
        self.assertEqual(quota("150000 100000\n"), 1.5)


@skipUnless(hasattr(os, "SCHED_BATCH"), "scheduling policies are part of Linux")
class SchedulingTests(SynchronousTestCase):
    """:func:`give_way` and :func:`take_turns`."""

    def test_a_child_takes_turns_again(self) -> None:
        """A process that gives way passes that on to its children, of which one takes turns again without rights."""
        child = (
            "import os; from meshgate.processes.processors import take_turns; before = os.sched_getscheduler(0); "
            "take_turns(); print(before == os.SCHED_BATCH, os.sched_getscheduler(0) == os.SCHED_OTHER)"
        )
        parent = (
            "import subprocess, sys; from meshgate.processes.processors import give_way; give_way(); "
            f"sys.exit(subprocess.run([sys.executable, '-c', {child!r}]).returncode)"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(IMPORT_ROOT))}
        done = subprocess.run(
            [sys.executable, "-c", parent], env=environment, capture_output=True, text=True, timeout=60
        )
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "True True"), done.stderr)
