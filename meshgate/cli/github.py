"""
Problems as workflow commands of GitHub Actions, which shows them beside the lines of a pull request.

The form is that of the runner (actions/toolkit, packages/core/src/command.ts).
"""

from __future__ import annotations

from typing import Final

from meshgate.cli.loading import STANDARD_INPUT_NAME
from meshgate.resources.codes import CODES
from meshgate.resources.problem import Problem, Severity

LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def workflow_command(problem: Problem) -> str:
    """One problem as one line. A place that is not known, and standard input, are left out."""
    in_file = problem.file if problem.file != STANDARD_INPUT_NAME else ""
    properties = {
        "file": in_file,
        "line": str(problem.line or "") if in_file else "",
        "col": str(problem.column or "") if in_file else "",
        "title": ": ".join(part for part in (problem.code, CODES.get(problem.code, "")) if part),
    }
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    message = ": ".join(part for part in (problem.subject(), problem.path, problem.message) if part)
    return f"::{LEVELS[problem.severity]} {written}::{_data(message + (f' ({problem.hint})' if problem.hint else ''))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
