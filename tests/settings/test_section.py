"""Tests of :mod:`meshgate.settings.section`."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.durations import format_duration
from meshgate.settings.section import (
    one_of,
    read_permissions,
    read_seconds,
    read_server,
    read_size,
    read_source,
    read_workers,
)

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.text()),
)
"""Every kind of value that YAML can hold."""

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
PORTS = st.integers(1, 65535)


class ValuesTestCase(SynchronousTestCase):
    """What the tests of all readers share."""

    def assert_refused(self, read: Callable[[object], object], *values: object) -> None:
        """Each of the values is refused with a message of our own."""
        for value in values:
            error = self.assertRaises(PydanticCustomError, read, value)
            self.assertTrue(error.context["message"])

    def assert_total(self, read: Callable[[object], object], value: object) -> None:
        """A value is read, or refused; nothing else is ever raised."""
        try:
            read(value)
        except PydanticCustomError as error:
            self.assertTrue(error.context and error.context["message"])


class PermissionsTests(ValuesTestCase):
    """:func:`read_permissions`."""

    def test_in_quotes_alone(self) -> None:
        """Three octal digits as text, behind a 0 or not; a number may have been meant otherwise."""
        self.assertEqual([read_permissions(value) for value in ("0660", "600", "0777")], [0o660, 0o600, 0o777])
        self.assert_refused(read_permissions, 660, 432, 0o660, "66", "00660", "0668", "rw-rw----", "", None, [])


class SecondsTests(ValuesTestCase):
    """:func:`read_seconds`."""

    def test_durations(self) -> None:
        """Go's syntax, and a 0 with a unit or without."""
        values: list[object] = ["15s", "1h30m", "250ms", "1.5s", "0", "0s", 0]
        self.assertEqual([read_seconds(value) for value in values], [15, 5400, 0.25, 1.5, 0, 0, 0])

    def test_what_is_no_duration(self) -> None:
        """Numbers without a unit, negative ones, and what YAML makes of other words."""
        self.assert_refused(read_seconds, 15, 1.5, 0.0, "15", "-1s", "1d", "", "soon", True, False, None, [], {})

    @given(st.integers(0, 10**15))
    @settings(deadline=None, max_examples=200)
    def test_what_is_printed_is_read_back(self, microseconds: int) -> None:
        """A duration as the program prints it is the same duration."""
        self.assertAlmostEqual(read_seconds(format_duration(microseconds / 1e6)), microseconds / 1e6, places=5)

    @given(ANYTHING)
    @settings(deadline=None, max_examples=200)
    def test_never_negative(self, value: object) -> None:
        """Whatever is read is a number of seconds from 0 on."""
        self.assert_total(lambda v: self.assertGreaterEqual(read_seconds(v), 0), value)


class SizeTests(ValuesTestCase):
    """:func:`read_size`."""

    @given(st.integers(0, 10**9 - 1), st.sampled_from(["", " "]), st.sampled_from([("KiB", 1024), ("MiB", 1024**2)]))
    @settings(deadline=None, max_examples=200)
    def test_units(self, number: int, space: str, unit: tuple[str, int]) -> None:
        """A number with a unit is that many of it, with a space between them or without."""
        self.assertEqual(read_size(f"{number}{space}{unit[0]}"), number * unit[1])

    @given(st.integers())
    @settings(deadline=None, max_examples=200)
    def test_bytes(self, number: int) -> None:
        """A bare number is bytes; the range is the model's business."""
        self.assertEqual(read_size(number), number)

    def test_what_is_no_size(self) -> None:
        """Units of other kinds, fractions, signs and digits of other scripts are refused rather than guessed."""
        self.assert_refused(
            read_size,
            "16KB",
            "16kib",
            "16K",
            "1.5KiB",
            "-1KiB",
            "16",
            "KiB",
            "",
            "\uff11KiB",
            "1  KiB",
            1.5,
            True,
            None,
            [],
        )

    @given(ANYTHING)
    @settings(deadline=None, max_examples=200)
    def test_always_a_whole_number(self, value: object) -> None:
        """Whatever is read is a whole number."""
        self.assert_total(lambda v: self.assertIs(type(read_size(v)), int), value)


