"""
OpenAPI documents, by which clients validate, explain and merge: of version 3 and of version 2.

There is one of version 3 for each version of a group. The list of these documents names the hash of each, so that
clients fetch again only what has changed.

There is one of version 2, of all groups together, as JSON and as protobuf. kubectl before 1.27 knows no other version:
it validates, explains, merges and checks for dry runs by it. Its content is that of the documents of version 3. The
protobuf form is gnostic's message Document (openapiv2/OpenAPIv2.proto).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from meshgate import __version__
from meshgate.api.patches import JSON, MERGE, STRATEGIC
from meshgate.api.resource_types import CORE, TYPES, ResourceType, groups, types_in
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


PROTOBUF_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""The media type of the protobuf form. Clients ask for it with ``@`` as well, and cannot parse an answer named so."""

PROTOBUF_NAMES: Final = (PROTOBUF_TYPE, PROTOBUF_TYPE.replace("v2.v1.0", "v2@v1.0"))

_DEFINITION: Final = "#/definitions/"
_JSON: Final = ["application/json"]


@cache
def document_v2() -> dict[str, Any]:
    """The document_v2."""
    definitions: dict[str, Any] = {}
    for group, versions in {CORE: ("v1",), **groups()}.items():
        for version in versions:
            definitions.update({name: _schema(each) for name, each in schemas(group, version).items()})
    items = (item for type_ in TYPES for version in type_.versions for item in path_items(type_, version))
    return {
        "swagger": "2.0",
        "info": {"title": "meshgate", "version": __version__},
        "paths": {path: _path_item(item) for path, item in items},
        "definitions": dict(sorted(definitions.items())),
    }


@cache
def json_v2() -> bytes:
    """The document_v2 as JSON."""
    return json.dumps(document_v2(), separators=(",", ":")).encode()


def _schema(schema: Any) -> Any:
    """A schema of version 3 as one of version 2."""
    if isinstance(schema, list):
        return [_schema(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {key: _schema(value) for key, value in schema.items()}
    if isinstance(target := schema.get("$ref"), str):
        found["$ref"] = target.replace(REFERENCE, _DEFINITION)
    for each in found.pop("allOf", ()):
        found |= each
    if found.pop("anyOf", None):
        found |= {"type": "string", "format": "int-or-string"}
    return found


def _path_item(item: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: _operation(each) for name, each in item.items() if name != "parameters"}
    if parameters := item.get("parameters"):
        found["parameters"] = [_parameter(each) for each in parameters]
    return found


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    return {**{key: value for key, value in parameter.items() if key != "schema"}, **parameter["schema"]}


def _operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in operation.items() if key not in ("requestBody", "responses")}
    parameters = [_parameter(each) for each in operation.get("parameters", ())]
    if body := operation.get("requestBody"):
        forms = dict(body["content"])
        schema = next(iter(forms.values()))["schema"]
        parameters.append({"name": "body", "in": "body", "required": True, "schema": _schema(schema)})
        found["consumes"] = list(forms)
    if parameters:
        found["parameters"] = parameters
    responses = {
        code: {"description": each["description"], "schema": _schema(each["content"][_JSON[0]]["schema"])}
        for code, each in operation["responses"].items()
    }
    return {**found, "produces": _JSON, "responses": responses}


# The protobuf form: fields by their numbers, as OpenAPIv2.proto has them.


@cache
def protobuf_v2() -> bytes:
    """The document_v2 as protobuf."""
    content = document_v2()
    paths = b"".join(_field(2, _named(name, _path_message(item))) for name, item in content["paths"].items())
    definitions = _properties(content["definitions"])
    info = _field(1, content["info"]["title"]) + _field(2, content["info"]["version"])
    return _field(1, content["swagger"]) + _field(2, info) + _field(8, paths) + _field(9, definitions)


_METHODS: Final[Mapping[str, int]] = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def _path_message(item: Mapping[str, Any]) -> bytes:
    operations = b"".join(_field(_METHODS[name], _operation_message(item[name])) for name in _METHODS if name in item)
    return operations + _parameters(9, item.get("parameters", ()))


def _operation_message(operation: Mapping[str, Any]) -> bytes:
    responses = b"".join(
        _field(
            1, _named(code, _field(1, _field(1, each["description"]) + _field(2, _field(1, _message(each["schema"])))))
        )
        for code, each in operation["responses"].items()
    )
    return (
        _field(3, operation["description"])
        + _field(5, operation["operationId"])
        + _texts(6, operation["produces"])
        + _texts(7, operation.get("consumes", ()))
        + _parameters(8, operation.get("parameters", ()))
        + _field(9, responses)
        + _extensions(13, operation)
    )


def _parameters(number: int, parameters: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(_field(number, _field(1, _parameter_message(each))) for each in parameters)


def _parameter_message(parameter: Mapping[str, Any]) -> bytes:
    name, where, text = parameter["name"], parameter["in"], _field(3, parameter.get("description", ""))
    required = _flag(1, parameter.get("required", False))
    if where == "body":
        body = _field(2, name) + _field(3, where) + _flag(4, True) + _field(5, _message(parameter["schema"]))
        return _field(1, body)
    type_ = parameter["type"]
    if where == "path":
        return _field(2, _field(4, required + _field(2, where) + text + _field(4, name) + _field(5, type_)))
    return _field(2, _field(3, required + _field(2, where) + text + _field(4, name) + _field(6, type_)))


def _message(schema: Mapping[str, Any]) -> bytes:
    """A message Schema."""
    parts = [
        _field(1, schema.get("$ref", "")),
        _field(2, schema.get("format", "")),
        _field(4, schema.get("description", "")),
        _texts(19, schema.get("required", ())),
    ]
    parts += [_field(20, _any(each)) for each in schema.get("enum", ())]
    if (values := schema.get("additionalProperties")) is not None:
        parts.append(_field(21, _field(1, _message(values))))
    if type_ := schema.get("type"):
        parts.append(_field(22, _field(1, type_)))
    if (items := schema.get("items")) is not None:
        parts.append(_field(23, _field(1, _message(items))))
    if properties := schema.get("properties"):
        parts.append(_field(25, _properties(properties)))
    return b"".join([*parts, _extensions(31, schema)])


def _properties(schemas_: Mapping[str, Any]) -> bytes:
    return b"".join(_field(1, _named(name, _message(each))) for name, each in schemas_.items())


def _extensions(number: int, content: Mapping[str, Any]) -> bytes:
    extensions = ((name, value) for name, value in content.items() if name.startswith("x-"))
    return b"".join(_field(number, _named(name, _any(value))) for name, value in extensions)


def _any(value: Any) -> bytes:
    """A message Any, which has the value as YAML, of which JSON is a part."""
    return _field(2, json.dumps(value))


def _named(name: str, value: bytes) -> bytes:
    """An entry of a mapping."""
    return _field(1, name) + _field(2, value)


def _texts(number: int, texts: Iterable[str]) -> bytes:
    return b"".join(_field(number, text) for text in texts)


def _field(number: int, content: str | bytes) -> bytes:
    """A field with a length: a text, which is left out if it is empty, or a message."""
    if content == "":
        return b""
    encoded = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(encoded)) + encoded


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + b"\x01" if value else b""


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
