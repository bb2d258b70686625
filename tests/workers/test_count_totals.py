"""Tests of :mod:`meshgate.workers.count_totals`: several workers write, and are replaced; one process adds up."""

from __future__ import annotations

import mmap
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy import connection_counts as words
from meshgate.proxy.connection_counts import ConnectionCounts, SeriesLabels, region_bytes
from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from meshgate.transport.dns.resolver import NameFigures
from meshgate.workers.count_totals import FORGET_AFTER, FORGET_AT_ONCE, CountTotals

LISTENER = "127.0.0.1:443"
ROUTE = (LISTENER, "ns/gw", "ns/vs", "db:5432", "192.0.2.1:5432")


def endpoint_of(port: int) -> str:
    """The name of an endpoint."""
    return f"192.0.2.1:{port}"


def table_of(*ports: int, pattern: str = "*.example.com", dns: str = "") -> RoutingTable:
    """A table whose route has these endpoints, and a name with the port 5432 if there is one."""
    endpoints = [Endpoint("192.0.2.1", port) for port in ports]
    if dns:
        endpoints.append(Endpoint(dns, 5432, dns=True))
    destination = Destination("db", 5432, endpoints=tuple(endpoints))
    chain = Chain((pattern,), "ns/gw", "tls", "ns/vs", "spec.tls[0]", (destination,))
    key = ListenerKey("127.0.0.1", 443)
    return RoutingTable(1, {key: Listener(key, False, True, suffixes={pattern[2:]: chain})})


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

    def review(self, table: RoutingTable, now: float, names: Mapping[str, NameFigures] | None = None) -> None:
        """The control process looks for what is gone from a table, and each worker that is asked answers."""
        self.totals.review(table, names or {}, now)
        for slot, counts in enumerate(self.counts):
            message = self.totals.series_to_end(slot)
            if message is not None:
                counts.take_back(message.free_blocks, message.free_words)
                self.report(slot)
                self.totals.series_ended(slot, *counts.end_series(message.series, message.patterns))

    def connection(self, slot: int, port: int = 5432, *, ends: bool = True) -> ConnectionRecord:
        """A connection through a worker."""
        counts = self.counts[slot]
        record = ConnectionRecord(1, 0.0, 0.0, LISTENER, ("192.0.2.9", 1))
        record.gateway, record.virtual_service, record.destination = ROUTE[1:4]
        record.endpoint, record.hello, record.dial = endpoint_of(port), 0.01, 0.002
        counts.opened(counts.listener_block(LISTENER))
        counts.matched(counts.pattern(LISTENER, "*.example.com"))
        counts.joined(record)
        record.bytes_in = 100
        if ends:
            self.end(slot, record)
        return record

    def end(self, slot: int, record: ConnectionRecord) -> None:
        """The end of a connection."""
        record.ending, record.duration = Ending.OK, 2.0
        self.counts[slot].ended(record)


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


