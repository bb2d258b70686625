"""Joined transports: copied, spliced and held up, with bytes counted and ends in their places."""

from __future__ import annotations

import os
import random
from collections import Counter

from meshgate.transport.lean import joining, pipes, sockets
from meshgate.transport.lean.joining import STREAK, Flow, join
from meshgate.transport.lean.pipes import Pipes
from meshgate.transport.lean.sockets import READ_SIZE
from meshgate.transport.lean.transport import LeanTransport
from tests.lean_loop import MIB, SMALL, Counting, End, LeanCase, Loop
from tests.peers import Peer

DATA = random.Random(7).randbytes(8 * MIB)
"""Bytes none of which can stand in another's place."""


class Way(Flow):
    """
    One direction, which passes on ends as the data plane does.

    :ivar cuts: how often there was more for a peer that is gone.
    """

    def __init__(self, transport: LeanTransport, loop: Loop) -> None:
        super().__init__(transport, loop.network.wheel)
        self.cuts = 0

    def read_finished(self) -> None:
        """Pass it on."""
        self.peer.transport.loseWriteConnection()

    def bytes_dropped(self, count: int) -> None:
        """Nobody wants it."""
        self.cuts += 1
        self.transport.abortConnection()

    def peer_reset(self) -> None:
        """The loss follows."""


class Joined:
    """
    Two connections, joined.

    :ivar here: the end of the first one.
    :ivar there: the end of the second one.
    :ivar out: the flow from here to there.
    :ivar back: the flow from there to here.
    """

    def __init__(self, case: LeanCase, buffer: int = 0) -> None:
        self.near, self.near_peer, self.here = case.connection(buffer)
        self.far, self.far_peer, self.there = case.connection(buffer)
        self.out, self.back = Way(self.near, case.loop), Way(self.far, case.loop)
        case.assertTrue(join(self.out, self.back))

    def finished(self) -> bool:
        """Return True if both ends have got an end of stream."""
        return self.here.finished and self.there.finished

    def close(self) -> None:
        """Reset both, so that the kernel does not keep their ports for a minute."""
        self.near.abortConnection()
        self.far.abortConnection()


class JoinCase(LeanCase):
    """
    Counts what is spliced.

    :ivar borrowed: how often a flow got a pipe, and how often it got none.
    :ivar lent: how many pipes flows have now.
    """

    def setUp(self) -> None:
        """Watch the pipes."""
        super().setUp()
        self.borrowed: Counter[bool] = Counter()
        self.lent = 0
        borrow, give_back = Pipes.borrow, Pipes.give_back

        def watched(pool: Pipes) -> pipes.Pipe | None:
            pipe = borrow(pool)
            self.borrowed[pipe is not None] += 1
            self.lent += pipe is not None
            return pipe

        def returned(pool: Pipes, pipe: pipes.Pipe, empty: bool) -> None:
            self.lent -= 1
            give_back(pool, pipe, empty)

        self.patch(Pipes, "borrow", watched)
        self.patch(Pipes, "give_back", returned)

    def splice_soon(self) -> None:
        """Have little be enough for splicing."""
        self.patch(joining, "STREAK", 1)
        self.patch(joining, "READ_SIZE", 1000)
        self.patch(sockets, "READ_SIZE", 1000)

    def carries(self, joined: Joined, data: bytes = DATA) -> None:
        """Everything arrives, in both directions at once, and is counted."""
        joined.here.finish(data)
        joined.there.finish(data[::-1])
        self.loop.until(joined.finished, "both ends")
        self.assertEqual(joined.there.received == data, True)
        self.assertEqual(joined.here.received == data[::-1], True)
        self.assertEqual((joined.out.count, joined.back.count), (len(data), len(data)))

    def cleans_up(self, *pairs: Joined) -> None:
        """After closing all, no pipe is lent and nothing is open."""
        for joined in pairs:
            joined.close()
            joined.here.close()
            joined.there.close()
        self.loop.settle()
        self.assertEqual(self.lent, 0)
        self.nothing_is_left()


