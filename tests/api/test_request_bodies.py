"""Tests of :mod:`meshgate.api.request_bodies`."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.refusal import RefusedError
from meshgate.api.request_bodies import DEEPEST, MAGIC, duplicate_fields, is_shallow, object_of, read_json


class JsonReadingTests(SynchronousTestCase):
    """What is read is JSON for programs of any language."""

    def test_numbers(self) -> None:
        """A number beyond 64 bits is a fraction, as in Kubernetes, and one beyond those is refused."""
        text = b"[9223372036854775807, 9223372036854775808, -9223372036854775809, 1e300, -0]"
        self.assertEqual(read_json(text), [2**63 - 1, float(2**63), -float(2**63), 1e300, 0])
        for text in (b"1e999", b"-1e999", b"NaN", b"Infinity", b"1" * 400, b"1" * 5_000):
            self.assertRaises(ValueError, read_json, text)

    def test_surrogates(self) -> None:
        """A pair is one character, and half of one a replacement character, in names and values."""
        self.assertEqual(
            read_json(b'{"\\ud800":["\\uDFFF a","\\ud83d\\ude00"]}'), {"\ufffd": ["\ufffd a", "\U0001f600"]}
        )
        self.assertRaises(ValueError, read_json, b'"\xed\xa0\x80"')

    def test_depth(self) -> None:
        """Values nest to a limit, however many of them there are."""
        for depth in (DEEPEST, DEEPEST + 1, 5_000, 500_000):
            text = b"[" * depth + b"]" * depth
            if depth == DEEPEST:
                self.assertTrue(is_shallow(read_json(text)))
            else:
                self.assertRaises(ValueError, read_json, text)
        self.assertEqual(len(read_json(json.dumps([[]] * 1_000).encode())), 1_000)

    def test_duplicates(self) -> None:
        """Each name that one object has twice is found once; the last value counts."""
        text = b'{"a":1,"b":{"c":1,"c":2,"c":3},"a":[{"d":1},{"d":1}]}'
        self.assertEqual(duplicate_fields(text), ("c", "a"))
        self.assertEqual(read_json(text), {"a": [{"d": 1}, {"d": 1}], "b": {"c": 3}})
        self.assertEqual(duplicate_fields(b"nonsense"), ())


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
