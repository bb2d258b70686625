"""Tests of meshgate.proxy.log_line: what a line says, whatever strangers have sent."""

from __future__ import annotations

import json
import math
import re
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy import log_line
from meshgate.proxy.endings import Ending
from meshgate.proxy.log_line import MAX_ALPN, MAX_ALPN_LENGTH, format_json, format_text, lost_json, lost_text
from meshgate.proxy.record import ConnectionRecord

KEYS = [
    *("time", "id", "listener", "client", "sni", "alpn", "gateway", "virtual_service", "destination", "endpoint"),
    *("bytes_in", "bytes_out", "duration", "first_byte", "dial", "dial_error", "ending"),
]

FACTS: dict[str, Any] = dict(  # noqa: C408 - as the record is made
    id=17,
    started=1_700_000_000.1235,
    accepted=5.0,
    listener="0.0.0.0:31443",
    client=("192.0.2.17", 40001),
    sni="a.example",
    alpn=("h2", "http/1.1"),
    gateway="istio-system/front",
    virtual_service="default/a",
    destination="a.default.svc.cluster.local:80",
    endpoint="127.0.0.1:8081",
    bytes_in=517,
    bytes_out=3120,
    dial=0.00123,
    dial_error="ECONNREFUSED,ETIMEDOUT",
    first_byte=0.0101,
    duration=1.5,
    ending=Ending.OK,
)
BARE = ConnectionRecord(1, 0.0, 0.0, "0.0.0.0:31400", ("2001:db8::1", 40001))

anything = st.text(st.characters(), max_size=40)
"""Any text, half surrogate pairs among it."""
offers = st.lists(st.text(st.characters(), max_size=MAX_ALPN_LENGTH // MAX_ALPN), max_size=MAX_ALPN).map(tuple)
"""Offers of a client that are logged as a whole."""


def complete(**changes: Any) -> ConnectionRecord:
    """A record of which nothing is missing."""
    facts = {**FACTS, **changes}
    record = ConnectionRecord(*(facts.pop(name) for name in ("id", "started", "accepted", "listener", "client")))
    for name, value in facts.items():
        setattr(record, name, value)
    return record


def parse_text(line: str) -> dict[str, str]:
    """A line of text as a reader takes it apart: at spaces, then at the first equals sign."""
    return dict(pair.split("=", 1) for pair in line.split(" "))


def unescape(value: str) -> str:
    """Return a value as it was before it was escaped."""
    escapes = r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})"
    return re.sub(escapes, lambda match: chr(int(next(filter(None, match.groups())), 16)), value)


class TextTests(SynchronousTestCase):
    """Lines of text."""

    def test_a_complete_record(self) -> None:
        """Every fact stands in its place, times with milliseconds and durations with microseconds."""
        self.assertEqual(
            format_text(complete()),
            "time=2023-11-14T22:13:20.124Z id=17 listener=0.0.0.0:31443 client=192.0.2.17:40001 sni=a.example"
            " alpn=h2,http/1.1 gateway=istio-system/front virtual_service=default/a"
            " destination=a.default.svc.cluster.local:80 endpoint=127.0.0.1:8081 bytes_in=517 bytes_out=3120"
            " duration=1.500000 first_byte=0.010100 dial=0.001230"
            " dial_error=ECONNREFUSED,ETIMEDOUT ending=ok",
        )

    def test_what_never_was_is_a_dash(self) -> None:
        """A connection that ended before anything happened has the same keys, and an address in brackets."""
        values = parse_text(format_text(BARE))
        self.assertEqual(list(values), KEYS)
        self.assertEqual([key for key, value in values.items() if value == "-"], KEYS[4:10] + KEYS[13:16])
        self.assertEqual(values["client"], "[2001:db8::1]:40001")

    def test_our_own_values_may_hold_spaces(self) -> None:
        """A destination with a subset stands in double quotes."""
        line = format_text(complete(destination="a.example:80 (subset v1)"))
        self.assertIn(' destination="a.example:80 (subset v1)" endpoint=', line)

    def test_a_server_name_cannot_look_like_a_pair(self) -> None:
        """Spaces and equals signs of strangers are escaped: a search for an ending finds true ones only."""
        line = format_text(complete(sni="x ending=no_route", alpn=("a,b", "ending=idle")))
        self.assertIn(r" sni=x\x20ending\x3dno_route alpn=a\x2cb,ending\x3didle gateway=", line)
        self.assertEqual(line.count("ending="), 1)

    def test_a_server_name_cannot_look_absent(self) -> None:
        """A client that asks for the name "-" is told apart from one that asks for none."""
        self.assertEqual(parse_text(format_text(complete(sni="-")))["sni"], r"\x2d")

    @settings(deadline=None, max_examples=300)
    @given(anything, offers)
    @example("a\nid=1", ("\x1b[2J",))
    @example("\x7f\x85\u2028\ud800", ("\U0001f600",))
    def test_any_name_stays_one_value(self, sni: str, alpn: tuple[str, ...]) -> None:
        """Whatever a client sends, there is one line of printable ASCII with the same keys, and it reads back."""
        line = format_text(complete(sni=sni, alpn=alpn))
        self.assertRegex(line, r"\A[ -~]+\Z")
        values = parse_text(line)
        self.assertEqual(list(values), KEYS)
        self.assertEqual(unescape(values["sni"]), sni or "-")
        if all(alpn):
            self.assertEqual(tuple(map(unescape, values["alpn"].split(","))), alpn or ("-",))

    @settings(deadline=None, max_examples=100)
    @given(anything)
    def test_any_route_stays_one_line(self, name: str) -> None:
        """Names that users choose cannot break the line either."""
        record = complete(gateway=name, virtual_service=name, destination=name, endpoint=name)
        self.assertRegex(format_text(record), r"\A[ -~]+\Z")


