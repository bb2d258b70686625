"""The sections of the settings file about what the gateway writes: the access log, and the program's own log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from pydantic_core import core_schema

from meshgate.processes.journal import SOCKET
from meshgate.processes.service_log import LEVELS, PARTS, LevelChoice
from meshgate.resources.fault import Fault
from meshgate.resources.model import FrozenMapping, ValueForm
from meshgate.resources.wording import name_text, spelling_hint
from meshgate.settings.section import PathText, Section, Size, key, one_of

STANDARD_OUTPUT = "-"
"""The path of the access log that means standard output."""


class Levels(FrozenMapping[str]):
    """Levels by parts of the program."""

    __slots__ = ()

    value_schema = core_schema.no_info_before_validator_function(one_of(*LEVELS), core_schema.str_schema())


class AccessLogSettings(Section):
    """The access log."""

    path: PathText = key(
        "The file to append to, relative to the folder of this file; - is standard output.", STANDARD_OUTPUT
    )
    format: Annotated[Literal["text", "json"], BeforeValidator(one_of("text", "json")), ValueForm("Choice")] = key(
        "text for people, or json for programs: one object a line.", "text"
    )


class LogSettings(Section):
    """The program's own log."""

    level: Annotated[
        Literal["debug", "info", "warn", "error", "critical"], BeforeValidator(one_of(*LEVELS)), ValueForm("Choice")
    ] = key("The least level of what is logged.", "info")
    levels: Annotated[Levels, ValueForm("Mapping")] = key(
        f"Parts of the program that have another one, as {{providers: debug}}. The parts are {', '.join(PARTS)}.", {}
    )
    format: Annotated[Literal["text", "json"], BeforeValidator(one_of("text", "json")), ValueForm("Choice")] = key(
        "text for people, or json for programs: one object a line. Where standard error leads to systemd's journal, "
        "that gets entries with fields instead.",
        "text",
    )
    journal: PathText = key(
        "The socket of systemd's journal. If it cannot be reached, standard error gets the lines.", SOCKET
    )
    rotate: Size = key(
        "The size at which the gateway itself renames its log to FILE.1 and begins a new one, in bytes or with the "
        "unit KiB or MiB; 0 means never: logrotate does that, and sends SIGUSR1.",
        0,
        ge=0,
    )
    keep: Annotated[int, ValueForm("Number")] = key(
        "How many files that the gateway has renamed itself are kept, from 1 to 1000.", 5, ge=1, le=1000
    )

    def choice(self) -> LevelChoice:
        """The levels as plain values."""
        return LevelChoice(self.level, tuple(sorted(self.levels.items())))


def unknown_parts(levels: Any, code: str) -> Iterator[Fault]:
    """
    Give a fault for each part that does not exist.

    :param levels: the value of ``log.levels`` in the file.
    :param code: of these faults.
    """
    for name in levels if isinstance(levels, dict) else ():
        if name not in PARTS:
            message = f"unknown part {name_text(str(name))}"
            yield Fault(("log", "levels", name), code, message, spelling_hint(str(name), PARTS), points_at_key=True)
