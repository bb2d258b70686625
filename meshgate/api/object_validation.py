"""Validation of an object that is written: by the same reader, models and rules as files."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from meshgate.api.objects import SUBDOMAIN
from meshgate.api.refusal import Cause, bad_request, invalid
from meshgate.api.resource_types import ResourceType
from meshgate.api.store_interface import Object
from meshgate.resources.problem import Origin, Problem, Severity
from meshgate.resources.reader import DocumentReading, read_document
from meshgate.resources.resource import Metadata
from meshgate.resources.validation import UNKNOWN_FIELD, validate_partially
from meshgate.resources.wording import path_text

PROVIDER = "api"
"""The name of the provider that publishes the objects of the API."""

UNKNOWN_FIELDS = ("Strict", "Warn", "Ignore")
"""The values of the parameter ``fieldValidation``."""

MOST_CAUSES: Final = 100
"""The number of faults that one answer names."""

MOST_WARNINGS: Final = 20
"""The number of warnings in one answer."""

_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_VALUE_RULE: Final = "up to 63 letters, digits, -, _ and .; it must begin and end with a letter or digit"
_KEY_RULE: Final = f"{_VALUE_RULE}; before it, a DNS name and / may stand"


@dataclass(frozen=True, slots=True)
class Validation:
    """
    The result for an object that may be written.

    :ivar warnings: sentences for the client.
    """

    warnings: tuple[str, ...] = ()


def reading_of(type_: ResourceType, object_: Object) -> DocumentReading:
    """Read an object as a document of a file is read."""
    metadata = object_["metadata"]
    where = "/".join(filter(None, (type_.plural, metadata.get("namespace"), metadata["name"])))
    return read_document(object_, Origin(PROVIDER, f"{PROVIDER}:{where}"), unknown_fields=Severity.WARNING)


def reads_the_same(before: Object, after: Object) -> bool:
    """
    True if reading two states of an object gives the same: they differ in nothing but status and revision.

    Unchanged fields are the same objects in both, so this compares no content of any size.
    """
    if before is after:
        return True
    old, new = before["metadata"], after["metadata"]
    same_metadata = old.keys() == new.keys() and all(
        value is new[key] or value == new[key] for key, value in old.items() if key != "resourceVersion"
    )
    fields = {*before, *after} - {"metadata", "status"}
    return same_metadata and all(before.get(key) is after.get(key) for key in fields)


def validated(type_: ResourceType, object_: Object, unknown_fields: str) -> Validation:
    """
    Check an object.

    :param unknown_fields: one of :data:`UNKNOWN_FIELDS`.
    :raises RefusedError: with every fault as a cause.
    """
    faults = [*_metadata_faults(type_, object_["metadata"]), *_shape_faults(type_, object_)]
    problems = reading_of(type_, object_).problems if type_.reads is not None else ()
    unknown = [each for each in problems if each.code == UNKNOWN_FIELD]
    found = [each for each in problems if each.severity is Severity.ERROR and each not in unknown]
    seen = {each.path for each in found}
    causes = [Cause(sentence(each), each.path) for each in found] + [each for each in faults if each.field not in seen]
    if unknown and unknown_fields == "Strict":
        raise bad_request(f"strict decoding error: {', '.join(map(_unknown_field, unknown[:MOST_CAUSES]))}")
    if causes:
        raise invalid(type_, object_["metadata"]["name"], causes[:MOST_CAUSES])
    warnings = [sentence(each) for each in problems if each.severity is Severity.WARNING and each not in unknown]
    if unknown_fields == "Warn":
        warnings += map(_unknown_field, unknown)
    return Validation(tuple(warnings[:MOST_WARNINGS]))


def _metadata_faults(type_: ResourceType, metadata: Mapping[str, Any]) -> Iterator[Cause]:
    """The faults of the metadata that the reader does not find."""
    if type_.reads is None:
        _, _, faults = validate_partially(Metadata, metadata, ("metadata",), Severity.INFO)
        yield from (Cause(each.message, path_text(each.path)) for each in faults if each.severity is Severity.ERROR)
    for field in ("labels", "annotations"):
        found = metadata.get(field)
        for key, value in found.items() if isinstance(found, Mapping) else ():
            if not _is_qualified_name(key):
                yield Cause(f"Invalid value: {key[:100]!r}: {_KEY_RULE}", f"metadata.{field}")
            elif field == "labels" and isinstance(value, str) and not _LABEL_VALUE.fullmatch(value):
                yield Cause(f"Invalid value: {value[:100]!r}: {_VALUE_RULE}", f"metadata.{field}.{key}")
    annotations = metadata.get("annotations")
    if isinstance(annotations, Mapping) and sum(len(f"{key}{value}") for key, value in annotations.items()) > 1 << 18:
        yield Cause("Too long: all annotations together may have 262144 bytes", "metadata.annotations")
    yield from _fault_of(metadata, "finalizers", "list of texts", "metadata.")
    owners = metadata.get("ownerReferences")
    if owners is not None and not isinstance(owners, list):
        yield Cause("must be a list", "metadata.ownerReferences")
    for number, owner in enumerate(owners if isinstance(owners, list) else ()):
        for field in ("apiVersion", "kind", "name", "uid"):
            value = owner.get(field) if isinstance(owner, Mapping) else None
            if not isinstance(value, str) or not value:
                yield Cause("must be a text that is not empty", f"metadata.ownerReferences[{number}].{field}")


def _is_qualified_name(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return (
        bool(_LABEL_VALUE.fullmatch(name)) and name != "" and (not slash or bool(SUBDOMAIN.fullmatch(prefix.lower())))
    )


def _shape_faults(type_: ResourceType, object_: Object) -> Iterator[Cause]:
    """The fields of Kubernetes' own kinds that clients could not read. A fault quotes no value: it may be secret."""
    for name, shape in _SHAPES.get(type_.kind, {}).items():
        yield from _fault_of(object_, name, shape)


