"""
From text to resources: finds the kind of each document, validates it, and collects everything that is wrong with it.

One fault never hides another, with two exceptions: a text that is not YAML has no documents, and a rule between
fields reports nothing where one of these fields has a fault of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from meshgate.resources.documents import DocumentSource, items_of, split
from meshgate.resources.fault import Fault, FieldPath, chain_rules
from meshgate.resources.kinds.annotations import unread_faults
from meshgate.resources.kinds.pod import template_of
from meshgate.resources.kinds.supported_kinds import KUSTOMIZATION, Kind, find_kind, not_read
from meshgate.resources.model import Labels
from meshgate.resources.phases import Rest, at_once, no_rest
from meshgate.resources.problem import Origin, Problem, Severity
from meshgate.resources.resource import Metadata, Resource, ResourceKey
from meshgate.resources.validation import UNKNOWN_FIELD, validate_partially, without_faults
from meshgate.resources.wording import name_text, spelling_hint, value_text
from meshgate.resources.yaml.document import YamlError, iterate_documents

# The fields at the top level of a document.
_ENVELOPE: Final = ("apiVersion", "kind", "metadata", "spec", "status")

# An action of a Go template, as Helm has them, outside of quotes and comments.
_TEMPLATE_ACTION: Final = re.compile(r"""[^#"'\n]*?\{\{(?=-?\s*(?:[.$/]|[a-z]\w*[\s"(]|end\b|else\b))""")

# Files of meshgate's own by a key that they have: what they hold, and the command that takes them.
_OWN_FILES: Final = {
    "providers": ("the settings of a gateway", "'meshgate check --config {}' checks the routes that they lead to"),
    "expect": ("expectations", "'meshgate test {}' tests routes against them"),
}

DOCUMENTS_AT_ONCE: Final = 200
"""The number of documents that one phase reads, in some 0.1 s."""


@dataclass(frozen=True, slots=True)
class DocumentReading:
    """
    The result of reading one document.

    :ivar key: the identity of the resource, as far as the document says it.
    :ivar resource: the resource; None if it is not valid, or not of a kind that is read.
    :ivar origin: the file and position of the document.
    :ivar refused: as much as can be read of a resource that is not valid; for analysis alone, never for traffic.
    """

    key: ResourceKey | None
    resource: Resource[Any] | None
    problems: tuple[Problem, ...]
    origin: Origin
    refused: Resource[Any] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """
    The result of reading one text.

    :ivar documents: the documents in their order; none where the text is not readable.
    :ivar problems: the problems of the text as a whole.
    :ivar readable: True if the text is YAML.
    """

    documents: tuple[DocumentReading, ...]
    problems: tuple[Problem, ...]
    readable: bool

    @property
    def resources(self) -> tuple[Resource[Any], ...]:
        """The valid resources of all documents."""
        return tuple(document.resource for document in self.documents if document.resource is not None)

    @property
    def refused(self) -> tuple[Resource[Any], ...]:
        """As much as can be read of the resources that are not valid."""
        return tuple(document.refused for document in self.documents if document.refused is not None)

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """The problems of the text and of all its documents."""
        return self.problems + tuple(problem for document in self.documents for problem in document.problems)


def read_text(
    text: str | bytes,
    file: str,
    provider: str = "",
    default_namespace: str = "default",
    unknown_fields: Severity = Severity.ERROR,
) -> Reading:
    """
    Read every resource of a YAML or JSON text, and find every problem. The items of a list count as documents.

    :param text: bytes are UTF-8.
    :param file: the name of the text in problems.
    :param provider: the name of the provider that the text comes from.
    :param default_namespace: the namespace of documents that name none.
    :param unknown_fields: the severity of an unknown field, which never keeps a resource from serving.
    """
    return at_once(read_in_phases(text, file, provider, default_namespace, unknown_fields))


async def read_in_phases(
    text: str | bytes,
    file: str,
    provider: str = "",
    default_namespace: str = "default",
    unknown_fields: Severity = Severity.ERROR,
    rest: Rest = no_rest,
) -> Reading:
    """
    Read a text as :func:`read_text` does, in phases of :data:`DOCUMENTS_AT_ONCE` documents.

    :param rest: called between two phases, and its result awaited.
    """
    documents: list[DocumentReading] = []
    try:
        for yaml in iterate_documents(text):
            for source, value in split(yaml, Origin(provider, file, document=len(documents))):
                documents.append(_read(value, source, default_namespace, unknown_fields))
                if len(documents) % DOCUMENTS_AT_ONCE == 0:
                    await rest()
    except YamlError as error:
        return Reading((), (_syntax_problem(_template_error(error, text), file, provider),), readable=False)
    return Reading(tuple(documents), (), readable=True)


def read_document(
    document: Mapping[str, Any],
    origin: Origin,
    default_namespace: str = "default",
    unknown_fields: Severity = Severity.ERROR,
) -> DocumentReading:
    """
    Read one resource from a plain mapping, and find its problems.

    :param document: dicts, lists, texts, numbers, booleans and None, as read from JSON; one resource, not a list.
    :param origin: the origin of the resource, whose position all its problems get.
    """
    source = DocumentSource(origin)
    if items_of(document) is not None:
        fault = Fault(("items",), "MG0003", "a list is not one resource", "give its items one by one")
        return DocumentReading(None, None, source.problems([fault], None), origin)
    return _read(document, source, default_namespace, unknown_fields)


def _read(document: Any, source: DocumentSource, default_namespace: str, unknown_fields: Severity) -> DocumentReading:
    if _is_kustomization(document, source.origin.file):
        return DocumentReading(None, None, source.problems([not_read(*KUSTOMIZATION)], None), source.origin)
    faults = _head_faults(document, source.origin.file)
    if faults:
        return DocumentReading(None, None, source.problems(faults, None), source.origin)
    key = _key(document, default_namespace)
    kind = find_kind(document["apiVersion"], key.kind)
    if isinstance(kind, Kind):
        return _read_kind(document, kind, key, source, unknown_fields)
    template = template_of(document) if kind is None else None
    if template is not None:
        metadata, _, _ = _metadata(document)
        return DocumentReading(key, _resource(key, metadata, template, source.origin, b""), (), source.origin)
    return DocumentReading(
        key, None, source.problems([kind or not_read(document["apiVersion"], key.kind)], key), source.origin
    )


def _is_kustomization(document: Any, file: str) -> bool:
    """True for the file by which kustomize knows a folder, which need not say its apiVersion and kind."""
    known = file.rpartition("/")[2] in ("kustomization.yaml", "kustomization.yml")
    return known and isinstance(document, Mapping) and "kind" not in document


def _head_faults(document: Any, file: str) -> list[Fault]:
    if not isinstance(document, Mapping):
        hint = "a resource is a mapping with apiVersion, kind and metadata"
        return [Fault((), "MG0003", f"the document is {value_text(document)}, not a resource", hint)]
    if document.keys().isdisjoint(("apiVersion", "kind")):
        own = next((key for key in _OWN_FILES if isinstance(document.get(key), list)), None)
        if own is not None:
            noun, hint = _OWN_FILES[own]
            return [Fault((), "MG0003", f"these are {noun}, not a resource", hint.format(file))]
        if document.keys().isdisjoint(("metadata", "spec")):
            message = "the document has neither apiVersion nor kind, so it is no resource"
            hint = "it is left out, as is right for values of Helm and the like"
            return [Fault((), "MG0003", message, hint, Severity.INFO)]
    faults = []
    for field in ("apiVersion", "kind"):
        value = document.get(field)
        if value is None or value == "":
            faults.append(Fault((field,), "MG0003", f"the document has no {field}, so it is no resource"))
        elif not isinstance(value, str):
            faults.append(Fault((field,), "MG1003", f"must be text, not {value_text(value)}"))
    return faults


def _key(document: Mapping[str, Any], default_namespace: str) -> ResourceKey:
    """The identity of the resource, as far as the metadata says it."""
    metadata = document.get("metadata")
    names = metadata if isinstance(metadata, Mapping) else {}
    name, namespace = names.get("name"), names.get("namespace")
    return ResourceKey(
        document["kind"],
        namespace if isinstance(namespace, str) and namespace else default_namespace,
        name if isinstance(name, str) else "",
    )


def _read_kind(
    document: Mapping[str, Any], kind: Kind, key: ResourceKey, source: DocumentSource, unknown_fields: Severity
) -> DocumentReading:
    metadata, partial_metadata, faults = _metadata(document)
    path: FieldPath = ()
    content: Any = dict(document)
    if not kind.flat:
        path = ("spec",)
        content = document.get("spec")
        faults += _unknown_field_faults(document, unknown_fields)
    spec, partial, spec_faults = validate_partially(
        kind.model, {} if content is None else content, path, unknown_fields
    )
    faults += spec_faults
    faults += chain_rules(kind.faults(partial, key))
    faults += chain_rules(kind.label_faults(partial, partial_metadata.labels))
    faults += chain_rules(
        kind.annotation_faults(partial_metadata.annotations), unread_faults(kind.name, partial_metadata.annotations)
    )
    origin = source.origin_with_positions("spec") if kind.has_fields else source.origin
    serves = metadata is not None and spec is not None and not any(map(_forbids_serving, faults))
    text = b"" if kind.confidential else _as_json(document)
    resource = _resource(key, metadata, spec if serves else without_faults(partial), origin, text)
    # A warning of an ambiguous word quotes the word, which may be a secret.
    without_warnings = kind.confidential or kind.mostly_unread
    make_problems = source.problems if without_warnings else source.problems_and_warnings
    problems = make_problems(faults, key)
    if serves:
        return DocumentReading(key, resource, problems, origin)
    return DocumentReading(key, None, problems, origin, refused=resource)


def _as_json(document: Mapping[str, Any]) -> bytes:
    """The text of a document; empty if JSON has no form for something in it."""
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False, default=str).encode()
    except (TypeError, ValueError, RecursionError):
        return b""


