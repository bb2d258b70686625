"""
The forms in which a client may ask for objects: whole, as rows of the tables that kubectl prints, or their metadata
alone.

The Accept header chooses the form (Kubernetes, API concepts, "Receiving resources as Tables"; apimachinery, meta/v1,
type Table), for single objects, lists and the events of watches.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from meshgate.api.objects import in_version
from meshgate.api.requests import ApiRequest
from meshgate.api.resource_types import Column, ResourceType
from meshgate.api.store_interface import Object
from meshgate.api.target import Target
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


class Presentation:
    """
    The form of one answer.

    :param now: returns the present time, for ages.
    """

    def __init__(self, request: ApiRequest, target: Target, now: Callable[[], datetime]) -> None:
        self._type = target.type
        self._version = target.version
        self._now = now
        self._table = request.table_version()
        self._metadata = "" if self._table else request.metadata_version()
        self._include = request.query.get("includeObject", "Metadata")
        self._headed = False

    def object(self, object_: Object) -> Any:
        """A single object."""
        if self._table:
            # A dry run has no revision.
            return self._of_table([object_], {"resourceVersion": object_["metadata"].get("resourceVersion", "")})
        return self._shown(object_)

    def list(self, objects: Iterable[Object], metadata: Mapping[str, Any]) -> Any:
        """
        A list.

        :param metadata: the metadata of the list.
        """
        if self._table:
            return self._of_table(objects, metadata)
        kind, api_version = f"{self._type.kind}List", self._type.api_version(self._version)
        if self._metadata:
            kind, api_version = "PartialObjectMetadataList", f"meta.k8s.io/{self._metadata}"
        items = list(map(self._shown, objects))
        return {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items}

    def event(self, kind: str, object_: Object) -> dict[str, Any]:
        """
        An event of a watch.

        :param kind: such as ``ADDED``.
        """
        if not self._table:
            return {"type": kind, "object": self._shown(object_)}
        shown = in_version(object_, self._type, self._version)
        return self._row_event(kind, [row(self._type, shown, self._now(), self._table, self._include)], object_)

    def bookmark(self, revision: int, annotations: Mapping[str, str] | None) -> dict[str, Any]:
        """A bookmark of a watch."""
        metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = dict(annotations)
        head = {"kind": self._type.kind, "apiVersion": self._type.api_version(self._version)}
        found = {**head, "metadata": metadata}
        if self._table:
            return self._row_event("BOOKMARK", [], found)
        return {"type": "BOOKMARK", "object": self._shown(found)}

    def _shown(self, object_: Object) -> Object:
        if self._metadata:
            head = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{self._metadata}"}
            return {**head, "metadata": object_["metadata"]}
        return in_version(object_, self._type, self._version)

    def _of_table(self, objects: Iterable[Object], metadata: Mapping[str, Any]) -> dict[str, Any]:
        shown = [in_version(each, self._type, self._version) for each in objects]
        return table(self._type, shown, metadata, self._now(), self._table, self._include)

    def _row_event(self, kind: str, rows: Sequence[Any], object_: Object) -> dict[str, Any]:
        # The columns come with the first event alone.
        heads = None if self._headed else columns(self._type)
        self._headed = True
        head = {"kind": "Table", "apiVersion": f"meta.k8s.io/{self._table}"}
        metadata = {
            key: value for key, value in object_["metadata"].items() if key in ("resourceVersion", "annotations")
        }
        if kind != "BOOKMARK":
            metadata.pop("annotations", None)
        return {"type": kind, "object": {**head, "metadata": metadata, "columnDefinitions": heads, "rows": rows}}
