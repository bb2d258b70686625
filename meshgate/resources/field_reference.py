"""
What may be written in every kind: the fields with their types, defaults and meanings, taken from the models.

The single source of ``meshgate explain-field`` and of the reference in the docs. Knows models; knows nothing of how
either looks.
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

from meshgate.resources.kinds.supported_kinds import KINDS, Kind
from meshgate.resources.metadata import Metadata
from meshgate.resources.model import FrozenMapping, ValueForm
from meshgate.resources.wording import name_text, spelling_hint

_WORDS: Final = {
    bool: "true or false",
    int: "number",
    float: "number",
    str: "text",
    datetime: "time",
    timedelta: "duration",
}
_NO_BOUND: Final = 2**31 - 1
"""A bound from here on is the type's own, and says nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A kind or a field.

    :ivar path: from the kind on, as ``("Gateway", "spec", "servers")``.
    :ivar type: how the value is written, in a few words.
    :ivar default: as it would be written; empty where there is none to tell.
    :ivar about: what the values of a branch are, in a sentence; empty for a leaf.
    :ivar fields: what stands below.
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
        """``required``, or the default, or nothing."""
        return "required" if self.required else f"default {self.default}" if self.default else ""

    def below(self) -> Iterator[Entry]:
        """Every field at any depth, each before those below it."""
        for field in self.fields:
            yield field
            yield from field.below()

    def as_json(self) -> dict[str, Any]:
        """Plain values; of the fields below, one level."""
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
    """There is no such field. Its text says so for people, and names the nearest."""


def kind_entry(kind: Kind) -> Entry:
    """Everything of one kind."""
    root = (kind.name,)
    head = (
        Entry((*root, "apiVersion"), " or ".join(kind.api_versions), "the version to read it in", True),
        Entry((*root, "kind"), kind.name, "what the document is", True),
        _branch(Metadata, (*root, "metadata"), "what it is called", True),
    )
    spec = _branch(kind.model, (*root, "spec"), "what it says", True)
    content = fields_of(kind.model, root) if kind.flat else (spec,)
    return Entry(root, "mapping", _about(kind), fields=(*head, *content))


def fields_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> tuple[Entry, ...]:
    """
    The fields of any model.

    :param path: of what the model is of.
    """
    return tuple(_field(info, (*path, info.alias or name)) for name, info in model.model_fields.items())


def find_entry(path: str) -> Entry:
    """
    A kind or a field by its path, as ``Gateway.spec.servers.tls.mode``. Indexes, as in ``servers[0]``, may stand
    there; capitals do not matter.

    :raises UnknownFieldError: when there is none.
    """
    kind, *steps = (step.partition("[")[0] for step in path.strip(".").split("."))
    everything = partial(_ending, map(kind_entry, KINDS.values()), [kind, *steps])
    entry = kind_entry(KINDS[_known(kind, KINDS, "kind", "", everything)])
    for place, step in enumerate(steps):
        fields = {field.name: field for field in entry.fields}
        entry = fields[_known(step, fields, "field", str(entry), partial(_ending, [entry], steps[place:]))]
    return entry


def _ending(roots: Iterable[Entry], steps: Sequence[str]) -> str:
    """The shortest path below some entries that ends in these steps: somebody may have left out what is before them."""
    wanted = tuple(step.lower() for step in steps)
    paths = sorted((entry.path for root in roots for entry in root.below()), key=len)
    matching = (path for path in paths if tuple(step.lower() for step in path[-len(wanted) :]) == wanted)
    return ".".join(next(matching, ()))


def _known(word: str, known: Iterable[str], what: str, parent: str, elsewhere: Callable[[], str]) -> str:
    """
    The word among those that are known that was meant.

    :param elsewhere: gives the path of the same field at another place, or nothing.
    """
    names = {name.lower(): name for name in known}
    if word.lower() in names:
        return names[word.lower()]
    if not names:
        raise UnknownFieldError(f"{parent} has no fields")
    where = f"{parent} has no {what}" if parent else f"there is no {what}"
    near = difflib.get_close_matches(word.lower(), names, 1)
    prefix = f"{parent}." if parent else ""
    meant = f"{prefix}{names[near[0]]}" if near else elsewhere()
    hint = f"did you mean {meant}?" if meant else spelling_hint(word, names.values())
    raise UnknownFieldError(f"{where} {name_text(word)}; {hint}")


