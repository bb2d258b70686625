"""The lean transport: resets, ours and theirs, in every state."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionLost

from meshgate.transport.lean.transport import LeanTransport
from tests.lean_loop import MIB, SMALL, Counting, End, LeanCase


class ResetTests(LeanCase):
    """Resets, ours and theirs."""

    def reset_is_noticed(self, transport: LeanTransport, peer: Counting, end: End) -> None:
        """A reset by the other end loses the connection, once, whatever is going on."""
        end.reset()
        self.loop.until(lambda: peer.lost, "the loss")
        self.loop.settle()
        assert peer.lost is not None
        peer.lost.trap(ConnectionLost)
        self.assertEqual((peer.losses, transport.lost), (1, True))

    def test_it_is_noticed(self) -> None:
        """Silent, paused, writing in vain, half-closed either way, and about to close."""

        def write_in_vain(transport: LeanTransport, end: End) -> None:
            end.reads = False
            transport.write(bytes(MIB))

        def write_paused(transport: LeanTransport, end: End) -> None:
            write_in_vain(transport, end)
            transport.pauseProducing()

        def close_in_vain(transport: LeanTransport, end: End) -> None:
            write_in_vain(transport, end)
            transport.loseConnection()

        states: list[Any] = [
            lambda transport, end: None,
            lambda transport, end: transport.pauseProducing(),
            write_in_vain,
            write_paused,
            close_in_vain,
            lambda transport, end: transport.loseWriteConnection(),
            lambda transport, end: end.finish(),
        ]
        for state in states:
            transport, peer, end = self.connection(SMALL)
            state(transport, end)
            self.loop.settle()
            self.reset_is_noticed(transport, peer, end)
            self.loop.ends.clear()
        self.nothing_is_left()

    def test_what_came_before_is_read_first(self) -> None:
        """A transport that is paused, or whose write tells of the reset, reports the loss behind the last byte."""
        for write in (False, True):
            transport, peer, end = self.connection()
            transport.pauseProducing()
            end.send(b"last words" * 10000)
            end.reset()
            if write:
                transport.write(b"x")
            self.loop.settle()
            self.assertEqual((peer.losses, transport.lost, transport.unsent()), (0, False, 0))
            transport.write(b"y")
            transport.resumeProducing()
            self.loop.until(lambda peer=peer: peer.lost, "the loss")  # type: ignore[misc]
            self.assertEqual((len(peer.received), peer.losses, peer.finishes), (100000, 1, 0))
            assert peer.lost is not None
            peer.lost.trap(ConnectionLost)
        self.nothing_is_left()

    def test_writing_to_who_has_reset(self) -> None:
        """A write that meets a reset loses the connection after the call, never within it."""
        transport, peer, end = self.connection()
        end.reset()
        transport.write(b"x")
        transport.write(b"y")
        self.assertEqual((transport.lost, peer.lost), (True, None))
        self.loop.turn()
        self.assertEqual(peer.losses, 1)

    def test_our_reset(self) -> None:
        """AbortConnection resets, whatever waits; the loss is told after the call."""
        transport, peer, end = self.connection(SMALL)
        end.reads = False
        transport.write(bytes(MIB))
        transport.abortConnection()
        self.assertIsNone(peer.lost)
        end.reads = True
        self.loop.until(lambda: end.was_reset, "the reset")
        assert peer.lost is not None
        peer.lost.trap(ConnectionAborted)
        self.assertEqual(peer.losses, 1)
        self.nothing_is_left(end)

    def test_finishing_after_a_reset(self) -> None:
        """An end of stream for who has reset is no failure of ours."""
        transport, peer, end = self.connection()
        transport.pauseProducing()
        end.reset()
        transport.loseWriteConnection()
        self.loop.until(lambda: peer.lost, "the loss")
        assert peer.lost is not None
        peer.lost.trap(ConnectionLost)
        self.assertEqual(self.flushLoggedErrors(), [])
