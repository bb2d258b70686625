"""Tests of :mod:`meshgate.api.openapi` and :mod:`meshgate.api.schemas`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from openapi_spec_validator import validate
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api import openapi
from meshgate.api.kubernetes_fields import messages
from meshgate.api.request_bodies import MESSAGES
from meshgate.api.resource_types import TYPES, ResourceType
from meshgate.api.schemas import DESCRIPTIONS, schema_name
from meshgate.resources.field_reference import kind_entry
from tests.api.test_answering import AnsweringTestCase

PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def versions() -> Iterator[tuple[ResourceType, str, Mapping[str, Any]]]:
    """Each type in each version, with its schemas by their names."""
    for type_ in TYPES:
        for version in type_.versions:
            name = f"apis/{type_.group}/{version}" if type_.group else f"api/{version}"
            document = openapi.document(name)
            assert document is not None
            yield type_, version, document["components"]["schemas"]


def wire_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a protobuf message that have a length; numbers are skipped."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        size = varint()
        if tag & 7 == 2:
            yield tag >> 3, message[at : at + size]
            at += size


def at(message: bytes, *numbers: int) -> list[bytes]:
    """The values below some field numbers."""
    found = [message]
    for number in numbers:
        found = [value for each in found for given, value in wire_fields(each) if given == number]
    return found


class SchemaTests(SynchronousTestCase):
    """The schemas of the kinds."""

    def test_valid(self) -> None:
        """Every document is one of OpenAPI."""
        for name in openapi.index()["paths"]:
            validate(openapi.document(name) or {})
        validate(openapi.document_v2())

    def test_descriptions(self) -> None:
        """Each kind and each of its fields at the top is described, and each field of Istio's kinds at any depth."""
        for type_, version, schemas in versions():
            schema = schemas[schema_name(type_, version)]
            self.assertTrue(schema["description"], type_.kind)
            for name, field in schema.get("properties", {}).items():
                self.assertTrue(field["description"], f"{type_.kind}.{name}")
                self.assertNotIn("does not read", field["description"], f"{type_.kind}.{name}")
            if type_.reads is None or not type_.group.endswith("istio.io"):
                continue
            for entry in kind_entry(type_.reads).descendants():
                if entry.path[1] == "spec":
                    found = schema
                    for step in entry.path[1:]:
                        found = found.get("items", found)["properties"][step]
                    self.assertEqual(found["description"], entry.description, entry.path)
                    self.assertTrue(found["description"], entry.path)

    def test_all_descriptions_are_used(self) -> None:
        """No description is of a kind or a field that is not there."""
        for name in DESCRIPTIONS:
            message, _, field = name.partition(".")
            self.assertIn(message, messages())
            self.assertTrue(not field or field in messages()[message].fields, name)

    def test_fields_that_are_read(self) -> None:
        """Every field that meshgate reads of Kubernetes' kinds, from YAML or protobuf, is in the table of fields."""
        for type_, version, schemas in versions():
            if type_.reads is not None and not type_.group.endswith("istio.io"):
                properties = schemas[schema_name(type_, version)]["properties"]
                for entry in kind_entry(type_.reads).fields:
                    self.assertIn(entry.name, properties, type_.kind)
        for name, message in MESSAGES.items():
            if name in messages():
                for field in message.values():
                    self.assertIn(field.name, messages()[name].fields, name)

    def test_names(self) -> None:
        """Types and kinds have the same names, which are those of kubectl."""
        for type_ in TYPES:
            if type_.reads is not None:
                names = (type_.reads.plural, tuple(filter(None, [type_.reads.short_name])))
                self.assertEqual((type_.plural, type_.short_names), names)

    def test_merging(self) -> None:
        """Lists that several clients share say by which keys they are merged."""
        documents = {schema_name(type_, version): schemas for type_, version, schemas in versions()}
        core = documents["io.k8s.api.core.v1.Service"]
        ports = core["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"]
        self.assertEqual(ports["x-kubernetes-list-map-keys"], ["port", "protocol"])
        self.assertEqual(ports["x-kubernetes-patch-merge-key"], "port")
        for version in ("v1", "v1beta1", "v1alpha3"):
            name = f"io.istio.networking.{version}.ServiceEntry"
            entry = documents[name][name]["properties"]["spec"]["properties"]
            self.assertEqual(entry["ports"]["x-kubernetes-list-map-keys"], ["number"])
            self.assertNotIn("x-kubernetes-list-type", entry["endpoints"])


class VersionTwoTests(AnsweringTestCase):
    """The document of version 2, as clients get it."""

    def fetch(self, accept: str, **headers: str) -> Any:
        """Ask for it."""
        given = {"accept": accept, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.send("GET", ("openapi", "v2"), headers=given)

    def test_media_types(self) -> None:
        """Protobuf comes to those who prefer it, under the one name that they parse, and JSON to all others."""
        for accept in (PROTOBUF, PROTOBUF.replace("@", "."), f"{PROTOBUF},application/json"):
            answer = self.fetch(accept)
            self.assertEqual(answer.headers["content-type"], openapi.PROTOBUF_TYPE, accept)
            self.assertEqual(at(answer.content(), 1), [b"2.0"])
        for accept in ("application/json", "*/*", "application/json,*/*", f"application/json, {PROTOBUF}"):
            answer = self.fetch(accept)
            self.assertEqual(answer.headers["content-type"], "application/json", accept)
            self.assertEqual(json.loads(answer.content())["swagger"], "2.0")

    def test_not_modified(self) -> None:
        """A client that has the document does not get it again; each form has a tag of its own."""
        tags = set()
        for accept in (PROTOBUF, "application/json"):
            tag = self.fetch(accept).headers["etag"]
            again = self.fetch(accept, if_none_match=f'"other", {tag}')
            self.assertEqual((again.code, again.content()), (304, b""))
            self.assertEqual(self.fetch(accept, if_none_match='"other"').code, 200)
            tags.add(tag)
        self.assertEqual(len(tags), 2)

    def test_version_3_not_modified(self) -> None:
        """The same with a document of version 3, which is kept for ever under its hash."""
        path = ("openapi", "v3", "apis", "networking.istio.io", "v1")
        index = self.send("GET", ("openapi", "v3")).body
        name, _, digest = index["paths"]["/".join(path[2:])]["serverRelativeURL"].partition("?hash=")
        self.assertEqual(name, f"/{'/'.join(path)}")
        answer = self.send("GET", path, hash=digest)
        self.assertEqual(answer.headers["cache-control"], "public, immutable")
        again = self.send("GET", path, headers={"if-none-match": answer.headers["etag"]})
        self.assertEqual((again.code, again.content()), (304, b""))

    def test_protobuf_has_all(self) -> None:
        """The protobuf form has the same definitions and addresses as the JSON form, with their kinds."""
        content, document = openapi.protobuf_v2(), openapi.document_v2()
        self.assertEqual([each.decode() for each in at(content, 9, 1, 1)], list(document["definitions"]))
        self.assertEqual([each.decode() for each in at(content, 8, 2, 1)], list(document["paths"]))
        definitions = {at(each, 1)[0]: at(each, 2)[0] for each in at(content, 9, 1)}
        gateway = definitions[b"io.istio.networking.v1.Gateway"]
        (identity,) = [
            at(each, 2, 2) for each in at(gateway, 31) if at(each, 1) == [b"x-kubernetes-group-version-kind"]
        ]
        self.assertEqual(json.loads(identity[0])[0]["kind"], "Gateway")
        self.assertEqual(at(gateway, 25, 1, 1), [b"apiVersion", b"kind", b"metadata", b"spec", b"status"])
