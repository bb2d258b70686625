"""
Access log lines by a template of the user's, and as entries of systemd's journal.

The problem: whoever reads lines in a form of their own must be able to trust them, whatever clients call themselves.

The approach: a template is text with named fields in braces. It is taken apart once, into a format string and one
function for each field; a value has the form that it has in lines of text (:mod:`meshgate.proxy.log_line`), in which no
client can write a space, a quote or a brace.

The invariant: a record makes one line of printable ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Final

from meshgate.processes.journal import PRIORITIES
from meshgate.proxy.log_line import (
    alpn_text,
    client_text,
    client_value,
    ending_word,
    lost_text,
    seconds_text,
    text_value,
    timestamp,
)
from meshgate.proxy.record import ConnectionRecord
from meshgate.resources.wording import quoted, spelling_hint

Value = Callable[[ConnectionRecord], str]

VALUES: Final[Mapping[str, Value]] = {
    "time": lambda record: timestamp(record.started),
    "id": lambda record: str(record.id),
    "listener": lambda record: text_value(record.listener),
    "client": lambda record: client_text(record.client),
    "sni": lambda record: client_value(record.sni),
    "alpn": lambda record: alpn_text(record.alpn),
    "gateway": lambda record: text_value(record.gateway),
    "virtual_service": lambda record: text_value(record.virtual_service),
    "destination": lambda record: text_value(record.destination),
    "endpoint": lambda record: text_value(record.endpoint),
    "bytes_in": lambda record: str(record.bytes_in),
    "bytes_out": lambda record: str(record.bytes_out),
    "duration": lambda record: seconds_text(record.duration),
    "first_byte": lambda record: seconds_text(record.first_byte),
    "dial": lambda record: seconds_text(record.dial),
    "dial_error": lambda record: text_value(record.dial_error),
    "ending": lambda record: ending_word(record.ending),
}
"""The fields and their texts, in the order of the other formats."""

IDENTIFIER: Final = "meshgate-access"
"""The name of the access log in the journal."""


class TemplateError(ValueError):
    """
    A template cannot be used. The message is a sentence without a full stop.

    :ivar hint: what to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Template:
    """
    A template.

    :param text: printable ASCII with fields in braces, as ``{time} {client} -> {endpoint}``; two braces are one.
    :raises TemplateError: if it has no field, one that does not exist, or other characters.
    """

    def __init__(self, text: str) -> None:
        if re.search("[^ -~]", text):
            raise TemplateError("the template has a character beyond printable ASCII", "write one line without tabs")
        parts: list[str] = []
        values: list[Value] = []
        try:
            pieces = list(Formatter().parse(text))
        except ValueError:
            raise TemplateError(
                "the template has a brace without its other half", "write {{ and }} for braces"
            ) from None
        for before, name, form, conversion in pieces:
            parts.append(before.replace("%", "%%"))
            if name is None:
                continue
            if name not in VALUES:
                raise TemplateError(f"the template has an unknown field {quoted(name)}", spelling_hint(name, VALUES))
            if form or conversion:
                raise TemplateError(f"the field {name} of the template has a format", f"write {{{name}}}")
            parts.append("%s")
            values.append(VALUES[name])
        if not values:
            raise TemplateError("the template has no field", f"write {{time}}, or another one of {', '.join(VALUES)}")
        self._format = "".join(parts)
        self._values = tuple(values)

    def line(self, record: ConnectionRecord) -> str:
        """Format a record; one line without its end."""
        return self._format % tuple([value(record) for value in self._values])


def journal_entry(line: Callable[[ConnectionRecord], str]) -> Callable[[ConnectionRecord], str]:
    """
    Make entries of the journal, as :class:`meshgate.proxy.log_outputs.JournalOutput` takes them.

    :param line: makes the message.
    """
    names = [(f"MESHGATE_{name.upper()}", value) for name, value in VALUES.items()]

    def entry(record: ConnectionRecord) -> str:
        fields = [f"MESSAGE={line(record)}\nPRIORITY={PRIORITIES['info']}\nSYSLOG_IDENTIFIER={IDENTIFIER}\n"]
        fields += [f"{name}={text}\n" for name, value in names if (text := value(record)) != "-"]
        return "".join(fields)

    return entry


def lost_entry(count: int, when: float) -> str:
    """Make the entry that stands for lost lines."""
    return f"MESSAGE={lost_text(count, when)}\nPRIORITY={PRIORITIES['warn']}\nSYSLOG_IDENTIFIER={IDENTIFIER}\n"
