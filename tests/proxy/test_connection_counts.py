"""Tests of :mod:`meshgate.proxy.connection_counts`: the words that connections leave in their worker's region."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.compiled import c_form
from meshgate.proxy import connection_counts as words
from meshgate.proxy.connection_counts import (
    BLOCK,
    BLOCKS,
    DURATIONS,
    ENDINGS,
    OTHER_LISTENERS,
    SECONDS,
    ConnectionCounts,
    PlainWords,
    SeriesLabels,
    region_bytes,
)
from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.proxy.record import ConnectionRecord
from meshgate.routing.connection_policy import Algorithm, Balancing, Outliers, UpstreamPolicy
from meshgate.routing.table import Destination
from tests.hello_builder import build_hello
from tests.peers import LOOPBACK, GatewayUnderTest, Origin, chain, on_every_transport, sni_listener, tcp_listener
from tests.support import free_port, wait_for

FORMS: list[Any] = [each for each in (PlainWords, c_form("meshgate.proxy._counts", "Words")) if each is not None]


class Counted:
    """The counts of a worker, and its region as a reader sees it."""

    def __init__(self) -> None:
        self.memory = bytearray(region_bytes())
        self.counts = ConnectionCounts(self.memory)
        self._blocks: dict[SeriesLabels, int] = {("other",) * 5: BLOCKS, ("other", "", "", "", ""): OTHER_LISTENERS}
        self._patterns: dict[tuple[str, str], int] = {("other", "other"): words.PATTERNS}

    def word(self, index: int) -> int:
        """A word of the region."""
        return memoryview(self.memory).cast("q")[index]

    def block(self, *labels: str) -> list[int]:
        """The words of a series; only the listener's name is given in full if the rest is left out."""
        self._read()
        block = self._blocks[(*labels, *("",) * (5 - len(labels)))]  # type: ignore[index]
        return memoryview(self.memory).cast("q")[block : block + BLOCK].tolist()

    def series(self) -> set[SeriesLabels]:
        """The labels of all series."""
        self._read()
        return set(self._blocks)

    def patterns(self) -> dict[str, int]:
        """The counts of patterns."""
        self._read()
        return {pattern: count for (_, pattern), word in self._patterns.items() if (count := self.word(word))}

    def _read(self) -> None:
        blocks, patterns = self.counts.news()
        self._blocks |= {labels: block for block, labels in blocks}
        self._patterns |= {labels: word for word, labels in patterns}


def endings(block: list[int]) -> dict[str, int]:
    """The endings of a block that have occurred."""
    counts = zip(ENDINGS, block[words.ENDED :], strict=True)
    return {ending.value: count for ending, count in counts if count}


def histogram(block: list[int], first: int, bounds: tuple[float, ...]) -> list[int]:
    """The buckets of a histogram, and that of the rest."""
    return block[first + 1 : first + 2 + len(bounds)]


def record(number: int = 1, **facts: Any) -> ConnectionRecord:
    """A record with these facts."""
    made = ConnectionRecord(number, 0.0, 0.0, facts.pop("listener", "127.0.0.1:443"), ("192.0.2.1", 5))
    for name, value in facts.items():
        setattr(made, name, value)
    return made


class WordsTests(SynchronousTestCase):
    """Both forms of the words."""

    def test_they_are_added_to(self) -> None:
        """Positive and negative numbers, several words at once, and one word twice."""
        for form in FORMS:
            memory = bytearray(64)
            add = form(memory).add
            add(0, 0, 1, 7, 5)
            add(3, 4, -2, 1, 1 << 40, 1, 1)
            self.assertEqual(memoryview(memory).cast("q").tolist(), [1, 0, 0, 0, 1 + (1 << 40), 0, 0, 3])

    def test_there_is_nothing_beyond_them(self) -> None:
        """An index beyond the region changes nothing in another worker's."""
        for form in FORMS:
            memory = bytearray(64)
            mine = form(memoryview(memory)[:32])
            for first, index in ((4, 0), (0, 4), (2, 2)):
                self.assertRaises(IndexError, mine.add, first, index, 1)
            self.assertEqual(memory, bytes(64))

    @given(st.floats(min_value=0, max_value=1e5, allow_nan=False) | st.sampled_from((*SECONDS, *DURATIONS)))
    def test_the_buckets_are_those_of_the_bounds(self, seconds: float) -> None:
        """A bound belongs to its own bucket, as in Prometheus."""
        self.assertEqual(words.seconds_bucket(seconds), bisect_left(SECONDS, seconds))
        self.assertEqual(words._duration_bucket(seconds), bisect_left(DURATIONS, seconds))