def _fault_of(object_: Mapping[str, Any], name: str, shape: str, above: str = "") -> Iterator[Cause]:
    value = object_.get(name)
    if value is not None and not _FITS[shape](value):
        yield Cause(f"must be a {shape}", f"{above}{name}")


def _are_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())


def _are_blobs(value: Any) -> bool:
    if not _are_texts(value):
        return False
    try:
        return all(base64.b64decode(each, validate=True) is not None for each in value.values())
    except ValueError:
        return False


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_FITS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "text": lambda value: isinstance(value, str),
    "list of texts": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "mapping of texts": _are_texts,
    "mapping of texts in base64": _are_blobs,
    "truth value": lambda value: isinstance(value, bool),
    "whole number": lambda value: type(value) is int,
    "time": _is_time,
    "mapping": lambda value: isinstance(value, Mapping),
}
"""Checks of values by what a value has to be."""

_SHAPES: Final[Mapping[str, Mapping[str, str]]] = {
    "Namespace": {"spec": "mapping"},
    "ConfigMap": {"data": "mapping of texts", "binaryData": "mapping of texts in base64", "immutable": "truth value"},
    "Secret": {
        "data": "mapping of texts in base64",
        "stringData": "mapping of texts",
        "type": "text",
        "immutable": "truth value",
    },
    "Event": {
        "involvedObject": "mapping of texts",
        "source": "mapping of texts",
        "firstTimestamp": "time",
        "lastTimestamp": "time",
        "eventTime": "time",
        "count": "whole number",
        **dict.fromkeys(("reason", "message", "type", "action", "reportingComponent", "reportingInstance"), "text"),
    },
    "ReplicaSet": {"spec": "mapping"},
}
"""What fields have to be, of those kinds of which the reader does not see all."""


def _unknown_field(problem: Problem) -> str:
    return f'unknown field "{problem.path}"'


def sentence(problem: Problem) -> str:
    """A problem in one line, for clients of the API."""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.message}{hint} [{problem.code}]"