class SourceTests(ValuesTestCase):
    """:func:`read_source`."""

    def test_addresses_that_can_be_dialed_from(self) -> None:
        """Both families, in their usual form; one that holds an IPv4 address is that."""
        addresses = ["192.0.2.1", "2001:0db8::0001", "::1", "::ffff:192.0.2.1"]
        self.assertEqual([read_source(one) for one in addresses], ["192.0.2.1", "2001:db8::1", "::1", "192.0.2.1"])

    def test_what_nobody_dials_from(self) -> None:
        """Names, no address in particular, groups, and addresses that need a zone."""
        read: Any = read_source
        self.assert_refused(read, "localhost", "", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1")


class ServerTests(ValuesTestCase):
    """:func:`read_server`."""

    @given(ADDRESSES)
    @settings(deadline=None, max_examples=200)
    def test_an_address_alone(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
        """Any address is a name server on port 53, IPv6 in its long form, too."""
        self.assertEqual(read_server(str(address)), (str(address), 53))
        self.assertEqual(read_server(address.exploded), (str(address), 53))

    @given(ADDRESSES, PORTS)
    @settings(deadline=None, max_examples=200)
    def test_an_address_and_a_port(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
        """An IPv6 address stands in brackets before its port, an IPv4 address does not."""
        host = f"[{address}]" if address.version == 6 else str(address)
        self.assertEqual(read_server(f"{host}:{port}"), (str(address), port))

    def test_brackets_without_a_port(self) -> None:
        """Brackets do not ask for a port."""
        self.assertEqual(read_server("[::1]"), ("::1", 53))

    def test_what_is_no_name_server(self) -> None:
        """Names, ports out of range, and half an address."""
        self.assert_refused(
            read_server,
            *("localhost", "ns.example.com:53", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:dns"),
            *("192.0.2", "[192.0.2.1]:53", "[::1", "::1]", "[::1]53", "[::1]:", "[]:53", ":53", "", " 192.0.2.1"),
            *(53, None, True, ["192.0.2.1"], {}),
        )

    @given(ANYTHING | st.text("0123456789abcdef:.[]%", max_size=30))
    @settings(deadline=None, max_examples=300)
    def test_always_an_address(self, value: object) -> None:
        """Whatever is read can be asked: an IP address and a port."""

        def read(value: object) -> None:
            address, port = read_server(value)
            ipaddress.ip_address(address)
            self.assertTrue(1 <= port <= 65535)

        self.assert_total(read, value)


class OneOfTests(ValuesTestCase):
    """:func:`one_of`."""

    def test_the_words_pass(self) -> None:
        """A word is taken as it is."""
        self.assertEqual([one_of("a", "b")(word) for word in "ab"], ["a", "b"])

    @given(ANYTHING)
    @settings(deadline=None, max_examples=200)
    def test_nothing_else_passes(self, value: object) -> None:
        """No value but the word itself passes, not even one that equals it in another case."""
        self.assert_refused(one_of("word"), "Word", "words", value if value != "word" else None)


class WorkersTests(ValuesTestCase):
    """:func:`read_workers`."""

    def test_numbers_and_auto(self) -> None:
        """Both are taken as they stand."""
        self.assertEqual([read_workers(value) for value in (1, 64, "auto")], [1, 64, "auto"])

    def test_what_is_no_number_of_workers(self) -> None:
        """Too few, too many, and what is no number."""
        self.assert_refused(read_workers, 0, -1, 65, True, 2.0, "2", "Auto", "", None, [], {})

    @given(ANYTHING)
    def test_any_value(self, value: object) -> None:
        """Whatever stands there is read or refused."""
        self.assert_total(read_workers, value)
