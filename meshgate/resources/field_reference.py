"""
The fields of every kind with their types, defaults and meanings, taken from the models, for people and for programs.

``meshgate explain-field`` and the reference in the documentation show an :class:`Entry`, each in its own way. Clients
of the API check and explain by JSON schemas, which describe the values as users write them, and not as the models keep
them: a duration is a text, and not a number of seconds. Their descriptions are those of the fields.
"""

from __future__ import annotations

import difflib
import enum
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from meshgate.resources.kinds.supported_kinds import KINDS, UNREAD_KINDS, Kind
from meshgate.resources.model import FrozenMapping, ListKeys, ValueForm
from meshgate.resources.resource import Metadata
from meshgate.resources.validation import models_in
from meshgate.resources.wording import name_text, plural, spelling_hint

_WORDS: Final = {
    bool: "true or false",
    int: "number",
    float: "number",
    str: "text",
    datetime: "time",
    timedelta: "duration",
}
_NO_BOUND: Final = 2**31 - 1
"""A bound from here on is that of the number's type, and not worth a word."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A kind or a field.

    :ivar path: the path from the kind on, as ``("Gateway", "spec", "servers")``.
    :ivar type: the form of the value, in a few words.
    :ivar default: the default as users would write it; empty where there is none to show.
    :ivar about: a sentence about a value that has fields; empty for any other.
    :ivar fields: the fields of the value.
    """

    path: tuple[str, ...]
    type: str
    description: str
    required: bool = False
    default: str = ""
    about: str = ""
    fields: tuple[Entry, ...] = ()

    @property
    def name(self) -> str:
        """The last step of the path."""
        return self.path[-1]

    def __str__(self) -> str:
        return ".".join(self.path)

    def presence(self) -> str:
        """``required``, or the default in words, or an empty text."""
        return "required" if self.required else f"default {self.default}" if self.default else ""

    def descendants(self) -> Iterator[Entry]:
        """The fields at every depth, each before its own fields."""
        for field in self.fields:
            yield field
            yield from field.descendants()

    def as_json(self) -> dict[str, Any]:
        """The entry as plain values; of its fields, one level."""
        return {**self._facts(), "about": self.about, "fields": [field._facts() for field in self.fields]}

    def _facts(self) -> dict[str, Any]:
        return {
            "path": str(self),
            "type": self.type,
            "required": self.required,
            "default": self.default or None,
            "description": self.description,
        }


class UnknownFieldError(Exception):
    """There is no such field. The text of the exception suggests another one to the user."""


def kind_entry(kind: Kind) -> Entry:
    """The entry of a kind, with all its fields."""
    root = (kind.name,)
    head = (
        Entry((*root, "apiVersion"), " or ".join(kind.api_versions), "the version of the kind", True),
        Entry((*root, "kind"), kind.name, "the kind of the document", True),
        _branch(Metadata, (*root, "metadata"), "its name, namespace, labels and annotations", True),
    )
    spec = _branch(kind.model, (*root, "spec"), "its content", True)
    content = fields_of(kind.model, root) if kind.flat else (spec,)
    return Entry(root, "mapping", kind.description, fields=(*head, *content))


def fields_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> tuple[Entry, ...]:
    """
    The entries of a model's fields.

    :param path: the path of the value that the model describes.
    """
    return tuple(_field(info, (*path, info.alias or name)) for name, info in model.model_fields.items())


def find_entry(path: str) -> Entry:
    """
    Find a kind or a field by its path.

    :param path: as ``Gateway.spec.servers.tls.mode``, in upper or lower case; the kind may have its short name, as
        ``gw``; indexes, as in ``servers[0]``, are skipped.
    :raises UnknownFieldError: there is no such kind or field.
    """
    first, *steps = (step.partition("[")[0] for step in path.strip(".").split("."))
    kind = _kind_of_short_name(first)
    if kind is None:
        _refuse_unread_kind(first)
        everywhere = partial(_path_ending_in, [first, *steps], map(kind_entry, KINDS.values()))
        kind = KINDS[_match_name(first, KINDS, "kind", "", everywhere)]
    entry = kind_entry(kind)
    for index, step in enumerate(steps):
        fields = {field.name: field for field in entry.fields}
        below = partial(_path_ending_in, steps[index:], [entry])
        if not fields:
            raise UnknownFieldError(f"{entry} has no fields: {entry.description}")
        entry = fields[_match_name(step, fields, "field", str(entry), below)]
    return entry


def _kind_of_short_name(word: str) -> Kind | None:
    return next((kind for kind in KINDS.values() if word.lower() in (kind.short_name, kind.plural)), None)


def _refuse_unread_kind(word: str) -> None:
    for name in UNREAD_KINDS:
        if word.lower() in (name.lower(), plural(name.lower())):
            raise UnknownFieldError(f"{name} is not served: meshgate does not read this kind (MG0006)")


