"""Short ways to read one resource and look at what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from meshgate.resources.problem import Origin, Problem, Severity
from meshgate.resources.reader import read_document
from tests.configurations import document


def spec_of(kind: str, spec: Mapping[str, Any]) -> Any:
    """The spec of a resource without errors and warnings."""
    reading = read_document(document(kind, "it", spec, "shop"), Origin(file="it.yaml"))
    if reading.resource is None or any(problem.severity is not Severity.INFO for problem in reading.problems):
        raise AssertionError("\n".join(map(str, reading.problems)))
    return reading.resource.spec


def problems_of(kind: str, spec: Mapping[str, Any], **metadata: Any) -> list[Problem]:
    """Everything that is wrong with a resource in the namespace ``shop``."""
    copied = json.loads(json.dumps(spec))
    return list(read_document(document(kind, "it", copied, "shop", **metadata), Origin(file="it.yaml")).problems)


def codes_of(kind: str, spec: Mapping[str, Any], **metadata: Any) -> set[tuple[str, str]]:
    """Path and code of each problem of a resource, warnings among them."""
    return {(problem.path, problem.code) for problem in problems_of(kind, spec, **metadata)}


def faults_of(kind: str, spec: Mapping[str, Any], **metadata: Any) -> list[str]:
    """The errors of a resource, as code and path without ``spec.``, sorted."""
    errors = [problem for problem in problems_of(kind, spec, **metadata) if problem.severity is Severity.ERROR]
    return sorted(f"{problem.code} {problem.path.removeprefix('spec.')}" for problem in errors)
