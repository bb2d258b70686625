"""
The forms in which a client may ask for objects: whole, as rows of a table, or their metadata alone.

The Accept header chooses the form (Kubernetes, API concepts, "Receiving resources as Tables"), for single objects,
lists and the events of watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from meshgate.api.objects import in_version
from meshgate.api.requests import ApiRequest
from meshgate.api.store_interface import Object
from meshgate.api.tables import columns, row, table
from meshgate.api.target import Target


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
