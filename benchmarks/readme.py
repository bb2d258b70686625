"""The summary table in the README, made from the same figures as the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.table import as_markdown

BEGIN = "<!-- What follows is written by `make bench`. -->"
END = "<!-- What `make bench` writes ends here. -->"


def around_summary(text: str) -> tuple[str, str]:
    """
    The text before the summary and the text after it, each with its marker line.

    :raises ValueError: if a marker line is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the lines {BEGIN} and {END}, between which the summary belongs, are missing")
    return before + begin, end + after


def with_summary(text: str, results: Mapping[str, Any]) -> str:
    """The text of a README with its summary replaced by that of a run."""
    before, after = around_summary(text)
    return "\n".join((before, "", *as_markdown(results), "", after))
