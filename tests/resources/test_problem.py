"""The positions of fields that are kept with resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import packed_position, path_checksum
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


def positions_in(text: str, field: str = "spec") -> bytes:
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
        """An empty value has the position of its key; an alias, that of its anchor."""
        found = positions_in(TEXT)
        for path, position in [
            ("spec", (2, 3)),
            ("spec.servers", (2, 12)),
            ("spec.servers[0].port.number", (4, 15)),
            ("spec.servers[0].port.name", (5, 7)),
            ("spec.servers[0].hosts[1]", (6, 18)),
            ("spec.copy[0].hosts[1]", (6, 18)),
            ("spec.merged.a", (9, 13)),
            ("spec.merged.b", (10, 8)),
        ]:
            self.assertEqual(packed_position(found, path), position, path)

    def test_what_is_missing_stands_where_it_would_be(self) -> None:
        """The nearest thing around it that is there."""
        found = positions_in(TEXT)
        self.assertEqual(packed_position(found, "spec.servers[0].tls.mode"), packed_position(found, "spec.servers[0]"))
        self.assertEqual(packed_position(found, "spec.servers[7].port"), packed_position(found, "spec.servers"))
        self.assertIsNone(packed_position(found, "metadata.name"))
        self.assertIsNone(packed_position(found, ""))
        self.assertIsNone(packed_position(positions_in("a: 1"), "spec.servers"))
        self.assertIsNone(packed_position(positions_in("- 1"), "spec"))

    @given(VALUES)
    def test_they_are_those_of_the_document(self, value: Any) -> None:
        """Every value of a document has the position that the document itself gives."""
        (document,) = parse_documents(json.dumps({"spec": value}, indent=1))
        found = document.positions_below((), "spec")
        for path in paths(value, ("spec",)):
            self.assertEqual(packed_position(found, path_text(path)), document.position(path))

    def test_they_are_small(self) -> None:
        """12 bytes a field, whatever the length of its path."""
        names = [f"host-{number}.example.com" for number in range(1000)]
        found = positions_in(json.dumps({"spec": {"servers": [{"hosts": names}]}}))
        self.assertEqual(len(found), 12 * 1004)

    def test_checksums_are_those_of_the_whole_path(self) -> None:
        """The checksum is the same, however many steps it is computed in."""
        self.assertEqual(path_checksum("[0].b", path_checksum("a")), path_checksum("a[0].b"))