def _resource(
    key: ResourceKey, metadata: Metadata | None, spec: Any, origin: Origin, document: bytes
) -> Resource[Any] | None:
    if spec is None or not key.name:
        return None
    return Resource(
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        labels=metadata.labels if metadata else Labels(),
        created=metadata.creation_timestamp if metadata else None,
        spec=spec,
        origin=origin,
        annotations=metadata.annotations if metadata else Labels(),
        document=document,
    )


def _forbids_serving(fault: Fault) -> bool:
    return fault.severity is Severity.ERROR and fault.code != UNKNOWN_FIELD


def _metadata(document: Mapping[str, Any]) -> tuple[Metadata | None, Any, list[Fault]]:
    """The metadata, or None; the metadata for the rules, which may be a partial instance; and its faults."""
    content = document.get("metadata")
    value = {} if content is None else content
    metadata, partial, faults = validate_partially(Metadata, value, ("metadata",), Severity.INFO)
    if isinstance(content, Mapping) and content.get("generateName"):
        hint = "generateName works with kubectl create only; give the resource a name"
        faults = [replace(fault, hint=hint) if fault.path[-1] == "name" else fault for fault in faults]
    return metadata, partial, faults


def _unknown_field_faults(document: Mapping[str, Any], severity: Severity) -> list[Fault]:
    """Report the unknown fields at the top level of a document."""
    return [
        Fault(
            (name,),
            UNKNOWN_FIELD,
            f"the field {name_text(name)} is not known",
            spelling_hint(name, _ENVELOPE),
            severity,
            True,
        )
        for name in document
        if name not in _ENVELOPE
    ]


def _template_error(error: YamlError, text: str | bytes) -> YamlError:
    """The error of a text that is a template, if an action of one stands where the parser stopped; else the same."""
    lines = (text.decode("utf-8", "replace") if isinstance(text, bytes) else text).splitlines()
    for number in (error.line, error.line - 1):
        action = _TEMPLATE_ACTION.match(lines[number - 1]) if 0 < number <= len(lines) else None
        if action is not None:
            hint = "render it first, as in 'helm template CHART | meshgate check -'"
            return YamlError("the file is a template, not YAML", number, action.end() - 1, hint)
    return error


def _syntax_problem(error: YamlError, file: str, provider: str) -> Problem:
    return Problem(
        severity=Severity.ERROR,
        code="MG0001",
        message=error.message,
        file=file,
        line=error.line,
        column=error.column,
        hint=error.hint,
        provider=provider,
    )