class JsonTests(SynchronousTestCase):
    """Lines of JSON."""

    def test_a_complete_record(self) -> None:
        """The keys, in order, with numbers as numbers and the protocols as a list."""
        values = json.loads(format_json(complete()))
        self.assertEqual(list(values), KEYS)
        wanted = {
            "time": "2023-11-14T22:13:20.124Z",
            "id": 17,
            "listener": "0.0.0.0:31443",
            "client": "192.0.2.17:40001",
            "sni": "a.example",
            "alpn": ["h2", "http/1.1"],
            "gateway": "istio-system/front",
            "virtual_service": "default/a",
            "destination": "a.default.svc.cluster.local:80",
            "endpoint": "127.0.0.1:8081",
            "bytes_in": 517,
            "bytes_out": 3120,
            "duration": 1.5,
            "first_byte": 0.0101,
            "dial": 0.00123,
            "dial_error": "ECONNREFUSED,ETIMEDOUT",
            "ending": "ok",
        }
        self.assertEqual(values, wanted)

    def test_what_never_was_is_null(self) -> None:
        """A connection that ended before anything happened has the same keys."""
        values = json.loads(format_json(BARE))
        self.assertEqual(list(values), KEYS)
        self.assertEqual([key for key, value in values.items() if value is None], KEYS[4:10] + KEYS[13:16])
        self.assertEqual(values["client"], "[2001:db8::1]:40001")

    @settings(deadline=None, max_examples=300)
    @given(anything, offers, anything)
    @example('"}\n{"', ("\x1b[2J\x7f",), "\u2028\ud800")
    def test_any_name_reads_back(self, sni: str, alpn: tuple[str, ...], name: str) -> None:
        """Whatever strangers send and users write, there is one line of printable ASCII that reads back."""
        record = complete(sni=sni, alpn=alpn, gateway=name, destination=name)
        line = format_json(record)
        self.assertRegex(line, r"\A[ -~]+\Z")
        values = json.loads(line)
        self.assertEqual(list(values), KEYS)
        self.assertEqual((values["sni"] or "", tuple(values["alpn"] or ())), (sni, alpn))
        self.assertEqual((values["gateway"] or "", values["destination"] or ""), (name, name))


