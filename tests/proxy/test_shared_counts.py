"""Tests of :mod:`meshgate.proxy.shared_counts`: several workers on one memory."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.shared_counts import EVERYTHING, SharedCounts, bytes_for, new_seed
from tests.support import IMPORT_ROOT

SEED = bytes(16)
WORKERS = 3

CHILD = """
import mmap, sys
from meshgate.proxy.shared_counts import EVERYTHING, SharedCounts, bytes_for

counts = SharedCounts(mmap.mmap(int(sys.argv[1]), bytes_for(2)), 1, bytes(16))
counts.add(counts.pair("192.0.2.1"), 3)
counts.add(EVERYTHING, 3)
print(counts.total(counts.pair("192.0.2.1")))
"""


class SharedCountsTests(SynchronousTestCase):
    """Counting, each in one's own row."""

    def setUp(self) -> None:
        """Three workers."""
        memory = bytearray(bytes_for(WORKERS))
        self.workers = [SharedCounts(memory, place, SEED) for place in range(WORKERS)]

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.tuples(st.integers(0, WORKERS - 1), st.sampled_from(["a", "b", "c"]), st.integers(-3, 5))))
    def test_everybody_sees_the_sum(self, changes: list[tuple[int, str, int]]) -> None:
        """Whoever counts what, all see the same totals, and those of keys that share no counters are exact."""
        self.setUp()
        wanted: Counter[str] = Counter()
        for place, key, by in changes:
            worker = self.workers[place]
            worker.add(worker.pair(key), by)
            worker.add(EVERYTHING, by)
            wanted[key] += by
        for worker in self.workers:
            self.assertEqual({key: worker.total(worker.pair(key)) for key in wanted}, dict(wanted))
            self.assertEqual(worker.total(EVERYTHING), sum(wanted.values()))

    def test_a_count_is_never_too_low(self) -> None:
        """With thousands of keys every count is at least what it should be, and few are more than that."""
        counts = self.workers[0]
        keys = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(5_000)]
        for key in keys:
            counts.add(counts.pair(key), 1)
        totals = Counter(counts.total(counts.pair(key)) for key in keys)
        self.assertEqual(min(totals), 1)
        self.assertLess(sum(number for total, number in totals.items() if total > 1), 0.1 * len(keys))

    def test_what_a_dead_worker_counted_is_forgotten(self) -> None:
        """Clearing its row takes away what it had, and nothing else."""
        slots = self.workers[0].pair("a")
        for worker in self.workers:
            worker.add(slots, 2)
        self.workers[0].clear(1)
        self.assertEqual(self.workers[2].total(slots), 4)

    def test_the_seed_decides_who_shares(self) -> None:
        """Every key has two different counters, which nobody can compute without the seed."""
        memory = bytearray(bytes_for(1))
        places = {SharedCounts(memory, 0, new_seed()).pair("192.0.2.1") for _ in range(8)}
        self.assertGreater(len(places), 1)
        self.assertTrue(all(first != second for first, second in places))

    def test_across_processes(self) -> None:
        """A process reads the counts of another one."""
        memory = os.memfd_create("test")
        self.addCleanup(os.close, memory)
        os.ftruncate(memory, bytes_for(2))
        counts = SharedCounts(mmap.mmap(memory, bytes_for(2)), 0, SEED)
        counts.add(counts.pair("192.0.2.1"), 4)
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(memory)],
            pass_fds=[memory],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
            env={**os.environ, "PYTHONPATH": str(IMPORT_ROOT)},
        )
        self.assertEqual(child.stdout, "7\n")
        self.assertEqual(counts.total(EVERYTHING), 3)
