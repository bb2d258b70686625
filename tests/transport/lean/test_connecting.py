"""Dialing on the poller: one outcome, told once, and nothing written twice."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import error as twisted_errors

from meshgate.transport.dialing import Attempt, DialError, DialRefused, DialTimeout, LocalShortage
from meshgate.transport.lean import connecting as lean_dialing
from tests.lean_loop import MIB, Counting, End, LeanCase
from tests.peers import LOOPBACK
from tests.support import free_port


class Outcome:
    """
    Who dials.

    :ivar told: what it was told: protocols and errors.
    """

    def __init__(self) -> None:
        self.told: list[Any] = []

    def dialed(self, protocol: Any) -> None:
        """As Dialer."""
        if protocol.transport is None:
            raise AssertionError("told before the protocol was connected")
        self.told.append(protocol)

    def dial_failed(self, error: DialError) -> None:
        """As Dialer."""
        self.told.append(error)


class DialCase(LeanCase):
    """Endpoints on loopback."""

    def setUp(self) -> None:
        """Nobody has been told anything."""
        super().setUp()
        self.outcome = Outcome()
        self.peer = Counting()

    def endpoint(self, host: str = LOOPBACK) -> socket.socket:
        """A socket that listens."""
        endpoint = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.addCleanup(endpoint.close)
        return endpoint

    def dial(self, port: int, first: bytes = b"", address: str = LOOPBACK, timeout: float = 5.0) -> Attempt | None:
        """Dial with the peer."""
        return self.loop.network.dial(address, port, self.peer, timeout, first, self.outcome)

    def told(self) -> Any:
        """The one thing that was told."""
        self.loop.until(lambda: self.outcome.told, "the outcome")
        self.loop.settle()
        self.loop.advance(60)
        self.assertEqual(len(self.outcome.told), 1)
        return self.outcome.told[0]

    def accepted(self, endpoint: socket.socket) -> End:
        """The endpoint's side of the connection."""
        sock, _ = endpoint.accept()
        return self.loop.end(sock)


