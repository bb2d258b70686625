"""
Problems as workflow commands, which GitHub Actions shows beside the lines of a pull request.

The form is that of the runner (actions/toolkit, packages/core/src/command.ts).
"""

from __future__ import annotations

from typing import Final

from meshgate.cli.loading import STANDARD_INPUT_NAME
from meshgate.resources.codes import CODES
from meshgate.resources.problem import Problem, Severity

LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def workflow_command(problem: Problem) -> str:
    """Write a problem as one line. An unknown location, and standard input, are left out."""
    in_file = problem.file if problem.file != STANDARD_INPUT_NAME else ""
    properties = {
        "file": in_file,
        "line": str(problem.line or "") if in_file else "",
        "col": str(problem.column or "") if in_file else "",
        "title": ": ".join(each for each in (problem.code, CODES.get(problem.code, "")) if each),
    }
    text = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{LEVELS[problem.severity]} {text}::{_data(problem.description())}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
