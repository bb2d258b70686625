"""Label and field selectors of lists and watches (Kubernetes, apimachinery/pkg/labels and pkg/fields)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from meshgate.api.refusal import bad_request
from meshgate.api.store_interface import value_at

Selector = Callable[[Mapping[str, Any]], bool]
"""True for an object that is selected."""

_KEY: Final = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE: Final = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_SET: Final = re.compile(rf"\s*({_KEY})\s+(in|notin)\s*\(([^()]*)\)\s*")
_EQUAL: Final = re.compile(rf"\s*({_KEY})\s*(==|=|!=)\s*({_VALUE})\s*")
_PRESENT: Final = re.compile(rf"\s*(!?)\s*({_KEY})\s*")
_COMMA: Final = re.compile(r",(?![^(]*\))")
_FIELD: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9.]*)\s*(==|=|!=)\s*([^,]*)")

_FIELDS: Final = ("metadata.name", "metadata.namespace")


def everything(object_: Mapping[str, Any]) -> bool:
    """Select every object."""
    return True


def label_selector(text: str) -> Selector:
    """
    Read a selector of labels, such as ``app=a,tier in (b, c),!old``.

    :raises RefusedError: if it is not one.
    """
    requirements = [_label_requirement(part) for part in _COMMA.split(text)] if text.strip() else []

    def selects(object_: Mapping[str, Any]) -> bool:
        labels = value_at(object_, ("metadata", "labels")) or {}
        return all(requirement(labels) for requirement in requirements)

    return selects if requirements else everything


def _label_requirement(text: str) -> Callable[[Mapping[str, str]], bool]:
    if match := _SET.fullmatch(text):
        key, operator, values = match.groups()
        wanted = {value.strip() for value in values.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in wanted
        return lambda labels: labels.get(key) not in wanted
    if match := _EQUAL.fullmatch(text):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _PRESENT.fullmatch(text):
        absent, key = match.groups()
        return lambda labels: (key in labels) is not bool(absent)
    raise bad_request(f"unable to parse requirement: {text.strip()!r} in the label selector")


def field_selector(text: str, fields: Iterable[str] = ()) -> Selector:
    """
    Read a selector of fields, such as ``metadata.name=a``.

    :param fields: the fields of the type that it may name, besides name and namespace.
    :raises RefusedError: if it is not one, or asks for a field that cannot be selected by.
    """
    known = (*_FIELDS, *fields)
    requirements = [_field_requirement(part, known) for part in text.split(",")] if text.strip() else []

    def selects(object_: Mapping[str, Any]) -> bool:
        return all(((value_at(object_, path) or "") == value) is equal for path, equal, value in requirements)

    return selects if requirements else everything


def _field_requirement(text: str, known: tuple[str, ...]) -> tuple[tuple[str, ...], bool, str]:
    match = _FIELD.fullmatch(text)
    if match is None:
        raise bad_request(f"invalid field selector: {text.strip()!r}")
    field, operator, value = match.groups()
    if field not in known:
        raise bad_request(f"field label not supported: {field}; select by {', '.join(known[:-1])} or {known[-1]}")
    return tuple(field.split(".")), operator != "!=", value.strip()


def both(first: Selector, second: Selector) -> Selector:
    """Select what two selectors select."""
    if first is everything:
        return second
    if second is everything:
        return first
    return lambda object_: first(object_) and second(object_)
