"""The parts of messages."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.wording import count_of, name_text, path_text, quoted, spelling_hint, value_text


class QuotedTests(SynchronousTestCase):
    """Texts and names within a sentence."""

    @settings(deadline=None, max_examples=200)
    @given(st.text())
    def test_a_quoted_text_is_one_short_printable_line(self, text: str) -> None:
        """Nothing that a user writes can break a line of the log."""
        self.assertTrue(quoted(text).isprintable())
        self.assertTrue(name_text(text).isprintable())
        self.assertLessEqual(len(quoted(text[:40])), 40 * 12 + 2)

    def test_a_long_text_is_cut(self) -> None:
        """The beginning is enough to find it."""
        self.assertEqual(quoted("a" * 100), '"' + "a" * 59 + '…"')

    def test_a_plain_name_stands_without_quotes(self) -> None:
        """Only a name that would blur into the sentence is quoted."""
        self.assertEqual([name_text("gw"), name_text("a b"), name_text("")], ["gw", '"a b"', '""'])


class KindOfTests(SynchronousTestCase):
    """Values in words."""

    def test_it_names_every_plain_value(self) -> None:
        """Short values are shown."""
        values = [{}, [], (), True, 1, 1.5, "x", None, 10**5000, float("nan")]
        wanted = [
            "a mapping",
            "a list",
            "a list",
            "the boolean true",
            "the number 1",
            "the number 1.5",
            'the text "x"',
            "empty",
            "a very large number",
            "the number nan",
        ]
        self.assertEqual([value_text(value) for value in values], wanted)


class NearestTests(SynchronousTestCase):
    """Hints for misspelled words."""

    def test_it_names_the_nearest_word_whatever_its_case(self) -> None:
        """A wrong case is the most frequent mistake of all."""
        self.assertEqual(spelling_hint("passthrough", ["SIMPLE", "PASSTHROUGH"]), "did you mean PASSTHROUGH?")
        self.assertEqual(spelling_hint("selectr", ["servers", "selector"]), "did you mean selector?")

    def test_it_names_all_where_none_is_near(self) -> None:
        """The choices themselves are the best hint then."""
        self.assertEqual(spelling_hint("zzz", ["a", "b"]), "one of a, b")
        self.assertEqual(spelling_hint("zzz", []), "")


class WrittenTests(SynchronousTestCase):
    """Paths."""

    def test_it_writes_keys_and_indexes(self) -> None:
        """As people write them; keys that are no words in brackets."""
        self.assertEqual(path_text(("spec", "servers", 0, "port")), "spec.servers[0].port")
        self.assertEqual(path_text(("metadata", "labels", "a.b/c")), 'metadata.labels["a.b/c"]')
        self.assertEqual(path_text(()), "")


class CountTests(SynchronousTestCase):
    """:func:`count_of`."""

    def test_plurals(self) -> None:
        """One thing has no plural, and neither has an info."""
        wanted = ["1 name", "0 names", "2 policies", "1 policy", "3 info", "2 gateways", "2 addresses", "2 more boxes"]
        counts = [(1, "name"), (0, "name"), (2, "policy"), (1, "policy"), (3, "info"), (2, "gateway"), (2, "address")]
        counts.append((2, "more box"))
        self.assertEqual([count_of(number, noun) for number, noun in counts], wanted)
