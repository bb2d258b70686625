"""
Validation of plain mappings by models, with pydantic's errors translated into faults for users.

Problem: pydantic makes no instance of a value with a fault. But one fault must not hide others: a Gateway with a
misspelled mode has other servers, whose rules can be checked, and its hosts still matter to the analysis.

Approach: :func:`validate_partially` builds a partial instance without pydantic's validation, field by field, and puts
:data:`~meshgate.resources.fault.BROKEN` wherever pydantic reported an error. The rules between fields take it as any
other instance.

Invariants: a rule never makes a decision by a broken value, and never shows one. Whatever is not within ``BROKEN`` is
as pydantic would have made it. ``BROKEN`` never leaves validation: :func:`without_faults` takes it out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from meshgate.resources.fault import BROKEN, Fault, FieldPath
from meshgate.resources.model import FAULT
from meshgate.resources.problem import Severity
from meshgate.resources.wording import name_text, spelling_hint, value_text

M = TypeVar("M", bound=BaseModel)

#: The code of an unknown field. It is the one error that does not make a resource invalid.
UNKNOWN_FIELD: Final = "MG1001"

# What a value must be, by pydantic's name of the error for other values.
_WANTED: Final = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}

# The paths of all faults as a tree. A node without children is a fault; any other is a value that contains faults.
_Tree = dict[str | int, "_Tree"]


def validate(model: type[M], value: Any, path: FieldPath, unknown_fields: Severity) -> tuple[M | None, list[Fault]]:
    """
    Validate a plain value by a model, and find all its faults.

    :param path: the path of the value, with which the paths of its faults begin.
    :param unknown_fields: the severity of a field that the model does not have. Validation goes on without it.
    :return: the instance, or None if the value is not valid; and the faults.
    """
    instance, _, faults = validate_partially(model, value, path, unknown_fields)
    return instance, faults


def validate_partially(
    model: type[M], value: Any, path: FieldPath, unknown_fields: Severity
) -> tuple[M | None, Any, list[Fault]]:
    """
    Validate a plain value as :func:`validate` does, and return an instance for the rules between fields as well.

    :return: the instance or None; the instance for the rules, which is
        a :func:`partial one <partial_instance>` if the value is not valid; and the faults.
    """
    errors = _errors(model, value)
    if isinstance(errors, BaseModel):
        return errors, errors, []
    unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    faults: list[Fault] = []
    if unknown:
        # Validation without the unknown fields may find further errors.
        value = _copied(value)
        faults = [_unknown_field(model, value, inner, path, unknown_fields) for inner in unknown]
        errors = _errors(model, value)
        if isinstance(errors, BaseModel):
            return errors, errors, faults
    partial = partial_instance(model, value, [error["loc"] for error in errors])
    return None, partial, faults + list(_faults(errors, path))


def _errors(model: type[M], value: Any) -> M | list[ErrorDetails]:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        return error.errors(include_url=False)


def _unknown_field(
    model: type[BaseModel], value: Any, inner: Sequence[str | int], path: FieldPath, severity: Severity
) -> Fault:
    """
    Take an unknown field out of a value, and report it. A field in snake_case is put back under its right name.

    :param inner: the path of the field within the value.
    :param path: the path of the value.
    """
    name = str(inner[-1])
    parent = _value_at(value, inner[:-1])
    content = parent.pop(inner[-1])
    names = _field_names(model, inner[:-1])
    camel = names.get(name)
    field_path = (*path, *inner)
    if camel is not None and camel not in parent:
        parent[camel] = content
        message = f"{name_text(name)} is snake_case, which the Kubernetes API server drops"
        return Fault(field_path, "MG1007", message, f"write {camel}", Severity.WARNING, points_at_key=True)
    return Fault(
        field_path,
        UNKNOWN_FIELD,
        f"the field {name_text(name)} is not known",
        spelling_hint(name, names.values()),
        severity,
        points_at_key=True,
    )


def _copied(value: Any) -> Any:
    """Copy a plain value so that no two places of it share an object, of which fields could be taken only once."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _value_at(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        value = value[step]
    return value


def _field_names(model: type[BaseModel], path: Sequence[str | int]) -> dict[str, str]:
    """The fields of the message at a path within a model's value: their names in camelCase by those in snake_case."""
    for step in path:
        if isinstance(step, str):
            annotations = [field.annotation for field in model.model_fields.values() if field.alias == step]
            found = next(models_in(annotations), None)
            if found is None:
                return {}
            model = found
    return {name: field.alias or name for name, field in model.model_fields.items()}


def _faults(errors: Iterable[ErrorDetails], path: FieldPath) -> Iterator[Fault]:
    for error in errors:
        field_path = (*path, *error["loc"])
        # pydantic also calls a list too short if it has left out items that are wrong.
        if not (error["type"] == "too_short" and error["input"]):
            code, message, hint = _in_words(error, field_path)
            yield Fault(field_path, code, message, hint)


def _in_words(error: ErrorDetails, path: FieldPath) -> tuple[str, str, str]:
    """Code, message and hint for one of pydantic's errors."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == FAULT:
        return context["code"], context["message"], context["hint"]
    if kind == "missing":
        return "MG1002", f"the required field {path[-1]} is missing", ""
    if kind in _WANTED:
        return "MG1003", f"must be {_WANTED[kind]}, not {value_text(value)}", _retyping_hint(kind, value, path)
    if kind == "enum":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return "MG1004", f"{value_text(value)} is not one of the choices", _choice_hint(value, choices)
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return "MG1005", f"{value_text(value)} is out of range", f"{bound} is allowed"
    if kind == "too_short":
        return "MG1006", "the list needs at least one entry", ""
    if kind == "too_long":
        return "MG1006", f"the list has more than {context['max_length']} entries", ""
    if kind == "string_too_short":
        return "MG1006", "the text must not be empty", ""
    return "MG1003", f"{value_text(value)} does not fit here", ""


def _retyping_hint(kind: str, value: Any, path: FieldPath) -> str:
    if kind == "model_type" and type(value) is int and path[-1] == "port":
        return f"write port: {{number: {value}}}"
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return "put it in quotes"
    if kind == "tuple_type" and not isinstance(value, Mapping):
        return 'begin each entry with "- "'
    return ""


def _choice_hint(value: Any, choices: list[str]) -> str:
    everything = f"one of {', '.join(choices)}"
    near = spelling_hint(value, choices) if isinstance(value, str) else everything
    return near if near == everything else f"{near} It is {everything}"


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
        rest = {key: item for key, item in value.items() if key not in tree}
        return TypeAdapter(annotation).validate_python(rest) if rest else BROKEN
    return BROKEN if model is None else _instance(model, value, tree)


def _item(model: type[BaseModel] | None, item: Any, tree: _Tree | None) -> Any:
    if model is None:
        return item if tree is None else BROKEN
    return model.model_validate(item) if tree is None else _instance(model, item, tree)
