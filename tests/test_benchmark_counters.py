"""Tests of :mod:`benchmarks.counters`."""

from __future__ import annotations

import mmap
import os
import socket
import time

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.counters import (
    cpu_time,
    family,
    parent,
    private_bytes,
    private_in,
    socket_count,
    system_calls,
    user_ticks,
)

STAT = "42 (a name) (with) blanks) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 0 0 20 0 1 0 5 1 1 1\n"

ROLLUP = """\
55e046b4a000-7ffc741aa000 ---p 00000000 00:00 0                          [rollup]
Rss:                1640 kB
Shared_Clean:       1488 kB
Shared_Dirty:          0 kB
Private_Clean:        40 kB
Private_Dirty:       112 kB
"""

SUMMARY = """\
strace: Process 7 attached
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 52.11    0.000111           1       100        20 recvfrom
 40.00    0.000085           0       200           epoll_ctl
  7.89    0.000017           0       100           close
------ ----------- ----------- --------- --------- ----------------
100.00    0.000213           0       400        20 total
"""


class ParsingTests(SynchronousTestCase):
    """Output of the kernel and of strace."""

    def test_stat(self) -> None:
        """Fields are counted from the end of the name, which may hold anything."""
        self.assertEqual((parent(STAT), user_ticks(STAT)), (7, 11))

    def test_private_memory(self) -> None:
        """Clean and dirty pages count, shared ones do not."""
        self.assertEqual(private_in(ROLLUP), 152 * 1024)

    def test_system_calls(self) -> None:
        """Calls are counted with and without a column of errors; the total is not a call."""
        self.assertEqual(list(system_calls(SUMMARY).items()), [("epoll_ctl", 200), ("close", 100), ("recvfrom", 100)])


class OwnProcessTests(SynchronousTestCase):
    """The counters of this process."""

    def test_cpu_time(self) -> None:
        """It agrees with the process' own clock."""
        before, own = cpu_time([os.getpid()]), time.process_time()
        while time.process_time() - own < 0.05:
            pass
        used = (cpu_time([os.getpid()]) - before).total
        self.assertGreaterEqual(used, 0.05)
        self.assertLessEqual(used, time.process_time() - own + 0.05)

    def test_cpu_time_of_nobody(self) -> None:
        """A process that has ended is an error, not a zero."""
        gone = os.posix_spawn("/bin/true", ["true"], {})
        os.waitpid(gone, 0)
        self.assertRaises(OSError, cpu_time, [gone])

    def test_family(self) -> None:
        """A process belongs to the family of its parent."""
        self.assertIn(os.getpid(), family(os.getppid()))
        self.assertIn(os.getpid(), family(os.getpid()))

    def test_memory_and_sockets(self) -> None:
        """New memory and new sockets are counted."""
        sockets, memory = socket_count(os.getpid()), private_bytes([os.getpid()])
        # Straight from the kernel: an allocator may have as much from before.
        with mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken, socket.socket():
            taken.write(b"x" * len(taken))
            self.assertEqual(socket_count(os.getpid()), sockets + 1)
            self.assertGreaterEqual(private_bytes([os.getpid()]) - memory, len(taken) // 2)
