"""Metadata."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Severity
from meshgate.resources.resource import Metadata
from meshgate.resources.validation import validate


def read(**fields: Any) -> Metadata:
    """Metadata without a fault."""
    metadata, faults = validate(Metadata, {"name": "x", **fields}, (), Severity.ERROR)
    if metadata is None:
        raise AssertionError(faults)
    return metadata


def faults_of(**fields: Any) -> set[tuple[str | int, ...]]:
    """The paths of faults."""
    return {fault.path for fault in validate(Metadata, fields, (), Severity.ERROR)[1]}


class MetadataTests(SynchronousTestCase):
    """The fields that are read."""

    def test_it_reads_name_namespace_labels_and_age(self) -> None:
        """And nothing else of what Kubernetes writes there."""
        metadata = read(
            namespace="ns",
            labels={"a.b/c": "d"},
            creationTimestamp="2024-02-29T12:00:00.5Z",
            managedFields=[{"f:x": {}}],
            annotations={"a": "b"},
            uid="0",
        )
        self.assertEqual((metadata.name, metadata.namespace, metadata.labels), ("x", "ns", {"a.b/c": "d"}))
        self.assertEqual(metadata.creation_timestamp, datetime(2024, 2, 29, 12, 0, 0, 500000, UTC))

    def test_what_may_be_missing(self) -> None:
        """Everything but the name; null is as good as missing."""
        for fields in ({}, dict.fromkeys(["namespace", "labels", "creationTimestamp"])):
            metadata = read(**fields)
            self.assertEqual((metadata.namespace, metadata.labels, metadata.creation_timestamp), ("", {}, None))
        self.assertEqual(faults_of(), {("name",)})

    def test_times_have_a_zone(self) -> None:
        """RFC 3339, which a date alone or a local time is not."""
        east = timezone(timedelta(hours=2))
        self.assertEqual(
            read(creationTimestamp="2024-01-01t01:00:00+02:00").creation_timestamp, datetime(2024, 1, 1, 1, tzinfo=east)
        )
        for wrong in ("2024-01-01", "2024-01-01T00:00:00", "2024-13-01T00:00:00Z", "yesterday", "", 0, True):
            self.assertEqual(faults_of(name="x", creationTimestamp=wrong), {("creationTimestamp",)}, wrong)

    def test_names_are_those_of_kubernetes(self) -> None:
        """Lower case; a namespace without dots."""
        for name in ("a", "a-b.c", "0", "a" * 253):
            self.assertEqual(read(name=name).name, name)
        for wrong in ("", "A", "a_b", "-a", "a.", "a b", "a\n", "a" * 254, 1):
            self.assertEqual(faults_of(name=wrong), {("name",)}, wrong)
        for wrong in ("A", "a.b", "a" * 64, "a\n", 1):
            self.assertEqual(faults_of(name="x", namespace=wrong), {("namespace",)}, wrong)

    def test_labels_are_texts(self) -> None:
        """Numbers and booleans want quotes, as in Kubernetes."""
        self.assertEqual(faults_of(name="x", labels={"a": 1, "b": True, "c": "d"}), {("labels", "a"), ("labels", "b")})