class SuccessTests(DialCase):
    """Endpoints that answer."""

    def test_last_words(self) -> None:
        """An endpoint that says something and resets before anybody looks has answered, and what it said is read."""
        endpoint = self.endpoint()
        self.dial(endpoint.getsockname()[1])
        sock, _ = endpoint.accept()
        sock.send(b"too many connections")
        End(sock).reset()
        self.assertIs(self.told(), self.peer)
        self.loop.until(lambda: self.peer.lost, "the loss")
        self.assertEqual((self.peer.received, self.peer.finishes), (b"too many connections", 0))

    def test_with_first_bytes(self) -> None:
        """They are sent once, and the connection carries bytes and ends both ways."""
        for host in (LOOPBACK, "::1"):
            self.outcome, self.peer = Outcome(), Counting()
            endpoint = self.endpoint(host)
            self.dial(endpoint.getsockname()[1], b"first", host)
            self.assertIs(self.told(), self.peer)
            end = self.accepted(endpoint)
            self.peer.send(b" second")
            self.peer.finish()
            self.loop.until(lambda end=end: end.finished, "the end")  # type: ignore[misc]
            end.finish(b"answer")
            self.loop.until(lambda: self.peer.finishes, "the answer")
            self.assertEqual((end.received, self.peer.received), (b"first second", b"answer"))
            self.assertEqual(self.peer.transport.getPeer().host, host)
            self.peer.transport.loseConnection()

    def test_without_first_bytes(self) -> None:
        """A server may speak first."""
        endpoint = self.endpoint()
        attempt = self.dial(endpoint.getsockname()[1])
        self.assertIsNotNone(attempt)
        self.assertIs(self.told(), self.peer)
        self.accepted(endpoint).finish(b"welcome")
        self.loop.until(lambda: self.peer.finishes, "the greeting")
        self.assertEqual(self.peer.received, b"welcome")

    def test_more_than_the_kernel_takes_at_once(self) -> None:
        """The rest of the first bytes follows in order, before bytes that are written later."""
        endpoint = self.endpoint()
        data = bytes(range(256)) * (MIB // 32)
        self.dial(endpoint.getsockname()[1], data)
        self.told()
        self.assertTrue(self.peer.transport.pending)
        self.peer.send(b"later")
        self.peer.finish()
        end = self.accepted(endpoint)
        self.loop.until(lambda: end.finished, "all of it")
        self.assertTrue(end.received == data + b"later")

    def test_an_answer_that_is_there_already(self) -> None:
        """Five hundred times an endpoint that answers and finishes at once: neither is lost."""
        endpoint = self.endpoint()
        for number in range(500):
            self.outcome, self.peer = Outcome(), Counting()
            self.dial(endpoint.getsockname()[1], b"x" * (number % 2))
            end = self.accepted(endpoint)
            end.finish(b"answer")
            self.loop.until(lambda: self.peer.finishes, "the end of stream")
            self.assertEqual((self.outcome.told, self.peer.received), ([self.peer], b"answer"))
            self.peer.transport.abortConnection()
            end.close()
            self.loop.turn()
            self.loop.ends.clear()

    def test_a_reset_that_is_there_already(self) -> None:
        """An endpoint that resets at once has answered, or refused; a connected protocol hears of the loss."""
        endpoint = self.endpoint()
        self.dial(endpoint.getsockname()[1], b"x")
        self.accepted(endpoint).reset()
        self.assertIs(self.told(), self.peer)
        self.assertEqual(self.peer.losses, 1)

    def test_a_protocol_that_fails(self) -> None:
        """A failure as soon as it is connected is logged, and its connection closed."""
        endpoint = self.endpoint()
        self.peer.connectionMade = lambda: 1 // 0  # type: ignore[method-assign,assignment]
        self.dial(endpoint.getsockname()[1])
        end = self.accepted(endpoint)
        self.loop.until(lambda: end.over, "the end")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_dialer_that_fails(self) -> None:
        """Told within the call, it has its own failure back; the connection is reset, whoever keeps that failure."""

        def fail(protocol: Any) -> None:
            raise ZeroDivisionError

        self.outcome.dialed = fail  # type: ignore[method-assign]
        endpoint = self.endpoint()
        with self.assertRaises(ZeroDivisionError) as kept:
            self.dial(endpoint.getsockname()[1], b"x")
        end = self.accepted(endpoint)
        self.loop.until(lambda: end.was_reset, "the reset")
        self.assertEqual((self.peer.losses, type(kept.exception)), (1, ZeroDivisionError))


class FailureTests(DialCase):
    """Endpoints that do not."""

    def test_a_refusal(self) -> None:
        """It is told with its cause, whether bytes were to be sent or not; nothing is left open."""
        for first in (b"", b"first"):
            self.outcome = Outcome()
            self.dial(port := free_port(), first)
            error = self.told()
            self.assertIsInstance(error, DialRefused)
            self.assertIsInstance(error.__cause__, twisted_errors.ConnectionRefusedError)
            self.assertIn(f"{LOOPBACK}:{port}: ", str(error))
        self.assertIsNone(self.peer.transport)
        self.nothing_is_left()

    def test_what_is_no_address(self) -> None:
        """Names are never resolved, and a zone that does not exist is no failure of ours."""
        for address in ("localhost", "", "fe80::1%nowhere"):
            self.outcome = Outcome()
            self.assertIsNone(self.dial(1, address=address))
            self.assertIsInstance(self.told(), DialRefused)

    def test_an_unreachable_address(self) -> None:
        """A refusal by the kernel is reported at once."""
        self.assertIsNone(self.dial(80, address="255.255.255.255"))
        error = self.told()
        self.assertIsInstance(error, DialRefused)
        self.assertIsInstance(error.__cause__, twisted_errors.ConnectError)

    def deaf(self) -> int:
        """The port of an endpoint whose queue is full, so that it does not answer."""
        endpoint = self.endpoint()
        endpoint.listen(0)
        client = socket.create_connection(endpoint.getsockname())
        self.addCleanup(client.close)
        self.before += 2
        return int(endpoint.getsockname()[1])

    def test_silence(self) -> None:
        """No answer is a timeout, not before its time; nothing is left open."""
        port = self.deaf()
        self.dial(port, b"first", timeout=3)
        for _ in range(2):
            self.loop.advance(1)
            self.loop.settle()
        self.assertEqual(self.outcome.told, [])
        self.loop.advance(2)
        self.assertIsInstance(self.told(), DialTimeout)
        self.nothing_is_left()

    def test_giving_up(self) -> None:
        """A cancelled attempt tells nothing, even if it is cancelled twice, and leaves nothing."""
        attempt = self.dial(self.deaf())
        assert attempt is not None
        attempt.cancel()
        attempt.cancel()
        self.loop.settle()
        self.loop.advance(60)
        self.assertEqual((self.outcome.told, len(self.loop.network.wheel)), ([], 0))
        self.nothing_is_left()

    def test_giving_up_when_the_answer_is_there(self) -> None:
        """A connection that came about just before it was cancelled is closed, and nobody hears of it."""
        endpoint = self.endpoint()
        attempt = self.dial(endpoint.getsockname()[1])
        assert attempt is not None
        attempt.cancel()
        end = self.accepted(endpoint)
        self.loop.until(lambda: end.over, "the end")
        self.loop.advance(60)
        self.assertEqual((self.outcome.told, self.peer.transport, self.peer.losses), ([], None, 0))

    def test_descriptors_run_out(self) -> None:
        """Without a descriptor there is no connection, and the dialer is told why."""

        def refuse(*_: object) -> socket.SocketType:
            raise OSError(24, "Too many open files")

        self.patch(lean_dialing, "connect", refuse)
        self.assertIsNone(self.dial(1))
        self.assertIn("Too many open files", str(self.told()))
        self.assertIsInstance(self.told(), LocalShortage)
