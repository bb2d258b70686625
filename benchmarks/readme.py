"""
The summary in the README, which is made from the same figures as the documentation.

Knows between which lines it stands; must not know what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.table import as_markdown

BEGIN = "<!-- What follows is written by `make bench`. -->"
END = "<!-- What `make bench` writes ends here. -->"


def around_summary(text: str) -> tuple[str, str]:
    """
    What stands before the summary, and what after it, with the lines between which it stands.

    :raises ValueError: when the text has no place for it.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"there is no place for the summary between {BEGIN} and {END}")
    return before + begin, end + after


def with_summary(text: str, results: Mapping[str, Any]) -> str:
    """A README with the summary of a run in place of the one in it."""
    before, after = around_summary(text)
    return "\n".join((before, "", *as_markdown(results), "", after))