class GoneTests(SynchronousTestCase):
    """Series that are gone from the routing table."""

    def setUp(self) -> None:
        """Two workers with an endpoint each, and a third one that both have."""
        self.workers = PlayedWorkers()
        for slot, port in ((0, 1), (0, 3), (1, 2), (1, 3)):
            self.workers.connection(slot, port)
            self.workers.report(slot)

    def shown(self) -> dict[str, int]:
        """The connections that the metrics show, by endpoint."""
        series = self.workers.totals.totals().series
        return {labels[4]: block[words.OPENED] for labels, block in series.items() if labels[4]}

    def test_they_are_left_out_after_a_time(self) -> None:
        """What the table does not have any more goes, in whatever worker it is; all else stays."""
        all_three = {endpoint_of(1): 1, endpoint_of(2): 1, endpoint_of(3): 2}
        for now in (0.0, FORGET_AFTER - 1):
            self.workers.review(table_of(2), now)
        self.assertEqual(self.shown(), all_three)
        self.workers.review(table_of(2), FORGET_AFTER)
        self.assertEqual(self.shown(), all_three)  # the last values, until nobody counts for them
        self.workers.review(table_of(2), FORGET_AFTER + 1)
        self.assertEqual(self.shown(), {endpoint_of(2): 1})

    def test_what_is_back_in_time_stays(self) -> None:
        """The time begins anew with each absence."""
        self.workers.review(table_of(2, 3), 0)
        self.workers.review(table_of(1, 2, 3), FORGET_AFTER - 1)
        self.workers.review(table_of(2, 3), FORGET_AFTER)
        for now in (FORGET_AFTER + 1, 2 * FORGET_AFTER - 1):
            self.workers.review(table_of(2, 3), now)
        self.assertIn(endpoint_of(1), self.shown())

    def test_an_open_connection_keeps_its_series(self) -> None:
        """The time begins with the end of the last one, even if only the worker knows of it so far."""
        record = self.workers.connection(1, 3, ends=False)
        for now in (0.0, FORGET_AFTER, FORGET_AFTER + 1):
            self.workers.review(table_of(1, 2), now)
        self.assertEqual(self.shown()[endpoint_of(3)], 3)
        self.workers.end(1, record)
        self.workers.review(table_of(1, 2), FORGET_AFTER + 2)
        late = self.workers.connection(0, 3, ends=False)  # dialed by the table before
        for now in (2 * FORGET_AFTER + 2, 2 * FORGET_AFTER + 3):
            self.workers.review(table_of(1, 2), now)
        self.assertEqual(self.shown()[endpoint_of(3)], 4)
        self.workers.end(0, late)
        totals = self.workers.totals.totals()
        self.assertEqual(sum(totals.series[(*ROUTE[:4], endpoint_of(3))][words.ENDED :]), 4)

    def test_the_number_of_open_connections_stays_right(self) -> None:
        """That of a listener is what it has accepted without what has ended, also in series that are gone."""
        self.workers.connection(0, 2, ends=False)
        for now in (0.0, FORGET_AFTER, FORGET_AFTER + 1):
            self.workers.review(table_of(2), now)
            self.assertEqual(self.workers.totals.totals().open[LISTENER], 1)
        self.workers.replace(0)
        self.assertEqual(self.workers.totals.totals().open[LISTENER], 0)

    def test_their_blocks_are_used_again(self) -> None:
        """However many come and go, a worker takes no more blocks than it has at once, and each begins at 0."""
        for generation in range(3):
            now = generation * (FORGET_AFTER + 3)
            first = 10 + generation * words.MOST_SERIES
            for port in range(first, first + words.MOST_SERIES - 10):
                self.workers.connection(0, port)
            self.workers.report(0)
            self.assertNotIn("other", self.shown())
            self.workers.review(table_of(1, 2, 3), now)
            for step in range(words.MOST_SERIES // FORGET_AT_ONCE + 2):
                self.workers.review(table_of(1, 2, 3), now + FORGET_AFTER + step / 10)
            self.assertEqual(self.shown(), {endpoint_of(1): 1, endpoint_of(2): 1, endpoint_of(3): 2})

    def test_patterns(self) -> None:
        """A name that no route has any more is left out; its word is used again."""
        for now in (0.0, FORGET_AFTER, FORGET_AFTER + 1):
            self.workers.review(table_of(1, 2, 3, pattern="*.example.org"), now)
        self.assertEqual(self.workers.totals.totals().patterns, {})
        self.workers.review(table_of(1, 2, 3), FORGET_AFTER + 2)
        for slot in (0, 1):
            self.assertEqual(self.workers.counts[slot].pattern(LISTENER, "*.example.net"), words.PATTERNS + 1)
            self.workers.counts[slot].matched(words.PATTERNS + 1)
            self.workers.report(slot)
        self.assertEqual(self.workers.totals.totals().patterns, {(LISTENER, "*.example.net"): 2})

    def test_addresses_of_names(self) -> None:
        """An address that its name does not have any more goes, one that it has stays."""
        names = {"db.example.com": NameFigures(("192.0.2.1",))}
        self.workers.connection(0)
        self.workers.report(0)
        for now in (0.0, FORGET_AFTER, FORGET_AFTER + 1):
            self.workers.review(table_of(dns="db.example.com"), now, names)
        self.assertEqual(self.shown(), {endpoint_of(5432): 1})
        names = {"db.example.com": NameFigures(("192.0.2.7",))}
        for now in (0.0, FORGET_AFTER, FORGET_AFTER + 1):
            self.workers.review(table_of(dns="db.example.com"), now, names)
        self.assertEqual(self.shown(), {})

    def test_a_worker_that_ends_meanwhile(self) -> None:
        """Its last values count until they are left out; its successor begins with all blocks."""
        for now in (0.0, FORGET_AFTER):
            self.workers.review(table_of(2), now)
        self.workers.connection(0, 9)  # in a block that nobody has told of
        self.workers.replace(0)
        self.assertEqual(self.shown()[endpoint_of(1)], 1)
        self.workers.review(table_of(2), FORGET_AFTER + 1)
        for port in (2, 21, 22, 23):
            self.workers.connection(0, port)
        self.workers.report(0)
        shown = {endpoint_of(2): 2, **{endpoint_of(port): 1 for port in (21, 22, 23)}}
        self.assertEqual(self.shown(), shown)
