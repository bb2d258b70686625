"""
How a connection's record reads as one line of the access log, as text or as JSON.

Knows which facts are logged and how they are escaped; must not know where the lines go. Part of what is
logged was sent by strangers: whatever it holds, it stays one value on one line of printable ASCII.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from typing import Final

from meshgate.compiled import c_form
from meshgate.proxy.endings import Ending
from meshgate.proxy.record import ConnectionRecord
from meshgate.routing.addresses import host_port

MAX_ALPN: Final = 16
MAX_ALPN_LENGTH: Final = 128
"""How many of the protocols that a client offers are logged, and of how many characters together. Real ones offer two
or three; a hello has room for thousands, and a line has to stay shorter than what a pipe takes in one go."""

_REMEMBERED: Final = 1024
"""How many strings are kept with their escaped form: most lines name the same routes and server names."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._:/*+-]")
_PLAIN: Final = re.compile(r"[!#-\[\]-~]+")

# An enum computes the value of a member each time.
_WORDS: Final[dict[Ending | None, str]] = {None: "-", **{ending: ending.value for ending in Ending}}

# In one go, and by the oldest way of formatting, it takes half the time of a chain of f-strings.
_TEXT: Final = (
    "time=%s.%03dZ id=%d listener=%s client=%s sni=%s alpn=%s gateway=%s virtual_service=%s destination=%s endpoint=%s"
    " bytes_in=%d bytes_out=%d duration=%.6f first_byte=%s dial=%s dial_error=%s ending=%s"
)
_SECONDS: Final = "%.6f"

#: The same in C, or None; it returns None for a line in which something has to be escaped.
_quick_line: Callable[..., str | None] | None = c_form("meshgate.proxy._line", "text_line")

_json_string: Final = json.JSONEncoder().encode


def format_text(record: ConnectionRecord) -> str:
    r"""
    The record as ``key=value`` pairs with a space between them, in the order of the JSON keys; ``-`` stands for
    what never was.

    What a client sent (``sni`` and ``alpn``) shows all but letters, digits and ``._:/*+-`` as ``\xNN``,
    ``\uNNNN`` or ``\UNNNNNNNN``, so that it can neither look like another pair nor control a terminal. Other
    values that hold a space or anything unusual stand in double quotes, escaped as in JSON.

    :return: one line, without its end.
    """
    first_byte, dial = record.first_byte, record.dial
    quick = _quick_line
    if quick is not None:
        line = quick(
            record.started,
            record.id,
            record.listener,
            record.client,
            record.sni,
            record.alpn,
            record.gateway,
            record.virtual_service,
            record.destination,
            record.endpoint,
            record.bytes_in,
            record.bytes_out,
            record.duration,
            first_byte,
            dial,
            record.dial_error,
            _WORDS[record.ending],
        )
        if line is not None:
            return line
    return _TEXT % (
        *_time(record.started),
        record.id,
        _own(record.listener),
        _address_text(record.client),
        _strange(record.sni),
        _alpn_text(record.alpn),
        _own(record.gateway),
        _own(record.virtual_service),
        _own(record.destination),
        _own(record.endpoint),
        record.bytes_in,
        record.bytes_out,
        record.duration,
        "-" if first_byte is None else _SECONDS % first_byte,
        "-" if dial is None else _SECONDS % dial,
        _own(record.dial_error),
        _WORDS[record.ending],
    )


def format_json(record: ConnectionRecord) -> str:
    """
    The record as a JSON object in ASCII; ``null`` stands for what never was. ``alpn`` is a list of strings.

    :return: one line, without its end.
    """
    ending = record.ending
    first_byte, dial = record.first_byte, record.dial
    return (
        f'{{"time":"{_timestamp(record.started)}","id":{record.id},"listener":{_quoted(record.listener)}'
        f',"client":{_json_string(host_port(record.client[0], record.client[1]))},"sni":{_quoted(record.sni)}'
        f',"alpn":{_alpn_json(record.alpn)},"gateway":{_quoted(record.gateway)}'
        f',"virtual_service":{_quoted(record.virtual_service)},"destination":{_quoted(record.destination)}'
        f',"endpoint":{_quoted(record.endpoint)},"bytes_in":{record.bytes_in},"bytes_out":{record.bytes_out}'
        f',"duration":{record.duration:.6f}'
        f',"first_byte":{"null" if first_byte is None else f"{first_byte:.6f}"}'
        f',"dial":{"null" if dial is None else f"{dial:.6f}"}'
        f',"dial_error":{_quoted(record.dial_error)}'
        f',"ending":{"null" if ending is None else _quoted(ending.value)}}}'
    )


def lost_text(count: int, when: float) -> str:
    """The line that stands where others could not be written."""
    return f"time={_timestamp(when)} {count} lines lost"


def lost_json(count: int, when: float) -> str:
    """The same in JSON, with keys of its own."""
    return f'{{"time":"{_timestamp(when)}","lines_lost":{count}}}'


def _show(value: str) -> str:
    if not value:
        return "-"
    return value if _PLAIN.fullmatch(value) else _json_string(value)


_own = lru_cache(_REMEMBERED)(_show)


@lru_cache(_REMEMBERED)
def _strange(value: str | None) -> str:
    if not value:
        return "-"
    return _UNSAFE.sub(_escape, value) if value != "-" else "\\x2d"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _alpn_text(names: tuple[str, ...]) -> str:
    return ",".join([_strange(name) for name in _first(names)]) if names else "-"


@lru_cache(_REMEMBERED)
def _quoted(value: str | None) -> str:
    return _json_string(value) if value else "null"


def _alpn_json(names: tuple[str, ...]) -> str:
    return f"[{','.join([_json_string(name) for name in _first(names)])}]" if names else "null"


@lru_cache(_REMEMBERED)
def _first(names: tuple[str, ...]) -> tuple[str, ...]:
    """As many of the protocols as are logged."""
    lengths = accumulate(map(len, names[:MAX_ALPN]))
    return tuple(name for name, length in zip(names, lengths, strict=False) if length <= MAX_ALPN_LENGTH)


def _address_text(client: tuple[str, int]) -> str:
    # Only in the zone of an IPv6 address can there be anything to escape.
    text = host_port(client[0], client[1])
    return text if text[0] != "[" else _show(text)


def _timestamp(seconds: float) -> str:
    """RFC 3339, UTC, with milliseconds."""
    second, milliseconds = _time(seconds)
    return f"{second}.{milliseconds:03d}Z"


def _time(seconds: float) -> tuple[str, int]:
    """A point in time, up to the second, and its milliseconds."""
    milliseconds = int(seconds * 1000 + 0.5)
    return _second(milliseconds // 1000), milliseconds % 1000


@lru_cache(8)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
