"""
Problems: what is wrong with something a user wrote, said once and shown everywhere alike.

Knows nothing of YAML, Twisted or where a problem will be printed. A problem is a frozen record; the
command line, the log, ``status.json`` and tests all take theirs from here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from meshgate.resources.packed_positions import PackedPositions


class Severity(enum.StrEnum):
    """How bad a problem is. Only an error keeps a resource from serving."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Phase(enum.StrEnum):
    """When a problem was found: reading one document, or looking at all of them together."""

    VALIDATION = "validation"
    ANALYSIS = "analysis"


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Where a resource was written.

    :ivar provider: the provider's name in the settings, ``""`` on the command line.
    :ivar file: the file as the user named it; ``"<stdin>"`` for standard input; for a provider without
        files, whatever names the source best.
    :ivar line: the document's first line, from 1; 0 where there are no lines.
    :ivar column: from 1; 0 where there are no lines.
    :ivar document: the document's place in its file, from 0; the items of a ``kind: List`` count one each.
    :ivar positions: of the fields within the document's spec; None where they are not known.
    """

    provider: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    document: int = 0
    positions: PackedPositions | None = field(default=None, repr=False)

    def position(self, path: str) -> tuple[int, int]:
        """
        Line and column of a field; those of the document where the field's own are not known.

        :param path: as ``spec.servers[0].port.number``; empty for the document.
        """
        found = self.positions.of(path) if self.positions is not None and path else None
        return found or (self.line, self.column)

    def location(self, path: str = "") -> str:
        """The same in words: ``file:line:column``, as much of it as is known."""
        return location_text(self.file or self.provider, *self.position(path))

    def __str__(self) -> str:
        return self.location()


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing that is wrong, or worth knowing.

    :ivar severity: see :class:`Severity`.
    :ivar code: stable; MG0xxx reading files and settings, MG1xxx validation, MG2xxx analysis across
        resources, MG3xxx running (ports, names, providers).
    :ivar message: what is wrong, in one sentence without a full stop.
    :ivar path: the field, as ``spec.servers[0].port.number``; empty for a whole document or file.
    :ivar hint: what to do about it, or empty.
    :ivar listener: the ``bind:port`` the problem is about, for :mod:`meshgate.routing.tell.explain`; or empty.
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
        """The place as compilers print it: ``file:line:column``, as much of it as is known."""
        return location_text(self.file or self.provider, self.line, self.column)

    def subject(self) -> str:
        """The resource concerned as ``Kind namespace/name``, or an empty string."""
        if not self.kind:
            return ""
        qualified = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {qualified}".strip()

    def __str__(self) -> str:
        head = ": ".join(p for p in (self.location(), f"{self.severity.value}[{self.code}]") if p)
        what = ": ".join(p for p in (self.subject(), self.path, self.message) if p)
        return f"{head}: {what}" + (f" ({self.hint})" if self.hint else "")

    def as_json(self) -> dict[str, object]:
        """The problem with plain values, as the JSON forms show it."""
        return asdict(self)


def location_text(file: str, line: int, column: int) -> str:
    """A place as compilers print it, as much of it as is known."""
    return ":".join([part for part in (file, str(line or ""), str(column or "")) if part])


def has_errors(problems: Iterable[Problem]) -> bool:
    """Whether any of the problems is an error."""
    return any(problem.severity is Severity.ERROR for problem in problems)
