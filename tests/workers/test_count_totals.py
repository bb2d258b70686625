"""Tests of :mod:`meshgate.workers.count_totals`: several workers write, and are replaced; one process adds up."""

from __future__ import annotations

import mmap

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy import connection_counts as words
from meshgate.proxy.connection_counts import ConnectionCounts, SeriesLabels, region_bytes
from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord
from meshgate.workers.count_totals import CountTotals

LISTENER = "127.0.0.1:443"
ROUTE = (LISTENER, "ns/gw", "ns/vs", "db:5432", "192.0.2.1:5432")


class PlayedWorkers:
    """Workers in this process, each with the region of its slot."""

    def __init__(self, slots: int = 2) -> None:
        self.totals = CountTotals(slots)
        self._memory = memoryview(mmap.mmap(self.totals.memory, slots * region_bytes()))
        self.counts = [self._fresh(slot) for slot in range(slots)]

    def _fresh(self, slot: int) -> ConnectionCounts:
        return ConnectionCounts(self._memory[slot * region_bytes() : (slot + 1) * region_bytes()])

    def report(self, slot: int) -> None:
        """A worker tells of its new series."""
        self.totals.add_series(slot, *self.counts[slot].news())

    def replace(self, slot: int) -> None:
        """A worker ends, and another one takes its slot."""
        self.totals.worker_ended(slot)
        self.counts[slot] = self._fresh(slot)

    def connection(self, slot: int, port: int = 5432, *, ends: bool = True) -> None:
        """A connection through a worker."""
        counts = self.counts[slot]
        record = ConnectionRecord(1, 0.0, 0.0, LISTENER, ("192.0.2.9", 1))
        record.gateway, record.virtual_service, record.destination = ROUTE[1:4]
        record.endpoint, record.hello, record.dial = f"192.0.2.1:{port}", 0.01, 0.002
        counts.opened(counts.listener_block(LISTENER))
        counts.matched(counts.pattern(LISTENER, "*.example.com"))
        counts.joined(record)
        record.bytes_in = 100
        if ends:
            record.ending, record.duration = Ending.OK, 2.0
            counts.ended(record)


class CountTotalsTests(SynchronousTestCase):
    """The sums."""

    def test_workers_are_added_up(self) -> None:
        """Series of the same labels are one, whatever blocks they have in each worker."""
        workers = PlayedWorkers()
        workers.connection(0, port=1)
        workers.connection(0)
        workers.connection(1, ends=False)
        for slot in (0, 1):
            workers.report(slot)
        totals = workers.totals.totals()
        block = totals.series[ROUTE]
        self.assertEqual((block[words.OPENED], block[words.OPEN], block[words.BYTES_IN]), (2, 1, 100))
        self.assertEqual((totals.open, totals.patterns), ({LISTENER: 1, "other": 0}, {(LISTENER, "*.example.com"): 3}))
        self.assertEqual(totals.series[(LISTENER, "", "", "", "")][words.OPENED], 3)

    def test_a_worker_that_is_replaced(self) -> None:
        """What it has counted stays; its open connections are gone with it; its successor counts from there."""
        workers = PlayedWorkers()
        workers.connection(0)
        workers.connection(0, ends=False)
        workers.counts[0].late(0.2)
        workers.report(0)
        before = workers.totals.totals()
        workers.replace(0)
        after = workers.totals.totals()
        self.assertEqual(before.series[ROUTE][words.OPEN], 1)
        self.assertEqual(after.series[ROUTE][words.OPEN], 0)
        self.assertEqual(after.series[ROUTE][words.OPENED], 2)
        self.assertEqual((before.open[LISTENER], after.open.get(LISTENER, 0)), (1, 0))
        self.assertEqual(after.workers, before.workers)
        workers.connection(0)
        workers.report(0)
        self.assertEqual(workers.totals.totals().series[ROUTE][words.OPENED], 3)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("cocr"), st.integers(1, 4)), max_size=40))
    def test_no_counter_goes_back(self, events: list[tuple[int, str, int]]) -> None:
        """Whatever workers do, and whenever they are replaced, a counter that was once shown is never lower later."""
        workers = PlayedWorkers()
        shown: dict[tuple[SeriesLabels, int], int] = {}
        for slot, event, port in events:
            if event == "r":
                workers.replace(slot)
            else:
                workers.connection(slot, port, ends=event == "c")
                workers.report(slot)
            totals = workers.totals.totals()
            now = {
                (labels, index): count
                for labels, block in totals.series.items()
                for index, count in enumerate(block)
                if index != words.OPEN
            }
            self.assertEqual(
                {key: max(count, now.get(key, 0)) for key, count in shown.items()}, {key: now[key] for key in shown}
            )
            shown = now
            self.assertTrue(all(count >= 0 for count in totals.open.values()))

    def test_all_series_together_are_bounded(self) -> None:
        """Workers that each have other series do not have more of them together."""
        workers = PlayedWorkers()
        each, more = words.MOST_SERIES // 2 + 100, 200
        for port in range(1, each + 1):
            workers.connection(0, port)
            workers.connection(1, port + each)
        for slot in (0, 1):
            workers.report(slot)
        totals = workers.totals.totals()
        other = totals.series[(LISTENER, *("other",) * 4)]
        self.assertEqual(len(totals.series), words.MOST_SERIES + 2)
        self.assertEqual(other[words.OPENED], more)
