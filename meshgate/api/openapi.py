"""
OpenAPI documents of the API, by which clients validate, explain and merge: version 3 from the models, version 2 empty.

kubectl before 1.29 does not apply without a document of version 2, and takes one without any definition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from meshgate import __version__
from meshgate.api.resource_types import CORE, ResourceType, groups, types_in

V2_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""The media type of version 2, in the one form that clients can parse."""

_REFERENCE: Final = "#/components/schemas/{model}"
_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_OBJECT: Final[Mapping[str, Any]] = {"type": "object"}
_TEXT: Final[Mapping[str, Any]] = {"type": "string"}


class _Schema(GenerateJsonSchema):
    """JSON schemas of the models. A type that only a function checks may have any value here."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        """Describe such a type."""
        return {}


@cache
def index() -> dict[str, Any]:
    """The list of the documents of version 3, each with the hash of its content."""
    names = ["api/v1", *(f"apis/{name}/{version}" for name, versions in groups().items() for version in versions)]
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest(name)}"} for name in names}}


@cache
def digest(name: str) -> str:
    """The hash of a document, which changes with its content."""
    return hashlib.sha256(json.dumps(document(name), sort_keys=True).encode()).hexdigest()[:32].upper()


@cache
def document(name: str) -> dict[str, Any] | None:
    """A document of version 3, by its name, as ``apis/networking.istio.io/v1``; None if there is none."""
    group, version = _group_of(name)
    types = list(types_in(group, version))
    if not types:
        return None
    schemas: dict[str, Any] = {_METADATA: _metadata()}
    paths: dict[str, Any] = {}
    for type_ in types:
        _add_schema(schemas, type_, version)
        _add_paths(paths, type_, version)
    return {
        "openapi": "3.0.0",
        "info": {"title": "meshgate", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _group_of(name: str) -> tuple[str, str]:
    parts = name.split("/")
    if len(parts) == 2 and parts[0] == "api":
        return CORE, parts[1]
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "apis" else (name, "")


def _schema_name(type_: ResourceType, version: str) -> str:
    parts = [*reversed((type_.group or "core").split(".")), version, type_.kind]
    return ".".join(parts)


def _identity(type_: ResourceType, version: str) -> dict[str, str]:
    return {"group": type_.group, "version": version, "kind": type_.kind}


def _metadata() -> dict[str, Any]:
    texts = {"type": "object", "additionalProperties": _TEXT}
    return {
        "type": "object",
        "description": "the identity of the object, its labels and its annotations",
        "properties": {
            "name": {**_TEXT, "description": "the object's name"},
            "namespace": {**_TEXT, "description": "its namespace"},
            "labels": {**texts, "description": "its labels"},
            "annotations": {**texts, "description": "its annotations"},
            "resourceVersion": {**_TEXT, "description": "the number of its last change"},
            "uid": {**_TEXT, "description": "its identity, which no other object ever has"},
            "creationTimestamp": {**_TEXT, "format": "date-time", "description": "when it was created"},
            "generation": {"type": "integer", "description": "how often its content has changed"},
            "finalizers": {"type": "array", "items": _TEXT, "description": "who must agree to its deletion"},
        },
    }


def _add_schema(schemas: dict[str, Any], type_: ResourceType, version: str) -> None:
    properties: dict[str, Any] = {
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "metadata": {"allOf": [{"$ref": _REFERENCE.format(model=_METADATA)}], "description": "its identity"},
    }
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if type_.reads is not None:
        schema["description"] = type_.reads.description
        if not type_.reads.flat and not type_.reads.mostly_unread:
            content = type_.reads.model.model_json_schema(
                by_alias=True, ref_template=_REFERENCE, schema_generator=_Schema, mode=_MODE
            )
            schemas.update(content.pop("$defs", {}))
            properties["spec"] = content
    properties.setdefault("spec", {**_OBJECT, "x-kubernetes-preserve-unknown-fields": True})
    schema["x-kubernetes-group-version-kind"] = [_identity(type_, version)]
    schemas[_schema_name(type_, version)] = schema


_MODE: Final[JsonSchemaMode] = "validation"


def _add_paths(paths: dict[str, Any], type_: ResourceType, version: str) -> None:
    root = f"/apis/{type_.group}/{version}" if type_.group else f"/api/{version}"
    base = f"{root}/namespaces/{{namespace}}/{type_.plural}" if type_.namespaced else f"{root}/{type_.plural}"
    content = {"application/json": {"schema": {"$ref": _REFERENCE.format(model=_schema_name(type_, version))}}}
    parameters = [
        {"name": name, "in": "query", "schema": _TEXT} for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    answers = {"200": {"description": "OK", "content": content}}

    def operation(action: str, **more: Any) -> dict[str, Any]:
        identity = {"x-kubernetes-action": action, "x-kubernetes-group-version-kind": _identity(type_, version)}
        return {"responses": answers, **identity, **more}

    patch = {
        "requestBody": {
            "content": {f"application/{form}-patch+json": {"schema": _OBJECT} for form in ("merge", "json")},
            "required": True,
        }
    }
    body = {"requestBody": {"content": content, "required": True}}
    paths[base] = {
        "get": operation("list"),
        "post": operation("post", parameters=parameters, **body),
    }
    paths[f"{base}/{{name}}"] = {
        "get": operation("get"),
        "put": operation("put", parameters=parameters, **body),
        "patch": operation("patch", parameters=parameters, **patch),
        "delete": operation("delete", parameters=parameters[:1]),
    }
