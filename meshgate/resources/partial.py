"""
Records of values that have faults, so that what is sound in them can still be judged.

Wherever a value has a fault, its record holds :data:`~meshgate.resources.partial.BROKEN`. Knows models and the places
of their errors; knows nothing of what is wrong there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, NoReturn, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

# The steps to each fault, in one tree; a step without any more below it is the fault itself.
_Tree = dict[str | int, "_Tree"]


def models_in(annotations: Iterable[Any]) -> Iterator[type[BaseModel]]:
    """The models within annotations, whatever unions, lists and metadata are around them."""
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        else:
            yield from models_in(get_args(annotation))


def partial_instance(model: type[BaseModel], value: Any, faults: Iterable[Sequence[str | int]]) -> Any:
    """
    The record that a plain value would make without its faults.

    :param value: what the model refused.
    :param faults: the places of all that it refused, from the value on.
    :return: a record of the model, which may hold ``BROKEN`` anywhere; or that itself.
    """
    tree: _Tree = {}
    for place in faults:
        branch = tree
        for step in place:
            branch = branch.setdefault(step, {})
    return _record(model, value, tree)


def without_faults(record: Any) -> Any:
    """
    What is left of such a record without what is broken. Fields have their defaults; within lists, where every object
    keeps its place, also those that have none are empty. A list of texts of which one is broken is empty as a whole.

    :return: a record without ``BROKEN``; or None where a field is broken that it cannot be without.
    """
    if not isinstance(record, BaseModel):
        return None
    model = type(record)
    for name, field in model.model_fields.items():
        if getattr(record, name) is BROKEN and field.is_required() and get_origin(field.annotation) is not tuple:
            return None
    return _emptied(model, record)


def _emptied(model: type[BaseModel], record: Any) -> BaseModel:
    """
    A record without what is broken, its required fields empty.

    :param record: of the model, or ``BROKEN``.
    """
    fields = {}
    for name, field in model.model_fields.items():
        value = getattr(record, name)
        if value is not BROKEN:
            fields[field.alias or name] = _whole(field.annotation, value)
        elif field.is_required():
            fields[field.alias or name] = _nothing(field.annotation)
    return model.model_construct(**fields)


def _whole(annotation: Any, value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _emptied(type(value), value)
    if type(value) is not tuple:
        return value
    model = next(models_in([annotation]), None)
    if model is None:
        return () if any(item is BROKEN for item in value) else value
    return tuple(_emptied(model, item) for item in value)


def _nothing(annotation: Any) -> Any:
    if get_origin(annotation) is tuple:
        return ()
    if annotation in (int, str):
        return annotation()
    model = next(models_in([annotation]), None)
    return None if model is None else _emptied(model, BROKEN)


def _record(model: type[BaseModel], value: Any, tree: _Tree) -> Any:
    if not tree or not isinstance(value, Mapping):
        return BROKEN
    fields = {}
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if alias in tree:
            fields[alias] = _part(field.annotation, value.get(alias), tree[alias])
        elif value.get(alias) is not None:
            fields[alias] = _field_type(model, name).validate_python(value[alias])
    return model.model_construct(**fields)


@functools.cache
def _field_type(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    constraints = (field.annotation, *field.metadata)
    annotated: Any = Annotated[constraints] if field.metadata else field.annotation
    return TypeAdapter(annotated)


def _part(annotation: Any, value: Any, tree: _Tree) -> Any:
    """What can be had of a field within which there are faults."""
    if not tree:
        return BROKEN
    model = next(models_in([annotation]), None)
    if isinstance(value, list):
        return tuple(_item(model, item, tree.get(index)) for index, item in enumerate(value))
    if isinstance(value, Mapping) and model is None:
        return TypeAdapter(annotation).validate_python({key: item for key, item in value.items() if key not in tree})
    return BROKEN if model is None else _record(model, value, tree)


def _item(model: type[BaseModel] | None, item: Any, tree: _Tree | None) -> Any:
    if model is None:
        return item if tree is None else BROKEN
    return model.model_validate(item) if tree is None else _record(model, item, tree)


T = TypeVar("T")


class BrokenValueError(Exception):
    """A rule depends on a value that has a fault."""


class _Broken:
    """Its fields are broken, too; anything else that is done with it raises :exc:`BrokenValueError`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> _Broken:
        return self

    def _refuse(self, *_: object) -> NoReturn:
        raise BrokenValueError

    __call__ = __getitem__ = __iter__ = __len__ = __bool__ = __contains__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _refuse
    __str__ = __format__ = __int__ = __index__ = _refuse


BROKEN: Final[Any] = _Broken()


def sound_items(items: Iterable[T]) -> Iterator[tuple[int, T]]:
    """The items of a list that have no fault, with their indexes."""
    return ((index, item) for index, item in enumerate(items) if item is not BROKEN)
