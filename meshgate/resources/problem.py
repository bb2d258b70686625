"""
Problems: findings for users, with the file, line and column of what they wrote.

The command line, the log, ``status.json`` and the tests show the same problems, each in its own format.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from meshgate.resources.packed_positions import PackedPositions


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
    :ivar positions: the positions of the fields of the document's spec; None where they are not known.
    """

    provider: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    document: int = 0
    positions: PackedPositions | None = field(default=None, repr=False)

    def position(self, path: str) -> tuple[int, int]:
        """
        Line and column of a field; those of the document where the field has none.

        :param path: as ``spec.servers[0].port.number``; empty for the document.
        """
        found = self.positions.of(path) if self.positions is not None and path else None
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
        return f"{text} ({self.hint})" if self.hint else text

    def as_json(self) -> dict[str, object]:
        """The problem as plain values, for the JSON formats."""
        return asdict(self)


def location_text(file: str, line: int, column: int) -> str:
    """A location as compilers print it, as much of it as is known."""
    return ":".join(filter(None, (file, str(line or ""), str(column or ""))))


def has_errors(problems: Iterable[Problem]) -> bool:
    """Return True if any of the problems is an error."""
    return any(problem.severity is Severity.ERROR for problem in problems)
