"""Where fields stand, as it is kept with resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.packed_positions import PackedPositions, path_checksum
from meshgate.resources.wording import path_text
from meshgate.resources.yaml.document import parse_documents

KEYS = st.text("abcdefghij", min_size=1, max_size=4)
VALUES = st.recursive(
    st.integers() | KEYS | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=30,
)

TEXT = """\
spec:
  servers: &all
  - port:
      number: 443
      name:
    hosts: ["*", b]
  copy: *all
  merged:
    <<: {a: 1, b: 2}
    b: 3
"""


def places(text: str, field: str = "spec") -> PackedPositions:
    """The positions in the one document of a text."""
    (document,) = parse_documents(text)
    return document.positions_below((), field)


def paths(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """The paths of everything in a value, its own first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield from paths(item, (*path, step))


class PositionTests(SynchronousTestCase):
    """Lines and columns by path."""

    def test_fields_stand_where_their_values_do(self) -> None:
        """A value that is left empty stands where its key does; an alias where it was written first."""
        found = places(TEXT)
        for path, place in [
            ("spec", (2, 3)),
            ("spec.servers", (2, 12)),
            ("spec.servers[0].port.number", (4, 15)),
            ("spec.servers[0].port.name", (5, 7)),
            ("spec.servers[0].hosts[1]", (6, 18)),
            ("spec.copy[0].hosts[1]", (6, 18)),
            ("spec.merged.a", (9, 13)),
            ("spec.merged.b", (10, 8)),
        ]:
            self.assertEqual(found.of(path), place, path)

    def test_what_is_missing_stands_where_it_would_be(self) -> None:
        """The nearest thing around it that is there."""
        found = places(TEXT)
        self.assertEqual(found.of("spec.servers[0].tls.mode"), found.of("spec.servers[0]"))
        self.assertEqual(found.of("spec.servers[7].port"), found.of("spec.servers"))
        self.assertIsNone(found.of("metadata.name"))
        self.assertIsNone(found.of(""))
        self.assertIsNone(places("a: 1").of("spec.servers"))
        self.assertIsNone(places("- 1").of("spec"))

    @given(VALUES)
    def test_they_are_those_of_the_document(self, value: Any) -> None:
        """Whatever is in a document stands where the document itself says."""
        (document,) = parse_documents(json.dumps({"spec": value}, indent=1))
        found = document.positions_below((), "spec")
        for path in paths(value, ("spec",)):
            self.assertEqual(found.of(path_text(path)), document.position(path))

    def test_they_are_small(self) -> None:
        """12 bytes a field, whatever the length of its path."""
        names = [f"host-{number}.example.com" for number in range(1000)]
        found = places(json.dumps({"spec": {"servers": [{"hosts": names}]}}))
        self.assertEqual(len(found.checksums) + len(found.coordinates), 12 * 1004)

    def test_checksums_are_those_of_the_whole_path(self) -> None:
        """However many steps it is put together from."""
        self.assertEqual(path_checksum("[0].b", path_checksum("a")), path_checksum("a[0].b"))