class CopyingTests(JoinCase):
    """Little at a time: copied."""

    def test_both_ways(self) -> None:
        """Each message arrives, no protocol is asked, and nothing is spliced."""
        joined = Joined(self)
        for number in range(100):
            joined.here.send(b"%3d" % number)
            joined.there.send(b"%5d" % number)
            self.loop.until(
                lambda number=number: (  # type: ignore[misc]
                    len(joined.there.received) == 3 * number + 3 and len(joined.here.received) == 5 * number + 5
                ),
                "the message",
            )
        self.assertEqual(joined.there.received, b"".join(b"%3d" % number for number in range(100)))
        self.assertEqual((joined.out.count, joined.back.count), (300, 500))
        self.assertEqual((joined.near_peer.received, joined.far_peer.received, self.borrowed), (b"", b"", {}))
        self.cleans_up(joined)

    def test_bytes_and_end_in_one_segment(self) -> None:
        """A thousand answers with the end of stream in the same segment: neither is lost, and the way back lives on."""
        for number in range(1000):
            joined = Joined(self)
            joined.there.finish(b"answer")
            self.loop.until(lambda joined=joined: joined.here.finished, "the end of stream")  # type: ignore[misc]
            self.assertEqual(joined.here.received, b"answer")
            if number % 10 == 0:
                joined.here.send(b"more")
                self.loop.until(lambda joined=joined: joined.there.received, "the way back")  # type: ignore[misc]
            joined.close()
            joined.here.close()
            joined.there.close()
            self.loop.turn()
            self.loop.ends.clear()
        self.nothing_is_left()

    def test_the_first_byte_is_timed(self) -> None:
        """The time of the first read is kept, that of later ones goes by the clock's ticks."""
        joined = Joined(self)
        self.assertIsNone(joined.out.first_at)
        self.loop.advance(5)
        joined.here.send(b"a")
        self.loop.until(lambda: joined.there.received, "the byte")
        self.loop.advance(5)
        joined.here.send(b"b")
        self.loop.until(lambda: len(joined.there.received) == 2, "the byte")
        self.assertEqual((joined.out.first_at, joined.back.first_at), (5.0, None))

    def test_nothing_waits_for_an_acknowledgement(self) -> None:
        """A transport that may hold back small writes is told not to, as soon as there is more to send to it."""
        joined = Joined(self)
        joined.far.setTcpNoDelay(False)
        joined.here.send(b"x")
        self.loop.until(lambda: joined.there.received, "the byte")
        self.assertTrue(joined.far.getTcpNoDelay())

    def test_pending_bytes_come_first(self) -> None:
        """Bytes that wait in a transport when it is joined leave before those read from the other one."""
        near, _, here = self.connection(SMALL)
        far, _, there = self.connection(SMALL)
        there.reads = False
        far.write(DATA[:MIB])
        out, back = Way(near, self.loop), Way(far, self.loop)
        join(out, back)
        self.assertTrue(out.blocked)
        here.finish(b"after it")
        self.loop.settle()
        there.reads = True
        self.loop.until(lambda: there.finished, "all of it")
        self.assertTrue(there.received == DATA[:MIB] + b"after it")
        self.assertEqual(out.count, 8)

    def test_others_are_not_joined(self) -> None:
        """Of transports that are not lean ones nothing is changed."""

        class Other:
            protocol = Peer()

        transport, _, _ = self.connection()
        one, other = Flow(transport, self.loop.network.wheel), Flow(Other(), self.loop.network.wheel)
        self.assertFalse(join(one, other))
        self.assertIs(one.peer, other)
        self.assertIsNone(transport.inflow)


