"""The lean transport: what is written leaves whole, whoever writes it, and before any end."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from meshgate.transport.lean.connected_socket import HIGH_WATER
from meshgate.transport.lean.transport import LeanTransport
from tests.lean_loop import MIB, SMALL, Counting, End, LeanCase


class WritingTests(LeanCase):
    """Written bytes leave in order, all of them, before any end."""

    def full(self) -> tuple[LeanTransport, Counting, End, bytes]:
        """A transport with bytes that the kernel does not take, and all of those bytes."""
        transport, peer, end = self.connection(SMALL)
        end.reads = False
        data = b"".join(b"%8d" % number for number in range(MIB // 8))
        transport.write(data)
        self.assertTrue(transport.pending)
        return transport, peer, end, data

    def test_it_leaves_at_once(self) -> None:
        """Bytes that the kernel takes at once need no event."""
        transport, _, end = self.connection()
        transport.writeSequence([b"a", b"b"])
        end.act()
        self.assertEqual((end.received, transport.pending), (b"ab", None))

    def test_what_is_kept_leaves_in_order(self) -> None:
        """Writes behind bytes that wait come after them."""
        transport, _, end, data = self.full()
        transport.write(b"and")
        transport.write(b"more")
        end.reads = True
        self.loop.until(lambda: end.received.endswith(b"more"), "everything")
        self.assertEqual(end.received, data + b"andmore")
        self.assertIsNone(transport.pending)

    def test_reading_goes_on_while_writing_waits(self) -> None:
        """One direction does not hold up the other."""
        _, peer, end, _ = self.full()
        end.send(b"x")
        self.loop.until(lambda: peer.received, "the byte")

    def test_closing_waits_for_what_is_kept(self) -> None:
        """LoseConnection with bytes pending: they arrive, then the end, and nothing more is read."""
        transport, peer, end, data = self.full()
        transport.loseConnection()
        self.loop.settle()
        self.assertIsNone(peer.lost)
        end.reads = True
        self.loop.until(lambda: end.finished, "the end")
        self.assertEqual((end.received, peer.losses), (data, 1))
        assert peer.lost is not None
        peer.lost.trap(ConnectionDone)
        self.nothing_is_left(end)

    def test_a_closing_one_hears_nothing_more(self) -> None:
        """Bytes and ends of stream that come after loseConnection reach no protocol."""
        transport, peer, end, _ = self.full()
        transport.loseConnection()
        transport.resumeProducing()
        end.finish(b"too late")
        self.loop.settle()
        self.assertEqual((peer.received, peer.finishes), (b"", 0))

    def test_finishing_waits_for_what_is_kept(self) -> None:
        """LoseWriteConnection with bytes pending: they arrive, then the end, and reading goes on."""
        transport, peer, end, data = self.full()
        transport.loseWriteConnection()
        transport.loseWriteConnection()
        self.loop.settle()
        self.assertEqual(peer.served, 0)
        end.reads = True
        self.loop.until(lambda: end.finished, "the end")
        end.finish(b"answer")
        self.loop.until(lambda: peer.finishes, "the other end")
        self.assertEqual((end.received, peer.served, peer.received, peer.lost), (data, 1, b"answer", None))
        transport.loseConnection()
        self.loop.settle()
        self.assertEqual((peer.losses, peer.finishes), (1, 1))
        self.nothing_is_left(end)

    def test_nothing_is_written_behind_the_end(self) -> None:
        """A write after our end of stream, or to a closed connection, is dropped without a word."""
        transport, peer, end = self.connection()
        transport.loseWriteConnection()
        transport.write(b"too late")
        self.loop.until(lambda: end.finished, "the end")
        self.assertEqual((end.received, peer.served), (b"", 1))
        transport.loseConnection()
        self.loop.turn()
        transport.write(b"far too late")
        transport.loseWriteConnection()
        transport.loseConnection()
        transport.abortConnection()
        self.assertEqual((peer.losses, peer.served), (1, 1))

    def test_half_close_each_way(self) -> None:
        """Either side may finish first; the connection lives until it is closed."""
        for we_are_first in (True, False):
            transport, peer, end = self.connection()
            for ours in (we_are_first, not we_are_first):
                if ours:
                    transport.write(b"ours")
                    transport.loseWriteConnection()
                    self.loop.until(lambda end=end: end.finished, "our end")  # type: ignore[misc]
                else:
                    end.finish(b"theirs")
                    self.loop.until(lambda peer=peer: peer.finishes, "their end")  # type: ignore[misc]
            self.loop.settle()
            self.assertEqual((end.received, peer.received), (b"ours", b"theirs"))
            self.assertEqual((peer.finishes, peer.served, peer.losses), (1, 1, 0))
            transport.loseConnection()
            self.loop.turn()
            self.assertEqual(peer.losses, 1)


class Push:
    """A push producer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        """As IPushProducer."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """As IPushProducer."""
        self.told.append("resume")

    def stopProducing(self) -> None:
        """As IPushProducer."""
        self.told.append("stop")


class Pull(Push):
    """A pull producer of so many pieces."""

    def __init__(self, transport: LeanTransport, pieces: int, size: int) -> None:
        super().__init__()
        self._transport, self._left, self._size = transport, pieces, size

    def resumeProducing(self) -> None:
        """As IPullProducer."""
        if self._left:
            self._left -= 1
            self._transport.write(b"%d" % (self._left % 10) * self._size)
        if not self._left:
            self._transport.unregisterProducer()


class ProducerTests(LeanCase):
    """Producers."""

    def setUp(self) -> None:
        """A connection whose other end does not read."""
        super().setUp()
        self.transport, self.peer, self.end = self.connection(SMALL)
        self.end.reads = False
        self.producer = Push()

    def test_a_push_producer_is_paused_and_resumed(self) -> None:
        """Above the mark it is paused once, and resumed when everything has left."""
        self.transport.registerProducer(self.producer, True)
        self.transport.write(b"x")
        self.assertEqual(self.producer.told, [])
        for _ in range(3):
            self.transport.write(bytes(2 * HIGH_WATER + 8 * SMALL))
        self.assertEqual(self.producer.told, ["pause"])
        self.end.reads = True
        self.loop.until(lambda: len(self.producer.told) > 1, "to go on")
        self.assertEqual((self.producer.told, self.transport.pending), (["pause", "resume"], None))

    def test_no_end_while_a_producer_stays(self) -> None:
        """Neither an end of stream nor a close comes before the producer has left; what it writes till then arrives."""
        for end_it in (LeanTransport.loseWriteConnection, LeanTransport.loseConnection):
            transport, peer, end = self.connection(SMALL)
            transport.registerProducer(Push(), True)
            transport.write(bytes(MIB))
            end_it(transport)
            transport.write(b"the rest")
            self.loop.until(lambda end=end: len(end.received) == MIB + 8, "all of it")  # type: ignore[misc]
            self.loop.settle()
            transport.write(b"and more")
            self.assertEqual((end.finished, peer.served, peer.lost), (False, 0, None))
            transport.unregisterProducer()
            self.loop.until(lambda end=end: end.finished, "the end")  # type: ignore[misc]
            self.assertEqual(end.received, bytes(MIB) + b"the rest" + b"and more")

    def test_a_producer_that_leaves_early(self) -> None:
        """Unregistered while bytes wait: the end still comes after them."""
        for end_it in (LeanTransport.loseWriteConnection, LeanTransport.loseConnection):
            transport, _, end = self.connection(SMALL)
            end.reads = False
            transport.registerProducer(Push(), True)
            transport.write(bytes(MIB))
            transport.unregisterProducer()
            end_it(transport)
            end.reads = True
            self.loop.until(lambda end=end: end.finished, "the end")  # type: ignore[misc]
            self.assertEqual(len(end.received), MIB)

    def test_a_pull_producer_is_asked_until_it_has_no_more(self) -> None:
        """The next chunk is asked for when the last one has left, at once or later."""
        for size in (10, MIB):
            transport, peer, end = self.connection(SMALL)
            transport.registerProducer(Pull(transport, 5, size), False)
            transport.loseConnection()
            self.loop.until(lambda end=end: end.finished, "the end")  # type: ignore[misc]
            self.assertEqual(end.received, b"".join(b"%d" % number * size for number in (4, 3, 2, 1, 0)))
            self.assertEqual(peer.losses, 1)

    def test_a_pull_producer_before_anything_is_watched(self) -> None:
        """A protocol may register it as soon as it is connected."""

        class Greeting(Counting):
            def connectionMade(self) -> None:
                self.transport.registerProducer(Pull(self.transport, 5, 10), False)

        _, end = self.loop.connection(Greeting())
        self.loop.until(lambda: len(end.received) == 50, "all of it")

    def test_a_lost_connection_stops_its_producer(self) -> None:
        """Once, and before the protocol hears of it; one that comes later is stopped at once."""
        self.transport.registerProducer(self.producer, True)
        self.end.reset()
        self.loop.until(lambda: self.peer.lost, "the loss")
        self.assertEqual(self.producer.told, ["stop"])
        late = Push()
        self.transport.registerProducer(late, True)
        self.assertEqual(late.told, ["stop"])

    def test_one_at_a_time(self) -> None:
        """A second producer is a mistake."""
        self.transport.registerProducer(self.producer, True)
        self.assertRaises(RuntimeError, self.transport.registerProducer, Push(), True)

    def test_a_producer_that_raises(self) -> None:
        """It is logged, and only its own connection is reset."""
        transport, peer, end = self.connection(SMALL)
        producer = Push()
        producer.resumeProducing = lambda: 1 // 0  # type: ignore[method-assign,assignment]
        transport.registerProducer(producer, True)
        transport.write(bytes(MIB))
        self.loop.until(lambda: end.was_reset, "the reset")
        self.assertEqual((len(self.flushLoggedErrors(ZeroDivisionError)), peer.losses), (1, 1))
