"""YAML documents: values and positions."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.yaml import document as yaml_document
from meshgate.resources.yaml.document import YamlDocument, YamlError, iterate_documents, parse_documents


def only(text: str | bytes) -> YamlDocument:
    """The one document of a text."""
    (document,) = parse_documents(text)
    return document


class ValueTests(SynchronousTestCase):
    """Plain values."""

    def assert_refused(self, text: str | bytes, position: tuple[int, int], words: str) -> None:
        """Check that the text is refused at a position, with certain words."""
        with self.assertRaises(YamlError) as caught:
            parse_documents(text)
        self.assertEqual((caught.exception.line, caught.exception.column), position)
        self.assertIn(words, str(caught.exception))

    def test_block_and_flow_style(self) -> None:
        """The ordinary forms."""
        text = "a:\n- 1\n- {b: two, c: 'three'}\nd: |\n  x\n  y\ne: >-\n  x\n  y\n"
        self.assertEqual(only(text).value, {"a": [1, {"b": "two", "c": "three"}], "d": "x\ny\n", "e": "x y"})

    def test_json(self) -> None:
        """JSON is YAML."""
        self.assertEqual(only('{"a": [1, null, true, "x\\u00e9"]}').value, {"a": [1, None, True, "xé"]})
        self.assertEqual(only('{"\\ud83d\\ude00": "\\ud83d\\ude00"}').value, {"\U0001f600": "\U0001f600"})
        self.assert_refused('{"a": "\\ud83d"}', (1, 7), "half of an escaped character")

    def test_json_objects_that_follow_each_other(self) -> None:
        """The output of several commands is a document each, at its own lines, as kubectl reads it."""
        pretty = '{\n  "a": 1\n}\n'
        for text, lines in ((pretty * 2, [1, 4]), ('{"a": 1}\r\n{"a": 1}\n{"a": 1}', [1, 2, 3]), ("\n" + pretty, [2])):
            documents = parse_documents(text)
            self.assertEqual([(each.value, each.line) for each in documents], [({"a": 1}, line) for line in lines])
        with self.assertRaises(YamlError) as caught:
            parse_documents(pretty + '{"a": 1,\n  "b": [}\n')
        self.assertEqual(caught.exception.line, 5)

    def test_documents_without_content_are_left_out(self) -> None:
        """Separators and comments alone make no document, nor does null."""
        text = "# nothing\n---\n---\na: 1\n---\n# nothing\n---\nnull\n...\n---\nb: 2\n---\n"
        self.assertEqual([document.value for document in parse_documents(text)], [{"a": 1}, {"b": 2}])
        self.assertEqual(parse_documents(""), ())

    def test_keys_become_text(self) -> None:
        """As in the JSON that kubectl makes."""
        self.assertEqual(only("1: a\ntrue: b\n2.0: c\n'4': d\n").value, {"1": "a", "true": "b", "2": "c", "4": "d"})
        self.assert_refused("~: a\n", (1, 1), "a key is empty")
        self.assert_refused("a: 1\n[b]: 1\n", (2, 1), "a key is a list or a mapping")

    def test_a_key_twice_is_refused_at_its_second_place(self) -> None:
        """Also where only the JSON form is the same."""
        self.assert_refused("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", (5, 3), 'the key "c" is written twice')
        self.assert_refused("1: a\n'1': b\n", (2, 1), "written twice")
        with self.assertRaises(YamlError) as caught:
            parse_documents("kind: Service\nmetadata: {}\nkind: Service\n")
        self.assertIn('begin each document with "---"', caught.exception.hint)

    def test_anchors_aliases_and_merge_keys(self) -> None:
        """A mapping's own keys come before merged ones, and an earlier merged mapping before a later one."""
        text = "a: &a {x: 1, v: 2}\nb: &b {v: 3, z: 4}\nc: {<<: [*a, *b], x: 5}\nd: *a\ne: {<<: *b}\n"
        value = only(text).value
        self.assertEqual(value["c"], {"x": 5, "v": 2, "z": 4})
        self.assertEqual(value["d"], {"x": 1, "v": 2})
        self.assertEqual(value["e"], {"v": 3, "z": 4})
        self.assertIsNot(value["a"], value["d"])
        self.assertEqual(only("'<<': 1").value, {"<<": 1})
        self.assert_refused("a: &a 1\nb:\n  <<: *a\n", (3, 3), "takes a mapping")

    def test_an_alias_within_itself_is_refused(self) -> None:
        """An anchor that contains its own alias would never end."""
        for text in ("a: &a [*a]", "&a {b: {c: *a}}", "a: &a {<<: *a}"):
            with self.assertRaisesRegex(YamlError, "contain themselves"):
                parse_documents(text)

    def test_what_aliases_unfold_to_is_bounded(self) -> None:
        """The billion laughs end in an error, and soon."""
        text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
        with self.assertRaisesRegex(YamlError, "expand to more than 1000000 values"):
            parse_documents(text)

    def test_many_documents_are_no_bomb(self) -> None:
        """The bound is for aliases: a large file without them never meets it."""
        self.patch(yaml_document, "MAX_VALUES", 1000)
        found = [len(each.value) for each in iterate_documents(("--- [" + "1," * 20 + "1]\n") * 51)]
        self.assertEqual(found, [21] * 51)

    def test_tags(self) -> None:
        """The standard ones are honored, others refused."""
        self.assertEqual(
            only("[!!str 5, !!int '5', !!float 5, !!bool on, !!null '', !!timestamp 2024-01-01]").value,
            ["5", 5, 5.0, True, None, "2024-01-01"],
        )
        self.assertEqual(only("!!map {a: !!seq [1]}").value, {"a": [1]})
        self.assert_refused("a: !foo 1\n", (1, 4), 'the tag "!foo" is not known')
        self.assert_refused("a: !!binary aGk=\n", (1, 4), "is not known")
        self.assert_refused("a: !!int x\n", (1, 4), '"x" is not what its tag !!int says')
        self.assert_refused("a: !!map [1]\n", (1, 4), "the tag says that this is not a list")

    def test_bytes(self) -> None:
        """UTF-8 with or without its mark; anything else is refused by the byte's position."""
        self.assertEqual(only(b"\xef\xbb\xbfa: \xc3\xa9\r\nb: 2\r\n").value, {"a": "é", "b": 2})
        self.assertEqual(only("\ufeffa: 1\n").value, {"a": 1})
        self.assert_refused("a: 1\né: é".encode() + b"\xff", (2, 5), "the byte 0xff at position 11 is not UTF-8")

    def test_ambiguous_words_are_warned_of(self) -> None:
        """Each word has one warning with its position, as a value or as a key."""
        document = only("a: &x [on, 'on']\nb: *x\nyes: 010\n")
        self.assertEqual(document.value, {"a": [True, "on"], "b": [True, "on"], "true": 8})
        self.assertEqual([(w.line, w.column) for w in document.warnings], [(1, 8), (3, 1), (3, 6)])
        self.assertEqual(
            document.warnings[2],
            (
                "010 is the number 8 here and to kubectl, as in YAML 1.1, but the number 10 in YAML 1.2",
                3,
                6,
                'write "010" in quotes if it is text, or 8',
            ),
        )
        self.assertEqual(only("a: [true, 8, x]").warnings, ())

    def test_single_letters_are_text_with_a_warning(self) -> None:
        """An unquoted y or n is text, and kubectl's other reading is said; in quotes nothing is."""
        document = only("a: n\nb: 'y'\n")
        self.assertEqual(document.value, {"a": "n", "b": "y"})
        (warning,) = document.warnings
        self.assertEqual((warning.line, warning.column), (1, 4))
        self.assertIn("a boolean to kubectl", warning.message)


