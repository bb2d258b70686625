"""Tests of :mod:`meshgate.resources.field_reference`."""

from __future__ import annotations

import json
from typing import Annotated, Any

from openapi_schema_validator import OAS30Validator
from pydantic import Field
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.documents import items_of
from meshgate.resources.field_reference import UnknownFieldError, find_entry, keys_of, kind_entry, schema_of
from meshgate.resources.kinds.destinationrule import DestinationRuleSpec
from meshgate.resources.kinds.gateway import GatewaySpec
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.serviceentry import ServiceEntrySpec
from meshgate.resources.kinds.supported_kinds import KINDS, Kind
from meshgate.resources.kinds.tls import TLSMode
from meshgate.resources.kinds.virtualservice import VirtualServiceSpec
from meshgate.resources.model import Items, Labels, Model, PortNumber, ValueForm
from meshgate.resources.yaml.document import iterate_documents
from tests.support import IMPORT_ROOT


class Wheel(Model):
    """
    One of them,
    and round.
    """

    size: Annotated[int, Field(ge=1)] = Field(description="in inches")
    spokes: Items[PortNumber] = Field(default=(), description="their numbers")


class CartSpec(Model):
    """What a cart is."""

    wheels: Annotated[Items[Wheel], Field(min_length=1)] = Field(description="at least one")
    spare_wheel: Wheel | None = Field(default=None, description="in the back")
    color: Annotated[TLSMode, Field(strict=False)] = Field(default=TLSMode.SIMPLE, description="outside")
    labels: Labels = Field(default=Labels(), description="stuck on")
    brake: bool = Field(default=True, description="whether it stops")
    delay: Annotated[float, ValueForm("Duration")] = Field(default=2.0, description="until it stops")
    speed: float = Field(default=10.0, description="in miles an hour")
    load: int = Field(default=2**32 - 1, description="in grams; as much as fits")
    owners: Items[str] = Field(default=("me", "you"), description="whose it is")


CART = Kind("Cart", "a cart.", ("example.org/v1", "example.org/v2"), CartSpec)


class EntryTests(SynchronousTestCase):
    """Fields as the models have them."""

    def setUp(self) -> None:
        """The entries of a kind of our own, by their paths."""
        self.entries = {".".join(entry.path[2:]): entry for entry in kind_entry(CART).descendants()}

    def facts(self, path: str) -> tuple[str, str]:
        """Type, and default or necessity."""
        return self.entries[path].type, self.entries[path].presence()

    def test_types_and_defaults(self) -> None:
        """Types are shown in plain words, and defaults as users would write them."""
        expected = {
            "wheels": ("list of mappings, at least one", "required"),
            "wheels.size": ("number from 1", "required"),
            "wheels.spokes": ("list of numbers from 1 to 65535", ""),
            "spareWheel": ("mapping", ""),
            "spareWheel.size": ("number from 1", "required"),
            "color": (f"one of {', '.join(TLSMode)}", "default SIMPLE"),
            "labels": ("mapping of texts to texts", ""),
            "brake": ("true or false", "default true"),
            "delay": ("duration", ""),
            "speed": ("number", "default 10"),
            "load": ("number", ""),
            "owners": ("list of texts", "default [me, you]"),
        }
        self.assertEqual({path: self.facts(path) for path in expected}, expected)

    def test_branches_say_what_is_below(self) -> None:
        """A branch has the docstring of its model, a leaf has nothing."""
        self.assertEqual(self.entries["wheels"].about, "One of them, and round.")
        self.assertEqual(self.entries["brake"].about, "")

    def test_head(self) -> None:
        """Every kind has apiVersion, kind, metadata and spec."""
        entry = kind_entry(CART)
        self.assertEqual([field.name for field in entry.fields], ["apiVersion", "kind", "metadata", "spec"])
        self.assertEqual(entry.fields[0].type, "example.org/v1 or example.org/v2")

    def test_every_field_of_every_kind_is_described(self) -> None:
        """No field is without type and description, and each is found by its path."""
        for kind in KINDS.values():
            for entry in kind_entry(kind).descendants():
                self.assertTrue(entry.description and entry.type, entry)
                self.assertNotIn("anything", entry.type, entry)
                self.assertEqual(find_entry(str(entry)), entry)

    def test_json(self) -> None:
        """The JSON form is made of plain values and lists one level."""
        values = json.loads(json.dumps(find_entry("Gateway.spec.servers").as_json()))
        self.assertEqual(values["path"], "Gateway.spec.servers")
        self.assertIn("Gateway.spec.servers.port", [field["path"] for field in values["fields"]])


