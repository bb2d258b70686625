"""YAML text to nodes: the two parsers side by side, and syntax errors in words for users."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any
from unittest import skipUnless

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.yaml.document import parse_documents
from meshgate.resources.yaml.nodes import HAVE_C_PARSER, MAX_DEPTH, PLAIN, TEXT, YamlError, compose
from tests import examples

# Words whose meaning depends on how they are read, and text that needs care when written.
WORDS = st.sampled_from(
    ["on", "010", "~", "a: b", "- a", "#", "'", '"', "\n", "a\nb\n", " x ", "é\U0001f600", "1:30", ""]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = WORDS | st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
VALUES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS.filter(bool), inner, max_size=4),
    max_leaves=20,
)
# Left out is what the parsers are known to take differently: tags and anchors on one value, "..." twice in a row,
# explicit keys ("? ") and aliases as keys.
FRAGMENTS = ["a", "b: ", "1", ":", " ", "\n", "\n  ", "- ", "{", "}", "[", "]", ",", '"', "'", "#", "&x ", "*x ", "~"]
FRAGMENTS += ["---\n", "\r\n", "\\", "@", "é", "\x85", "\u2028", "<<: ", "%YAML 1.1\n", "0x"]


def dumped(values: list[Any], flow: bool) -> str:
    """The values as documents of one text, in ruamel's own style."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    stream = StringIO()
    yaml.dump_all(values, stream)
    return stream.getvalue()


def paths(value: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path to each value within a value, itself included."""
    yield before
    if isinstance(value, (dict, list)):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*before, step))


def everything(text: str, use_c: bool) -> Any:
    """The reading of a text: values, warnings and every position; or the error."""
    try:
        documents = parse_documents(text, use_c=use_c)
    except YamlError as error:
        return str(error)
    return [
        (
            repr(document.value),
            document.warnings,
            [(document.position(path), document.key_position(path)) for path in paths(document.value)],
        )
        for document in documents
    ]


class ComposeTests(SynchronousTestCase):
    """Both parsers give the same."""

    def test_it_tells_plain_words_from_quoted_ones(self) -> None:
        """Only a plain word has still to be resolved."""
        for use_c in {False, HAVE_C_PARSER}:
            (root,) = compose("[a, 'b', \"c\", !!int d, ! e]", use_c=use_c)
            tags = [item.ctag for item in root.value]
            self.assertEqual([tags[0], tags[1], tags[2], tags[4]], [PLAIN, TEXT, TEXT, PLAIN])
            self.assertEqual(str(tags[3]), "tag:yaml.org,2002:int")

    def test_depth_is_bounded(self) -> None:
        """A hundred thousand brackets neither exhaust the stack nor take long."""
        for use_c in {False, HAVE_C_PARSER}:
            with self.assertRaisesRegex(YamlError, f"more than {MAX_DEPTH} levels"):
                list(compose("[" * 100_000, use_c=use_c))
            deepest = "[" * (MAX_DEPTH - 1) + "x" + "]" * (MAX_DEPTH - 1)
            self.assertEqual(len(list(compose(deepest, use_c=use_c))), 1)

    def test_a_reused_anchor_is_taken(self) -> None:
        """YAML allows it, and neither parser warns."""
        for use_c in {False, HAVE_C_PARSER}:
            (root,) = compose("[&x 1, &x 2, *x]", use_c=use_c)
            self.assertEqual([item.value for item in root.value], ["1", "2", "2"])
        self.assertEqual(self.flushWarnings(), [])


@skipUnless(HAVE_C_PARSER, "the C parser of ruamel.yaml is not installed")
class AgreementTests(SynchronousTestCase):
    """The C parser and the pure one give the same."""

    @settings(deadline=None, max_examples=examples(200))
    @given(st.lists(VALUES, min_size=1, max_size=3), st.booleans())
    def test_they_agree_on_what_was_dumped(self, values: list[Any], flow: bool) -> None:
        """Values, warnings and positions, in block style and in flow style."""
        text = dumped(values, flow)
        self.assertEqual(everything(text, True), everything(text, False))

    @settings(deadline=None, max_examples=examples(200))
    @given(VALUES, st.sampled_from([None, 2]))
    def test_they_read_json_as_what_it_is(self, value: Any, indent: int | None) -> None:
        """A JSON text gives its own values back, by both."""
        text = json.dumps(value, indent=indent)
        wanted = [] if value is None else [json.loads(text)]
        for use_c in (True, False):
            self.assertEqual([document.value for document in parse_documents(text, use_c=use_c)], wanted)
        self.assertEqual(everything(text, True), everything(text, False))

    @settings(deadline=None, max_examples=examples(500))
    @given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(lambda parts: "k: 1\n---\nr:\n  " + "".join(parts)))
    def test_they_agree_on_any_text(self, text: str) -> None:
        """Values, positions, warnings and errors are the same, whatever follows a good document."""
        self.assertEqual(everything(text, True), everything(text, False))

    def test_what_only_the_pure_parser_takes_is_taken(self) -> None:
        """The old libyaml refuses a colon within a plain word in flow style; go-yaml takes it, and so do we."""
        text = "a: 1\n---\nb: {url: https://example.com}\n---\nc: 3\n"
        values = [document.value for document in parse_documents(text, use_c=True)]
        self.assertEqual(values, [{"a": 1}, {"b": {"url": "https://example.com"}}, {"c": 3}])

    def test_a_fault_is_placed_right_after_many_documents(self) -> None:
        """The pure parser sees the rest of the text only, and still tells the line in the whole."""
        text = "a: [1, 2]\n---\n" * 300 + "b: {c\n"
        with self.assertRaises(YamlError) as caught:
            parse_documents(text, use_c=True)
        self.assertEqual((caught.exception.line, caught.exception.column), (602, 1))

    def test_text_after_a_document_is_not_one_of_its_own(self) -> None:
        """Text between documents that the C parser refuses stays refused, though it would be YAML on its own."""
        for text in ("a: 1\n---\n  b: 1\n c: 2\n", '"a" b', "[] c\n"):
            with self.assertRaises(YamlError):
                parse_documents(text, use_c=True)


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