class PositionTests(SynchronousTestCase):
    """Lines and columns."""

    TEXT = (
        "# a comment\n---\nspec:\n  servers:\n  - port:\n      number: 80\n    hosts:\n    -\n    - 'é': x\n    tls:\n"
    )

    def test_of_the_document(self) -> None:
        """Its first content, not its separator."""
        document = only(self.TEXT)
        self.assertEqual((document.line, document.column), (3, 1))

    def test_of_values_and_keys(self) -> None:
        """Each value has the position at which it is written."""
        document = only(self.TEXT)
        number = ("spec", "servers", 0, "port", "number")
        self.assertEqual(document.position(number), (6, 15))
        self.assertEqual(document.key_position(number), (6, 7))
        self.assertEqual(document.position(("spec", "servers", 0)), (5, 5))
        self.assertEqual(document.key_position(("spec", "servers", 0)), (5, 5))
        self.assertEqual(document.position(("spec", "servers", 0, "hosts", 1, "é")), (9, 12))

    def test_of_what_is_missing_or_empty(self) -> None:
        """A missing value has the position of its container; an empty one, that of its key."""
        document = only(self.TEXT)
        self.assertEqual(document.position(("spec", "servers", 0, "bind")), (5, 5))
        self.assertEqual(document.key_position(("spec", "servers", 0, "bind")), (5, 5))
        self.assertEqual(document.position(("spec", "servers", 7, "port", "x")), (5, 3))
        self.assertEqual(document.position(("spec", "servers", 0, "tls")), (10, 5))
        self.assertEqual(document.position(("spec", "servers", 0, "port", "number", "x")), (6, 15))
        self.assertEqual(document.position(("other",)), (3, 1))

    def test_through_aliases_and_merge_keys(self) -> None:
        """A merged value has the position at which it is written."""
        document = only("a: &a\n  x: 1\nb:\n  <<: *a\nc: *a\n1: d\n")
        self.assertEqual(document.position(("b", "x")), (2, 6))
        self.assertEqual(document.key_position(("c", "x")), (2, 3))
        self.assertEqual(document.position(("1",)), (6, 4))

    def test_with_odd_line_ends(self) -> None:
        """Lines are counted as editors count them: a line separator within a text is none, CRLF is one."""
        document = only("a: 'x\u2028y\x85z'\r\nb: 1\r\n")
        self.assertEqual(document.position(("b",)), (2, 4))

    @settings(deadline=None, max_examples=100)
    @given(
        st.lists(st.sampled_from(["- a: 1\n  b: [x, y]\n", "- {c: z}\n", "- |\n  t\n\n", "# c\n- 'q'\n"]), max_size=50)
    )
    def test_of_every_item(self, items: list[str]) -> None:
        """The line of each item is the line on which it was written."""
        text, wanted = "", []
        for item in items:
            wanted.append(text.count("\n") + 1 + item.startswith("#"))
            text += item
        documents = list(iterate_documents(text))
        found: list[Any] = [documents[0].position((index,))[0] for index in range(len(items))] if items else []
        self.assertEqual(found, wanted)
