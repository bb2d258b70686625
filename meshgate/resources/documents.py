"""
Where a document stands: in which file, at which line, and in which list.

Knows YAML documents and faults, and makes problems of faults; knows nothing of kinds.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshgate.resources.fault import Fault, FieldPath
from meshgate.resources.problem import Origin, Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import name_text, path_text
from meshgate.resources.yaml.document import YamlDocument, YamlWarning


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """
    Where one document comes from.

    :ivar yaml: what knows the positions, if anything does.
    :ivar prefix: the path to the document within the YAML document: to an item of a list.
    :ivar warnings: the words of the document that YAML 1.1 and 1.2 read differently.
    """

    origin: Origin
    yaml: YamlDocument | None = None
    prefix: FieldPath = ()
    warnings: tuple[YamlWarning, ...] = ()

    def origin_with_positions(self, name: str) -> Origin:
        """
        The origin, with the positions in one field of the document where they are known.

        :param name: of the field, at the document's top level.
        """
        if self.yaml is None:
            return self.origin
        return replace(self.origin, positions=self.yaml.positions_below(self.prefix, name))

    def problems(self, faults: Iterable[Fault], key: ResourceKey | None) -> tuple[Problem, ...]:
        """
        The problems that the document's faults are, each with its place, in the order of their places.

        :param key: what the document is, if that is known.
        """
        return tuple(sorted((self._problem(fault, key) for fault in faults), key=_place))

    def problems_and_warnings(self, faults: Iterable[Fault], key: ResourceKey) -> tuple[Problem, ...]:
        """As :meth:`problems`, and a warning for each ambiguous word that is not the place of an error anyway."""
        problems = self.problems(faults, key)
        if not self.warnings:
            return problems
        taken = {_place(problem) for problem in problems if problem.severity is Severity.ERROR}
        warnings = [
            self._at(warning.line, warning.column, _ambiguous(warning), key)
            for warning in self.warnings
            if (warning.line, warning.column) not in taken
        ]
        return tuple(sorted((*problems, *warnings), key=_place))

    def _problem(self, fault: Fault, key: ResourceKey | None) -> Problem:
        line, column = self.origin.line, self.origin.column
        if self.yaml is not None:
            find = self.yaml.key_position if fault.points_at_key else self.yaml.position
            line, column = find((*self.prefix, *fault.path))
        return self._at(line, column, fault, key)

    def _at(self, line: int, column: int, fault: Fault, key: ResourceKey | None) -> Problem:
        kind, namespace, name = key or ("", "", "")
        return Problem(
            severity=fault.severity,
            code=fault.code,
            message=fault.message,
            file=self.origin.file,
            line=line,
            column=column,
            path=path_text(fault.path),
            hint=fault.hint,
            kind=name_text(kind) if kind else "",
            namespace=name_text(namespace) if name else "",
            name=name_text(name) if name else "",
            provider=self.origin.provider,
        )


def _place(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def _ambiguous(warning: YamlWarning) -> Fault:
    return Fault((), "MG0002", warning.message, warning.hint, Severity.WARNING)


def split(yaml: YamlDocument, first: Origin) -> Iterator[tuple[DocumentSource, Any]]:
    """
    A document and its source; for a list each of its items, with its own place and its own share of the warnings.

    :param first: the origin of the first of them, of which line and column are filled in.
    """
    found = list(_flattened(yaml.value, ()))
    places = [yaml.position(path) for path, _ in found]
    shares: list[list[YamlWarning]] = [[] for _ in found]
    for warning in yaml.warnings:
        owner = bisect.bisect_right(places, (warning.line, warning.column)) - 1
        if owner >= 0:
            shares[owner].append(warning)
    for number, ((path, value), (line, column), warnings) in enumerate(zip(found, places, shares, strict=True)):
        origin = Origin(first.provider, first.file, line, column, first.document + number)
        yield DocumentSource(origin, yaml, path, tuple(warnings)), value


def items_of(value: Any) -> list[Any] | None:
    """The items of a ``List``, ``GatewayList`` …; None for what is not a list."""
    if not isinstance(value, Mapping):
        return None
    kind, items = value.get("kind"), value.get("items")
    return items if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list) else None


def _flattened(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, Any]]:
    items = items_of(value)
    if items is None:
        yield path, value
        return
    # The items of a typed list, as the Kubernetes API gives it, may leave out what the list says.
    head = {"apiVersion": value.get("apiVersion"), "kind": value["kind"].removesuffix("List")}
    for index, item in enumerate(items):
        if head["kind"] and isinstance(item, dict) and "kind" not in item:
            item = {**head, **item}
        yield from _flattened(item, (*path, "items", index))
