"""The sections of the settings file about what the gateway writes: the access log, and the program's own log."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import core_schema

from meshgate.processes.journal import SOCKET
from meshgate.processes.service_log import LEVELS, PARTS, LevelChoice
from meshgate.proxy.endings import Ending
from meshgate.proxy.log_outputs import FILE, JOURNAL, SYSLOG, AccessLogChoice, SyslogServer
from meshgate.proxy.log_template import Template, TemplateError
from meshgate.resources.fault import Fault
from meshgate.resources.model import MAX_PORT, FrozenMapping, Items, ValueForm, refuse
from meshgate.resources.problem import Severity
from meshgate.resources.wording import name_text, spelling_hint, value_text
from meshgate.settings.access_sections import NO_EFFECT
from meshgate.settings.section import UNUSABLE, PathText, Section, Size, key, one_of, read_seconds

STANDARD_OUTPUT = "-"
"""The path of the access log that means standard output."""


TEMPLATE = "template"
"""The format that is a template."""

LONGEST_SOCKET_PATH = 107
"""The number of bytes that Linux allows for the path of a Unix socket."""

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *(f"local{number}" for number in range(8)),
)
"""The facilities of syslog. They have the numbers of their places, except the local ones, which begin at 16."""

FIRST_LOCAL = 16

_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})")


class Levels(FrozenMapping[str]):
    """Levels by parts of the program."""

    __slots__ = ()

    value_schema = core_schema.no_info_before_validator_function(one_of(*LEVELS), core_schema.str_schema())


def _read_template(value: object) -> str:
    if not isinstance(value, str):
        refuse(UNUSABLE, f"must be a template, not {value_text(value)}", "write text with fields in braces")
    if value:
        try:
            Template(value)
        except TemplateError as error:
            refuse(UNUSABLE, str(error), error.hint)
    return value


def _read_ending(value: object) -> str:
    words = [ending.value for ending in Ending]
    if value not in words:
        hint = spelling_hint(value, words) if isinstance(value, str) else ""
        refuse(UNUSABLE, f"must be an ending, not {value_text(value)}", hint)
    return str(value)


def _read_share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        refuse(UNUSABLE, f"must be a number from 0 to 1, not {value_text(value)}", "write 0.01 for one in a hundred")
    return float(value)


def _read_syslog_server(value: object) -> SyslogServer:
    kind, _, place = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind == "unix" and place.startswith("/"):
        if len(place.encode()) > LONGEST_SOCKET_PATH:
            refuse(UNUSABLE, f"the path of a socket has at most {LONGEST_SOCKET_PATH} bytes", "")
        return kind, place, 0
    match = _ADDRESS.fullmatch(place) if kind in ("udp", "tcp") else None
    try:
        host, port = str(ipaddress.ip_address(match[1] or match[2] if match else "")), int(match[3] if match else 0)
    except ValueError:
        host, port = "", 0
    if not host or not 1 <= port <= MAX_PORT:
        hint = "write it as unix:/dev/log, udp:192.0.2.1:514 or tcp:[2001:db8::1]:601"
        refuse(UNUSABLE, f"must be a syslog server, not {value_text(value)}", hint)
    return kind, host, port


def _not_too_often(seconds: float) -> float:
    if 0 < seconds < 1:
        refuse(UNUSABLE, "is too often", "1s is the least, and 0 means never")
    return seconds


SyslogAddress = Annotated[SyslogServer, BeforeValidator(_read_syslog_server), ValueForm("Syslog server")]
EndingName = Annotated[str, BeforeValidator(_read_ending)]
Facility = Annotated[str, BeforeValidator(one_of(*FACILITIES)), ValueForm("Facility")]


class SyslogSettings(Section):
    """A syslog server."""

    server: SyslogAddress = key(
        "The server: unix:PATH for a Unix socket, udp:ADDRESS:PORT or tcp:ADDRESS:PORT, with an IP address.",
        "unix:/dev/log",
    )
    facility: Facility = key("The facility of the messages, as daemon or local0; their severity is info.", "local0")


class AccessLogSettings(Section):
    """The access log."""

    to: Annotated[
        Literal["file", "syslog", "journal"], BeforeValidator(one_of(FILE, SYSLOG, JOURNAL)), ValueForm("Choice")
    ] = key("Where lines go: file for the file path, syslog for a syslog server, journal for systemd's journal.", FILE)
    path: PathText = key(
        "The file to append to, relative to the folder of this file; - is standard output.", STANDARD_OUTPUT
    )
    format: Annotated[
        Literal["text", "json", "template"], BeforeValidator(one_of("text", "json", "template")), ValueForm("Choice")
    ] = key("text for people; json for programs, one object a line; or template for a form of your own.", "text")
    template: Annotated[str, BeforeValidator(_read_template), ValueForm("Template")] = key(
        "With template as format, the line, with fields in braces: {time} {client} {sni} {endpoint} {ending}, and so "
        "on for every key of the JSON format.",
        "",
    )
    only: Annotated[Items[EndingName], ValueForm("List of endings")] = key(
        "The endings of the connections that have a line; an empty list means all.", ()
    )
    sample_ok: Annotated[float, BeforeValidator(_read_share), ValueForm("Number")] = key(
        "The share of connections with the ending ok that have a line, from 0 to 1, chosen by chance.", 1
    )
    every: Annotated[float, BeforeValidator(read_seconds), AfterValidator(_not_too_often), ValueForm("Duration")] = key(
        "How often a connection that goes on has a line, with the ending open and its bytes so far; 0 means never.", 0
    )
    syslog: SyslogSettings = key("The syslog server for to: syslog. The journal's socket is log.journal.", {})

    def choice(self, journal: str) -> AccessLogChoice:
        """
        The same as plain values.

        :param journal: the path of the journal's socket.
        """
        facility = FACILITIES.index(self.syslog.facility)
        facility += FIRST_LOCAL - FACILITIES.index("local0") if self.syslog.facility.startswith("local") else 0
        return AccessLogChoice(
            self.path,
            self.format,
            self.template,
            self.to,
            self.syslog.server,
            facility,
            journal,
            self.only,
            self.sample_ok,
            self.every,
        )


def template_faults(settings: AccessLogSettings) -> Iterator[Fault]:
    """The faults between the format and the template."""
    if settings.format == TEMPLATE and not settings.template:
        hint = 'add it, as template: "{time} {client} {ending}"'
        yield Fault(("access_log", "format"), UNUSABLE, "there is no template", hint)
    if settings.template and settings.format != TEMPLATE:
        message = f"the template has no effect with {settings.format} as format"
        yield Fault(("access_log", "template"), NO_EFFECT, message, "write format: template", Severity.WARNING)


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
