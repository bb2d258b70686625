"""Durations in Go's syntax, which Istio uses: ``1h30m``, ``1.5s``, ``500ms``."""

from __future__ import annotations

import re
from typing import Final

# Nanoseconds in each unit of Go's time.ParseDuration, which accepts both letters that look like a mu.
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_SECOND: Final = _UNITS["s"]
# Go keeps a duration in 64 bits and refuses longer ones (292 years).
_LONGEST: Final = (1 << 63) - 1

_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")


def parse_duration(text: str) -> float:
    """
    Parse a duration in Go's syntax into seconds (Go, time.ParseDuration).

    :param text: numbers with a unit each, the largest unit being the hour; ``0`` alone needs no unit.
    :return: seconds, exact to the nanosecond; negative after a minus sign.
    :raises ValueError: the text is no duration; the message for users says what to write instead.
    """
    return parse_nanoseconds(text) / _SECOND


def parse_nanoseconds(text: str) -> int:
    """
    Parse a duration in Go's syntax into nanoseconds, exact even where a float of seconds is not.

    :return: nanoseconds; negative after a minus sign.
    :raises ValueError: as :func:`parse_duration` does.
    """
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0
    nanoseconds = _nanoseconds(text, unsigned)
    return -nanoseconds if text[0] == "-" else nanoseconds


def _nanoseconds(text: str, unsigned: str) -> int:
    if not unsigned:
        raise ValueError(f'the duration is {text!r}; write a number with a unit, as "30s"')
    total = 0
    position = 0
    while position < len(unsigned):
        term = _TERM.match(unsigned, position)
        whole, fraction, unit = term.groups() if term else ("", None, "")
        if not (whole or fraction):
            raise ValueError(f'{text!r} is not a duration; write numbers with units, as "1h30m" or "500ms"')
        if not unit:
            raise ValueError(f'the duration {text!r} lacks a unit; write "{text}s" for seconds')
        if unit not in _UNITS:
            raise ValueError(_unknown_unit(text, unit))
        total += int(whole or "0") * _UNITS[unit]
        if fraction:
            total += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
        if total > _LONGEST:
            raise ValueError(f"the duration {text!r} is longer than 292 years")
        position = term.end() if term else len(unsigned)
    return total


def _unknown_unit(text: str, unit: str) -> str:
    if unit.lower() in _UNITS:
        return f"the units of a duration are lower case; write {text.lower()!r}"
    if unit in ("d", "day", "days"):
        return f'the duration {text!r} is in days, and the largest unit is the hour; write "24h" for a day'
    return f"{unit!r} is not a unit of time; the units are ns, us, ms, s, m and h"


def format_duration(seconds: float) -> str:
    """
    Seconds in Go's syntax, in the form Go itself prints (``1h30m0s``, ``1.5s``, ``500ms``, ``0s``).

    :param seconds: rounded to the nanosecond.
    """
    return format_nanoseconds(round(seconds * _SECOND))


def format_nanoseconds(nanoseconds: int) -> str:
    """Nanoseconds in Go's syntax, as :func:`format_duration` prints seconds, but exact for long durations as well."""
    sign = "-" if nanoseconds < 0 else ""
    nanoseconds = abs(nanoseconds)
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < _SECOND:
        unit = next(unit for unit in ("ms", "us", "ns") if nanoseconds >= _UNITS[unit])
        return sign + _decimal(nanoseconds, _UNITS[unit]) + unit
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest, _SECOND) + "s"
    if hours:
        text = f"{hours}h{minutes}m{text}"
    elif minutes:
        text = f"{minutes}m{text}"
    return sign + text


def _decimal(nanoseconds: int, unit: int) -> str:
    whole, rest = divmod(nanoseconds, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


def format_age(seconds: float) -> str:
    """
    A time span as kubectl writes it (apimachinery, util/duration, HumanDuration): two units where they matter.

    :param seconds: the span.
    """
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