class FindTests(SynchronousTestCase):
    """Paths as people write them."""

    def refusal(self, path: str) -> str:
        """Messages about paths that lead nowhere."""
        return str(self.assertRaises(UnknownFieldError, find_entry, path))

    def test_indexes_and_capitals(self) -> None:
        """Indexes may stand there, and capitals do not matter."""
        for path in ("gateway.spec.servers[0].TLS.mode", "Gateway.spec.servers[].tls.mode"):
            self.assertEqual(str(find_entry(path)), "Gateway.spec.servers.tls.mode")

    def test_a_flat_kind(self) -> None:
        """The fields of a kind without spec stand at the top."""
        self.assertEqual(find_entry("EndpointSlice.endpoints.addresses").type, "list of texts, at least one")

    def test_a_misspelled_field(self) -> None:
        """The nearest field of the same parent is named."""
        self.assertEqual(
            self.refusal("Gateway.spec.servers.tsl.mode"),
            "Gateway.spec.servers has no field tsl; did you mean Gateway.spec.servers.tls?",
        )

    def test_a_misspelled_kind(self) -> None:
        """The nearest kind is named."""
        self.assertEqual(self.refusal("Gatewy"), "there is no kind Gatewy; did you mean Gateway?")

    def test_a_step_left_out(self) -> None:
        """The shortest path that ends so is named, below what is known of the path."""
        for path, meant in [
            ("Gateway.spec.tls.mode", "Gateway.spec.servers.tls.mode"),
            ("virtualservice.TLS", "VirtualService.spec.tls"),
            ("sniHosts", "VirtualService.spec.tls.match.sniHosts"),
        ]:
            self.assertTrue(self.refusal(path).endswith(f"; did you mean {meant}?"), self.refusal(path))

    def test_nothing_near(self) -> None:
        """If no name is near, all names are listed."""
        self.assertIn("apiVersion, kind, metadata, spec", self.refusal("Gateway.qqqq"))

    def test_below_a_leaf(self) -> None:
        """A leaf has no fields, and the message says what it is."""
        self.assertEqual(
            self.refusal("VirtualService.spec.http.route"),
            "VirtualService.spec.http has no fields: rules for HTTP, of which none is served",
        )

    def test_short_names(self) -> None:
        """Kinds have the short names and the plurals that kubectl knows."""
        for word, kind in (
            ("gw", "Gateway"),
            ("VS", "VirtualService"),
            ("dr", "DestinationRule"),
            ("se", "ServiceEntry"),
            ("we", "WorkloadEntry"),
            ("gateways", "Gateway"),
            ("serviceentries", "ServiceEntry"),
            ("endpoints", "Endpoints"),
        ):
            self.assertEqual(str(find_entry(word)), kind)
        self.assertEqual(str(find_entry("vs.spec.tls[0].match")), "VirtualService.spec.tls.match")

    def test_kinds_that_are_not_read(self) -> None:
        """A kind that other gateways serve is no misspelled one."""
        for word, kind in (("HTTPRoute", "HTTPRoute"), ("sidecars.spec", "Sidecar"), ("ingresses", "Ingress")):
            self.assertEqual(self.refusal(word), f"{kind} is not served: meshgate does not read this kind (MG0006)")

    def test_fields_that_are_not_served(self) -> None:
        """Fields and values of which the gateway makes nothing yet say so."""
        for path in (
            "gw.spec.servers.tls.mode",
            "gw.spec.servers.port.protocol",
            "vs.spec.http",
            "se.spec.resolution",
            *(f"dr.spec.trafficPolicy.{field}" for field in ("tls", "tls.mode", "tunnel")),
            "dr.spec.subsets.trafficPolicy.loadBalancer.zoneAwareLbSetting",
        ):
            self.assertRegex(find_entry(path).description, "not (yet )?served|none is served|are not yet", path)


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
