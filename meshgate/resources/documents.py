"""
Splitting files into documents, and giving each fault of a document its file and line.

A document is one resource: a YAML document, or one item of a list such as ``kind: List``. The rules of a kind report
faults, which have a path within the resource; a :class:`DocumentSource` knows where that resource begins, and turns
the faults into problems with line and column.
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
    The source of one document.

    :ivar yaml: the YAML document that knows the positions of fields; None where no text was parsed.
    :ivar prefix: the path of the document within the YAML document; empty unless it is an item of a list.
    :ivar warnings: words of the document that YAML 1.1 and YAML 1.2 read differently.
    """

    origin: Origin
    yaml: YamlDocument | None = None
    prefix: FieldPath = ()
    warnings: tuple[YamlWarning, ...] = ()

    def origin_with_positions(self, name: str) -> Origin:
        """
        The origin, with the positions of everything in one field of the document, where they are known.

        :param name: the name of a field at the document's top level, as ``spec``.
        """
        if self.yaml is None:
            return self.origin
        return replace(self.origin, positions=self.yaml.positions_below(self.prefix, name))

    def problems(self, faults: Iterable[Fault], key: ResourceKey | None) -> tuple[Problem, ...]:
        """
        Make a problem of each fault of the document, in the order of lines and columns.

        :param key: the identity of the resource, if that is known.
        """
        return tuple(sorted((self._problem(fault, key) for fault in faults), key=_position))

    def problems_and_warnings(self, faults: Iterable[Fault], key: ResourceKey) -> tuple[Problem, ...]:
        """Do as :meth:`problems`, and add a warning for each ambiguous word at which there is no error already."""
        problems = self.problems(faults, key)
        if not self.warnings:
            return problems
        errors = {_position(problem) for problem in problems if problem.severity is Severity.ERROR}
        warnings = [
            self._at(warning.line, warning.column, _ambiguous(warning), key)
            for warning in self.warnings
            if (warning.line, warning.column) not in errors
        ]
        return tuple(sorted((*problems, *warnings), key=_position))

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


def _position(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def _ambiguous(warning: YamlWarning) -> Fault:
    return Fault((), "MG0002", warning.message, warning.hint, Severity.WARNING)


def split(yaml: YamlDocument, first: Origin) -> Iterator[tuple[DocumentSource, Any]]:
    """
    Split a YAML document into resources: the items of a list, or else the document itself.

    :param first: the origin of the first resource; its line and column are filled in here.
    :return: each resource with its source, which has the warnings that belong to it.
    """
    found = list(_flattened(yaml.value, ()))
    positions = [yaml.position(path) for path, _ in found]
    shares: list[list[YamlWarning]] = [[] for _ in found]
    for warning in yaml.warnings:
        owner = bisect.bisect_right(positions, (warning.line, warning.column)) - 1
        if owner >= 0:
            shares[owner].append(warning)
    for number, ((path, value), (line, column), warnings) in enumerate(zip(found, positions, shares, strict=True)):
        origin = Origin(first.provider, first.file, line, column, first.document + number)
        yield DocumentSource(origin, yaml, path, tuple(warnings)), value


def items_of(value: Any) -> list[Any] | None:
    """The items of a ``List``, ``GatewayList`` …; None for anything else."""
    if not isinstance(value, Mapping):
        return None
    kind, items = value.get("kind"), value.get("items")
    return items if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list) else None


def _flattened(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, Any]]:
    items = items_of(value)
    if items is None:
        yield path, value
        return
    # The Kubernetes API leaves apiVersion and kind out of the items of a typed list, such as a GatewayList.
    head = {"apiVersion": value.get("apiVersion"), "kind": value["kind"].removesuffix("List")}
    for index, item in enumerate(items):
        if head["kind"] and isinstance(item, dict) and "kind" not in item:
            item = {**head, **item}
        yield from _flattened(item, (*path, "items", index))