class SplicingTests(JoinCase):
    """Much at a time: spliced."""

    def test_a_stream_is_spliced(self) -> None:
        """Everything arrives unchanged, and most of it by pipes; none is left lent."""
        joined = Joined(self)
        self.carries(joined)
        self.assertGreater(self.borrowed[True], 0)
        self.cleans_up(joined)

    def test_a_quiet_one_is_copied_again(self) -> None:
        """After a read that does not fill the buffer, nothing is spliced until it is filled again and again."""
        joined = Joined(self)
        joined.here.send(DATA)
        self.loop.until(lambda: len(joined.there.received) == len(DATA), "all of it")
        joined.here.send(b"little")
        self.loop.until(lambda: len(joined.there.received) == len(DATA) + 6, "the rest")
        self.borrowed.clear()
        for number in range(1, 20):
            joined.here.send(b"little")
            size = len(DATA) + 6 * number + 6
            self.loop.until(lambda size=size: len(joined.there.received) == size, "a little")  # type: ignore[misc]
        self.assertEqual(self.borrowed, {})
        joined.here.send(DATA)
        self.loop.until(lambda: len(joined.there.received) == 2 * len(DATA) + 120, "all of it again")
        self.assertGreater(self.borrowed[True], 0)
        self.assertEqual(joined.out.count, 2 * len(DATA) + 120)
        self.cleans_up(joined)

    def test_an_end_while_splicing(self) -> None:
        """An end of stream right behind what was spliced arrives, whatever the size, and the way back lives on."""
        for size in (STREAK * READ_SIZE, STREAK * READ_SIZE + 1, MIB, 2 * MIB, 3 * MIB + 17):
            joined = Joined(self)
            joined.here.finish(DATA[:size])
            self.loop.until(lambda joined=joined: joined.there.finished, "the end")  # type: ignore[misc]
            self.assertTrue(joined.there.received == DATA[:size])
            self.assertEqual(joined.out.count, size)
            joined.there.finish(b"back")
            self.loop.until(lambda joined=joined: joined.here.finished, "the way back")  # type: ignore[misc]
            self.assertEqual(joined.here.received, b"back")
            joined.close()

    def test_who_does_not_read_is_waited_for(self) -> None:
        """A full pipe: no more is read than it holds, the other direction goes on, and all of it arrives at last."""
        joined = Joined(self, SMALL)
        self.splice_soon()
        joined.there.reads = False
        joined.here.send(DATA)
        self.loop.until(lambda: self.lent, "a pipe that cannot be emptied")
        self.loop.settle()
        waiting = joined.out.count
        self.assertLess(waiting, len(DATA))
        self.assertTrue(joined.out.blocked)
        for number in range(10):
            joined.there.send(b"x")
            self.loop.until(lambda number=number: len(joined.here.received) > number, "the other way")  # type: ignore[misc]
        self.assertEqual(joined.out.count, waiting)
        joined.there.reads = True
        joined.here.finish()
        self.loop.until(lambda: joined.there.finished, "all of it")
        self.assertTrue(joined.there.received == DATA)
        self.assertEqual(joined.out.count, len(DATA))
        self.cleans_up(joined)

    def test_a_budget_leaves_the_rest_for_later(self) -> None:
        """More than may be moved for one event is moved at further ones, though nothing more comes."""
        self.patch(joining, "BUDGET", READ_SIZE)
        self.carries(Joined(self))

    def test_without_pipes_it_is_copied(self) -> None:
        """All bytes arrive even if all pipes are lent."""
        self.loop.poller.pipes = Pipes(0)
        joined = Joined(self)
        self.carries(joined)
        self.assertEqual(self.borrowed[True], 0)
        self.assertGreater(self.borrowed[False], 0)
        self.cleans_up(joined)

    def test_where_the_kernel_gives_none(self) -> None:
        """Nor does it matter that there are no descriptors for pipes, or only small pipes."""

        def refuse(flags: int) -> tuple[int, int]:
            raise OSError(24, "Too many open files")

        self.patch(os, "pipe2", refuse)
        joined = Joined(self)
        self.carries(joined)
        self.assertEqual(self.borrowed[True], 0)
        self.cleans_up(joined)

    def test_many_at_once(self) -> None:
        """More streams than pipes, some of them cut off with full pipes: no byte goes where it does not belong."""
        self.loop.poller.pipes = Pipes(4)
        self.splice_soon()
        chance = random.Random(5)
        pairs: list[tuple[Joined, bytes]] = []
        for number in range(40):
            data = bytes([number + 1]) * MIB
            joined = Joined(self, SMALL)
            joined.there.reads = number % 3 > 0
            joined.here.finish(data)
            pairs.append((joined, data))
        chance.shuffle(pairs)
        self.loop.settle()
        for joined, _ in pairs:
            if not joined.there.reads:
                chance.choice((joined.here, joined.there)).reset()
        whole = [(joined, data) for joined, data in pairs if joined.there.reads]
        self.loop.until(lambda: all(joined.there.finished for joined, _ in whole), "all the others")
        for joined, data in whole:
            self.assertTrue(joined.there.received == data)
        for joined, data in pairs:
            self.assertLessEqual(set(joined.there.received), {data[0]})
        self.assertGreater(self.borrowed[True], 0)
        self.cleans_up(*(joined for joined, _ in pairs))


