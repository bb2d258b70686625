"""
Partial validation: instances of models for values that have faults, so that rules still check the rest.

Problem: pydantic makes no instance of a value with a fault. But one fault must not hide others: a Gateway with a
misspelled mode has other servers, whose rules can be checked, and its hosts still matter to the analysis.

Approach: :func:`partial_instance` builds the instance without validation, field by field, and puts :data:`BROKEN`
wherever pydantic reported an error. Rules are written as if every field were sound. Once a rule depends on
``BROKEN``, :exc:`BrokenValueError` ends this one rule, and
:func:`~meshgate.resources.fault.chain_rules` keeps what it has found so far.

Invariants: a rule never makes a decision by a broken value, and never shows one. Whatever is not within ``BROKEN`` is
as pydantic would have made it. ``BROKEN`` never leaves validation: :func:`without_faults` takes it out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, NoReturn, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

T = TypeVar("T")

# The paths of all faults as a tree. A node without children is a fault; any other is a value that contains faults.
_Tree = dict[str | int, "_Tree"]


class BrokenValueError(Exception):
    """A rule depends on a value that has a fault."""


class _Broken:
    """The type of :data:`BROKEN`. Its fields are broken as well; every other use raises :exc:`BrokenValueError`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> _Broken:
        return self

    def _refuse(self, *_: object) -> NoReturn:
        raise BrokenValueError

    __call__ = __getitem__ = __iter__ = __len__ = __bool__ = __contains__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _refuse
    __str__ = __format__ = __int__ = __index__ = _refuse


BROKEN: Final[Any] = _Broken()
"""Stands in a partial instance for a value that has a fault."""


def sound_items(items: Iterable[T]) -> Iterator[tuple[int, T]]:
    """The items of a list that are not broken, with their indexes."""
    return ((index, item) for index, item in enumerate(items) if item is not BROKEN)


def models_in(annotations: Iterable[Any]) -> Iterator[type[BaseModel]]:
    """The models within annotations, whatever unions, lists and metadata are around them."""
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        else:
            yield from models_in(get_args(annotation))


def partial_instance(model: type[BaseModel], value: Any, faults: Iterable[Sequence[str | int]]) -> Any:
    """
    Make the instance that a plain value would make if it had no faults.

    :param value: the value that the model refused.
    :param faults: the path of each fault within the value.
    :return: an instance of the model that may hold ``BROKEN`` at any depth; or ``BROKEN`` itself.
    """
    tree: _Tree = {}
    for path in faults:
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
    return _instance(model, value, tree)


def without_faults(instance: Any) -> Any:
    """
    Take everything broken out of a partial instance.

    A broken field gets its default. Objects in a list keep their indexes, so there a required field becomes empty. A
    list of texts of which one is broken becomes empty as a whole.

    :return: an instance without ``BROKEN``; or None where a required field of the instance itself is broken.
    """
    if not isinstance(instance, BaseModel):
        return None
    model = type(instance)
    for name, field in model.model_fields.items():
        if getattr(instance, name) is BROKEN and field.is_required() and get_origin(field.annotation) is not tuple:
            return None
    return _repaired(model, instance)


def _repaired(model: type[BaseModel], instance: Any) -> BaseModel:
    """
    Copy an instance without what is broken; required fields that are broken become empty.

    :param instance: an instance of the model, or ``BROKEN``.
    """
    fields = {}
    for name, field in model.model_fields.items():
        value = getattr(instance, name)
        if value is not BROKEN:
            fields[field.alias or name] = _repaired_value(field.annotation, value)
        elif field.is_required():
            fields[field.alias or name] = _empty_value(field.annotation)
    return model.model_construct(**fields)


def _repaired_value(annotation: Any, value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _repaired(type(value), value)
    if type(value) is not tuple:
        return value
    model = next(models_in([annotation]), None)
    if model is None:
        return () if any(item is BROKEN for item in value) else value
    return tuple(_repaired(model, item) for item in value)


def _empty_value(annotation: Any) -> Any:
    if get_origin(annotation) is tuple:
        return ()
    if annotation in (int, str):
        return annotation()
    model = next(models_in([annotation]), None)
    return None if model is None else _repaired(model, BROKEN)


def _instance(model: type[BaseModel], value: Any, tree: _Tree) -> Any:
    if not tree or not isinstance(value, Mapping):
        return BROKEN
    fields = {}
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if alias in tree:
            fields[alias] = _partial_value(field.annotation, value.get(alias), tree[alias])
        elif value.get(alias) is not None:
            fields[alias] = _field_type(model, name).validate_python(value[alias])
    return model.model_construct(**fields)


@functools.cache
def _field_type(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    constraints = (field.annotation, *field.metadata)
    annotated: Any = Annotated[constraints] if field.metadata else field.annotation
    return TypeAdapter(annotated)


def _partial_value(annotation: Any, value: Any, tree: _Tree) -> Any:
    """As much as there is of the value of a field that has faults."""
    if not tree:
        return BROKEN
    model = next(models_in([annotation]), None)
    if isinstance(value, list):
        return tuple(_item(model, item, tree.get(index)) for index, item in enumerate(value))
    if isinstance(value, Mapping) and model is None:
        return TypeAdapter(annotation).validate_python({key: item for key, item in value.items() if key not in tree})
    return BROKEN if model is None else _instance(model, value, tree)


def _item(model: type[BaseModel] | None, item: Any, tree: _Tree | None) -> Any:
    if model is None:
        return item if tree is None else BROKEN
    return model.model_validate(item) if tree is None else _instance(model, item, tree)
