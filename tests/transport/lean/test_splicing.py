"""Splicing: when it begins and ends, what waits in a pipe, and whose bytes a pipe carries."""

from __future__ import annotations

import fcntl
import random
import struct
import termios
import time

from meshgate.transport.lean.joining import STREAK
from meshgate.transport.lean.pipes import Pipe, Pipes
from meshgate.transport.lean.sockets import READ_SIZE
from tests.lean_loop import DEADLINE, MIB, SMALL
from tests.transport.lean.test_joining import DATA, JoinCase, Joined

BEGIN = (1,) * (STREAK - 1) + (2,)
"""Full reads that begin it: behind the last one there is as much again."""

MEDIUM = 4 * READ_SIZE
"""A socket's buffer that takes a full read or two, and much less than a pipe."""


class Inspected(Pipes):
    """
    Pipes that are looked into.

    :ivar unclean: how many bytes were in pipes that were lent.
    """

    unclean = 0

    def borrow(self) -> Pipe | None:
        """Look at what is lent."""
        pipe = super().borrow()
        if pipe is not None:
            self.unclean += readable(pipe.source)
        return pipe


class SplicingCase(JoinCase):
    """Joins with room for full reads."""

    def setUp(self) -> None:
        """Look into the pipes."""
        super().setUp()
        self.lend(64)

    def lend(self, most: int) -> None:
        """Have so many pipes and no more."""
        self.pipes = self.loop.poller.pipes = Inspected(most)

    def full_reads(self, joined: Joined, *sizes: int) -> None:
        """Have so many come at once, each time; all have arrived before anything is read of them."""
        for size in sizes:
            expected = joined.out.count + size * READ_SIZE
            joined.here.send(bytes(size * READ_SIZE))
            self.wait_for_bytes(joined, size * READ_SIZE)
            self.loop.until(lambda expected=expected: joined.out.count == expected, "full reads")  # type: ignore[misc]

    def wait_for_bytes(self, joined: Joined, count: int) -> None:
        """Wait until so many bytes have come, without reading any."""
        deadline = time.monotonic() + DEADLINE
        while readable(joined.near.descriptor) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for {count} bytes to be there")

    def splices(self, joined: Joined) -> bool:
        """Return True if the next event will be spliced."""
        return joined.out._streak >= STREAK

    def splicing(self) -> Joined:
        """A join that splices from here to there."""
        joined = Joined(self, MEDIUM)
        self.full_reads(joined, *BEGIN)
        self.assertTrue(self.splices(joined))
        self.loop.until(lambda: len(joined.there.received) == joined.out.count, "all of it")
        return joined

    def stuck(self) -> tuple[Joined, bytes]:
        """A join with bytes in its pipe that nobody takes, and all that was sent into it."""
        joined = self.splicing()
        sent = bytes(joined.there.received) + DATA
        joined.there.reads = False
        joined.here.send(DATA)
        # Where other processes keep the processors busy, the kernel goes on moving bytes for a while.
        self.loop.settle(25)
        self.assertTrue(joined.out.blocked and joined.out._in_pipe)
        return joined, sent