def _path_ending_in(steps: Sequence[str], roots: Iterable[Entry]) -> str:
    """The shortest path below some entries that ends in these steps, or nothing: users leave out the beginning."""
    wanted = tuple(step.lower() for step in steps)
    paths = sorted((entry.path for root in roots for entry in root.descendants()), key=len)
    matching = (path for path in paths if tuple(step.lower() for step in path[-len(wanted) :]) == wanted)
    return ".".join(next(matching, ()))


def _match_name(word: str, known: Iterable[str], noun: str, parent: str, elsewhere: Callable[[], str]) -> str:
    """
    Find the name that a user means.

    :param noun: ``kind`` or ``field``.
    :param elsewhere: returns another path with the same last steps, or nothing.
    :raises UnknownFieldError: there is no such name.
    """
    names = {name.lower(): name for name in known}
    if word.lower() in names:
        return names[word.lower()]
    missing = f"{parent} has no {noun}" if parent else f"there is no {noun}"
    near = difflib.get_close_matches(word.lower(), names, 1)
    prefix = f"{parent}." if parent else ""
    meant = f"{prefix}{names[near[0]]}" if near else elsewhere()
    hint = f"did you mean {meant}?" if meant else spelling_hint(word, names.values())
    raise UnknownFieldError(f"{missing} {name_text(word)}; {hint}")


def _branch(model: type[BaseModel], path: tuple[str, ...], description: str, required: bool) -> Entry:
    return Entry(path, "mapping", description, required, about=_about(model), fields=fields_of(model, path))


def _about(model: type[BaseModel]) -> str:
    """The docstring of a model as one line."""
    return " ".join((model.__doc__ or "").split())


def _field(info: FieldInfo, path: tuple[str, ...]) -> Entry:
    model = next(models_in([info.annotation]), None)
    entry = Entry(
        path,
        _type_text(info.annotation, info.metadata),
        info.description or "",
        info.is_required(),
        _default_text(info),
    )
    if model is None:
        return entry
    return replace(entry, about=_about(model), fields=fields_of(model, path))


def _type_text(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """The form of a value of this type, in a few words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0], (*arguments[1:], *metadata))
    form = next((one.text for one in metadata if isinstance(one, ValueForm)), "")
    if form:
        return form if form[:2].isupper() else form[0].lower() + form[1:]
    if origin in (Union, types.UnionType):
        return " or ".join(_type_text(one, metadata) for one in arguments if one is not type(None))
    if origin in (tuple, list, frozenset):
        least = any(bounds_of(metadata, "min_length"))
        return f"list of {_plural(_type_text(arguments[0]))}" + (", at least one" if least else "")
    if not inspect.isclass(annotation):
        return "anything"
    if issubclass(annotation, enum.Enum):
        return f"one of {', '.join(str(one.value) for one in annotation)}"
    if issubclass(annotation, FrozenMapping):
        return f"mapping of texts to {_plural(_type_text(mapped_type(annotation)))}"
    if issubclass(annotation, (BaseModel, Mapping)):
        return "mapping"
    return _WORDS.get(annotation, "anything") + _range_text(metadata)


def _plural(words: str) -> str:
    noun, space, rest = words.partition(" ")
    return f"{noun}s{space}{rest}" if noun in ("text", "number", "mapping", "duration") else words


def mapped_type(mapping: type[FrozenMapping[Any]]) -> Any:
    """The type of the values of a mapping."""
    bases = (base for one in mapping.__mro__ for base in getattr(one, "__orig_bases__", ()))
    return next((get_args(base)[0] for base in bases if get_origin(base) is FrozenMapping), Any)


def _range_text(metadata: Iterable[Any]) -> str:
    bounds = list(metadata)
    low = max(bounds_of(bounds, "ge"), default=-_NO_BOUND)
    high = min(bounds_of(bounds, "le"), default=_NO_BOUND)
    if high < _NO_BOUND:
        return f" from {low} to {high}" if low > -_NO_BOUND else f" up to {high}"
    return f" from {low}" if low > -_NO_BOUND else ""


def bounds_of(metadata: Iterable[Any], name: str) -> Iterator[int]:
    """The bounds of one name among the metadata, including those within a ``Field`` of an annotation."""
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from bounds_of(one.metadata, name)
        else:
            bound = getattr(one, name, None)
            if isinstance(bound, int):
                yield bound


def _default_text(info: FieldInfo) -> str:
    if info.is_required() or any(isinstance(one, ValueForm) for one in info.metadata):
        return ""  # the value is kept in another form than users write
    return _value_form(info.get_default(call_default_factory=True))


def _value_form(value: Any) -> str:
    """A default as users would write it; empty for an empty value, which the description has to explain."""
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, (BaseModel, Mapping)):
        return ""
    if isinstance(value, (tuple, list, frozenset)):
        return f"[{', '.join(map(_value_form, value))}]" if value else ""
    if isinstance(value, (int, float)) and abs(value) >= _NO_BOUND:
        return ""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


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
