"""The lean transport: what it reads, who fails on it, and what a protocol can ask it."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface.verify import verifyClass

from meshgate.transport.lean import transport as lean
from meshgate.transport.lean.sockets import READ_SIZE
from meshgate.transport.lean.transport import LeanTransport
from tests.lean_loop import COMPILED_IN, MIB, SMALL, Counting, LeanCase
from tests.peers import LOOPBACK


class ReadingTests(LeanCase):
    """All bytes arrive, and so does the end of the stream."""

    def test_bytes_and_end_in_one_segment(self) -> None:
        """Two thousand times an answer with the end of stream in the same segment: neither is lost."""
        for size in (1, 700):
            for _ in range(1000):
                transport, peer, end = self.connection()
                end.finish(b"x" * size)
                self.loop.until(lambda peer=peer: peer.finishes, "the end of stream")  # type: ignore[misc]
                self.assertEqual(peer.finished, size)
                transport.abortConnection()
                end.close()
                self.loop.turn()
                self.loop.ends.clear()
        self.nothing_is_left()

    def test_an_end_behind_a_full_read(self) -> None:
        """Three hundred times an end of stream right behind bytes that just fill the buffer."""
        self.patch(lean, "READ_SIZE", 1000)
        for size in (1000, 2000, 3000):
            for _ in range(100):
                transport, peer, end = self.connection()
                end.finish(b"x" * size)
                self.loop.until(lambda peer=peer: peer.finishes, "the end of stream")  # type: ignore[misc]
                self.assertEqual((peer.finished, peer.reads), (size, [1000] * (size // 1000)))
                transport.abortConnection()
                end.close()
                self.loop.turn()
                self.loop.ends.clear()

    test_an_end_behind_a_full_read.skip = COMPILED_IN  # type: ignore[attr-defined]

    def test_an_end_that_comes_after_the_bytes(self) -> None:
        """A short read ends reading; the end of stream is an event of its own."""
        for _ in range(500):
            transport, peer, end = self.connection()
            end.send(b"x")
            self.loop.until(lambda peer=peer: peer.received, "the byte")  # type: ignore[misc]
            self.assertEqual(peer.finishes, 0)
            end.finish()
            self.loop.until(lambda peer=peer: peer.finishes, "the end of stream")  # type: ignore[misc]
            transport.abortConnection()
            end.close()
            self.loop.turn()
            self.loop.ends.clear()

    def test_more_than_the_budget_comes_without_more_events(self) -> None:
        """Bytes left in the kernel after a turn are read although no more come; others are served between."""
        self.patch(lean, "READ_SIZE", 1000)
        self.patch(lean, "BUDGET", 3000)
        order: list[str] = []
        _, greedy, end = self.connection()
        _, other, other_end = self.connection()
        greedy.dataReceived = lambda data: order.append("greedy")  # type: ignore[method-assign]
        other.dataReceived = lambda data: order.append("other")  # type: ignore[method-assign]
        end.send(b"x" * 10_000)
        other_end.send(b"y")
        self.loop.turn()
        self.assertEqual(order, ["greedy"] * 3 + ["other"] + ["greedy"] * 7)

    test_more_than_the_budget_comes_without_more_events.skip = COMPILED_IN  # type: ignore[attr-defined]

    def test_a_pause_leaves_bytes_and_end_where_they_are(self) -> None:
        """Nothing is reported while reading is paused, everything when it goes on, the end once."""
        transport, peer, end = self.connection()
        transport.pauseProducing()
        end.finish(b"later")
        self.loop.settle()
        self.assertEqual((peer.received, peer.finishes), (b"", 0))
        transport.resumeProducing()
        self.loop.until(lambda: peer.finishes, "the end of stream")
        for _ in range(3):
            transport.pauseProducing()
            transport.resumeProducing()
            self.loop.settle()
        self.assertEqual((peer.received, peer.finishes, peer.lost), (b"later", 1, None))

    def test_a_pause_within_a_read(self) -> None:
        """A protocol that pauses gets nothing more, and the rest when it resumes."""
        self.patch(lean, "READ_SIZE", 1000)
        transport, peer, end = self.connection()
        note = peer.dataReceived

        def pause(data: bytes) -> None:
            note(data)
            transport.pauseProducing()

        peer.dataReceived = pause  # type: ignore[method-assign]
        end.finish(b"x" * 2500)
        self.loop.settle()
        self.assertEqual(peer.reads, [1000])
        for _ in range(2):
            transport.resumeProducing()
            self.loop.settle()
        self.assertEqual((peer.reads, peer.finishes), ([1000, 1000, 500], 0))
        transport.resumeProducing()
        self.loop.until(lambda: peer.finishes, "the end of stream")

    test_a_pause_within_a_read.skip = COMPILED_IN  # type: ignore[attr-defined]

    def test_without_half_close_an_end_is_the_end(self) -> None:
        """A protocol that does not know half-close is told that the connection is done."""

        class Plain(Protocol):
            reason: Any = None

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                self.reason = reason

        plain = Plain()
        _, end = self.loop.connection(plain)
        end.finish(b"x")
        self.loop.until(lambda: plain.reason, "the end")
        plain.reason.trap(ConnectionDone)
        self.nothing_is_left(end)

    def test_another_protocol_takes_over(self) -> None:
        """The protocol assigned last gets the bytes."""
        transport, first, end = self.connection()
        end.send(b"a")
        self.loop.until(lambda: first.received, "the byte")
        second = transport.protocol = Counting()
        end.finish(b"b")
        self.loop.until(lambda: second.finishes, "the end")
        self.assertEqual((first.received, first.finishes, second.received), (b"a", 0, b"b"))


class FailureTests(LeanCase):
    """Protocols that raise."""

    def test_only_its_own_connection_ends(self) -> None:
        """Whatever method raises: it is logged, that connection is reset, and the others go on."""
        _, bystander, other_end = self.connection()
        for method in ("dataReceived", "readConnectionLost"):
            _, peer, end = self.connection()

            def fail(*_: object) -> None:
                raise ZeroDivisionError

            setattr(peer, method, fail)
            end.finish(b"x")
            other_end.send(b"x")
            self.loop.until(lambda end=end: end.was_reset, "the reset")  # type: ignore[misc]
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertEqual(peer.losses, 1)
        self.assertEqual((bystander.received, bystander.lost), (b"xx", None))

    def test_a_loss_that_raises(self) -> None:
        """It is logged, and nothing stays open."""
        _, peer, end = self.connection()
        peer.connectionLost = lambda *_: 1 // 0  # type: ignore[method-assign,assignment]
        end.reset()
        self.loop.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.nothing_is_left()


class PropertyTests(LeanCase):
    """Addresses and options of a transport."""

    def test_it_is_a_tcp_transport(self) -> None:
        """The transport provides all of Twisted's interface."""
        self.assertTrue(verifyClass(ITCPTransport, LeanTransport))

    def test_addresses(self) -> None:
        """Both ends by their addresses, of either family."""
        for family, host in ((socket.AF_INET, LOOPBACK), (socket.AF_INET6, "::1")):
            transport, _, end = self.connection(family=family)
            mine, theirs = transport.getHost(), transport.getPeer()
            self.assertEqual((mine.host, theirs.host), (host, host))
            self.assertEqual(theirs.port, end.socket.getsockname()[1])
            self.assertEqual(mine.port, end.socket.getpeername()[1])

    def test_options(self) -> None:
        """They are the socket's own."""
        transport, _, _ = self.connection()
        for enabled in (True, False):
            transport.setTcpNoDelay(enabled)
            transport.setTcpKeepAlive(enabled)
            self.assertEqual((transport.getTcpNoDelay(), transport.getTcpKeepAlive()), (enabled, enabled))
        self.assertEqual(transport.getHandle().fileno(), transport.descriptor)

    def test_it_says_that_it_is_closing(self) -> None:
        """Protocols of Twisted's look at it before they go on with what they hold."""
        transport, _, end = self.connection(SMALL)
        end.reads = False
        transport.write(bytes(MIB))
        self.assertFalse(transport.disconnecting)
        transport.loseConnection()
        self.assertTrue(transport.disconnecting)

    def test_a_full_read_is_the_largest(self) -> None:
        """No piece is larger than what is said to be read at once."""
        _, peer, end = self.connection()
        end.send(bytes(MIB))
        self.loop.until(lambda: len(peer.received) == MIB, "all of it")
        self.assertLessEqual(max(peer.reads), READ_SIZE)