class BoundTests(SynchronousTestCase):
    """The number of series stays bounded, whatever comes."""

    def test_too_many_series_count_as_other(self) -> None:
        """Beyond the limit, connections count under ``other`` of their listener, and are counted as such."""
        counted = Counted()
        listener = counted.counts.listener_block("127.0.0.1:443")
        more = 10
        for number in range(words.MOST_SERIES + more):
            counted.counts.opened(listener)
            one = record(endpoint=f"192.0.2.1:{number}", gateway="a/b", ending=Ending.OK, bytes_in=3)
            counted.counts.joined(one)
            counted.counts.ended(one)
        other = counted.block("127.0.0.1:443", *("other",) * 4)
        self.assertEqual((other[words.OPENED], other[words.OPEN], other[words.BYTES_IN]), (more, 0, 3 * more))
        self.assertEqual(endings(other), {"ok": more})
        self.assertEqual(counted.word(words.OTHER), more)
        self.assertEqual(len(counted.series()), words.MOST_SERIES + 4)
        self.assertEqual(counted.block("127.0.0.1:443")[words.OPENED], words.MOST_SERIES + more)

    def test_too_many_listeners_and_patterns_count_as_other(self) -> None:
        """Beyond their limits, listeners share blocks, and patterns a word."""
        counted = Counted()
        blocks = {counted.counts.listener_block(f"127.0.0.1:{port}") for port in range(words.MOST_LISTENERS + 7)}
        self.assertEqual(len(blocks), words.MOST_LISTENERS + 1)
        self.assertIn(OTHER_LISTENERS, blocks)
        counted.counts.ended(record(listener=f"127.0.0.1:{words.MOST_LISTENERS}", ending=Ending.NO_ROUTE))
        self.assertEqual(endings(counted.block("other")), {"no_route": 1})
        for number in range(words.MOST_PATTERNS + 5):
            counted.counts.matched(counted.counts.pattern("127.0.0.1:443", f"{number}.example.com"))
        self.assertEqual(counted.patterns()["other"], 5)
        self.assertEqual((len(counted.patterns()), counted.word(words.OTHER_PATTERNS)), (words.MOST_PATTERNS + 1, 5))

    def test_a_million_names_of_strangers_leave_no_trace(self) -> None:
        """Names that no route has are counted by their ending alone."""
        counted = Counted()
        for number in range(20_000):
            counted.counts.ended(record(sni=f"{number}.example.org", hello=0.001, ending=Ending.NO_ROUTE))
        self.assertEqual(endings(counted.block("127.0.0.1:443")), {"no_route": 20_000})
        self.assertEqual((len(counted.series()), counted.patterns()), (3, {}))


