"""The positions of documents and of their problems."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.documents import DocumentSource, items_of, split
from meshgate.resources.fault import Fault
from meshgate.resources.problem import Origin, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.yaml.document import parse_documents

LIST = """\
kind: List
items:
- kind: A
  on: 1
- kind: List
  items:
  - kind: B
    x: yes
- kind: CList
  apiVersion: v1
  items:
  - w: [no]
  - kind: D
  - text
- kind: EList
- []
"""
KEY = ResourceKey("A", "ns", "n")


class SplitTests(SynchronousTestCase):
    """Documents and the items of lists."""

    def test_a_document_is_its_own_source(self) -> None:
        """Each item has its position and index."""
        ((source, value),) = split(parse_documents("# c\n---\n a: 1\n")[0], Origin("p", "f", document=7))
        self.assertEqual((source.origin, value), (Origin("p", "f", 3, 2, 7), {"a": 1}))

    def test_lists_are_taken_apart(self) -> None:
        """Lists within lists too; each item has its own line, number and warnings, and what its list says of it."""
        found = list(split(parse_documents(LIST)[0], Origin("p", "f", document=1)))
        self.assertEqual(
            [(source.origin.line, source.origin.column, source.origin.document) for source, _ in found],
            [(3, 3, 1), (7, 5, 2), (12, 5, 3), (13, 5, 4), (14, 5, 5), (15, 3, 6), (16, 3, 7)],
        )
        self.assertEqual(
            [value for _, value in found],
            [
                {"kind": "A", "true": 1},
                {"kind": "B", "x": True},
                {"apiVersion": "v1", "kind": "C", "w": [False]},
                {"kind": "D"},
                "text",
                {"kind": "EList"},
                [],
            ],
        )
        self.assertEqual([[w.line for w in source.warnings] for source, _ in found], [[4], [8], [12], [], [], [], []])

    def test_what_is_a_list(self) -> None:
        """A kind that ends in List, with items that are a list."""
        self.assertEqual(items_of({"kind": "GatewayList", "items": [1]}), [1])
        other: Any
        for other in (
            {"kind": "List"},
            {"kind": "List", "items": {}},
            {"items": []},
            {"kind": 1, "items": []},
            [],
            None,
        ):
            self.assertIsNone(items_of(other))


class SourceTests(SynchronousTestCase):
    """From faults to problems."""

    def test_problems_have_their_place_and_are_sorted_by_it(self) -> None:
        """A value, a key and something missing, within an item of a list."""
        found = [source for source, _ in split(parse_documents(LIST)[0], Origin("p", "f"))]
        faults = [
            Fault(("w", 0), "MG1003", "value"),
            Fault(("z",), "MG1002", "missing", "hint", Severity.WARNING),
            Fault(("w",), "MG1001", "key", points_at_key=True),
        ]
        problems = found[2].problems(faults, KEY)
        self.assertEqual(
            [(one.line, one.column, one.path, one.message) for one in problems],
            [(12, 5, "z", "missing"), (12, 5, "w", "key"), (12, 9, "w[0]", "value")],
        )
        first = problems[0]
        self.assertEqual((first.file, first.provider, first.subject()), ("f", "p", "A ns/n"))
        self.assertEqual((first.code, first.hint, first.severity), ("MG1002", "hint", Severity.WARNING))

    def test_without_yaml_all_problems_have_the_same_place(self) -> None:
        """The one that the provider gave."""
        (problem,) = DocumentSource(Origin("p", "http://a")).problems([Fault(("a",), "MG1001", "m")], None)
        self.assertEqual((problem.location(), problem.path, problem.kind), ("http://a", "a", ""))

    def test_a_warning_yields_to_an_error_at_its_place(self) -> None:
        """One thing is said of a word, and the error is more to the point."""
        ((source, _),) = split(parse_documents("a: on\nb: off\n")[0], Origin("p", "f"))
        problems = source.problems_and_warnings([Fault(("a",), "MG1003", "m")], KEY)
        self.assertEqual([(one.line, one.code) for one in problems], [(1, "MG1003"), (2, "MG0002")])

    def test_names_cannot_break_a_line(self) -> None:
        """Line breaks in a document's kind, namespace and name are escaped."""
        (problem,) = DocumentSource(Origin()).problems([Fault((), "MG0006", "m")], ResourceKey("A\nB", "n\n", "x\ny"))
        self.assertTrue(str(problem).isprintable())
