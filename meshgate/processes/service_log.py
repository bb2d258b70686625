"""
The program's own log: which events are in it, and in which form.

The problem: people read the log as text, programs read it as JSON, and systemd's journal takes fields; and whoever
looks for a fault in one part of the program does not want the chatter of the others.

The approach: an event of :mod:`twisted.logger` has a level, a logger and facts. The level is compared with that of the
logger's part of the program, which is the first folder or module of its name. What is left is written as one line of
text, as one JSON object, or, where the stream leads to the journal, as an entry with fields.

The invariants: an event that was not sent to the journal is a line of the stream. Settings may change at any time.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TextIO

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, formatEventAsClassicLogText
from zope.interface import implementer

from meshgate.processes.journal import PRIORITIES, Journal, entry, leads_to_journal
from meshgate.processes.log_file import LogFile

LEVELS: Final = ("debug", "info", "warn", "error", "critical")
"""The levels, from the chattiest on."""

PARTS: Final = (
    *("api", "control", "health", "lab", "metrics", "processes", "providers", "proxy", "state", "transport"),
    "workers",
)
"""The parts of the program that log something."""

FACTS: Final = (
    *("worker", "provider", "generation", "code", "file", "line", "column", "hint", "listener", "destination"),
    *("endpoint", "process", "reason"),
)
"""
The facts of events that become keys and fields. They are values of an event by these names, or attributes of its
``problem``.
"""

_OURS: Final = "meshgate."


class LevelChoice(NamedTuple):
    """
    The least level of the events that are logged.

    :ivar level: one of :data:`LEVELS`, also for libraries and plug-ins.
    :ivar by_part: a part of the program and its level, for each that has another one.
    """

    level: str = "info"
    by_part: tuple[tuple[str, str], ...] = ()

    def takes(self, event: LogEvent) -> bool:
        """Tell if an event is logged."""
        level = event.get("log_level", LogLevel.info)
        namespace: str = event.get("log_namespace") or ""
        least = self.level
        if namespace.startswith(_OURS):
            least = dict(self.by_part).get(namespace.split(".", 2)[1], least)
        return bool(level >= LogLevel.lookupByName(least))


DEFAULT_LEVELS: Final = LevelChoice()


class Place(NamedTuple):
    """The line of code that has logged an event."""

    file: str
    line: int
    function: str


def place_of(event: LogEvent) -> Place | None:
    """
    The place in the code that is logging this event right now; None for one that was logged before.

    :return: that of the innermost function of the logger's module, or what ``log_place`` of the event says.
    """
    known = event.get("log_place")
    if known is not None:
        return Place(*known)
    namespace = f"{event.get('log_namespace')}."
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if namespace.startswith(f"{module}.") and module != __name__:
            return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def facts_of(event: LogEvent) -> dict[str, str | int]:
    """The facts of an event, those that it has."""
    problem, found = event.get("problem"), {}
    for name in FACTS:
        value = event.get(name)
        if value is None:
            value = getattr(problem, name, None)
        if value not in (None, "", 0):
            found[name] = value if type(value) is int else str(value)
    return found


def message_of(event: LogEvent) -> str:
    """The message of an event, followed by the traceback if it has one."""
    failure = event.get("log_failure")
    message = formatEvent(event)
    return f"{message}\n{_traceback(failure)}" if failure is not None else message


@implementer(ILogObserver)
class ServiceLog:
    """
    Writes events to the stream of the log.

    :param stream: a file, or a standard stream.
    :param name: the name of the program in the journal.
    :param environment: whose ``JOURNAL_STREAM`` tells if the stream leads to the journal.
    """

    def __init__(self, stream: TextIO | LogFile, name: str, environment: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self._name = name
        self._levels = DEFAULT_LEVELS
        self._json = False
        self._journal_path = ""
        self._journal: Journal | None = None
        known = environment.get("JOURNAL_STREAM", "")
        self.is_journal = bool(known) and leads_to_journal(_descriptor(stream), known)

    def configure(self, levels: LevelChoice, json: bool, journal: str) -> None:
        """
        Change the choice and the form of events.

        :param json: write a JSON object a line, and no text.
        :param journal: the path of the journal's socket.
        """
        self._levels, self._json = levels, json
        if self.is_journal and journal != self._journal_path:
            before, self._journal, self._journal_path = self._journal, Journal(journal), journal
            if before is not None:
                before.close()

    def __call__(self, event: LogEvent) -> None:
        """Log an event, if its level is enough."""
        if self._levels.takes(event) and not (self._journal is not None and self._sent(self._journal, event)):
            text = json_line(event) if self._json else formatEventAsClassicLogText(event)
            if text:
                self._stream.write(text)
                self._stream.flush()

    def _sent(self, journal: Journal, event: LogEvent) -> bool:
        try:
            journal.send(entry(journal_fields(event, self._name)))
        except OSError:  # there is a way that always works: the stream
            return False
        return True


def json_line(event: LogEvent) -> str:
    """Write an event as one JSON object in ASCII, with its line end."""
    when = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    values: dict[str, Any] = {
        "time": f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z",
        "level": _level(event),
        "logger": event.get("log_namespace") or "",
        "message": formatEvent(event),
        **facts_of(event),
    }
    failure = event.get("log_failure")
    if failure is not None:
        values["traceback"] = _traceback(failure)
    return json.dumps(values) + "\n"


def journal_fields(event: LogEvent, name: str) -> dict[str, object]:
    """The fields of an event in the journal."""
    fields: dict[str, object] = {
        "MESSAGE": message_of(event),
        "PRIORITY": PRIORITIES[_level(event)],
        "SYSLOG_IDENTIFIER": name,
        "MESHGATE_LOGGER": event.get("log_namespace") or "",
    }
    place = place_of(event)
    if place is not None:
        fields |= {"CODE_FILE": place.file, "CODE_LINE": place.line, "CODE_FUNC": place.function}
    return fields | {f"MESHGATE_{fact.upper()}": value for fact, value in facts_of(event).items()}


def _level(event: LogEvent) -> str:
    level: str = event.get("log_level", LogLevel.info).name
    return level


def _traceback(failure: Any) -> str:
    try:
        return str(failure.getTraceback()).rstrip("\n")
    except Exception:  # as of Twisted's own text: an exception may fail to describe itself
        return "".join(traceback.format_exception_only(failure.type, None)).rstrip("\n")


def _descriptor(stream: TextIO | LogFile) -> int:
    try:
        return -1 if isinstance(stream, LogFile) else stream.fileno()
    except (OSError, ValueError):
        return -1
