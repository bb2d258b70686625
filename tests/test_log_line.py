"""Tests of meshgate.proxy.log_line: what a line says, whatever strangers have sent."""

from __future__ import annotations

import json
import re
import select
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.log_line import MAX_ALPN, MAX_ALPN_LENGTH, format_json, format_text, lost_json, lost_text
from meshgate.proxy.record import ConnectionRecord

KEYS = [
    *("time", "id", "listener", "client", "sni", "alpn", "gateway", "virtual_service", "destination", "endpoint"),
    *("bytes_in", "bytes_out", "duration", "first_byte", "dial", "ending"),
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
    first_byte=0.0101,
    duration=1.5,
    ending=Ending.OK,
)
BARE = ConnectionRecord(1, 0.0, 0.0, "0.0.0.0:31400", ("2001:db8::1", 40001))

anything = st.text(st.characters(), max_size=40)
"""Any text, half surrogate pairs among it."""
offers = st.lists(st.text(st.characters(), max_size=MAX_ALPN_LENGTH // MAX_ALPN), max_size=MAX_ALPN).map(tuple)
"""What a client may offer and what is logged whole."""


def complete(**changes: Any) -> ConnectionRecord:
    """A record of which nothing is missing."""
    return ConnectionRecord(**{**FACTS, **changes})


def parse_text(line: str) -> dict[str, str]:
    """A line of text as a reader takes it apart: at spaces, then at the first equals sign."""
    return dict(pair.split("=", 1) for pair in line.split(" "))


def unescape(value: str) -> str:
    """What stood in a value before it was escaped."""
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
            " duration=1.500000 first_byte=0.010100 dial=0.001230 ending=ok",
        )

    def test_what_never_was_is_a_dash(self) -> None:
        """A connection that ended before anything happened has the same keys, and an address in brackets."""
        values = parse_text(format_text(BARE))
        self.assertEqual(list(values), KEYS)
        self.assertEqual([key for key, value in values.items() if value == "-"], KEYS[4:10] + KEYS[13:])
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
        """What users have written cannot break the line either."""
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
            "ending": "ok",
        }
        self.assertEqual(values, wanted)

    def test_what_never_was_is_null(self) -> None:
        """A connection that ended before anything happened has the same keys."""
        values = json.loads(format_json(BARE))
        self.assertEqual(list(values), KEYS)
        self.assertEqual([key for key, value in values.items() if value is None], KEYS[4:10] + KEYS[13:])
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
    """What holds for text and JSON alike."""

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
