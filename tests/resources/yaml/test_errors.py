"""Syntax errors of YAML in words for users."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.yaml.document import parse_documents
from meshgate.resources.yaml.errors import YamlError

#: A faulty text, the position of its fault, and some words of the message.
FAULTS = [
    ("a:\n\tb: 1\n", (2, 1), "there is a tab where YAML needs spaces (indent with spaces)"),
    ("a: 'x\nb: 2\n", (1, 4), "a quote is never closed"),
    ("a: [1\nb: 2\n", (2, 2), "the bracket opened in line 1 is not closed"),
    ("a: {b: 1\n", (2, 1), "the bracket opened in line 1 is not closed"),
    ("- a\nb: c\n", (2, 1), "the line does not fit the list or mapping that began in line 1"),
    ("x:\n  a: 1\n b: 2\n", (3, 2), "the line does not fit"),
    ("a: b: c\n", (1, 5), "there is a colon where no key can be"),
    ("a: 1\n  b: 2\n", (2, 4), "there is a colon where no key can be"),
    ("a: @x\n", (1, 4), 'a text cannot start with "@" (put the text in quotes)'),
    ("a: *x\n", (1, 4), 'the alias "x" has no anchor before it'),
    ("  a: 1\n b: 2\n", (2, 2), "something follows where the document has ended"),
    ("a: [,]\n", (1, 5), 'a value is missing before ","'),
    ("a: [\n", (2, 1), "a value is missing before the end"),
    ('a: "\\q"\n', (1, 6), 'a backslash with "q" is no escape sequence'),
    ("a: !e!x y\n", (1, 4), 'the tag "!e!" is not known'),
    ("a\nb: c\nd\n", (2, 2), "there is a colon where no key can be"),
    ("a: 1\nbc\nd: 2\n", (3, 1), "a key lacks its colon"),
    ("é: \x01\n", (1, 4), "the character U+0001 is not allowed in YAML"),
    ("%YAML 2.0\n---\na\n", (1, 1), "version 1.* is required"),
]


class SyntaxErrorTests(SynchronousTestCase):
    """The messages and positions of faults."""

    def test_every_fault_is_named_and_placed(self) -> None:
        """Each fault has the line and column at which an editor shows it."""
        for text, position, words in FAULTS:
            with self.subTest(text=text):
                with self.assertRaises(YamlError) as caught:
                    parse_documents(text)
                self.assertEqual((caught.exception.line, caught.exception.column), position)
                self.assertIn(words, str(caught.exception))

    @settings(deadline=None, max_examples=300)
    @given(st.text(alphabet="ab:-?{}[],'\"|>#&*!%@\\\t\n\r é\x00\x85\ud800", max_size=20) | st.text(max_size=20))
    def test_any_text_is_read_or_refused_in_one_line(self, text: str) -> None:
        """No text raises anything else, and no message breaks a line or shows a traceback."""
        try:
            parse_documents(text)
        except YamlError as error:
            self.assertTrue(str(error).isprintable(), repr(str(error)))
            self.assertLessEqual(1, error.line)
            self.assertLessEqual(1, error.column)
            self.assertLess(len(error.message), 200)

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=20))
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        """Neither do bytes."""
        try:
            parse_documents(data)
        except YamlError as error:
            self.assertTrue(error.message)
