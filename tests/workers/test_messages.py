"""Tests of :mod:`meshgate.workers.messages`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.workers.messages import Packer, Unpacker


class PartsTests(SynchronousTestCase):
    """What :class:`Packer` makes, as :class:`Unpacker` reads it."""

    def test_parts_in_their_order(self) -> None:
        """Each part is what it was made of."""
        packer, unpacker = Packer(), Unpacker()
        things = [["a", 1], None, ("b",)]
        self.assertEqual([unpacker.unpack(packer.pack(thing)) for thing in things], things)

    def test_what_came_before_is_not_sent_again(self) -> None:
        """A part that is made of earlier ones is a few bytes, and reads as the same objects."""
        packer, unpacker = Packer(), Unpacker()
        words = tuple(f"word {number}" for number in range(1000))
        first, second = packer.pack(words), packer.pack([words, words])
        self.assertLess(len(second), 100)
        before = unpacker.unpack(first)
        self.assertEqual(before, words)
        for again in unpacker.unpack(second):
            self.assertIs(again, before)
