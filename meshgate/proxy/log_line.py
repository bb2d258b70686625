"""
Access log lines: a connection record as one line of text or of JSON.

Clients and users choose some of what is logged: server names, protocols, names of routes. Whatever they choose, each
value stays one value, and each line one line of printable ASCII, short enough for a pipe to take it in one go.

Where meshgate was compiled, a twin in C (``_line.c``) writes the usual line. It escapes nothing: it returns None for a
record with an unusual value, and the functions here write that line. Both write the same characters.
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
"""Number of offered protocols that are logged. Clients offer two or three; a ClientHello has room for thousands."""

MAX_ALPN_LENGTH: Final = 128
"""Number of characters that the logged protocols may have together."""

OPEN: Final = "open"
"""The word of a connection that has not ended yet, in place of an ending."""

_CACHE_SIZE: Final = 1024
"""Number of strings that are kept with their escaped form: most lines name the same routes and server names."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._:/*+-]")
_PLAIN: Final = re.compile(r"[!#-\[\]-~]+")

# An enum computes a member's value at each access.
_WORDS: Final[dict[Ending | None, str]] = {None: OPEN, **{ending: ending.value for ending in Ending}}

# One % operation takes half the time of a chain of f-strings.
_TEXT: Final = (
    "time=%s.%03dZ id=%d listener=%s client=%s sni=%s alpn=%s gateway=%s virtual_service=%s destination=%s endpoint=%s"
    " bytes_in=%d bytes_out=%d duration=%.6f first_byte=%s dial=%s dial_error=%s ending=%s"
)
_JSON: Final = (
    '{"time":"%s.%03dZ","id":%d,"listener":%s,"client":%s,"sni":%s,"alpn":%s,"gateway":%s,"virtual_service":%s'
    ',"destination":%s,"endpoint":%s,"bytes_in":%d,"bytes_out":%d,"duration":%.6f,"first_byte":%s,"dial":%s'
    ',"dial_error":%s,"ending":%s}'
)
_SECONDS: Final = "%.6f"

_InC = Callable[..., str | None]
_text_line: _InC | None = c_form("meshgate.proxy._line", "text_line")
_json_line: _InC | None = c_form("meshgate.proxy._line", "json_line")

_json_string: Final = json.JSONEncoder().encode


def format_text(record: ConnectionRecord) -> str:
    r"""
    Format a record as ``key=value`` pairs with a space between them, in the order of the JSON keys. ``-`` stands for
    an absent value.

    In what the client sent (``sni`` and ``alpn``), every character but letters, digits and ``._:/*+-`` is written as
    ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``, so that no client can forge another pair or control a terminal. Any other
    value that contains a space or an unusual character is a JSON string in double quotes.

    :return: one line, without its end.
    """
    line = None if _text_line is None else _line_in_c(_text_line, record)
    if line is not None:
        return line
    first_byte, dial = record.first_byte, record.dial
    return _TEXT % (
        *_time(record.started),
        record.id,
        text_value(record.listener),
        client_text(record.client),
        client_value(record.sni),
        alpn_text(record.alpn),
        text_value(record.gateway),
        text_value(record.virtual_service),
        text_value(record.destination),
        text_value(record.endpoint),
        record.bytes_in,
        record.bytes_out,
        record.duration,
        "-" if first_byte is None else _SECONDS % first_byte,
        "-" if dial is None else _SECONDS % dial,
        text_value(record.dial_error),
        _WORDS[record.ending],
    )


def format_json(record: ConnectionRecord) -> str:
    """
    Format a record as a JSON object in ASCII. ``null`` stands for an absent value; ``alpn`` is a list of strings.

    :return: one line, without its end.
    """
    line = None if _json_line is None else _line_in_c(_json_line, record)
    if line is not None:
        return line
    first_byte, dial = record.first_byte, record.dial
    return _JSON % (
        *_time(record.started),
        record.id,
        _json_value(record.listener),
        _json_string(host_port(record.client[0], record.client[1])),
        _json_value(record.sni),
        _alpn_json(record.alpn),
        _json_value(record.gateway),
        _json_value(record.virtual_service),
        _json_value(record.destination),
        _json_value(record.endpoint),
        record.bytes_in,
        record.bytes_out,
        record.duration,
        "null" if first_byte is None else _SECONDS % first_byte,
        "null" if dial is None else _SECONDS % dial,
        _json_value(record.dial_error),
        _json_value(_WORDS[record.ending]),
    )


def _line_in_c(write: _InC, record: ConnectionRecord) -> str | None:
    return write(
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
        record.first_byte,
        record.dial,
        record.dial_error,
        _WORDS[record.ending],
    )


def lost_text(count: int, when: float) -> str:
    """Format the line that stands for lines that could not be written."""
    return f"time={timestamp(when)} {count} lines lost"


def lost_json(count: int, when: float) -> str:
    """Format the same line as JSON, with a key of its own."""
    return f'{{"time":"{timestamp(when)}","lines_lost":{count}}}'


def _plain_or_quoted(value: str) -> str:
    if not value:
        return "-"
    return value if _PLAIN.fullmatch(value) else _json_string(value)


text_value: Final = lru_cache(_CACHE_SIZE)(_plain_or_quoted)
"""Format a value of ours, or of a user's: a JSON string in double quotes if it has a space or an unusual character."""


def seconds_text(value: float | None) -> str:
    """Format seconds."""
    return "-" if value is None else _SECONDS % value


def ending_word(ending: Ending | None) -> str:
    """Return the word for an ending."""
    return _WORDS[ending]


@lru_cache(_CACHE_SIZE)
def client_value(value: str | None) -> str:
    """Escape what a client sent."""
    if not value:
        return "-"
    return _UNSAFE.sub(_escape, value) if value != "-" else "\\x2d"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def alpn_text(names: tuple[str, ...]) -> str:
    """Format the protocols that a client has offered."""
    return ",".join([client_value(name) for name in _logged_protocols(names)]) if names else "-"


@lru_cache(_CACHE_SIZE)
def _json_value(value: str | None) -> str:
    return _json_string(value) if value else "null"


def _alpn_json(names: tuple[str, ...]) -> str:
    return f"[{','.join([_json_string(name) for name in _logged_protocols(names)])}]" if names else "null"


@lru_cache(_CACHE_SIZE)
def _logged_protocols(names: tuple[str, ...]) -> tuple[str, ...]:
    lengths = accumulate(map(len, names[:MAX_ALPN]))
    return tuple(name for name, length in zip(names, lengths, strict=False) if length <= MAX_ALPN_LENGTH)


def client_text(client: tuple[str, int]) -> str:
    """Format the address of a client."""
    # Only the zone of an IPv6 address may need an escape.
    text = host_port(client[0], client[1])
    return text if text[0] != "[" else _plain_or_quoted(text)


def timestamp(seconds: float) -> str:
    """Format seconds since the epoch by RFC 3339, in UTC, with milliseconds."""
    second, milliseconds = _time(seconds)
    return f"{second}.{milliseconds:03d}Z"


def _time(seconds: float) -> tuple[str, int]:
    """Split seconds since the epoch into a date with the time to the second, and milliseconds."""
    milliseconds = int(seconds * 1000 + 0.5)
    return _second(milliseconds // 1000), milliseconds % 1000


@lru_cache(8)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
