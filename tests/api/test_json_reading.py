"""Tests of :mod:`meshgate.api.json_reading`."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.json_reading import DEEPEST, duplicate_fields, is_shallow, read_json


class JsonReadingTests(SynchronousTestCase):
    """What is read is JSON for programs of any language."""

    def test_numbers(self) -> None:
        """A number beyond 64 bits is a fraction, as in Kubernetes, and one beyond those is refused."""
        text = b"[9223372036854775807, 9223372036854775808, -9223372036854775809, 1e300, -0]"
        self.assertEqual(read_json(text), [2**63 - 1, float(2**63), -float(2**63), 1e300, 0])
        for text in (b"1e999", b"-1e999", b"NaN", b"Infinity", b"1" * 400, b"1" * 5_000):
            self.assertRaises(ValueError, read_json, text)

    def test_surrogates(self) -> None:
        """A pair is one character, and half of one a replacement character, in names and values."""
        self.assertEqual(
            read_json(b'{"\\ud800":["\\uDFFF a","\\ud83d\\ude00"]}'), {"\ufffd": ["\ufffd a", "\U0001f600"]}
        )
        self.assertRaises(ValueError, read_json, b'"\xed\xa0\x80"')

    def test_depth(self) -> None:
        """Values nest to a limit, however many of them there are."""
        for depth in (DEEPEST, DEEPEST + 1, 5_000, 500_000):
            text = b"[" * depth + b"]" * depth
            if depth == DEEPEST:
                self.assertTrue(is_shallow(read_json(text)))
            else:
                self.assertRaises(ValueError, read_json, text)
        self.assertEqual(len(read_json(json.dumps([[]] * 1_000).encode())), 1_000)

    def test_duplicates(self) -> None:
        """Each name that one object has twice is found once; the last value counts."""
        text = b'{"a":1,"b":{"c":1,"c":2,"c":3},"a":[{"d":1},{"d":1}]}'
        self.assertEqual(duplicate_fields(text), ("c", "a"))
        self.assertEqual(read_json(text), {"a": [{"d": 1}, {"d": 1}], "b": {"c": 3}})
        self.assertEqual(duplicate_fields(b"nonsense"), ())
