"""
The access log: one line for each connection, counted by its ending and written at its end, in batches.

The problem: a full disk, a slow reader or a rotated file must never delay a connection or stop the gateway, and other
processes may write to the same output.

The approach: lines are gathered and written once a second, or at 64 KiB, to one of the outputs of
:mod:`meshgate.proxy.log_outputs`. What the output does not take waits, up to :data:`MAX_PENDING` bytes, and later lines
are dropped. The form of the lines is chosen once, as a function.

The invariants: no write blocks. An output gets whole lines, in order. Dropped lines are counted, and a line in their
place says how many there were.
"""

from __future__ import annotations

import os
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from meshgate.proxy.endings import Ending
from meshgate.proxy.log_line import format_json, format_text, lost_json, lost_text
from meshgate.proxy.log_outputs import JOURNAL, AccessLogChoice, LogOutput
from meshgate.proxy.log_template import Template, journal_entry, lost_entry
from meshgate.proxy.record import ConnectionRecord

FLUSH_AFTER: Final = 1.0
"""Seconds within which a line is written."""

FLUSH_AT: Final = 64 * 1024
"""Size in bytes at which gathered lines are written at once."""

RETRY_AFTER: Final = 0.1
"""Seconds after which the writing of waiting lines is tried again."""

MAX_PENDING: Final = 8 * 1024 * 1024
"""Size in bytes of the lines that are kept while they cannot be written; further lines are counted and dropped."""

CLOSE_WITHIN: Final = 2.0
"""Seconds that closing waits for a slow reader to take the last lines."""

_log = Logger()
_OK: Final = Ending.OK

LineFormat = Callable[[ConnectionRecord], str]
LostFormat = Callable[[int, float], str]


def formats_of(choice: AccessLogChoice) -> tuple[LineFormat, LostFormat]:
    """
    Choose the functions that make the lines, and the lines that stand for lost ones.

    :raises TemplateError: if the template cannot be used; the settings have been checked for that.
    """
    line: LineFormat
    lost: LostFormat
    if choice.format == "template":
        line, lost = Template(choice.template).line, lost_text
    elif choice.format == "json":
        line, lost = format_json, lost_json
    else:
        line, lost = format_text, lost_text
    return (journal_entry(line), lost_entry) if choice.to == JOURNAL else (line, lost)


def open_access_log(choice: AccessLogChoice, clock: IReactorTime) -> AccessLog:
    """
    Open the access log.

    :param clock: provides the timers.
    :raises AccessLogError: if it cannot be opened.
    """
    return AccessLog(choice.output(), *formats_of(choice), clock)


