"""Tests of :mod:`meshgate.api.protobuf_bodies`."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.protobuf_bodies import MAGIC, object_of
from meshgate.api.refusal import RefusedError


def varint(value: int) -> bytes:
    """A number of protobuf."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(number: int, value: bytes | int) -> bytes:
    """A field: bytes with their length, or a number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def body(api_version: str, kind: str, content: bytes) -> bytes:
    """A body with an object."""
    head = field(1, api_version.encode()) + field(2, kind.encode())
    return MAGIC + field(1, head) + field(2, content)


def entry(key: str, value: bytes) -> bytes:
    """An entry of a map."""
    return field(1, key.encode()) + field(2, value)


METADATA = field(1, b"a") + field(11, entry("app", b"x")) + field(8, b"")


class ObjectTests(SynchronousTestCase):
    """Objects that come as protobuf."""

    def test_a_namespace(self) -> None:
        """Its metadata is read; empty messages count as left out."""
        content = field(1, METADATA) + field(2, b"") + field(3, b"")
        self.assertEqual(
            object_of(body("v1", "Namespace", content)),
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"app": "x"}}},
        )

    def test_a_secret(self) -> None:
        """Its entries are in base64, as in JSON."""
        content = field(1, METADATA) + field(2, entry("k", b"\x00\xff")) + field(3, b"Opaque")
        found = object_of(body("v1", "Secret", content))
        self.assertEqual(found["data"], {"k": base64.b64encode(b"\x00\xff").decode()})
        self.assertEqual(found["type"], "Opaque")

    def test_a_deployment(self) -> None:
        """Numbers, lists and nested messages are read."""
        container = field(1, b"c") + field(2, b"nginx") + field(6, field(3, 80)) + field(8, b"")
        template = field(1, METADATA) + field(2, field(2, container))
        spec = field(1, 3) + field(2, field(1, entry("app", b"x"))) + field(3, template) + field(4, b"")
        found: Any = object_of(body("apps/v1", "Deployment", field(1, METADATA) + field(2, spec)))
        self.assertEqual(found["spec"]["replicas"], 3)
        (made,) = found["spec"]["template"]["spec"]["containers"]
        self.assertEqual(made, {"name": "c", "image": "nginx", "ports": [{"containerPort": 80}]})

    def test_target_ports(self) -> None:
        """A port of a Service has a number or a name as its target."""
        ports = [
            field(3, 80) + field(4, field(1, 0) + field(2, 81)),
            field(3, 90) + field(4, field(1, 1) + field(3, b"n")),
        ]
        spec = b"".join(field(1, port) for port in ports)
        found: Any = object_of(body("v1", "Service", field(1, METADATA) + field(2, spec)))
        self.assertEqual([port["targetPort"] for port in found["spec"]["ports"]], [81, "n"])

    def test_refused(self) -> None:
        """Other kinds, and fields that are not known, are to come as JSON; what is no protobuf is a bad request."""
        for data, code in (
            (body("v1", "Pod", b""), 415),
            (body("v1", "ConfigMap", field(77, b"x")), 415),
            (b"{}", 400),
            (MAGIC + b"\xff" * 20, 400),
            (MAGIC + field(1, b"")[:-1] + b"\x7f", 400),
        ):
            self.assertEqual(self.assertRaises(RefusedError, object_of, data).code, code, data)

    @given(st.binary(max_size=60), st.sampled_from(["Namespace", "ConfigMap", "Secret", "Service", "Deployment"]))
    def test_any_bytes(self, data: bytes, kind: str) -> None:
        """Any bytes are an object, or refused."""
        for whole in (MAGIC + data, body("v1", kind, data), body("v1", kind, field(1, data) + field(2, data))):
            try:
                self.assertIsInstance(object_of(whole), dict)
            except RefusedError as refusal:
                self.assertIn(refusal.code, (400, 415))