@on_every_transport
class LiveTests(TestCase):
    """Real connections."""

    def setUp(self) -> None:
        """A gateway that counts."""
        self.counted = Counted()
        self.gateway = GatewayUnderTest(self, Limits(connect_timeout=2), self.counted.counts)

    async def test_a_connection_by_name(self) -> None:
        """While it lives, it is open, and its bytes are counted as they come; at its end, its ending and its times."""
        origin = Origin(self, b"welcome")
        self.gateway.serve(listener := sni_listener({"*.example.com": origin.endpoint, "b.org": origin.endpoint}))
        name = "{}:{}".format(*self.gateway.addresses[listener.key])
        hello = build_hello("a.example.com")
        client = await self.gateway.connect(listener)
        client.send(hello)
        await client.got(b"welcome")
        listener_name = self.gateway.live_records()[0].listener
        labels = (listener_name, "istio-system/gw", "default/vs", "origin:80", str(origin.endpoint))
        self.assertTrue(self.gateway.plane.count_progress(10))
        block = self.counted.block(*labels)
        self.assertEqual([block[word] for word in (words.OPENED, words.OPEN)], [1, 1], name)
        self.assertEqual((block[words.BYTES_IN], block[words.BYTES_OUT]), (len(hello), 7))
        self.assertEqual(sum(histogram(block, words.FIRST_BYTE, SECONDS)), 1)
        self.assertEqual(sum(histogram(block, words.DURATION, DURATIONS)), 0)
        client.send(b"more")
        client.finish()
        (await origin.peer()).finish()
        await self.gateway.record()
        block = self.counted.block(*labels)
        self.assertEqual([block[word] for word in (words.OPENED, words.OPEN)], [1, 0])
        self.assertEqual((block[words.BYTES_IN], block[words.BYTES_OUT]), (len(hello) + 4, 7))
        self.assertEqual(endings(block), {"ok": 1})
        for first, bounds in ((words.HELLO, SECONDS), (words.DIAL, SECONDS), (words.FIRST_BYTE, SECONDS)):
            self.assertEqual(sum(histogram(block, first, bounds)), 1)
        self.assertEqual(sum(histogram(block, words.DURATION, DURATIONS)), 1)
        self.assertEqual(self.counted.block(listener_name)[words.OPENED], 1)
        self.assertEqual(self.counted.patterns(), {"*.example.com": 1})

    async def test_connections_without_a_route(self) -> None:
        """Each ending counts for the listener; only complete hellos count as such, and no pattern of a stranger."""
        self.gateway.serve(listener := sni_listener({"a.example.com": chain(names=("a.example.com",))}))
        for content in (
            build_hello("b.example.org"),
            build_hello(None),
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\xff\xff",
        ):
            client = await self.gateway.connect(listener)
            client.send(content)
            await client.got_finish()
        await self.gateway.record(3)
        block = self.counted.block(self.gateway.records[0].listener)
        self.assertEqual(
            endings(block),
            {"no_route": 1, "no_sni": 1, "not_tls": 1, self.gateway.records[3].ending.value: 1},  # type: ignore[union-attr]
        )
        self.assertEqual(sum(histogram(block, words.HELLO, SECONDS)), 2)
        self.assertEqual((block[words.OPENED], self.counted.patterns()), (4, {}))

    async def test_dials_that_fail(self) -> None:
        """A dead endpoint counts its failed dials, although the client gets another one."""
        dead, origin = free_port(), Origin(self, b"welcome")
        endpoints = (type(origin.endpoint)(LOOPBACK, dead), origin.endpoint)
        destination = chain(origin.endpoint).destinations[0]
        both = type(destination)("origin", 80, endpoints=endpoints)
        self.gateway.serve(listener := tcp_listener(both))
        for _ in range(4):
            await (await self.gateway.connect(listener)).got(b"welcome")
        listener_name = self.gateway.live_records()[0].listener
        labels = (listener_name, "istio-system/gw", "default/vs", "origin:80")
        failed = self.counted.block(*labels, f"{LOOPBACK}:{dead}")
        self.assertGreaterEqual(failed[words.DIAL_FAILURES], 1)
        self.assertEqual((failed[words.OPENED], endings(failed)), (0, {}))
        self.assertEqual(self.counted.block(*labels, str(origin.endpoint))[words.OPENED], 4)

    async def test_ejections(self) -> None:
        """Each time that outlier detection leaves an endpoint out counts, for the connection that failed last."""
        dead, origin = free_port(), Origin(self, b"welcome")
        endpoints = (type(origin.endpoint)(LOOPBACK, dead), origin.endpoint)
        policy = UpstreamPolicy(balancing=Balancing(Algorithm.ROUND_ROBIN), outliers=Outliers(1, 10, 30, 100, 0))
        self.gateway.serve(listener := tcp_listener(Destination("origin", 80, endpoints=endpoints, policy=policy)))
        for _ in range(4):
            await (await self.gateway.connect(listener)).got(b"welcome")
        listener_name = self.gateway.live_records()[0].listener
        labels = (listener_name, "istio-system/gw", "default/vs", "origin:80")
        self.assertEqual(self.counted.block(*labels, f"{LOOPBACK}:{dead}")[words.EJECTIONS], 1)
        self.assertEqual(self.counted.block(*labels, str(origin.endpoint))[words.EJECTIONS], 0)

    async def test_connections_over_a_limit(self) -> None:
        """A connection that is turned away was accepted, and ends as over the limit."""
        gateway = GatewayUnderTest(self, Limits(connections=1), (counted := Counted()).counts)
        origin = Origin(self, b"welcome")
        gateway.serve(listener := tcp_listener(origin.endpoint))
        await (await gateway.connect(listener)).got(b"welcome")
        await (await gateway.connect(listener)).got_finish()
        await wait_for(lambda: gateway.records, "the end of the second")
        block = counted.block(gateway.records[0].listener)
        self.assertEqual((block[words.OPENED], endings(block)), (2, {"over_limit": 1}))
