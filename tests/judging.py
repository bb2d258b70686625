"""Short ways to have one document judged, for the tests of the kinds."""

from __future__ import annotations

from typing import Any

from meshgate.resources.kinds.supported_kinds import KINDS
from meshgate.resources.problem import Origin
from meshgate.resources.reader import DocumentReading, read_document


def judge(kind: str, spec: Any, **rest: Any) -> DocumentReading:
    """What comes of a document of a kind with a spec; of a kind without one, the spec stands at the top."""
    content = spec if KINDS[kind].flat else {"spec": spec}
    head = {"apiVersion": KINDS[kind].api_versions[0], "kind": kind, "metadata": {"name": "x"}}
    return read_document({**head, **content, **rest}, Origin(file="x.yaml"))


def spec_of(kind: str, spec: Any) -> Any:
    """The spec that a document without any problem makes."""
    reading = judge(kind, spec)
    if reading.problems or reading.resource is None:
        raise AssertionError("\n".join(map(str, reading.problems)))
    return reading.resource.spec


def faults(kind: str, spec: Any) -> set[tuple[str, str]]:
    """Path and code of everything that is said of a document."""
    return {(problem.path, problem.code) for problem in judge(kind, spec).problems}