class AccessLog:
    """
    An open access log.

    :param output: belongs to the log from now on.
    :param format_line: makes a line of a record.
    :param format_lost: makes the line that stands for lost ones.
    :param clock: provides the timers.
    :ivar max_pending: size in bytes of the lines that are kept while they cannot be written.
    :ivar lost: number of lines that were lost.
    """

    def __init__(
        self, output: LogOutput, format_line: LineFormat, format_lost: LostFormat, clock: IReactorTime
    ) -> None:
        self._output = output
        self._is_open = True
        self._format_line, self._format_lost = format_line, format_lost
        self._clock = clock
        self._lines: list[str] = []
        self._batches: deque[memoryview] = deque()
        self.max_pending = MAX_PENDING
        self.lost = 0
        self._pending = 0
        self._unflushed = 0
        self._untold = 0
        self._faulty = False
        self._timer: IDelayedCall | None = None
        self._closed: Deferred[None] | None = None
        self._close_by = 0.0

    def write(self, record: ConnectionRecord) -> None:
        """Log a connection that has ended. Neither fails because of the output nor waits for it."""
        if not self._is_open:
            return
        line = self._format_line(record)
        length = len(line) + 1
        self._unflushed += length
        if self._pending + length > self.max_pending:
            self.lost += 1
            self._untold += 1
            self._report_fault("its reader has stopped reading")
        else:
            if self._untold:
                self._add_lost_line()
            self._lines.append(line)
            self._pending += length
        if self._unflushed >= FLUSH_AT:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.callLater(FLUSH_AFTER, self.flush)

    def flush(self) -> None:
        """Write as much as the output takes now, and the rest later."""
        self._unflushed = 0
        self._cancel_timer()
        if not self._is_open:
            return
        broken = False
        try:
            self._write_out()
        except OSError as error:
            self._report_fault(os.strerror(error.errno or 0))
            broken = True
        if self._closed is not None and (not self._pending or broken or self._clock.seconds() >= self._close_by):
            self._end(self._closed)
        elif self._pending:
            self._timer = self._clock.callLater(FLUSH_AFTER if broken else RETRY_AFTER, self.flush)

    def reopen(self) -> None:
        """
        Open the output again, after a log rotation has renamed the file.

        :raises AccessLogError: if it cannot be opened. The old output stays in use.
        """
        self.flush()
        self._output.reopen()
        self.flush()

    def close(self) -> Deferred[None]:
        """
        Write the last lines and close the output.

        :return: fires when everything is written, or after :data:`CLOSE_WITHIN` seconds.
        """
        if self._closed is None:
            self._closed = Deferred()
            self._close_by = self._clock.seconds() + CLOSE_WITHIN
            self.flush()
        return self._closed

    def _write_out(self) -> None:
        self._gather()
        output = self._output
        room: int = output.most_at_once
        while self._batches:
            if room <= 0:
                return
            before: int = output.lost
            taken: int = output.write(self._batches[0])
            if output.lost > before:
                self._note_dropped(output.lost - before)
            if not taken:
                return
            room -= taken
            self._pending -= taken
            rest = self._batches[0][taken:]
            if rest:
                self._batches[0] = rest
            else:
                self._batches.popleft()
            if self._untold and not self._batches:
                self._add_lost_line()
                self._gather()
        if self._faulty:
            self._faulty = False
            _log.info("the access log is being written again")

    def _gather(self) -> None:
        if self._lines:
            self._batches.append(memoryview("\n".join([*self._lines, ""]).encode("ascii")))
            self._lines.clear()

    def _add_lost_line(self) -> None:
        line = self._format_lost(self._untold, time.time())
        self._untold = 0
        self._lines.append(line)
        self._pending += len(line) + 1

    def _report_fault(self, reason: str) -> None:
        if not self._faulty:
            self._faulty = True
            _log.error(
                "the access log cannot be written: {reason}; {limit} MiB of lines are kept, more are dropped",
                reason=reason,
                limit=self.max_pending >> 20,
            )

    def _note_dropped(self, count: int) -> None:
        self.lost += count
        self._untold += count

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _end(self, closed: Deferred[None]) -> None:
        self._is_open = False
        self._output.close()
        self._gather()
        self.lost += sum(self._output.count(batch) for batch in self._batches)
        if self._pending or self._untold:
            _log.error("the last lines of the access log could not be written")
        closed.callback(None)


class EndedConnections:
    """
    The ended connections of one worker.

    :param rng: chooses the connections that are logged, where the settings ask for a part of them.
    :ivar counts: number of connections for each ending.
    :ivar access_log: the log for a line of each connection; None until it is open.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self.counts: dict[Ending, int] = {}
        self.access_log: AccessLog | None = None
        self._rng = rng or random.Random()  # noqa: S311 -- shares of lines, not secrets
        self._only: frozenset[Ending] | None = None
        self._sample_ok = 1.0

    def choose(self, only: tuple[str, ...], sample_ok: float) -> None:
        """
        Choose the connections that are logged.

        :param only: their endings; none for all of them.
        :param sample_ok: the share of those with the ending ``ok``, from 0 to 1.
        """
        chosen = frozenset(ending for ending in Ending if not only or ending.value in only)
        # With this, a log of everything costs no more than before there was a choice.
        self._only = chosen if only or sample_ok < 1 else None
        self._sample_ok = sample_ok

    def add(self, record: ConnectionRecord) -> None:
        """Count and log a connection; its record is complete."""
        ending = record.ending
        if ending is not None:
            self.counts[ending] = self.counts.get(ending, 0) + 1
        log = self.access_log
        if log is not None and (self._only is None or self._is_chosen(ending, self._only)):
            log.write(record)

    def _is_chosen(self, ending: Ending | None, only: frozenset[Ending]) -> bool:
        if ending not in only:
            return False
        return ending is not _OK or self._sample_ok >= 1 or self._rng.random() < self._sample_ok
