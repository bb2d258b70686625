"""
A plain mapping held against a model: the record it makes, and every fault in our own words.

Knows pydantic's errors and what to say instead; knows nothing of kinds, files or positions.
"""

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

#: The code of a field that is not known, which alone never makes a resource invalid.
UNKNOWN_FIELD: Final = "MG1001"

# What a value should be, by pydantic's name for the error of being something else.
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
    The record that a plain value makes, or None where it makes none; and its faults, all of them.

    :param path: of the value, for the faults.
    :param unknown_fields: how bad a field is that the model does not know; it is left out and the rest is judged.
    """
    record, _, faults = validate_partially(model, value, path, unknown_fields)
    return record, faults


def validate_partially(
    model: type[M], value: Any, path: FieldPath, unknown_fields: Severity
) -> tuple[M | None, Any, list[Fault]]:
    """
    As :func:`validate`, with a second record in between, for the rules between fields: the same one, or where the
    value makes none, what :func:`~meshgate.resources.partial.partial_record` makes of it.
    """
    errors = _errors(model, value)
    if isinstance(errors, BaseModel):
        return errors, errors, []
    unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    faults: list[Fault] = []
    if unknown:
        # What is wrong elsewhere may only show once the model takes the fields.
        value = copy.deepcopy(value)
        faults = [_unknown_field(model, value, place, path, unknown_fields) for place in unknown]
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
    model: type[BaseModel], value: Any, place: Sequence[str | int], path: FieldPath, severity: Severity
) -> Fault:
    """Takes the field out of the value; one in snake_case goes in again by its right name, as in protobuf."""
    name = str(place[-1])
    parent = _at(value, place[:-1])
    content = parent.pop(place[-1])
    known = _field_names(model, place[:-1])
    camel = known.get(name)
    where = (*path, *place)
    if camel is not None and camel not in parent:
        parent[camel] = content
        message = f"{name_text(name)} is snake_case, which the Kubernetes API server drops"
        return Fault(where, "MG1007", message, f"write {camel}", Severity.WARNING, points_at_key=True)
    return Fault(
        where,
        UNKNOWN_FIELD,
        f"the field {name_text(name)} is not known",
        spelling_hint(name, known.values()),
        severity,
        points_at_key=True,
    )


def _at(value: Any, place: Sequence[str | int]) -> Any:
    for step in place:
        value = value[step]
    return value


def _field_names(model: type[BaseModel], place: Sequence[str | int]) -> dict[str, str]:
    """The fields that may stand at a place within a model's value: in camelCase by their names in protobuf."""
    for step in place:
        if isinstance(step, str):
            annotations = [field.annotation for field in model.model_fields.values() if field.alias == step]
            found = next(models_in(annotations), None)
            if found is None:
                return {}
            model = found
    return {name: field.alias or name for name, field in model.model_fields.items()}


def _faults(errors: Iterable[ErrorDetails], path: FieldPath) -> Iterator[Fault]:
    for error in errors:
        place = (*path, *error["loc"])
        # A list that lost its wrong items is called too short, too.
        if not (error["type"] == "too_short" and error["input"]):
            code, message, hint = _in_words(error, place)
            yield Fault(place, code, message, hint)


def _in_words(error: ErrorDetails, place: FieldPath) -> tuple[str, str, str]:
    """Code, message and hint for one of pydantic's errors."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == FAULT:
        return context["code"], context["message"], context["hint"]
    if kind == "missing":
        return "MG1002", f"the required field {place[-1]} is missing", ""
    if kind in _WANTED:
        return "MG1003", f"must be {_WANTED[kind]}, not {value_text(value)}", _retyping_hint(kind, value, place)
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


def _retyping_hint(kind: str, value: Any, place: FieldPath) -> str:
    if kind == "model_type" and type(value) is int and place[-1] == "port":
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