class BothTests(SynchronousTestCase):
    """Rules for text and JSON alike."""

    def test_every_ending_is_its_word(self) -> None:
        """The log uses the words of the closed vocabulary."""
        for ending in Ending:
            record = complete(ending=ending)
            self.assertEqual(parse_text(format_text(record))["ending"], ending.value)
            self.assertEqual(json.loads(format_json(record))["ending"], ending.value)

    def test_a_long_offer_is_cut(self) -> None:
        """A hello full of protocols does not become a line of many kilobytes."""
        record = complete(alpn=tuple(f"p{n}" for n in range(8000)))
        wanted = [f"p{n}" for n in range(MAX_ALPN)]
        self.assertEqual(parse_text(format_text(record))["alpn"].split(","), wanted)
        self.assertEqual(json.loads(format_json(record))["alpn"], wanted)

    def test_no_client_makes_a_line_that_a_pipe_would_cut(self) -> None:
        """Whatever a client sends, the line is short enough to be written to a shared pipe in one go."""
        offered = tuple(chr(n) * 60 for n in range(1, 32))
        record = complete(sni="\x7f" * 255, alpn=offered)
        for line in (format_text(record), format_json(record)):
            self.assertLess(len(line), select.PIPE_BUF)
        self.assertEqual(json.loads(format_json(record))["alpn"], list(offered[:2]))

    def test_milliseconds_carry_over(self) -> None:
        """A time just before a full second is not shown with a thousand milliseconds."""
        self.assertIn("T22:13:21.000Z", format_text(complete(started=1_700_000_000.9999)))

    def test_lost_lines_are_owned_up_to(self) -> None:
        """The line that stands for lost ones says how many, and is JSON among JSON."""
        self.assertEqual(lost_text(3, 0.0), "time=1970-01-01T00:00:00.000Z 3 lines lost")
        self.assertEqual(json.loads(lost_json(3, 0.0)), {"time": "1970-01-01T00:00:00.000Z", "lines_lost": 3})


FORMATS = (("_text_line", format_text), ("_json_line", format_json))
"""For each format, the name of its C form and the function that uses it."""


