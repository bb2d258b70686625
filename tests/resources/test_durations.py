"""Durations in Go's syntax."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.durations import format_age, format_duration, parse_duration


class ParseDurationTests(SynchronousTestCase):
    """From text to seconds."""

    def test_it_reads_what_go_reads(self) -> None:
        """Every unit, fractions, signs, several parts and the bare zero."""
        wanted = {
            "1h30m": 5400.0,
            "1.5s": 1.5,
            "500ms": 0.5,
            "250us": 0.00025,
            "250\u00b5s": 0.00025,
            "250\u03bcs": 0.00025,
            "7ns": 7e-9,
            "0": 0.0,
            "-0": 0.0,
            "+1m": 60.0,
            "-2m": -120.0,
            ".5s": 0.5,
            "5.s": 5.0,
            "1h2m3s4ms": 3723.004,
            "2562047h": 9223369200.0,
        }
        self.assertEqual({text: parse_duration(text) for text in wanted}, wanted)

    def test_it_refuses_what_go_refuses_and_says_what_to_write(self) -> None:
        """Each wrong form has a message of its own, with what to write instead."""
        wanted = {
            "": "write a number with a unit",
            "-": "write a number with a unit",
            "10": 'write "10s"',
            "1m30": 'write "1m30s"',
            "1d": 'write "24h"',
            "1S": "write '1s'",
            "3e2s": "'e' is not a unit",
            "abc": '"1h30m"',
            ".s": '"1h30m"',
            " 1s": '"1h30m"',
            "1 s": "' s' is not a unit",
            "3000000h": "292 years",
        }
        for text, part in wanted.items():
            with self.subTest(text=text), self.assertRaisesRegex(ValueError, part):
                parse_duration(text)

    @settings(deadline=None, max_examples=200)
    @given(st.text(alphabet="0123456789.+-hmsunµd ", max_size=12) | st.text(max_size=12))
    def test_any_text_is_a_number_or_a_value_error(self, text: str) -> None:
        """No text raises anything else."""
        try:
            self.assertIsInstance(parse_duration(text), float)
        except ValueError as error:
            self.assertNotIn("invalid literal", str(error))


class FormatDurationTests(SynchronousTestCase):
    """From seconds to text."""

    def test_it_writes_as_go_does(self) -> None:
        """Go's own forms: the minutes and seconds after hours, the largest unit below a second."""
        wanted = {
            0.0: "0s",
            5400.0: "1h30m0s",
            90.0: "1m30s",
            1.5: "1.5s",
            0.5: "500ms",
            0.00025: "250us",
            7e-9: "7ns",
            -120.0: "-2m0s",
            3723.004: "1h2m3.004s",
        }
        self.assertEqual({seconds: format_duration(seconds) for seconds in wanted}, wanted)

    @settings(deadline=None, max_examples=200)
    @given(st.integers(min_value=-(10**15), max_value=10**15))
    def test_what_it_writes_reads_back(self, nanoseconds: int) -> None:
        """Text and seconds are the same duration, to the nanosecond."""
        seconds = nanoseconds / 1e9
        self.assertEqual(round(parse_duration(format_duration(seconds)) * 1e9), nanoseconds)


class AgeTests(SynchronousTestCase):
    """Ages as kubectl writes them."""

    def test_ages(self) -> None:
        """Small units disappear as the age grows."""
        minute, hour, day = 60, 3600, 86400
        for seconds, text in (
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (2 * minute + 5, "2m5s"),
            (10 * minute + 5, "10m"),
            (2 * hour + 59 * minute, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 5 * minute, "3h5m"),
            (9 * hour + 5 * minute, "9h"),
            (47 * hour, "47h"),
            (2 * day, "2d"),
            (2 * day + hour, "2d1h"),
            (8 * day + hour, "8d"),
            (729 * day, "729d"),
            (731 * day, "2y1d"),
            (9 * 365 * day, "9y"),
        ):
            self.assertEqual(format_age(seconds), text)
