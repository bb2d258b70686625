"""Validation of plain mappings by models, with pydantic's errors translated into faults for users."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from meshgate.resources.fault import Fault, FieldPath
from meshgate.resources.model import FAULT
from meshgate.resources.partial import models_in, partial_instance
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
        a :func:`partial one <meshgate.resources.partial.partial_instance>` if the value is not valid; and the faults.
    """
    errors = _errors(model, value)
    if isinstance(errors, BaseModel):
        return errors, errors, []
    unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    faults: list[Fault] = []
    if unknown:
        # Validation without the unknown fields may find further errors.
        value = copy.deepcopy(value)
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
