"""Tests of :mod:`meshgate.metrics.metric_families`: both text formats, compared with those of the client library."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from twisted.trial.unittest import SynchronousTestCase

from meshgate.metrics.metric_families import (
    BUILD,
    COMPILING,
    DIAL,
    ENDED,
    FAMILIES,
    GENERATION,
    FamilyMetric,
    GatewayCollector,
    LabelValues,
)
from meshgate.proxy.connection_counts import SECONDS

VALUES = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e"))


class FormatTests(SynchronousTestCase):
    """What a collector makes."""

    @settings(max_examples=50, deadline=None)
    @given(st.dictionaries(st.tuples(*[VALUES] * 5), st.integers(0, 1 << 50), min_size=1, max_size=4))
    def test_it_is_what_the_library_would_make(self, rows: dict[LabelValues, int]) -> None:
        """Whatever labels contain, both formats say the same as the encoders of the library."""
        collector = GatewayCollector()

        def source() -> list[FamilyMetric]:
            return [
                ENDED.metric(((*labels, "ok"), value) for labels, value in rows.items()),
                DIAL.histogram(SECONDS, [(labels, [value, 1, 2, 3, 4, 5, 6, 7, 8]) for labels, value in rows.items()]),
                COMPILING.summary(3, 0.25),
                BUILD.metric([(("1", "2", "3"), 1)]),
                GENERATION.gauge(7),
            ]

        collector.add(source)
        ours, theirs = collector.text(openmetrics=False), generate_latest(collector).decode()
        self.assertEqual(list(parse_text(ours)), list(parse_text(theirs)))
        ours, theirs = collector.text(openmetrics=True), generate_openmetrics(collector).decode()
        self.assertEqual(list(parse_openmetrics(ours)), list(parse_openmetrics(theirs)))

    def test_no_family_is_listed_twice(self) -> None:
        """Names are unique, and meanings are sentences that need no escape."""
        self.assertEqual(len({family.name for family in FAMILIES}), len(FAMILIES))
        for family in FAMILIES:
            self.assertRegex(family.meaning, r'^[A-Z0-9/][^\\"\n]*\.$')
