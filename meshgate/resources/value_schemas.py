"""
The JSON schemas of what users write, from the models: for clients of the API, which check and explain by them.

A schema describes the values as users write them, and not as the models keep them: a duration is a text, and not a
number of seconds. Descriptions are those of the fields, as ``meshgate explain-field`` shows them.
"""

from __future__ import annotations

import enum
import inspect
import types
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from meshgate.resources.field_reference import bounds_of, mapped_type
from meshgate.resources.model import FrozenMapping, ListKeys, ValueForm

Schema = dict[str, Any]

_PRIMITIVES: Final[Mapping[Any, Mapping[str, str]]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    datetime: {"type": "string", "format": "date-time"},
}
INT_OR_TEXT: Final[Mapping[str, Any]] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}
"""A number or a text, as Kubernetes' structural schemas have it."""


def schema_of(model: type[BaseModel]) -> Schema:
    """The schema of a message, with those of the messages in it."""
    properties = {}
    required = []
    for field_name, info in model.model_fields.items():
        name = info.alias or field_name
        properties[name] = {**_value_schema(info.annotation, info.metadata), "description": info.description or ""}
        if info.is_required():
            required.append(name)
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _value_schema(annotation: Any, metadata: Iterable[Any] = ()) -> Schema:
    """The schema of a value of a type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value_schema(arguments[0], (*arguments[1:], *metadata))
    for one in metadata:
        if isinstance(one, ValueForm):
            return dict(one.schema)
    if origin in (Union, types.UnionType):
        kinds = [one for one in arguments if one is not type(None)]
        return dict(INT_OR_TEXT) if set(kinds) == {int, str} else _value_schema(kinds[0], metadata)
    if origin in (tuple, list, frozenset):
        return {"type": "array", "items": _value_schema(arguments[0]), **_sizes(metadata), **_list_keys(metadata)}
    if not inspect.isclass(annotation):
        return {}
    if issubclass(annotation, enum.Enum):
        return {"type": "string", "enum": [str(one.value) for one in annotation]}
    if issubclass(annotation, FrozenMapping):
        return {"type": "object", "additionalProperties": _value_schema(mapped_type(annotation))}
    if issubclass(annotation, BaseModel):
        return schema_of(annotation)
    if issubclass(annotation, Mapping):
        return {"type": "object"}
    return {**_PRIMITIVES.get(annotation, {}), **_range(metadata)}


def _sizes(metadata: Iterable[Any]) -> Schema:
    least = max(bounds_of(metadata, "min_length"), default=0)
    return {"minItems": least} if least else {}


def keys_of(model: type[BaseModel], field: str) -> tuple[str, ...]:
    """The keys of the items of a list; empty for a list that is one value as a whole."""
    return _keys(model.model_fields[field].metadata)


def _keys(metadata: Iterable[Any]) -> tuple[str, ...]:
    return next((one.names for one in metadata if isinstance(one, ListKeys)), ())


def _list_keys(metadata: Iterable[Any]) -> Schema:
    keys = _keys(metadata)
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)} if keys else {}


def _range(metadata: Iterable[Any]) -> Schema:
    low, high = max(bounds_of(metadata, "ge"), default=None), min(bounds_of(metadata, "le"), default=None)
    found: Schema = {} if low is None else {"minimum": low}
    return found if high is None else {**found, "maximum": high}
