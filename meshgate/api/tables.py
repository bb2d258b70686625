"""The tables that kubectl prints (apimachinery, meta/v1, type Table)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from meshgate.api.resource_types import Column, ResourceType
from meshgate.api.store_interface import Object
from meshgate.resources.durations import format_age


def table(
    type_: ResourceType,
    objects: Iterable[Object],
    metadata: Any,
    now: datetime,
    version: str,
    include: str = "Metadata",
) -> dict[str, Any]:
    """
    A table of objects.

    :param metadata: the metadata of the list.
    :param version: the version of the Table itself, ``v1`` or ``v1beta1``.
    :param include: the part of each object that its row holds: ``Metadata``, ``Object`` or ``None``.
    """
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": columns(type_),
        "rows": [row(type_, each, now, version, include) for each in objects],
    }


def columns(type_: ResourceType) -> list[dict[str, Any]]:
    """The columns of a type."""
    if type_.unnamed:
        return list(map(_definition, type_.columns))
    first = _definition(Column("Name"), "name")
    return [first, *map(_definition, type_.columns), _definition(Column("Age")), *map(_definition, type_.wide)]


def _definition(column: Column, form: str = "") -> dict[str, Any]:
    return {"name": column.name, "type": "string", "format": form, "description": "", "priority": column.priority}


def row(type_: ResourceType, object_: Object, now: datetime, version: str, include: str) -> dict[str, Any]:
    """The row of an object."""
    metadata = object_["metadata"]
    cells = [_cell(each, object_, now) for each in type_.columns]
    if not type_.unnamed:
        age = _age(metadata.get("creationTimestamp"), now)
        cells = [metadata["name"], *cells, age, *(_cell(each, object_, now) for each in type_.wide)]
    found: dict[str, Any] = {"cells": cells}
    if include == "Object":
        found["object"] = object_
    elif include == "Metadata":
        found["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": metadata,
        }
    return found


def _cell(column: Column, object_: Object, now: datetime) -> Any:
    value = column.value(object_)
    if column.is_time:
        return _age(value, now)
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list | dict) else value


def _age(time: Any, now: datetime) -> str:
    try:
        return format_age((now - datetime.fromisoformat(time)).total_seconds())
    except (TypeError, ValueError):
        return "<unknown>"


def now_of(seconds: float) -> datetime:
    """A time of the wall clock, in seconds since the epoch, with its time zone."""
    return datetime.fromtimestamp(seconds, UTC)
