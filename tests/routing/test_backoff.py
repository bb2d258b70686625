"""Tests of :mod:`meshgate.routing.backoff`."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.backoff import FIRST, JITTER, LONGEST, SETS, WORDS, Backoffs, endpoint_key

KEY = endpoint_key("192.0.2.1:80")
RNG = random.Random(1)


def shared(workers: int = 1) -> list[Backoffs]:
    """The marks in shared memory, as several workers see them."""
    words = memoryview(bytearray(WORDS * 8)).cast("q")
    return [Backoffs(words, worker) for worker in range(workers)]


class BackoffTests(SynchronousTestCase):
    """The mark of one endpoint, and the memory of all."""

    def test_it_grows(self) -> None:
        """Each failed probe doubles the back-off up to the longest; chance shortens it by a quarter at the most."""
        (marks,) = shared()
        now, pauses = 100.0, []
        for _ in range(8):
            marks.failed(KEY, now, now, RNG)
            pauses.append(marks.due_at(KEY) - now)
            now = marks.due_at(KEY)
        for pause, nominal in zip(pauses, [FIRST, 2, 4, 8, 16, LONGEST, LONGEST, LONGEST], strict=True):
            self.assertTrue(nominal * (1 - JITTER) - 1e-3 <= pause <= nominal, (pause, nominal))

    def test_what_was_begun_before_says_nothing_new(self) -> None:
        """Many dials that were under way together count as one failure, however late they fail."""
        (marks,) = shared()
        self.assertEqual(marks.failed(KEY, 100, 110, RNG), (True, True))
        due_at = marks.due_at(KEY)
        self.assertEqual(marks.failed(KEY, 100.5, 115, RNG), (False, False))
        self.assertEqual(marks.due_at(KEY), due_at)

    def test_a_single_probe(self) -> None:
        """One worker gets the probe; it is free again after a result, after it is given up, and after its lease."""
        one, other = shared(2)
        one.failed(KEY, 100, 100, RNG)
        self.assertFalse(other.claim(KEY, 100.5, 10))
        self.assertTrue(other.claim(KEY, 101, 10))
        self.assertFalse(one.claim(KEY, 110, 10))
        self.assertEqual(one.due_at(KEY), 111)
        self.assertTrue(one.claim(KEY, 111, 10))
        one.release(KEY)
        self.assertTrue(other.claim(KEY, 112, 10))
        other.failed(KEY, 112, 113, RNG)
        self.assertTrue(113 < one.due_at(KEY) <= 115)
        self.assertFalse(one.claim(KEY, 113, 10))
        self.assertTrue(one.claim(KEY, 115, 10))

    def test_success(self) -> None:
        """An endpoint that answers is like any other; only if it fails again soon, its back-off goes on growing."""
        one, other = shared(2)
        one.failed(KEY, 100, 100, RNG)
        one.failed(KEY, 101, 101, RNG)
        other.succeeded(KEY, 103)
        self.assertEqual(one.due_at(KEY), 0)
        self.assertFalse(one.claim(KEY, 104, 10))
        self.assertEqual(one.failed(KEY, 110, 110, RNG), (True, False))
        self.assertTrue(113 <= one.due_at(KEY) <= 114)
        other.succeeded(KEY, 114)
        one.failed(KEY, 150, 150, RNG)
        self.assertTrue(one.due_at(KEY) <= 151)

    def test_one_that_comes_and_goes(self) -> None:
        """Failures are logged less and less often, and each recovery exactly if its failure was."""
        (marks,) = shared()
        told = [(marks.failed(KEY, now, now, RNG)[1], marks.succeeded(KEY, now)) for now in range(1, 101)]
        self.assertEqual([number for number, each in enumerate(told, 1) if any(each)], [1, 2, 4, 8, 16, 32, 64])
        self.assertTrue(all(down is up for down, up in told))

    def test_people_are_told_at_last(self) -> None:
        """An endpoint that fails for good after it came and went is logged when its probe fails."""
        (marks,) = shared()
        for now in (1, 2):
            marks.failed(KEY, now, now, RNG)
            marks.succeeded(KEY, now)
        self.assertEqual(marks.failed(KEY, 3, 3, RNG), (True, False))
        self.assertEqual(marks.failed(KEY, 10, 10, RNG), (False, True))
        self.assertEqual(marks.failed(KEY, 100, 100, RNG), (False, False))
        self.assertTrue(marks.succeeded(KEY, 200))

    def test_changes_are_seen(self) -> None:
        """Every mark that is made or lifted changes the first word, also if two workers do it at once."""
        one, other = shared(2)
        seen = {one.words[0]}
        for change in (
            lambda: one.failed(KEY, 1, 1, RNG),
            lambda: other.failed(KEY + 1, 1, 1, RNG),
            lambda: one.succeeded(KEY, 2),
        ):
            change()
            self.assertEqual(one.words[0], other.words[0])
            seen.add(one.words[0])
        self.assertEqual(len(seen), 4)

    def test_a_full_set_loses_the_oldest(self) -> None:
        """If a set is full, the endpoint marked first loses its slot."""
        (marks,) = shared()
        keys = [7 + SETS * number for number in range(5)]
        for now, key in enumerate(keys, 100):
            marks.failed(key, now, now, RNG)
        self.assertEqual([marks.due_at(key) > 0 for key in keys], [False, True, True, True, True])
