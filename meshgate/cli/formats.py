"""
Problems in the formats of other programs: workflow commands of GitHub Actions, and a SARIF log.

GitHub Actions shows workflow commands beside the lines of a pull request; their form is that of the runner
(actions/toolkit, packages/core/src/command.ts). Code scanning services read SARIF, OASIS' Static Analysis Results
Interchange Format, version 2.1.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from meshgate import __version__
from meshgate.cli.loading import STANDARD_INPUT_NAME
from meshgate.resources.codes import CODES, help_uri
from meshgate.resources.problem import Problem, Severity

GITHUB_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}

SARIF_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
SARIF_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def workflow_command(problem: Problem) -> str:
    """Write a problem as one line. An unknown location, and standard input, are left out."""
    in_file = problem.file if problem.file != STANDARD_INPUT_NAME else ""
    properties = {
        "file": in_file,
        "line": str(problem.line or "") if in_file else "",
        "col": str(problem.column or "") if in_file else "",
        "title": ": ".join(each for each in (problem.code, CODES.get(problem.code, "")) if each),
    }
    location = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    text = f"{problem.description()}\n{help_uri(problem.code)}"
    return f"::{GITHUB_LEVELS[problem.severity]} {location}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif_log(problems: Iterable[Problem]) -> dict[str, Any]:
    """Make a log of one run, with a rule for every code."""
    codes = sorted(CODES)
    rule_indexes = {code: index for index, code in enumerate(codes)}
    rules = [{"id": code, "shortDescription": {"text": CODES[code]}, "helpUri": help_uri(code)} for code in codes]
    return {
        "$schema": SARIF_SCHEMA,
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
        "level": SARIF_LEVELS[problem.severity],
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