class ModeTests(SplicingCase):
    """The choice between splicing and copying."""

    def test_full_reads_in_a_row_begin_it(self) -> None:
        """So many full reads, and what comes next is spliced; a short one before that starts the count anew."""
        joined = Joined(self, MEDIUM)
        self.full_reads(joined, *BEGIN[:-1])
        joined.here.send(b"short")
        self.loop.until(lambda: joined.there.received.endswith(b"short"), "it")
        self.full_reads(joined, *BEGIN[:-1])
        self.assertEqual((self.splices(joined), self.borrowed), (False, {}))
        self.full_reads(joined, BEGIN[-1])
        self.assertEqual((self.splices(joined), self.borrowed), (True, {True: 1}))
        self.full_reads(joined, 1)
        self.assertEqual((self.splices(joined), self.borrowed), (True, {True: 2}))

    def test_little_ends_it(self) -> None:
        """After less than a full read the flow copies; full reads begin splicing anew; every byte is counted."""
        joined = self.splicing()
        for word, borrowed in ((b"little", 2), (b"less", 2)):
            joined.here.send(word)
            self.loop.until(lambda word=word: joined.there.received.endswith(word), "it")  # type: ignore[misc]
            self.assertEqual((self.splices(joined), self.borrowed), (False, {True: borrowed}))
        self.full_reads(joined, *BEGIN)
        self.assertEqual((self.splices(joined), self.borrowed), (True, {True: 3}))
        self.assertEqual(joined.out.count, 2 * sum(BEGIN) * READ_SIZE + len(b"littleless"))

    def test_nothing_more_ends_it(self) -> None:
        """Full reads with nothing behind the last one are not spliced."""
        joined = Joined(self, MEDIUM)
        self.full_reads(joined, *(1,) * STREAK)
        self.assertFalse(self.splices(joined))

    def test_each_direction_by_itself(self) -> None:
        """A big answer is spliced, its small question copied."""
        joined = self.splicing()
        joined.there.send(b"x")
        self.loop.until(lambda: joined.here.received, "the byte")
        self.assertEqual((self.splices(joined), joined.back._streak, self.borrowed), (True, 0, {True: 1}))

    def test_no_pipe_for_the_next_one(self) -> None:
        """One that waits keeps its pipe; with no other left, the next flow copies, and splices when it is back."""
        self.lend(1)
        waiting, _ = self.stuck()
        borrowed = self.borrowed[True]
        other = Joined(self, MEDIUM)
        self.full_reads(other, *BEGIN)
        self.assertEqual((self.lent, self.borrowed[True], other.out.count), (1, borrowed, sum(BEGIN) * READ_SIZE))
        waiting.there.reset()
        self.loop.until(lambda: waiting.far_peer.lost, "the loss")
        self.assertEqual(self.lent, 0)
        self.full_reads(other, *BEGIN)
        self.assertGreater(self.borrowed[True], borrowed)
        self.assertEqual(self.pipes.unclean, 0)