class LineInCTests(SynchronousTestCase):
    """The C twin writes the usual line, and every line is the one that Python writes."""

    skip = None if log_line._text_line is not None else "only where it is compiled: make test-compiled"

    PLAIN = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60)
    OWN = st.one_of(PLAIN, anything, st.sampled_from(["", "-", "a b", 'a"b', "a\\b", "\x7f", "a" * 1500, "a" * 5000]))
    NAME = st.one_of(st.none(), st.from_regex(r"[A-Za-z0-9._:/*+-]{0,20}", fullmatch=True), OWN)
    ALPN = st.one_of(
        st.lists(st.sampled_from(["h2", "http/1.1", "-", "", "a,b", "\xe9", "x" * 60, "y" * 129]), max_size=18),
        st.lists(PLAIN, max_size=4),
    ).map(tuple)
    HOST = st.one_of(
        st.ip_addresses().map(str),
        st.sampled_from(["", "fe80::1%eth0", "fe80::1%a b", 'fe80::1%"', "::1%\xe9", "::ffff:192.0.2.1"]),
    )
    COUNT = st.integers(0, 2**63 - 1) | st.integers(0, 1000)
    #: Between two microseconds, or as near to that as it gets.
    HALF = st.tuples(st.integers(0, 10**12), st.sampled_from([-math.inf, 0.0, math.inf])).map(
        lambda half: math.nextafter((half[0] + 0.5) / 1e6, half[1]) if half[1] else (half[0] + 0.5) / 1e6
    )
    SECONDS = st.one_of(
        st.floats(0.0, 100.0),
        st.floats(0.0, 1e300),
        HALF,
        st.floats(-10.0, -1e-300),
        st.sampled_from([0.0, 5e-7, 1.0000005, 2.5e-6, 0.9999995, 59.9999999, 9999999.9999995, 1e7, 1e15]),
    )
    STARTED = st.one_of(
        st.floats(0.0, 4e9),
        st.integers(0, 4 * 10**12).map(lambda half: (half + 0.5) / 1000),
        st.sampled_from([0.0, 1_700_000_000.9995, 1_700_000_000.9994999, 951_782_400.0, 253_402_300_799.9]),
    )

    def is_in_c(self, record: ConnectionRecord) -> tuple[bool, bool]:
        """Check that both lines of a record are Python's; tell for text and for JSON whether C has written the line."""
        in_c: list[bool] = []
        for name, format_line in FORMATS:
            results: list[str | None] = []
            form = getattr(log_line, name)

            def note(*values: Any, form: Any = form, results: list[str | None] = results) -> str | None:
                results.append(form(*values))
                return results[-1]

            with self.form_of(name, note):
                line = format_line(record)
            with self.form_of(name, None):
                self.assertEqual(line, format_line(record))
            in_c.append(results == [line])
        self.assertEqual(json.loads(format_json(record))["id"], record.id)
        return in_c[0], in_c[1]

    @contextmanager
    def form_of(self, name: str, form: Callable[..., str | None] | None) -> Iterator[None]:
        """Have the module in Python use another form in C, or none."""
        before = getattr(log_line, name)
        setattr(log_line, name, form)
        try:
            yield
        finally:
            setattr(log_line, name, before)

    def test_the_usual_record(self) -> None:
        """C writes the lines of usual records: of both address families, and with absent values."""
        for record in (
            complete(),
            BARE,
            complete(client=("2001:db8::1", 1), sni=None, alpn=(), dial=None, first_byte=None),
            complete(client=("fe80::1%eth0", 1), gateway="", virtual_service="", destination="", endpoint=""),
            complete(alpn=("h2",) * MAX_ALPN, bytes_in=2**40, bytes_out=2**62, duration=86400.25),
            *(complete(ending=ending) for ending in Ending),
        ):
            self.assertEqual(self.is_in_c(record), (True, True))

    def test_an_unusual_value_is_left_to_python(self) -> None:
        """C leaves a line to Python in which something has to be escaped, cut, or rounded with care."""
        for changes in (
            {"sni": "\xe9"},
            {"sni": 'a"'},
            {"sni": "a\\"},
            {"sni": "\x7f"},
            {"alpn": ("h2", "\x00")},
            {"alpn": ("h2",) * (MAX_ALPN + 1)},
            {"alpn": ("x" * MAX_ALPN_LENGTH, "y")},
            {"endpoint": "a" * 5000},
            {"gateway": "\u2028"},
            {"client": ("fe80::1%\n", 1)},
            {"duration": 1.0000005},
            {"duration": -1.0},
        ):
            self.assertEqual(self.is_in_c(complete(**changes)), (False, False), changes)

    def test_text_escapes_more_than_json(self) -> None:
        """C writes the JSON line even where the text would need an escape."""
        for changes in (
            {"sni": "-"},
            {"sni": "a b"},
            {"alpn": ("h2", "a,b")},
            {"alpn": ("-",)},
            {"destination": "a:80 (subset v1)"},
            {"client": ("fe80::1%a b", 1)},
        ):
            self.assertEqual(self.is_in_c(complete(**changes)), (False, True), changes)

    @settings(deadline=None, max_examples=1000)
    @given(
        st.tuples(OWN, OWN, OWN, OWN, OWN), HOST, st.integers(0, 65535), NAME, ALPN, st.sampled_from([None, *Ending])
    )
    def test_any_words(
        self,
        own: tuple[str, ...],
        host: str,
        port: int,
        sni: str | None,
        alpn: tuple[str, ...],
        ending: Ending | None,
    ) -> None:
        """Whatever strangers and users have written, the line is the same."""
        names = ("listener", "gateway", "virtual_service", "destination", "endpoint")
        usual = complete(client=(host, port), sni=sni, alpn=alpn, ending=ending)
        self.is_in_c(usual)
        for name, value in zip(names, own, strict=True):
            self.is_in_c(complete(**{name: value}))
            setattr(usual, name, value)
        self.is_in_c(usual)

    @settings(deadline=None, max_examples=2000)
    @given(STARTED, st.tuples(COUNT, COUNT, COUNT), SECONDS, st.none() | SECONDS, st.none() | SECONDS)
    def test_any_numbers(
        self,
        started: float,
        counts: tuple[int, int, int],
        duration: float,
        first_byte: float | None,
        dial: float | None,
    ) -> None:
        """Whatever was counted and measured, each digit is the same."""
        number, taken, given_back = counts
        usual = complete(started=started, id=number, bytes_in=taken, bytes_out=given_back)
        self.is_in_c(usual)
        for seconds in (duration, first_byte, dial):
            self.is_in_c(complete(first_byte=seconds))
        usual.duration, usual.first_byte, usual.dial = duration, first_byte, dial
        self.is_in_c(usual)

    def test_the_second_is_not_kept_too_long(self) -> None:
        """Lines of other seconds, later or earlier, have their own time."""
        for started in (5.0, 5.9994, 5.9996, 6.0, 5.0, 86400.0, 0.0, 0.0004):
            self.assertEqual(self.is_in_c(complete(started=started)), (True, True))

    def test_a_wrong_number_of_values(self) -> None:
        """A line has as many values as it has keys."""
        for name, _ in FORMATS:
            form = getattr(log_line, name)
            self.assertRaises(TypeError, form)
            self.assertRaises(TypeError, form, *range(len(KEYS) + 1))
