"""Tests of :mod:`meshgate.proxy.log_template`: lines by a template, and entries of the journal."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.log_line import format_text
from meshgate.proxy.log_template import VALUES, Template, TemplateError, journal_entry
from tests.log_receivers import parse_entry
from tests.proxy.test_log_line import BARE, KEYS, anything, complete, offers, parse_text, unescape

literals = st.text("".join(map(chr, range(32, 127))), max_size=8)
"""Text between the fields of a template."""


def braces(literal: str) -> str:
    """The same text as a template writes it."""
    return literal.replace("{", "{{").replace("}", "}}")


class TemplateTests(SynchronousTestCase):
    """Lines."""

    def test_a_line(self) -> None:
        """Fields stand in their places; braces are doubled, and percent signs are nothing special."""
        template = Template("{time} {client} -> {endpoint} {ending} 100%s {{x}}")
        self.assertEqual(
            template.line(complete()),
            "2023-11-14T22:13:20.124Z 192.0.2.17:40001 -> 127.0.0.1:8081 ok 100%s {x}",
        )

    def test_every_field_is_as_in_text(self) -> None:
        """Each of the fields of the other formats is there, under its name, in the form of the text."""
        self.assertEqual(list(VALUES), KEYS)
        template = Template(" ".join(f"{name}={{{name}}}" for name in VALUES))
        for record in (complete(), complete(ending=None), complete(sni="-", alpn=()), BARE):
            self.assertEqual(template.line(record), format_text(record))

    @settings(deadline=None, max_examples=300)
    @given(anything, offers)
    @example("a ending=ok", ("b\n",))
    @example('" -> ', ("\x1b[2J",))
    def test_no_client_can_forge_a_line(self, sni: str, alpn: tuple[str, ...]) -> None:
        """Whatever a client sends, a line by a template with spaces has as many words, and reads back."""
        line = Template("{client} {sni} {alpn} {ending}").line(complete(sni=sni, alpn=alpn))
        self.assertRegex(line, r"\A[!-~]+( [!-~]+){3}\Z")
        _, name, _, ending = line.split(" ")
        self.assertEqual((unescape(name), ending), (sni or "-", "ok"))

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.tuples(literals, st.sampled_from(KEYS)), min_size=1, max_size=6), literals, anything)
    def test_any_template_makes_one_line(self, parts: list[tuple[str, str]], last: str, value: str) -> None:
        """Whatever a template has between its fields stands there as it is, and the line is one."""
        template = Template("".join(f"{braces(before)}{{{name}}}" for before, name in parts) + braces(last))
        record = complete(sni=value, gateway=value, destination=value, endpoint=value, dial_error=value)
        texts = parse_text(format_text(complete())) if not value else {}
        line = template.line(record)
        self.assertRegex(line, r"\A[ -~]+\Z")
        values = {name: VALUES[name](record) for name in KEYS}
        self.assertEqual(line, "".join(before + values[name] for before, name in parts) + last)
        self.assertLessEqual(texts.keys(), set(KEYS))

    def test_what_is_no_template(self) -> None:
        """Each mistake is named, with what to write."""
        cases: dict[str, tuple[str, str]] = {
            "{clint}": ('unknown field "clint"', "did you mean client?"),
            "{}": ('unknown field ""', "one of time, id"),
            "{time.x}": ('unknown field "time.x"', ""),
            "{id:5}": ("the field id of the template has a format", "write {id}"),
            "{id!r}": ("the field id of the template has a format", "write {id}"),
            "{id": ("a brace without its other half", "write {{ and }}"),
            "id": ("the template has no field", "write {time}"),
            "": ("the template has no field", ""),
            "{id}\n": ("beyond printable ASCII", "one line"),
            "{id} ü": ("beyond printable ASCII", ""),
        }
        for text, (message, hint) in cases.items():
            with self.assertRaisesRegex(TemplateError, re.escape(message)) as caught:
                Template(text)
            self.assertIn(hint, caught.exception.hint)


class EntryTests(SynchronousTestCase):
    """Entries of the journal."""

    def test_the_fields(self) -> None:
        """The line is the message; what the connection has is a field, and what it lacks is none."""
        entry = parse_entry(journal_entry(Template("{client} {ending}").line)(complete(dial_error="")).encode())
        self.assertEqual(entry["MESSAGE"], "192.0.2.17:40001 ok")
        self.assertEqual((entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]), ("6", "meshgate-access"))
        self.assertEqual(entry["MESHGATE_DESTINATION"], "a.default.svc.cluster.local:80")
        self.assertNotIn("MESHGATE_DIAL_ERROR", entry)

    @settings(deadline=None, max_examples=200)
    @given(anything, st.sampled_from(list(Ending)))
    def test_no_client_can_forge_a_field(self, name: str, ending: Ending) -> None:
        """Whatever anything is called, an entry has the same fields, and no empty line within."""
        record: Any = complete(sni=name, gateway=name, destination=name, ending=ending)
        text = journal_entry(format_text)(record)
        self.assertNotIn("\n\n", text)
        fields = parse_entry(text.encode())
        self.assertEqual(unescape(fields.get("MESHGATE_SNI", "-")), name or "-")
        self.assertEqual(fields["MESHGATE_ENDING"], ending.value)
        self.assertLessEqual(
            fields.keys() - {f"MESHGATE_{key.upper()}" for key in KEYS},
            {
                "MESSAGE",
                "PRIORITY",
                "SYSLOG_IDENTIFIER",
            },
        )
