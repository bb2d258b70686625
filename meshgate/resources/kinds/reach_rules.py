"""
Which rules and match blocks of a VirtualService can never be reached (Istio, pkg/config/validation/validation.go).

Match blocks are the same if all their fields are, in the same order; that a wildcard takes in a name is not seen.
Knows the rules of one VirtualService at a time, nothing of ports or Gateways.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshgate.resources.fault import Fault, Path
from meshgate.resources.kinds.virtualservice import HTTPRule, L4MatchAttributes, TCPRoute, TLSMatchAttributes, TLSRoute
from meshgate.resources.problem import Severity
from meshgate.resources.wording import written

_Match = L4MatchAttributes | TLSMatchAttributes | str


def reach_faults(rules: Sequence[TCPRoute | TLSRoute | HTTPRule], path: Path) -> Iterator[Fault]:
    """
    Warnings for what is never reached, because an earlier rule takes every connection or has the same match blocks.

    :param rules: in order.
    :param path: of the list.
    """
    blocks: dict[_Match, Path] = {}
    taker: Path | None = None
    for index, rule in enumerate(rules):
        place = (*path, index)
        if taker is not None:
            message = f"the rule is never reached: {written(taker)} has no match, and so takes every connection"
            hint = "move the one without match to the end" if rule.match else "keep one rule without match"
            yield _warning(place, "MG1051", message, hint)
        elif not rule.match:
            taker = place
        elif len(rules) > 1 or len(rule.match) > 1:
            yield from _block_faults(rule.match, place, blocks)


def _block_faults(match: Sequence[_Match], place: Path, blocks: dict[_Match, Path]) -> Iterator[Fault]:
    repeats = 0
    for number, block in enumerate(match):
        here = (*place, "match", number)
        if block in blocks:
            repeats += 1
            message = f"the match block is the same as {written(blocks[block])}, and is never reached"
            yield _warning(here, "MG1052", message, "remove it, or change one of the two")
        blocks.setdefault(block, here)
    if repeats == len(match):
        message = "the rule is never reached: earlier rules have all its match blocks"
        yield _warning(place, "MG1051", message, "remove it, or change its match")


def _warning(path: Path, code: str, message: str, hint: str) -> Fault:
    return Fault(path, code, message, hint, Severity.WARNING)
