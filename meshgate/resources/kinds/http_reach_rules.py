"""
Which match blocks of rules for HTTP are covered by an earlier one: a shorter prefix, with no condition of its own.

No rule for HTTP is served here; in a mesh, the same files are. Of the conditions beside the prefix, Istio compares some
(pkg/config/validation/validation.go, coveredValidation); here all must hold, so that what is said is true.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from meshgate.resources.fault import Fault, Path
from meshgate.resources.kinds.virtualservice import HTTPRule
from meshgate.resources.problem import Severity
from meshgate.resources.wording import quoted, written

#: What stands in a match block and is no condition.
_NO_CONDITIONS: Final = ("uri", "statPrefix")

_Block = tuple[Path, Mapping[str, Any]]


def prefix_faults(rules: Sequence[HTTPRule], path: Path) -> Iterator[Fault]:
    """
    :param rules: in order.
    :param path: of the list.
    """
    earlier: dict[str, list[_Block]] = defaultdict(list)
    for index, rule in enumerate(rules):
        for number, text in enumerate(rule.match):
            block = json.loads(text)
            prefix = _prefix(block)
            if not prefix:
                continue
            here = (*path, index, "match", number)
            conditions = {key: value for key, value in block.items() if key not in _NO_CONDITIONS}
            cover = _cover(earlier, prefix, conditions)
            if cover is not None:
                yield Fault(
                    here,
                    "MG1053",
                    f"the match block is never reached: {written(cover)} has a shorter prefix than {quoted(prefix)}, "
                    "and nothing else that this one has not",
                    "put the longer prefix first",
                    Severity.INFO,
                )
            earlier[prefix].append((here, conditions))


def _prefix(block: Any) -> str:
    uri = block.get("uri") if isinstance(block, Mapping) else None
    prefix = uri.get("prefix") if isinstance(uri, Mapping) else None
    return prefix if isinstance(prefix, str) else ""


def _cover(earlier: Mapping[str, list[_Block]], prefix: str, conditions: Mapping[str, Any]) -> Path | None:
    for length in sorted({len(other) for other in earlier if len(other) < len(prefix)}):
        for path, others in earlier.get(prefix[:length], ()):
            if _covers(others, conditions):
                return path
    return None


def _covers(wide: Any, narrow: Any) -> bool:
    """Whether whatever fits the one condition fits the other."""
    if wide == narrow:
        return True
    if not (isinstance(wide, Mapping) and isinstance(narrow, Mapping)):
        return False
    if "prefix" in wide:
        text = narrow.get("prefix", narrow.get("exact"))
        return isinstance(text, str) and text.startswith(str(wide["prefix"]))
    return all(key in narrow and _covers(value, narrow[key]) for key, value in wide.items())
