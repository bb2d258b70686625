"""Unquoted words, as go-yaml v2 reads them for kubectl."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.yaml.scalars import Scalar, key_text, meaning_in_yaml_1_2, plain_value


class PlainValueTests(SynchronousTestCase):
    """The value of a word."""

    def assert_values(self, wanted: dict[str, Scalar]) -> None:
        """Each word has the expected value, of the expected type."""
        found = {word: plain_value(word) for word in wanted}
        self.assertEqual(found, wanted)
        self.assertEqual({word: type(value) for word, value in found.items()}, {w: type(v) for w, v in wanted.items()})

    def test_booleans(self) -> None:
        """The words of YAML 1.1 in three cases; nothing in other cases, and no single letters."""
        for word in ("yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"):
            self.assertIs(plain_value(word), True)
        for word in ("no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"):
            self.assertIs(plain_value(word), False)
        self.assert_values({word: word for word in ("y", "Y", "n", "N", "yEs", "tRUE", "oN", "nope", "t", "yes.")})

    def test_null(self) -> None:
        """Nothing, a tilde, and the word in three cases."""
        self.assert_values({"": None, "~": None, "null": None, "Null": None, "NULL": None, "nULL": "nULL"})

    def test_whole_numbers(self) -> None:
        """Every base and sign; underscores anywhere but in front; octal by a leading zero."""
        self.assert_values(
            {
                "0": 0,
                "-0": 0,
                "685230": 685230,
                "+685_230": 685230,
                "02472256": 685230,
                "0o10": 8,
                "0x_0A_74_AE": 685230,
                "0b1010_0111_0100_1010_1110": 685230,
                "-0b101010": -42,
                "-017": -15,
                "9223372036854775807": 2**63 - 1,
                "18446744073709551615": 2**64 - 1,
                "_1": "_1",
                "0x": "0x",
                "0b2": "0b2",
                "1-2": "1-2",
                "+-1": "+-1",
                "\u0661": "\u0661",
            }
        )

    def test_floats(self) -> None:
        """Decimal forms only, and whole numbers that go beyond 64 bits; too large a one is text."""
        self.assert_values(
            {
                "685.230_15e+03": 685230.15,
                "1e3": 1000.0,
                ".5": 0.5,
                "-.5": -0.5,
                "5.": 5.0,
                "08": 8.0,
                ".inf": math.inf,
                "+.INF": math.inf,
                "-.Inf": -math.inf,
                "18446744073709551616": 2.0**64,
                "1e999": "1e999",
                "._5": "._5",
                "0x1p4": "0x1p4",
                ".": ".",
                "inf": "inf",
            }
        )
        self.assertTrue(math.isnan(float(str(plain_value(".NaN")))))

    def test_what_looks_like_a_number_and_is_text(self) -> None:
        """Times of day in base 60, dates, addresses, versions and durations."""
        words = ["1:30", "190:20:30", "2024-01-01", "2024-01-01T00:00:00Z", "10.0.0.1", "1.2.3", "15s", "0xZ", "-", "+"]
        self.assert_values({word: word for word in words})

    @settings(deadline=None, max_examples=200)
    @given(st.text(alphabet="0123456789_.+-eExXobByYnN~", max_size=30) | st.text(max_size=30))
    def test_any_word_has_a_value(self, word: str) -> None:
        """Nothing raises, and text is never changed."""
        value = plain_value(word)
        if isinstance(value, str):
            self.assertEqual(value, word)
        self.assertIsInstance(meaning_in_yaml_1_2(word, value), str)

    def test_thousands_of_digits(self) -> None:
        """Python's own limit on the digits of a number is not reached."""
        for word in ("9" * 5000, "0" * 5000 + "9", "0" * 5000 + "7", "0x" + "f" * 5000, "1." + "3" * 5000):
            meaning_in_yaml_1_2(word, plain_value(word))


class KeyTextTests(SynchronousTestCase):
    """Keys in JSON."""

    def test_it_writes_keys_as_kubectl_does(self) -> None:
        """Booleans and numbers become text; null cannot."""
        values: list[Scalar] = [True, False, 80, 1.5, 2.0, "a", None]
        self.assertEqual([key_text(value) for value in values], ["true", "false", "80", "1.5", "2", "a", None])


class OtherReadingTests(SynchronousTestCase):
    """Words that YAML 1.2 reads differently."""

    def test_it_tells_the_meaning_in_yaml_1_2(self) -> None:
        """Words of YAML 1.1 only, octal numbers, and numbers with underscores."""
        wanted = {
            "on": 'the text "on"',
            "NO": 'the text "NO"',
            "010": "the number 10",
            "-010": "the number -10",
            "08": "the number 8",
            "0b11": 'the text "0b11"',
            "1_000": 'the text "1_000"',
            "1_0.5": 'the text "1_0.5"',
        }
        self.assertEqual({word: meaning_in_yaml_1_2(word, plain_value(word)) for word in wanted}, wanted)

    def test_it_is_silent_where_both_agree(self) -> None:
        """Ordinary words, numbers and booleans."""
        for word in ("true", "False", "0", "80", "-1", "0x1F", "0o17", "1.5", "1e3", ".inf", "null", "", "~", "text"):
            self.assertEqual(meaning_in_yaml_1_2(word, plain_value(word)), "", word)
