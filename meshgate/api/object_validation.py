"""Validation of an object that is written: by the same reader, models and rules as files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshgate.api.refusal import Cause, RefusedError, bad_request, invalid
from meshgate.api.resource_types import ResourceType
from meshgate.api.store_interface import Object
from meshgate.resources.problem import Origin, Problem, Severity
from meshgate.resources.reader import DocumentReading, read_document
from meshgate.resources.validation import UNKNOWN_FIELD

PROVIDER = "api"
"""The name of the provider that publishes the objects of the API."""

UNKNOWN_FIELDS = ("Strict", "Warn", "Ignore")
"""The values of the parameter ``fieldValidation``."""


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
    if type_.reads is None:
        return Validation()
    problems = reading_of(type_, object_).problems
    unknown = [each for each in problems if each.code == UNKNOWN_FIELD]
    if unknown and unknown_fields == "Strict":
        raise bad_request(f"strict decoding error: {', '.join(map(_unknown_field, unknown))}")
    faults = [each for each in problems if each.severity is Severity.ERROR and each not in unknown]
    if faults:
        raise _refused(type_, object_["metadata"]["name"], faults)
    warnings = [sentence(each) for each in problems if each.severity is Severity.WARNING and each not in unknown]
    if unknown_fields == "Warn":
        warnings += map(_unknown_field, unknown)
    return Validation(tuple(warnings))


def _unknown_field(problem: Problem) -> str:
    return f'unknown field "{problem.path}"'


def _refused(type_: ResourceType, name: str, faults: Iterable[Problem]) -> RefusedError:
    return invalid(type_, name, [Cause(sentence(each), each.path) for each in faults])


def sentence(problem: Problem) -> str:
    """A problem in one line, for clients of the API."""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.message}{hint} [{problem.code}]"
