"""Tests of :mod:`meshgate.api.tables`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.tables import age_text, now_of, table
from tests.api.api_objects import gateway, type_named


class AgeTests(SynchronousTestCase):
    """Ages as kubectl writes them."""

    def test_ages(self) -> None:
        """Small units disappear as the age grows."""
        minute, hour, day = 60, 3600, 86400
        for seconds, text in (
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (2 * minute + 5, "2m5s"),
            (10 * minute + 5, "10m"),
            (2 * hour + 59 * minute, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 5 * minute, "3h5m"),
            (9 * hour + 5 * minute, "9h"),
            (47 * hour, "47h"),
            (2 * day, "2d"),
            (2 * day + hour, "2d1h"),
            (8 * day + hour, "8d"),
            (729 * day, "729d"),
            (731 * day, "2y1d"),
            (9 * 365 * day, "9y"),
        ):
            self.assertEqual(age_text(seconds), text)


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
