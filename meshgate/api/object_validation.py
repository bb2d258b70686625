"""Validation of an object that is written: by the same reader, models and rules as files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshgate.api.kubernetes_fields import Mismatch, mismatches
from meshgate.api.objects import SUBDOMAIN
from meshgate.api.refusal import Cause, bad_request, invalid
from meshgate.api.resource_types import ResourceType
from meshgate.api.store_interface import Object
from meshgate.resources.problem import Origin, Problem, Severity
from meshgate.resources.reader import DocumentReading, read_document
from meshgate.resources.resource import Metadata
from meshgate.resources.validation import UNKNOWN_FIELD, validate_partially
from meshgate.resources.wording import path_text
from meshgate.settings.section import API_PROVIDER

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
    uid, generation = metadata.get("uid", ""), metadata.get("generation", 0)
    origin = Origin(API_PROVIDER, f"{API_PROVIDER}:{where}", uid=uid, generation=generation, is_applied=True)
    return read_document(object_, origin, unknown_fields=Severity.WARNING)


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
    problems = reading_of(type_, object_).problems if type_.reads is not None else ()
    misfits = list(_misfits(type_, object_))
    judged = [each for each in problems if each.code != UNKNOWN_FIELD]
    causes = [Cause(sentence(each), each.path) for each in judged if each.severity is Severity.ERROR]
    seen = {each.field for each in causes}
    faults = [Cause(f"must be {each.wanted}", each.path) for each in misfits if each.wanted]
    faults += _metadata_faults(type_, object_["metadata"])
    causes += [each for each in faults if each.field not in seen]
    unknown = [each.path for each in problems if each.code == UNKNOWN_FIELD]
    unknown += [each.path for each in misfits if not each.wanted]
    if unknown and unknown_fields == "Strict":
        raise bad_request(f"strict decoding error: {', '.join(map(_unknown_field, unknown[:MOST_CAUSES]))}")
    if causes:
        raise invalid(type_, object_["metadata"]["name"], causes[:MOST_CAUSES])
    warnings = [sentence(each) for each in judged if each.severity is Severity.WARNING]
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
    owners = metadata.get("ownerReferences")
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


def _misfits(type_: ResourceType, object_: Object) -> Iterator[Mismatch]:
    """Values for which a kind has no fields; a model has those of the kinds of Istio, except for their metadata."""
    if type_.group.endswith("istio.io"):
        return mismatches("ObjectMeta", object_["metadata"], "metadata")
    # The gateway itself writes the status.
    return mismatches(type_.kind, {key: value for key, value in object_.items() if key != "status"})


def _unknown_field(path: str) -> str:
    return f'unknown field "{path[:200]}"'


def sentence(problem: Problem) -> str:
    """A problem in one line, for clients of the API."""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.message}{hint} [{problem.code}]"
