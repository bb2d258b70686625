"""
Types of fields that several kinds share: choices, durations and numbers.

A type checks its value by itself, whatever other fields say; faults between fields are the business of rules.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from meshgate.resources.durations import format_nanoseconds, parse_nanoseconds
from meshgate.resources.model import ValueForm, refuse, whole_number
from meshgate.resources.wording import quoted, value_text

_MILLISECOND: Final = 1_000_000
_SECOND: Final = 1_000_000_000
_MAX_UINT64: Final = 2**64 - 1


def by_number(choices: type[enum.StrEnum]) -> BeforeValidator:
    """
    Accept the number of a choice as well as its name, as protobuf's JSON form does.

    :param choices: an enumeration in the order of protobuf's numbers, the first of which is 0.
    """
    members = list(choices)

    def member_of(value: Any) -> Any:
        if type(value) is int and 0 <= value < len(members):
            return members[value]
        return value

    return BeforeValidator(member_of)


def _nanoseconds(value: Any) -> int:
    if not isinstance(value, str):
        return refuse("MG1003", f"must be a duration, not {value_text(value)}", 'write a number with a unit, as "30s"')
    try:
        return parse_nanoseconds(value)
    except ValueError as error:
        return refuse("MG1006", str(error))


def _any_duration(value: Any) -> float:
    return _nanoseconds(value) / _SECOND


def _duration(value: Any) -> float:
    return _whole_milliseconds(value, _nanoseconds(value))


def _idle_duration(value: Any) -> float:
    nanoseconds = _nanoseconds(value)
    if 0 <= nanoseconds < _SECOND:
        return nanoseconds / _SECOND
    return _whole_milliseconds(value, nanoseconds)


def _whole_milliseconds(text: str, nanoseconds: int) -> float:
    if nanoseconds < _MILLISECOND:
        refuse("MG1061", f"the duration {quoted(text)} is shorter than a millisecond", "1ms is the shortest")
    if nanoseconds % _MILLISECOND:
        rounded = format_nanoseconds((nanoseconds + _MILLISECOND // 2) // _MILLISECOND * _MILLISECOND)
        message = f"the duration {quoted(text)} is not a whole number of milliseconds"
        refuse("MG1061", message, f'write "{rounded}"')
    return nanoseconds / _SECOND


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return refuse("MG1003", f"must be a number, not {value_text(value)}")
    return float(value)


#: A duration in Go's syntax, kept as seconds: at least 1 ms, in whole milliseconds (Istio, agent, ValidateDuration).
Duration = Annotated[float, BeforeValidator(_duration), ValueForm("duration")]
#: A :data:`Duration`, or anything from 0 to a second. 0 switches the timeout off.
IdleDuration = Annotated[float, BeforeValidator(_idle_duration), ValueForm("duration")]
#: A duration of any length in Go's syntax, kept as seconds.
AnyDuration = Annotated[float, BeforeValidator(_any_duration), ValueForm("duration")]

UInt64 = Annotated[int, Field(ge=0, le=_MAX_UINT64), BeforeValidator(whole_number)]
#: A whole number from 0 to the largest signed number of 32 bits.
Count = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(whole_number)]
#: A whole number of percent.
Percent = Annotated[int, Field(ge=0, le=100), BeforeValidator(whole_number)]
#: Any number.
Number = Annotated[float, BeforeValidator(_number)]
