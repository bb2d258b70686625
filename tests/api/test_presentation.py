"""Tests of :mod:`meshgate.api.presentation`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.presentation import now_of, table
from tests.api.api_objects import gateway, type_named


class TableTests(SynchronousTestCase):
    """Tables of objects."""

    def test_rows(self) -> None:
        """A row has the cells of its columns, and as much of the object as the client asks for."""
        object_ = gateway(creationTimestamp="2027-01-15T07:59:00Z")
        for include, kind in (("Metadata", "PartialObjectMetadata"), ("Object", "Gateway"), ("None", None)):
            made = table(type_named("Gateway"), [object_], {}, now_of(1_800_000_000), "v1", include)
            self.assertEqual(made["rows"][0]["cells"], ["a", "60s"])
            self.assertEqual(made["rows"][0].get("object", {}).get("kind"), kind)

    def test_a_missing_value(self) -> None:
        """A field that is not there is an empty cell."""
        made = table(type_named("DestinationRule"), [{"metadata": {"name": "a"}}], {}, now_of(0), "v1")
        self.assertEqual(made["rows"][0]["cells"], ["a", "", "<unknown>"])
