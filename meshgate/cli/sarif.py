"""
Problems as a SARIF log, which code scanning services read.

The form is that of OASIS' Static Analysis Results Interchange Format, version 2.1.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from meshgate import __version__
from meshgate.cli.loading import STANDARD_INPUT_NAME
from meshgate.resources.codes import CODES
from meshgate.resources.problem import Problem, Severity

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def sarif_log(problems: Iterable[Problem]) -> dict[str, Any]:
    """Make a log of one run, with a rule for every code."""
    codes = sorted(CODES)
    rule_indexes = {code: index for index, code in enumerate(codes)}
    rules = [{"id": code, "shortDescription": {"text": CODES[code]}} for code in codes]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "meshgate", "version": __version__, "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(problem, rule_indexes) for problem in problems],
            }
        ],
    }


def _result(problem: Problem, rule_indexes: dict[str, int]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": problem.code,
        "level": LEVELS[problem.severity],
        "message": {"text": problem.description()},
    }
    if problem.code in rule_indexes:
        result["ruleIndex"] = rule_indexes[problem.code]
    location = _location(problem)
    if location:
        result["locations"] = [location]
    return result


def _location(problem: Problem) -> dict[str, Any]:
    location: dict[str, Any] = {}
    if problem.file and problem.file != STANDARD_INPUT_NAME:
        physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(problem.file)}}
        if problem.line:
            physical["region"] = {"startLine": problem.line}
            if problem.column:
                physical["region"]["startColumn"] = problem.column
        location["physicalLocation"] = physical
    name = " ".join(each for each in (problem.subject(), problem.path) if each)
    if name:
        location["logicalLocations"] = [{"fullyQualifiedName": name}]
    return location


def _uri(file: str) -> str:
    """Turn a path into a URI. A relative path stays relative: services resolve it in the root of the repository."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
