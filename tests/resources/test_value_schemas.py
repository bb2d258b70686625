"""Tests of :mod:`meshgate.resources.value_schemas`."""

from __future__ import annotations

from typing import Any

from openapi_schema_validator import OAS30Validator
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.documents import items_of
from meshgate.resources.kinds.destinationrule import DestinationRuleSpec
from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.serviceentry import ServiceEntrySpec
from meshgate.resources.kinds.supported_kinds import KINDS
from meshgate.resources.kinds.virtualservice import VirtualServiceSpec
from meshgate.resources.value_schemas import keys_of, schema_of
from meshgate.resources.yaml.document import iterate_documents
from tests.support import IMPORT_ROOT


def field(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema of a field."""
    for step in path.split("."):
        schema = schema.get("items", schema)["properties"][step]
    return {key: value for key, value in schema.items() if key != "description"}


class SchemaTests(SynchronousTestCase):
    """The schema of each type of value."""

    def test_types(self) -> None:
        """Values have the type that users write, and not the one that the model keeps."""
        gateway, rule = schema_of(GatewaySpec), schema_of(DestinationRuleSpec)
        self.assertEqual(field(gateway, "servers.hosts"), {"type": "array", "items": {"type": "string"}, "minItems": 1})
        self.assertEqual(field(gateway, "servers.port.number"), {"type": "integer", "minimum": 0, "maximum": 65535})
        self.assertEqual(field(gateway, "selector"), {"type": "object", "additionalProperties": {"type": "string"}})
        self.assertIn("PASSTHROUGH", field(gateway, "servers.tls.mode")["enum"])
        self.assertEqual(field(rule, "trafficPolicy.connectionPool.tcp.connectTimeout"), {"type": "string"})
        self.assertEqual(field(schema_of(VirtualServiceSpec), "http"), {"type": "array", "items": {}})
        self.assertEqual(gateway["properties"]["servers"]["items"]["required"], ["port", "hosts"])

    def test_number_or_text(self) -> None:
        """A port by its number or its name may be both."""
        found = field(schema_of(ServiceSpec), "ports.targetPort")
        self.assertTrue(found["x-kubernetes-int-or-string"])

    def test_list_keys(self) -> None:
        """The ports of a ServiceEntry are merged by their numbers, and no other list of it."""
        self.assertEqual(keys_of(ServiceEntrySpec, "ports"), ("number",))
        self.assertEqual(keys_of(ServiceEntrySpec, "endpoints"), ())

    def test_shipped_routes(self) -> None:
        """The schemas accept every resource that meshgate ships."""
        count = 0
        for file in sorted((IMPORT_ROOT / "meshgate" / "defaults").rglob("*.yaml")):
            for document in iterate_documents(file.read_text(encoding="utf-8")):
                for each in items_of(document.value) or [document.value]:
                    kind = KINDS.get(each.get("kind", "")) if isinstance(each, dict) else None
                    if kind is not None and "spec" in each:
                        OAS30Validator(schema_of(kind.model)).validate(each["spec"])
                        count += 1
        self.assertGreater(count, 5)
