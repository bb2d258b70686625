"""
Problems: findings for users, with the file, line and column of what they wrote.

The command line, the log, ``status.json`` and the tests show the same problems, each in its own format.

Problem: analysis reports problems long after a document was read, at a line and column. But the tree of YAML nodes,
which knows them, takes several times the memory of the text.

Approach: every resource keeps the positions of its fields in a packed form. A path is kept as a checksum of 4 bytes, in
a sorted array, and beside it line and column of 4 bytes each. :mod:`~meshgate.resources.yaml.document` fills the array
while the tree is still there.

Invariant: positions serve for messages only. If two paths of one document ever have the same checksum, a problem
points at the wrong line of the right document, and nothing else is wrong.
"""

from __future__ import annotations

import enum
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from meshgate.resources.codes import help_uri


class Severity(enum.StrEnum):
    """The weight of a problem. Only an error keeps a resource from serving."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Phase(enum.StrEnum):
    """The phase that found a problem: validation of one document, or analysis of all resources together."""

    VALIDATION = "validation"
    ANALYSIS = "analysis"


@dataclass(frozen=True, slots=True)
class Origin:
    """
    The origin of a resource: the provider, file and document that define it.

    :ivar provider: the provider's name in the settings; empty on the command line.
    :ivar file: the file as the user named it; ``"<stdin>"`` for standard input; for a provider without
        files, whatever names the source best.
    :ivar line: the first line of the document, from 1; 0 where there are no lines.
    :ivar column: the column of the document's first character, from 1; 0 where there are no lines.
    :ivar document: the index of the document in its file, from 0; each item of a ``kind: List`` counts as a document.
    :ivar uid: the identity of the object of the API that the resource is shown as; empty where there is no API.
    :ivar generation: the number of changes of that object so far.
    :ivar is_applied: True if a client of the API has written it: any other definition of the same resource counts
        before it.
    :ivar positions: the positions of the fields of the document's spec, as :func:`pack_positions` gives them; None
        where they are not known.
    """

    provider: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    document: int = 0
    uid: str = ""
    generation: int = 0
    is_applied: bool = False
    positions: bytes | None = field(default=None, repr=False)

    def position(self, path: str) -> tuple[int, int]:
        """
        Line and column of a field; those of the document where the field has none.

        :param path: as ``spec.servers[0].port.number``; empty for the document.
        """
        found = packed_position(self.positions, path) if self.positions is not None and path else None
        return found or (self.line, self.column)

    def location(self, path: str = "") -> str:
        """The position of a field as ``file:line:column``, as much of it as is known."""
        return location_text(self.file or self.provider, *self.position(path))

    def __str__(self) -> str:
        return self.location()


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing that is wrong, or worth knowing.

    :ivar code: one of :data:`meshgate.resources.codes.CODES`.
    :ivar message: what is wrong, in one sentence without a full stop.
    :ivar path: the field, as ``spec.servers[0].port.number``; empty for a whole document or file.
    :ivar hint: what to do about it, or empty.
    :ivar listener: the ``bind:port`` that the problem concerns, or empty; ``meshgate explain`` selects by it.
    :ivar gateway: the gateway that has the problem, where several are judged; else empty.
    :ivar causes: what it comes from, where a problem of another resource may come from the same; not shown.
    """

    severity: Severity
    code: str
    message: str
    phase: Phase = Phase.VALIDATION
    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""
    hint: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    provider: str = ""
    listener: str = ""
    gateway: str = ""
    causes: tuple[Hashable, ...] = field(default=(), compare=False, repr=False)

    def location(self) -> str:
        """The location as compilers print it: ``file:line:column``, as much of it as is known."""
        return location_text(self.file or self.provider, self.line, self.column)

    def subject(self) -> str:
        """The resource concerned as ``Kind namespace/name``, or an empty string."""
        if not self.kind:
            return ""
        qualified = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {qualified}".strip()

    def __str__(self) -> str:
        head = ": ".join(p for p in (self.location(), f"{self.severity.value}[{self.code}]") if p)
        return f"{head}: {self.description()}"

    def description(self) -> str:
        """The resource, the field, the message and the hint, without the location and the code."""
        text = ": ".join(each for each in (self.subject(), self.path, self.message) if each)
        text += f" ({self.hint})" if self.hint else ""
        return f"{text} [gateway {self.gateway}]" if self.gateway else text

    def as_json(self) -> dict[str, object]:
        """The problem as plain values, for the JSON formats, with the address of its explanation."""
        content = {**asdict(self), "help_uri": help_uri(self.code)}
        del content["causes"]
        return content


def location_text(file: str, line: int, column: int) -> str:
    """A location as compilers print it, as much of it as is known."""
    return ":".join(filter(None, (file, str(line or ""), str(column or ""))))


def has_errors(problems: Iterable[Problem]) -> bool:
    """Return True if any of the problems is an error."""
    return any(problem.severity is Severity.ERROR for problem in problems)


def pack_positions(positions: Mapping[int, tuple[int, int]]) -> bytes:
    """
    Pack positions: 12 bytes a field. First comes the checksum of each path, in ascending order: 4 bytes each. Then come
    line and column of each field, in the same order: 4 bytes each. The result is plain bytes, which the garbage
    collector does not visit.

    :param positions: line and column by the :func:`path_checksum` of each path.
    """
    checksums = sorted(positions)
    coordinates = [number for checksum in checksums for number in positions[checksum]]
    return array("I", checksums + coordinates).tobytes()


def packed_position(packed: bytes, path: str) -> tuple[int, int] | None:
    """
    Line and column of a field's value, from 1; of a missing field, those of the value that would contain it.

    :param packed: a result of :func:`pack_positions`.
    :param path: as ``spec.servers[0].port.number``.
    :return: None if not even the first step of the path has a position.
    """
    numbers = memoryview(packed).cast("I")
    fields = len(numbers) // 3
    while path:
        wanted = path_checksum(path)
        found = bisect_left(numbers, wanted, hi=fields)
        if found < fields and numbers[found] == wanted:
            line, column = numbers[fields + 2 * found : fields + 2 * found + 2]
            return line, column
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return None


def path_checksum(path: str, parent: int = 0) -> int:
    """
    The checksum of a path, or of an extension of a path whose checksum is known.

    :param path: as ``spec.servers[0].port.number``; with a parent, the rest of the path, as ``.number``.
    :param parent: the checksum of the path before it.
    """
    return zlib.crc32(path.encode(), parent)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sort problems by location, so that the list reads like the files; each problem once."""

    def sort_key(problem: Problem) -> tuple[Any, ...]:
        return (
            problem.file,
            problem.line,
            problem.column,
            problem.path,
            problem.code,
            problem.listener,
            problem.message,
        )

    return tuple(sorted(dict.fromkeys(problems), key=sort_key))