class WaitingTests(SplicingCase):
    """Bytes that wait in a pipe."""

    def test_room_that_comes_in_crumbs(self) -> None:
        """A pipe may be emptied bit by bit; an end of stream behind it comes last, and once."""
        joined, sent = self.stuck()
        joined.here.finish()

        def finished() -> bool:
            joined.there.reads = not joined.there.reads
            return joined.there.finished

        self.loop.until(finished, "the end")
        self.assertTrue(joined.there.received == sent)
        self.assertEqual((joined.out.count, joined.far_peer.served), (len(sent), 1))
        self.cleans_up(joined)

    def test_our_end_comes_after_it(self) -> None:
        """An end of stream asked for while bytes are in the pipe comes after them."""
        joined, sent = self.stuck()
        in_pipe, taken = joined.out._in_pipe, joined.out.count
        joined.far.loseWriteConnection()
        self.loop.settle()
        self.assertEqual(joined.far_peer.served, 0)
        joined.there.reads = True
        self.loop.until(lambda: joined.there.finished, "the end")
        self.assertEqual(joined.far_peer.served, 1)
        self.assertGreater(in_pipe, 0)
        self.assertGreaterEqual(len(joined.there.received), taken)
        self.assertTrue(sent.startswith(joined.there.received))

    def test_a_close_waits_for_it(self) -> None:
        """Bytes that were read before both were closed are sent before the end, to the last one counted."""
        joined, sent = self.stuck()
        joined.near.abortConnection()
        joined.far.loseConnection()
        self.loop.settle()
        self.assertEqual((joined.near_peer.losses, joined.far_peer.losses), (1, 0))
        joined.there.reads = True
        self.loop.until(lambda: joined.there.finished, "the end")
        self.assertTrue(joined.there.received == sent[: joined.out.count])
        self.cleans_up(joined)

    def test_an_end_behind_any_number_of_bytes(self) -> None:
        """In the midst of splicing, whatever the last bytes are, the end comes after them, once."""
        for size in (1, 100, READ_SIZE - 1, READ_SIZE, READ_SIZE + 1, MIB, 3 * MIB):
            for _ in range(10):
                joined = self.splicing()
                before = len(joined.there.received)
                joined.here.finish(DATA[:size])
                self.loop.until(lambda joined=joined: joined.there.finished, "the end")  # type: ignore[misc]
                self.assertTrue(joined.there.received[before:] == DATA[:size])
                self.assertEqual((joined.out.count, joined.far_peer.served), (before + size, 1))
                self.end(joined)

    def test_what_comes_meanwhile_is_no_event(self) -> None:
        """Nobody is woken for bytes that cannot be sent on, copying or splicing; they arrive when there is room."""
        for size, begun in ((READ_SIZE // 2, lambda: Joined(self, MEDIUM)), (READ_SIZE, self.splicing)):
            joined = begun()
            sent = joined.out.count
            joined.there.reads = False
            while not joined.out.blocked:
                joined.here.send(bytes(size))
                sent += size
                self.loop.until(lambda joined=joined, sent=sent: joined.out.count == sent, "it")  # type: ignore[misc]
            self.assertEqual(self.splices(joined), size == READ_SIZE)
            events: list[int] = []
            self.loop.poller.change_call(joined.near.descriptor, events.append)
            for number in range(10):
                joined.here.send(b"more")
                self.wait_for_bytes(joined, 4 * number + 4)
                self.loop.turn()
            self.assertEqual(events, [])
            joined.there.reads = True
            sent += 40
            self.loop.until(lambda joined=joined, sent=sent: len(joined.there.received) == sent, "all")  # type: ignore[misc]
            self.assertTrue(joined.there.received.endswith(b"more" * 10))
            self.end(joined)

    def test_held_up_a_thousand_times(self) -> None:
        """Bytes that came while nobody was woken for them, and an end behind them, never wait for more to come."""
        joined = Joined(self, SMALL)
        for number in range(1, 1001):
            joined.there.reads = False
            joined.here.send(DATA[: 2 * READ_SIZE])
            self.loop.until(lambda: joined.out.blocked, "no room")
            if number == 1000:
                joined.here.finish()
            joined.there.reads = True
            self.loop.until(lambda: len(joined.there.received) == 2 * READ_SIZE, "all")
            self.assertTrue(joined.there.received == DATA[: 2 * READ_SIZE])
            joined.there.received.clear()
            self.assertEqual(joined.out.count, 2 * READ_SIZE * number)
        self.loop.until(lambda: joined.there.finished, "the end")
        self.assertFalse(joined.near.input_paused)
        self.cleans_up(joined)

    def test_a_loss_with_more_to_come(self) -> None:
        """A flow that waits for room learns of the loss, although no more bytes come."""
        joined, _ = self.stuck()
        joined.there.reset()
        self.loop.until(lambda: joined.near_peer.lost, "the other loss")
        self.assertEqual((joined.out.cuts, joined.far_peer.losses, self.lent), (1, 1, 0))

    def test_a_reset_met_by_a_splice(self) -> None:
        """Sending to who has reset is the loss of that one; who sends lives until there is more for it."""
        joined = self.splicing()
        joined.here.send(bytes(READ_SIZE))
        self.wait_for_bytes(joined, READ_SIZE)
        joined.there.reset()
        self.loop.until(lambda: joined.far_peer.lost, "the loss")
        self.assertIsNone(joined.near_peer.lost)
        joined.here.send(b"more")
        self.loop.until(lambda: joined.near_peer.lost, "the other loss")
        self.assertEqual((joined.out.cuts, joined.far_peer.losses, self.lent), (1, 1, 0))

    def test_a_pipe_never_carries_what_is_another_ones(self) -> None:
        """Connections that stop, go on and break with bytes in their few pipes: each gets a beginning of its own."""
        chance = random.Random(1)
        self.lend(3)
        whole = 0
        for number in range(150):
            data = random.Random(number).randbytes(3 * MIB)
            joined = Joined(self, MEDIUM)
            joined.here.finish(data)
            for _ in range(chance.randrange(8)):
                joined.there.reads = chance.random() < 0.4
                self.loop.until(lambda: True, "a turn")
            if number % 3:
                chance.choice((joined.here, joined.there)).reset()
                self.loop.settle(2)
            else:
                joined.there.reads = True
                self.loop.until(lambda joined=joined: joined.there.finished, "the end")  # type: ignore[misc]
                whole += len(joined.there.received) == len(data)
            self.assertTrue(data.startswith(joined.there.received))
            self.end(joined)
        self.assertEqual((whole, self.pipes.unclean), (50, 0))
        self.assertGreater(self.borrowed[True], 50)
        self.nothing_is_left()

    def end(self, joined: Joined) -> None:
        """End it, and see to it that its pipe is back."""
        joined.close()
        joined.here.close()
        joined.there.close()
        self.loop.turn()
        self.loop.ends.clear()
        self.assertEqual((joined.near_peer.losses, joined.far_peer.losses, self.lent), (1, 1, 0))


def readable(descriptor: int) -> int:
    """Return the number of bytes that wait to be read."""
    count: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0]
    return count
