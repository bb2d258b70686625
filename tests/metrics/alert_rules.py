"""The shipped alert rules and the recorded failures, as the tests read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from meshgate.metrics.metric_families import FAMILIES, HISTOGRAM, SUMMARY
from meshgate.resources.yaml.document import parse_documents
from tests.support import IMPORT_ROOT

PROMETHEUS: Final = Path(IMPORT_ROOT / "examples" / "prometheus")
RULES: Final = PROMETHEUS / "alerts.yaml"
FAILURES: Final = Path(__file__).parent / "failures"
PERIOD: Final = 15
"""Seconds between two values of a recording."""


def rules() -> list[dict[str, Any]]:
    """All alert rules."""
    (document,) = parse_documents(RULES.read_text())
    content: Any = document.value
    return [dict(rule) for group in content["groups"] for rule in group["rules"]]


def sample_names() -> set[str]:
    """The names of all samples of all families."""
    names = set()
    for family in FAMILIES:
        suffixes = {HISTOGRAM: ("_bucket", "_sum", "_count"), SUMMARY: ("_sum", "_count")}.get(family.type, ("",))
        names |= {family.exposed_name + suffix for suffix in suffixes}
    return names


def families_in(expression: str) -> set[str]:
    """The names of our samples in an expression of PromQL."""
    return set(re.findall(r"\bmeshgate_\w+", expression))


def families_of_rules() -> set[str]:
    """The names of our samples in all rules."""
    return {name for rule in rules() for name in families_in(rule["expr"])}