def _branch(model: type[BaseModel], path: tuple[str, ...], description: str, required: bool) -> Entry:
    about = inspect.cleandoc(model.__doc__ or "")
    return Entry(path, "mapping", description, required, about=about, fields=fields_of(model, path))


def _field(info: FieldInfo, path: tuple[str, ...]) -> Entry:
    model = _model_in(info.annotation)
    entry = Entry(
        path,
        _type_text(info.annotation, info.metadata),
        info.description or "",
        info.is_required(),
        _default_text(info),
    )
    if model is None:
        return entry
    return replace(entry, about=inspect.cleandoc(model.__doc__ or ""), fields=fields_of(model, path))


def _about(kind: Kind) -> str:
    """What a kind is, as the first paragraph of its module says."""
    module = inspect.getmodule(kind.model)
    first = inspect.cleandoc(module.__doc__ or "" if module else "").partition("\n\n")[0]
    return " ".join(first.split()).removeprefix(f"{kind.name}: ")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model within an annotation, whatever unions and lists are around it."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _type_text(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """How a value of this type is written, in a few words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0], (*arguments[1:], *metadata))
    told = next((one.text for one in metadata if isinstance(one, ValueForm)), "")
    if told:
        return told if told[:2].isupper() else told[0].lower() + told[1:]
    if origin in (Union, types.UnionType):
        return " or ".join(_type_text(one, metadata) for one in arguments if one is not type(None))
    if origin in (tuple, list, frozenset):
        least = any(_bounds(metadata, "min_length"))
        return f"list of {_plural(_type_text(arguments[0]))}" + (", at least one" if least else "")
    if not inspect.isclass(annotation):
        return "anything"
    if issubclass(annotation, enum.Enum):
        return f"one of {', '.join(str(one.value) for one in annotation)}"
    if issubclass(annotation, FrozenMapping):
        return f"mapping of texts to {_plural(_type_text(_values(annotation)))}"
    if issubclass(annotation, (BaseModel, Mapping)):
        return "mapping"
    return _WORDS.get(annotation, "anything") + _range_text(metadata)


def _plural(words: str) -> str:
    noun, space, rest = words.partition(" ")
    return f"{noun}s{space}{rest}" if noun in ("text", "number", "mapping", "duration") else words


def _values(mapping: type[FrozenMapping[Any]]) -> Any:
    bases = (base for one in mapping.__mro__ for base in getattr(one, "__orig_bases__", ()))
    return next((get_args(base)[0] for base in bases if get_origin(base) is FrozenMapping), Any)


def _range_text(metadata: Iterable[Any]) -> str:
    bounds = list(metadata)
    low = max(_bounds(bounds, "ge"), default=-_NO_BOUND)
    high = min(_bounds(bounds, "le"), default=_NO_BOUND)
    if high < _NO_BOUND:
        return f" from {low} to {high}" if low > -_NO_BOUND else f" up to {high}"
    return f" from {low}" if low > -_NO_BOUND else ""


def _bounds(metadata: Iterable[Any], name: str) -> Iterator[int]:
    """The bounds of one name among the metadata, those within a Field that stands in an annotation too."""
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from _bounds(one.metadata, name)
        else:
            bound = getattr(one, name, None)
            if isinstance(bound, int):
                yield bound


def _default_text(info: FieldInfo) -> str:
    if info.is_required() or any(isinstance(one, ValueForm) for one in info.metadata):
        return ""  # what is kept in another form than it is written in has no default that anyone would write
    return _written(info.get_default(call_default_factory=True))


def _written(value: Any) -> str:
    """A default as it would be written; empty where it is nothing, so that the description has to tell."""
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, (BaseModel, Mapping)):
        return ""
    if isinstance(value, (tuple, list, frozenset)):
        return f"[{', '.join(map(_written, value))}]" if value else ""
    if isinstance(value, (int, float)) and abs(value) >= _NO_BOUND:
        return ""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
