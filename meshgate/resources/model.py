"""
The base of the models of all kinds: their strictness, and the types that several of them use.

A model says which fields a message has and which values each field takes, as protobuf's JSON form defines it. A type
checks its value by itself, whatever other fields say; rules between fields are functions beside the model.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from meshgate.resources.durations import format_nanoseconds, parse_nanoseconds
from meshgate.resources.wording import quoted, value_text

T = TypeVar("T")
V = TypeVar("V")

MAX_INT32: Final = 2**31 - 1
MAX_UINT32: Final = 2**32 - 1
MAX_PORT: Final = 65535

#: The beginning of an address that is a Unix socket.
UNIX_PREFIX: Final = "unix://"

#: The pydantic type of the errors that :func:`refuse` raises; their context is ``code``, ``message`` and ``hint``.
FAULT: Final = "meshgate"

_QUOTED_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")


class Model(BaseModel):
    """
    A message of Istio's API: frozen, its fields in camelCase, unknown fields refused.

    A field that is null counts as absent, as in protobuf's JSON form. A model's validator is built when it is used
    first: a command that reads some kinds does not wait for those of all others.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", alias_generator=to_camel, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            return {key: value for key, value in data.items() if value is not None}
        return data

    def model_post_init(self, context: Any, /) -> None:
        """Share the set of the fields that were given: a set for each of 100,000 models costs 20 MiB."""
        object.__setattr__(self, "__pydantic_fields_set__", _shared(frozenset(self.__pydantic_fields_set__)))


@lru_cache(4096)
def _shared(names: frozenset[str]) -> set[str]:
    return set(names)


M = TypeVar("M", bound=Model | None)


def one_of_equals(value: M) -> M:
    """
    Return the first of equal models to which the same fields were given, so that thousands of resources share it; of
    the models inside only equality counts. A validator of pydantic.
    """
    return value if value is None else _first(value, frozenset(value.__pydantic_fields_set__))


@lru_cache(4096)
def _first(value: Any, fields: frozenset[str]) -> Any:
    return value


class KubernetesModel(Model):
    """An object of Kubernetes' own API. meshgate reads some of its fields and ignores the others."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class ValueForm:
    """
    An annotation that says in which form users write the values of a type.

    :ivar text: a word or two for the reference, as ``Duration``.
    :ivar schema: the JSON schema of such a value.
    """

    text: str
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ListKeys:
    """
    An annotation of a list whose items several clients may share, and that is merged by the keys of its items.

    :ivar names: the fields of an item that identify it.
    """

    names: tuple[str, ...]


def refuse(code: str, message: str, hint: str = "") -> NoReturn:
    """
    Refuse a value, from within a validator of pydantic.

    :param code: one of :data:`meshgate.resources.codes.CODES`.
    :param message: what is wrong with the value, in one sentence without a full stop.
    """
    raise PydanticCustomError(FAULT, "{message}", {"code": code, "message": message, "hint": hint})


class FrozenMapping(Mapping[str, V]):
    """
    A mapping from texts that never changes, and so can be hashed.

    :param items: the content, which is copied.
    """

    __slots__ = ("_items",)

    value_schema: ClassVar[CoreSchema]

    def __init__(self, items: Mapping[str, V] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        items = core_schema.dict_schema(core_schema.str_schema(strict=True), cls.value_schema, strict=True)
        return core_schema.no_info_after_validator_function(
            cls,
            items,
            serialization=core_schema.plain_serializer_function_ser_schema(dict),
        )


class Labels(FrozenMapping[str]):
    """Labels, or a selector of labels."""

    __slots__ = ()

    value_schema = core_schema.str_schema(strict=True)


def whole_number(value: Any) -> Any:
    """Accept whole numbers, quoted ones too, as protobuf's JSON form does; refuse ``1.0`` and booleans."""
    if type(value) is int:
        return value
    if isinstance(value, str) and _QUOTED_INTEGER.fullmatch(value):
        return int(value)
    return refuse("MG1003", f"must be a whole number, not {value_text(value)}")


UInt32 = Annotated[int, Field(ge=0, le=MAX_UINT32), BeforeValidator(whole_number)]
Int32 = Annotated[int, Field(ge=-MAX_INT32 - 1, le=MAX_INT32), BeforeValidator(whole_number)]
#: A port: 1 to 65535.
PortNumber = Annotated[int, Field(ge=1, le=MAX_PORT), BeforeValidator(whole_number)]
#: A port: 0 to 65535, where 0 means that no port is given.
OptionalPortNumber = Annotated[int, Field(ge=0, le=MAX_PORT), BeforeValidator(whole_number)]
#: A text with at least one character.
NonEmpty = Annotated[str, Field(min_length=1)]
#: A list, kept as a tuple. ``strict=False`` allows that conversion alone: the items are checked strictly.
Items = Annotated[tuple[T, ...], Field(strict=False)]


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


TEXT_SCHEMA: Final[Mapping[str, Any]] = {"type": "string"}

#: A duration in Go's syntax, kept as seconds: at least 1 ms, in whole milliseconds (Istio, agent, ValidateDuration).
Duration = Annotated[float, BeforeValidator(_duration), ValueForm("duration", TEXT_SCHEMA)]
#: A :data:`Duration`, or anything from 0 to a second. 0 switches the timeout off.
IdleDuration = Annotated[float, BeforeValidator(_idle_duration), ValueForm("duration", TEXT_SCHEMA)]
#: A duration of any length in Go's syntax, kept as seconds.
AnyDuration = Annotated[float, BeforeValidator(_any_duration), ValueForm("duration", TEXT_SCHEMA)]

UInt64 = Annotated[int, Field(ge=0, le=_MAX_UINT64), BeforeValidator(whole_number)]
#: A whole number from 0 to the largest signed number of 32 bits.
Count = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(whole_number)]
#: A whole number of percent.
Percent = Annotated[int, Field(ge=0, le=100), BeforeValidator(whole_number)]
#: Any number.
Number = Annotated[float, BeforeValidator(_number)]
