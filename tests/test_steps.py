"""Tests of :mod:`meshgate.resources.steps`."""

from __future__ import annotations

import weakref
from collections.abc import Generator
from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.steps import BATCH, MANY, batches, fill, let_go, run_through, take_apart


class StepsTests(SynchronousTestCase):
    """Work in small steps."""

    def test_run_through(self) -> None:
        """All steps are taken, and the result is what the generator returns."""
        done = []

        def work() -> Generator[None, None, str]:
            for number in range(3):
                done.append(number)
                yield
            return "all"

        self.assertEqual((run_through(work()), done), ("all", [0, 1, 2]))

    def test_batches(self) -> None:
        """Everything comes once, in its order, so many at a time; of nothing there is no batch."""
        self.assertEqual(list(batches(range(5), 2)), [[0, 1], [2, 3], [4]])
        self.assertEqual(list(batches([], 2)), [])

    def test_let_go(self) -> None:
        """What is in the mapping goes some at a time, until it is empty."""
        things = dict.fromkeys(range(2500))
        left = [len(things) for _ in let_go(things)]
        self.assertEqual((left[0], left[-1], things), (1988, 0, {}))
        self.assertEqual(len(left), 5)

    def test_fill(self) -> None:
        """A set, a dictionary or a list gets everything, many at a time."""
        numbers: set[int] = set()
        known = [len(numbers) for _ in fill(numbers.update, range(MANY + 1))]
        self.assertEqual((known, numbers), ([MANY, MANY + 1], set(range(MANY + 1))))
        pairs: dict[str, int] = {}
        self.assertEqual((list(fill(pairs.update, [("a", 1)])), pairs), ([None], {"a": 1}))

    def test_take_apart(self) -> None:
        """No more than a batch of parts is freed between two rests, however they are nested, and all in the end."""
        gone: list[int] = []
        things = [Thing(gone, tuple(Thing(gone, tuple(Thing(gone) for _ in range(500))) for _ in range(3)))]
        freed = [0, *(len(gone) for _ in take_apart(things))]
        self.assertEqual((things, len(gone)), ([], 1504))
        self.assertLessEqual(max(after - before for before, after in pairwise(freed)), BATCH)


class Thing:
    """Something with parts, that notes its end."""

    def __init__(self, gone: list[int], parts: tuple[Thing, ...] = ()) -> None:
        self.parts = parts
        weakref.finalize(self, gone.append, 1)
