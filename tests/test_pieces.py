"""Tests of :mod:`meshgate.processes.pieces`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.pieces import PiecePacker, PieceUnpacker


class Node:
    """Something that is made of others."""

    def __init__(self, *parts: Node) -> None:
        self.parts = parts


class PiecesTests(SynchronousTestCase):
    """What :class:`PiecePacker` makes, as :class:`PieceUnpacker` reads it."""

    def test_parts_in_their_order(self) -> None:
        """Each part is the pieces that it was made of."""
        packer, unpacker = PiecePacker(), PieceUnpacker()
        parts: list[list[object]] = [[["a", 1], "b"], [None], [("c",)], []]
        self.assertEqual([unpacker.unpack(packer.pack(part)) for part in parts], parts)

    def test_a_piece_is_sent_once(self) -> None:
        """What is made of pieces, of earlier parts or its own, is made of the same objects on the other side."""
        packer, unpacker = PiecePacker(), PieceUnpacker()
        leaves = [Node() for _ in range(1000)]
        branch = Node(*leaves)
        both = [branch, Node(branch, leaves[0])]
        (first, second, again) = map(packer.pack, (leaves, both, [both[1], leaves[1]]))
        self.assertLess(len(again), 100)
        read = unpacker.unpack(first)
        made = unpacker.unpack(second)
        self.assertEqual([*map(id, made[0].parts)], [*map(id, read)])
        self.assertEqual([*map(id, made[1].parts)], [*map(id, (made[0], read[0]))])
        self.assertEqual([*map(id, unpacker.unpack(again))], [*map(id, (made[1], read[1]))])

    def test_pieces_are_let_go_of_in_steps(self) -> None:
        """A rest after some hundreds; what was read stays as it is."""
        packer, unpacker = PiecePacker(), PieceUnpacker()
        leaves = [Node() for _ in range(1000)]
        unpacker.unpack(packer.pack(leaves))
        (tree,) = unpacker.unpack(packer.pack([Node(*leaves)]))
        self.assertGreater(len(list(unpacker.forget())), 2)
        self.assertEqual(len(tree.parts), 1000)
