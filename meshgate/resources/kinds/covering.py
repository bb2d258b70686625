"""
What covers what in a VirtualService: hosts that include others, and rules that take the connections of later ones.

Hosts, of which each may be a wildcard, are compared as they are written, before short names are completed, as in
Istio's validation (pkg/config/host/name.go, Matches and SubsetOf). The cost grows with the number of hosts, not with
that of their pairs.

Two match blocks are the same if all their fields are, in the same order; as in Istio, one that only covers another is
not noticed (pkg/config/validation/validation.go). For HTTP, which meshgate reads but does not serve, a block is also
unreachable behind one with a shorter prefix (coveredValidation there). Of the conditions beside the prefix, Istio
compares some; here all must hold, so that each warning is true.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from meshgate.resources.fault import BROKEN, Fault, FieldPath, chain_rules, sound_items
from meshgate.resources.problem import Severity
from meshgate.resources.wording import path_text, quoted


class HostCover:
    """
    An index of hosts by which those that cover a given host are found.

    :param hosts: the hosts with their indexes.
    """

    def __init__(self, hosts: Iterable[tuple[int, str]]) -> None:
        self._exact: dict[str, int] = {}
        self._endings: dict[str, int] = {}
        for index, host in hosts:
            if host.startswith("*"):
                self._endings.setdefault(host[1:], index)
            else:
                self._exact.setdefault(host, index)
        self._lengths = sorted({len(ending) for ending in self._endings})

    def covering(self, host: str) -> Iterator[int]:
        """The indexes of the hosts that include every name of this host; of equal hosts, the first index."""
        wildcard = host.startswith("*")
        if not wildcard and host in self._exact:
            yield self._exact[host]
        tail = host[1:] if wildcard else host
        for length in self._lengths:
            if length > len(tail):
                return
            index = self._endings.get(tail[len(tail) - length :])
            if index is not None:
                yield index

    def includes(self, host: str) -> bool:
        """Return True if any of the hosts covers this one."""
        return any(True for _ in self.covering(host))


def overlapping(hosts: Sequence[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    """
    Find the hosts that have a name in common with an earlier host.

    :param hosts: the hosts with their indexes, in ascending order.
    :return: for each such host its index, and that of one earlier host.
    """
    if len(hosts) < 2:
        return
    cover = HostCover(hosts)
    found: dict[int, int] = {}
    for index, host in hosts:
        for other in cover.covering(host):
            if other != index:
                found.setdefault(max(index, other), min(index, other))
    yield from sorted(found.items())


B_co = TypeVar("B_co", covariant=True)


class Rule(Protocol[B_co]):
    """A rule of any protocol, with match blocks that can be compared."""

    @property
    def match(self) -> Sequence[B_co]:
        """The match blocks, one of which must fit; empty if the rule takes every connection."""


def reach_faults(rules: Sequence[Rule[Hashable]], path: FieldPath) -> Iterator[Fault]:
    """
    Warn of rules and match blocks behind a rule that takes every connection, or behind the same match block.

    :param rules: the rules in their order.
    :param path: the path of the list of rules.
    """
    blocks: dict[Hashable, FieldPath] = {}
    catch_all: FieldPath | None = None
    for index, rule in sound_items(rules):
        rule_path = (*path, index)
        if catch_all is not None:
            message = f"the rule is never reached: {path_text(catch_all)} has no match, and so takes every connection"
            conditional = rule.match is BROKEN or rule.match
            hint = "move the one without match to the end" if conditional else "keep one rule without match"
            yield _warning(rule_path, "MG1051", message, hint)
        elif rule.match is BROKEN:
            continue
        elif not rule.match:
            catch_all = rule_path
        elif len(rules) > 1 or len(rule.match) > 1:
            yield from _block_faults(rule.match, rule_path, blocks)


def _block_faults(
    match: Sequence[Hashable], rule_path: FieldPath, blocks: dict[Hashable, FieldPath]
) -> Iterator[Fault]:
    repeats = 0
    for number, block in sound_items(match):
        found = list(chain_rules(_repeated_block_faults(block, (*rule_path, "match", number), blocks)))
        yield from found
        repeats += len(found)
    if repeats == len(match):
        message = "the rule is never reached: earlier rules have all its match blocks"
        yield _warning(rule_path, "MG1051", message, "remove it, or change its match")


def _repeated_block_faults(block: Hashable, path: FieldPath, blocks: dict[Hashable, FieldPath]) -> Iterator[Fault]:
    if block in blocks:
        message = f"the match block is the same as {path_text(blocks[block])}, and is never reached"
        yield _warning(path, "MG1052", message, "remove it, or change one of the two")
    blocks.setdefault(block, path)


def _warning(path: FieldPath, code: str, message: str, hint: str) -> Fault:
    return Fault(path, code, message, hint, Severity.WARNING)


#: Fields of a match block that are no conditions beside the prefix.
_NO_CONDITIONS: Final = ("uri", "statPrefix")

_Block = tuple[FieldPath, Mapping[str, Any]]


def prefix_faults(rules: Sequence[Rule[str]], path: FieldPath) -> Iterator[Fault]:
    """
    Report match blocks behind one with a shorter prefix and no further conditions.

    :param rules: rules for HTTP in their order, with each match block as JSON.
    :param path: the path of the list of rules.
    """
    earlier: dict[str, list[_Block]] = defaultdict(list)
    for index, rule in enumerate(rules):
        for number, text in enumerate(rule.match):
            block = json.loads(text)
            prefix = _prefix(block)
            if not prefix:
                continue
            block_path = (*path, index, "match", number)
            conditions = {key: value for key, value in block.items() if key not in _NO_CONDITIONS}
            cover = _cover(earlier, prefix, conditions)
            if cover is not None:
                yield Fault(
                    block_path,
                    "MG1053",
                    f"the match block is never reached: {path_text(cover)} has a shorter prefix than {quoted(prefix)}, "
                    "and nothing else that this one has not",
                    "put the longer prefix first",
                    Severity.INFO,
                )
            earlier[prefix].append((block_path, conditions))


def _prefix(block: Any) -> str:
    uri = block.get("uri") if isinstance(block, Mapping) else None
    prefix = uri.get("prefix") if isinstance(uri, Mapping) else None
    return prefix if isinstance(prefix, str) else ""


def _cover(earlier: Mapping[str, list[_Block]], prefix: str, conditions: Mapping[str, Any]) -> FieldPath | None:
    for length in sorted({len(other) for other in earlier if len(other) < len(prefix)}):
        for path, others in earlier.get(prefix[:length], ()):
            if _covers(others, conditions):
                return path
    return None


def _covers(wide: Any, narrow: Any) -> bool:
    """Return True if everything that fits the narrow condition fits the wide one."""
    if wide == narrow:
        return True
    if not (isinstance(wide, Mapping) and isinstance(narrow, Mapping)):
        return False
    if "prefix" in wide:
        text = narrow.get("prefix", narrow.get("exact"))
        return isinstance(text, str) and text.startswith(str(wide["prefix"]))
    return all(key in narrow and _covers(value, narrow[key]) for key, value in wide.items())
