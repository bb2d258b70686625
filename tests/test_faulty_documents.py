"""Tests with junk in documents: the reader and the compiler report it, and never fail themselves."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.codes import CODES
from meshgate.resources.problem import Origin
from meshgate.resources.reader import read_document
from meshgate.resources.yaml.document import iterate_documents
from meshgate.routing.compile.compiler import compile_table
from tests import examples
from tests.configurations import PROXY
from tests.golden import COMPILED, all_cases

RULES = (case for case in all_cases() if case.code.startswith("MG1"))
DOCUMENTS = [yaml.value for case in RULES for yaml in iterate_documents(case.text)]
CONFIGURATIONS = [
    [yaml.value for yaml in iterate_documents(case.text)] for case in all_cases() if case.group in COMPILED
]
JUNK: tuple[Any, ...] = (None, -1, 3.5, True, "", "x", "*", "10s", 10**30, [], {}, [None], [{}], {"": None}, {"a": [1]})


def paths_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values within a value."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from paths_in(inner, (*path, step))


def spoil(document: Any, data: st.DataObject, times: int) -> None:
    """Put junk at some paths of a document's spec."""
    for _ in range(times):
        found = [path for path in paths_in(document) if path[0] == "spec"]
        path = data.draw(st.sampled_from(found)) if found else ("spec",)
        parent = document
        for step in path[:-1]:
            parent = parent[step]
        parent[path[-1]] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))


class FaultyDocumentTests(SynchronousTestCase):
    """:func:`read_document` with junk at any path."""

    @given(st.data(), st.integers(0, len(DOCUMENTS) - 1), st.integers(1, 3))
    @settings(deadline=None, max_examples=examples(400))
    def test_junk_is_named(self, data: st.DataObject, number: int, times: int) -> None:
        """Every problem has a documented code and a text, and a resource with an error does not serve."""
        document = copy.deepcopy(DOCUMENTS[number])
        spoil(document, data, times)
        reading = read_document(document, Origin(file="it.yaml"))
        for problem in reading.problems:
            self.assertIn(problem.code, CODES)
            self.assertTrue(problem.message)
        self.assertEqual(
            reading.resource is None,
            any(problem.severity == "error" and problem.code != "MG1001" for problem in reading.problems),
        )

    @given(st.data(), st.integers(0, len(CONFIGURATIONS) - 1), st.integers(1, 3))
    @settings(deadline=None, max_examples=examples(400))
    def test_junk_is_analyzed(self, data: st.DataObject, number: int, times: int) -> None:
        """Whatever in a configuration is junk, every problem has a documented code, and a text without traces of it."""
        readings = []
        for index, document in enumerate(copy.deepcopy(CONFIGURATIONS[number])):
            spoil(document, data, times if data.draw(st.booleans()) else 0)
            readings.append(read_document(document, Origin(file="it.yaml", document=index)))
        resources = [reading.resource for reading in readings if reading.resource is not None]
        refused = [reading.refused for reading in readings if reading.refused is not None]
        for proxy in (PROXY, replace(PROXY, extended=True, in_cluster=True)):
            for problem in compile_table(resources, proxy, refused=refused).problems:
                self.assertIn(problem.code, CODES)
                for foreign in ("Broken", "None", "host .", " ,", "port 0"):
                    self.assertNotIn(foreign, str(problem))