class ResetTests(JoinCase):
    """Resets of one of two that are joined."""

    def lost(self, peer: Counting) -> None:
        """Its protocol hears of the loss, once."""
        self.loop.until(lambda: peer.lost, "the loss")
        self.loop.settle()
        self.assertEqual(peer.losses, 1)

    def states(self, end: str) -> None:
        """Reset one end in every state; the protocol of its transport is told."""

        def silent(joined: Joined) -> None:
            pass

        def talking(joined: Joined) -> None:
            joined.here.send(b"x")
            joined.there.send(b"x")

        def held_up_there(joined: Joined) -> None:
            joined.there.reads = False
            joined.here.send(DATA)

        def held_up_here(joined: Joined) -> None:
            joined.here.reads = False
            joined.there.send(DATA)

        def held_up_both(joined: Joined) -> None:
            held_up_here(joined)
            held_up_there(joined)

        def finished_here(joined: Joined) -> None:
            joined.here.finish(b"x")

        def finished_there(joined: Joined) -> None:
            joined.there.finish(b"x")

        def finished_and_held_up(joined: Joined) -> None:
            joined.there.finish()
            held_up_there(joined)

        def half_closed_both(joined: Joined) -> None:
            joined.here.finish()
            joined.there.finish()

        for state in (
            silent,
            talking,
            held_up_there,
            held_up_here,
            held_up_both,
            finished_here,
            finished_there,
            finished_and_held_up,
            half_closed_both,
        ):
            joined = Joined(self, SMALL)
            state(joined)
            self.loop.settle()
            one: End = getattr(joined, end)
            one.reset()
            joined.here.reads = joined.there.reads = True  # what came before the reset has to be taken first
            if state is half_closed_both:  # both have said all: the kernel has nothing to reset any more
                joined.close()
            self.lost(joined.near_peer if end == "here" else joined.far_peer)
            self.cleans_up_after(joined)

    def cleans_up_after(self, joined: Joined) -> None:
        """No pipe stays lent when the other one goes, too."""
        joined.close()
        joined.here.close()
        joined.there.close()
        self.loop.settle()
        self.assertEqual((joined.near.lost, joined.far.lost, self.lent), (True, True, 0))
        self.loop.ends.clear()

    def test_copying(self) -> None:
        """Either of them, with bytes that wait in a buffer."""
        self.states("here")
        self.states("there")
        self.assertEqual(self.borrowed, {})

    def test_splicing(self) -> None:
        """Either of them, with bytes that wait in a pipe."""
        self.splice_soon()
        self.states("here")
        self.states("there")
        self.assertGreater(self.borrowed[True], 0)

    def test_more_for_one_who_is_gone(self) -> None:
        """Bytes for a connection that is lost are read no further; the flow is told, copying or splicing."""
        for data in (b"x", DATA):
            joined = Joined(self)
            joined.far.abortConnection()
            joined.here.send(data)
            self.loop.until(lambda joined=joined: joined.out.cuts, "the cut")  # type: ignore[misc]
            self.loop.settle()
            self.assertEqual((joined.out.cuts, joined.near.lost), (1, True))
