"""Tests of :mod:`meshgate.report`: tables. The other texts are tested by the commands that print them."""

from __future__ import annotations

from itertools import islice

import click
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.report import table_text
from tests import examples

WORDS = st.text("ab.:/", min_size=1, max_size=12)
CELLS = st.lists(st.lists(WORDS, max_size=4).map(" ".join), min_size=1, max_size=3).map("\n".join)
TITLES = ("ONE", "THE OTHER", "C")


class TableTests(SynchronousTestCase):
    """:func:`table_text`."""

    def test_it_fits(self) -> None:
        """Columns are as wide as their longest line, and cells may have several lines."""
        rows = [("a", "b\nbbbb bbbb bbbb", "c"), ("aaaa", "b", "")]
        expected = "ONE   THE OTHER       C\na     b               c\n      bbbb bbbb bbbb\naaaa  b"
        for width in (None, 23, 100):
            self.assertEqual(click.unstyle(table_text(TITLES, rows, width)), expected)

    def test_long_texts_are_folded_between_words(self) -> None:
        """The widest columns give first, and columns of single words keep their width."""
        rows = [("aaaaaaaa", "some more words than fit into a line", "c")]
        self.assertEqual(
            click.unstyle(table_text(TITLES, rows, 33)).splitlines(),
            [
                "ONE       THE OTHER             C",
                "aaaaaaaa  some more words than  c",
                "          fit into a line",
            ],
        )

    def test_words_that_do_not_fit_make_records(self) -> None:
        """If even single words are too wide, each row is a record of one line a column; empty cells are left out."""
        host = "backend.default.svc.cluster.local:443"
        rows = [("a", f"{host}\n{host}", ""), ("b", host, "of more words")]
        self.assertEqual(
            click.unstyle(table_text(TITLES, rows, 40)),
            f"ONE        a\nTHE OTHER  {host}\n           {host}\n\n"
            f"ONE        b\nTHE OTHER  {host}\nC          of more words",
        )

    def test_styles_take_no_room(self) -> None:
        """A colored cell is as wide as its text."""
        rows = [(click.style("no", fg="red"), "b", "c")]
        self.assertEqual(click.unstyle(table_text(TITLES, rows, 20)).splitlines()[1], "no   b          c")

    @given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=4), st.integers(1, 60))
    @settings(deadline=None, max_examples=examples(300))
    def test_any_table(self, rows: list[tuple[str, str, str]], width: int) -> None:
        """No word is divided or lost, and no line is too long unless a single word is."""
        lines = click.unstyle(table_text(TITLES, rows, width)).splitlines()
        words = sorted(word for line in lines for word in line.split() if word not in ["ONE", "THE", "OTHER", "C"])
        self.assertEqual(words, sorted(word for row in rows for cell in row for word in cell.split()))
        longest = max(map(len, words), default=1)
        for line in islice(lines, 1 if rows else 0, None):
            self.assertLessEqual(len(line), max(width, len("THE OTHER  ") + longest))
