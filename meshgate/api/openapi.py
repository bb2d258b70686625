"""
OpenAPI documents of version 3, one for each version of a group, by which clients validate, explain and merge.

The list of the documents names the hash of each, so that clients fetch again only what has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from meshgate import __version__
from meshgate.api.patches import JSON, MERGE, STRATEGIC
from meshgate.api.resource_types import CORE, ResourceType, groups, types_in
from meshgate.api.schemas import IDENTITY, REFERENCE, identity, schema_name, schemas

APPLY: Final = "application/apply-patch+yaml"

_TEXT: Final[Mapping[str, Any]] = {"type": "string"}
_OBJECT: Final[Mapping[str, Any]] = {"type": "object"}

QUERY: Final[Mapping[str, str]] = {
    "dryRun": "All, to check everything and change nothing",
    "fieldManager": "the name by which the client manages fields",
    "fieldValidation": "what happens with unknown fields: Strict, Warn or Ignore",
}
"""The parameters of a write, with their descriptions."""


@cache
def index() -> dict[str, Any]:
    """The list of the documents, each with the hash of its content."""
    names = ["api/v1", *(f"apis/{name}/{version}" for name, versions in groups().items() for version in versions)]
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest(name)}"} for name in names}}


@cache
def digest(name: str) -> str:
    """The hash of a document, which changes with its content."""
    return hash_of(json.dumps(document(name), sort_keys=True).encode())


def hash_of(content: bytes) -> str:
    """The hash of a document's bytes, as Kubernetes writes it."""
    return hashlib.sha256(content).hexdigest()[:32].upper()


@cache
def document(name: str) -> dict[str, Any] | None:
    """A document, by its name, as ``apis/networking.istio.io/v1``; None if there is none."""
    group, version = _group_of(name)
    types = list(types_in(group, version))
    if not types:
        return None
    paths = {path: item for type_ in types for path, item in path_items(type_, version)}
    return {
        "openapi": "3.0.0",
        "info": {"title": "meshgate", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas(group, version)},
    }


def _group_of(name: str) -> tuple[str, str]:
    parts = name.split("/")
    if len(parts) == 2 and parts[0] == "api":
        return CORE, parts[1]
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "apis" else (name, "")


_OBJECT_ANSWERS: Final = ("get", "post", "put", "patch")
"""The actions that are answered with one object of the type."""


def path_items(type_: ResourceType, version: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The addresses of a type, with what is possible at each."""
    root = f"/apis/{type_.group}/{version}" if type_.group else f"/api/{version}"
    base = f"{root}/namespaces/{{namespace}}/{type_.plural}" if type_.namespaced else f"{root}/{type_.plural}"
    content = {"application/json": {"schema": {"$ref": f"{REFERENCE}{schema_name(type_, version)}"}}}
    other = {"application/json": {"schema": _OBJECT}}  # a list, or a Status
    query = [{"name": name, "in": "query", "description": text, "schema": _TEXT} for name, text in QUERY.items()]
    body: dict[str, Any] = {"requestBody": {"content": content, "required": True}}
    forms = (APPLY, JSON, MERGE, *(() if type_.group.endswith("istio.io") else (STRATEGIC,)))
    patch: dict[str, Any] = {
        "requestBody": {"content": {form: {"schema": _OBJECT} for form in forms}, "required": True}
    }

    group = (type_.group.partition(".")[0] or "core").capitalize()

    def operation(action: str, summary: str, code: str = "200", **more: Any) -> dict[str, Any]:
        return {
            "description": f"{summary} of the kind {type_.kind}",
            "operationId": f"{action}{group}{version.capitalize()}{'Namespaced' * type_.namespaced}{type_.kind}",
            "responses": {code: {"description": "OK", "content": content if action in _OBJECT_ANSWERS else other}},
            "x-kubernetes-action": action,
            IDENTITY: identity(type_, version),
            **more,
        }

    where = [_path_parameter("namespace")] if type_.namespaced else []
    collection = {
        "get": operation("list", "list the objects"),
        "post": operation("post", "create an object", "201", parameters=query, **body),
        "delete": operation("deletecollection", "delete the objects", parameters=query[:1]),
    }
    single = {
        "get": operation("get", "read an object"),
        "put": operation("put", "replace an object", parameters=query, **body),
        "patch": operation("patch", "change an object", parameters=query, **patch),
        "delete": operation("delete", "delete an object", parameters=query[:1]),
    }
    yield base, {**collection, **({"parameters": where} if where else {})}
    yield f"{base}/{{name}}", {**single, "parameters": [*where, _path_parameter("name")]}


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}
