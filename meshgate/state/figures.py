"""
``figures.json``: what changes all the time, in a small file beside ``status.json``, which grows with the routes.

Looked at twice a second and written, by a thread, when something has changed: so no figure is older than a second, the
time included that a worker takes to tell its own. The same look finds out whether the state folder is still there, and
has everything written anew where it is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshgate.processes.wall_time import iso_time
from meshgate.providers.feed import ProviderFigures
from meshgate.routing.outliers import LeftOut
from meshgate.state.folder import LOCK_NAME, FolderInUseError, StateFolder
from meshgate.state.writing import FIGURES_NAME, STATUS_NAME, WriteReport, replace_file
from meshgate.transport.dns.name_cache import NameFigures
from meshgate.workers.slot import WorkerFigures

PERIOD: Final = 0.5
"""Seconds from one look to the next. What workers tell comes up to
:data:`~meshgate.workers.worker.COUNT_EVERY` seconds later."""

PATIENCE: Final = 20.0
"""The next look waits at least this many times as long as the last took, which matters with thousands of names."""


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What the file tells.

    :ivar process: facts that tell whose figures they are.
    :ivar generation: of the routing table in force.
    :ivar live_generation: the latest that is served in every worker.
    :ivar ended: how many connections have ended, by the word for how.
    :ivar names: those of endpoints that have to be resolved.
    :ivar failing_endpoints: those that get no connections for a time, or are tried last.
    """

    process: Mapping[str, Any]
    generation: int
    live_generation: int
    ended: Mapping[str, int]
    workers: tuple[WorkerFigures, ...]
    failing_endpoints: tuple[LeftOut, ...] = ()
    providers: tuple[ProviderFigures, ...] = ()
    names: Mapping[str, NameFigures] = field(default_factory=dict)


class FiguresText:
    """Makes the text of the file, one after the other. The row of a name that is still the same is not made again."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[NameFigures, str]] = {}

    def make(self, figures: Figures) -> str:
        """The text, without the time."""
        head = {
            **figures.process,
            "generation": figures.generation,
            "live_generation": figures.live_generation,
            "connections": sum(worker.connections for worker in figures.workers),
            "ended": dict(sorted(figures.ended.items())),
            "workers": [asdict(worker) for worker in figures.workers],
            "failing_endpoints": [
                {**asdict(each), "until": iso_time(each.until)} for each in figures.failing_endpoints
            ],
            "providers": [_with_times(asdict(each), "published", "failing_since") for each in figures.providers],
        }
        return f'{json.dumps(head)[:-1]}, "names": [{", ".join(self._names(figures.names))}]}}\n'

    def _names(self, names: Mapping[str, NameFigures]) -> Iterator[str]:
        before, self._rows = self._rows, {}
        for name, figures in sorted(names.items()):
            row = before.get(name)
            if row is None or row[0] is not figures:
                values = _with_times(asdict(figures), "answered", "failing_since")
                row = (figures, json.dumps({"name": name, **values}))
            self._rows[name] = row
            yield row[1]


class FiguresFile:
    """
    The file of a running gateway.

    :param reactor: provides IReactorTime and IReactorThreads.
    :param gather: gives what there is to tell.
    :param renew: called when the state folder had to be made anew, or its other file is gone.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        state: StateFolder,
        report: WriteReport,
        gather: Callable[[], Figures],
        renew: Callable[[], object],
    ) -> None:
        self._reactor = reactor
        self._state = state
        self._report = report
        self._gather = gather
        self._renew = renew
        self._text = FiguresText()
        self._written: tuple[Path | None, str] = (None, "")
        self._next: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None

    def start(self) -> None:
        """Look, and go on looking until :meth:`stop`."""
        began = self._reactor.seconds()
        self._look()
        took = self._reactor.seconds() - began
        self._next = self._reactor.callLater(max(PERIOD, PATIENCE * took), self.start)

    async def stop(self) -> None:
        """Look no more; what is being written is waited for."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        if self._writing is not None:
            ended: Deferred[None] = Deferred()
            self._writing.addBoth(lambda _: ended.callback(None))
            await ended

    def write_now(self) -> None:
        """Make and write it before anything else."""
        text = self._text.make(self._gather())
        try:
            self._write(text)
        except OSError as error:
            self._report.failed(FIGURES_NAME, error)
        else:
            self._written = (self._state.path, text)

    def _look(self) -> None:
        if self._writing is not None:
            return  # a slow disk; what is new meanwhile is told by the next look
        try:
            text = self._text.make(self._gather())
        except Exception:
            # A fault of ours, and no reason to tell nothing any more.
            self._log.failure("the figures could not be told")
            return
        new = (self._state.path, text)
        self._writing = writing = deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), self._renew_and_write, text, new != self._written
        ).addCallback(self._done, new)
        writing.addErrback(self._failed)
        writing.addBoth(self._ended)

    def _renew_and_write(self, text: str, changed: bool) -> tuple[bool, OSError | None]:
        """
        In a thread.

        :return: whether something of what was written has been removed, and why the folder is not held, if it is not.
        """
        removed, unheld = False, None
        try:
            removed = self._state.renew()
        except FolderInUseError:
            raise
        except OSError as error:
            unheld = error  # not every file system has locks; it may be possible to write all the same
        removed = removed or not self._state.has(STATUS_NAME)
        if changed or removed or not self._state.has(FIGURES_NAME):
            self._write(text)
        return removed, unheld

    def _write(self, text: str) -> None:
        replace_file(self._state, FIGURES_NAME, [f'{{"counted": "{iso_time()}", {text[1:]}'])

    def _done(self, result: tuple[bool, OSError | None], new: tuple[Path | None, str]) -> None:
        removed, unheld = result
        self._written = new
        self._report.succeeded(FIGURES_NAME)
        if unheld is None:
            self._report.succeeded(LOCK_NAME)
        else:
            self._report.failed(LOCK_NAME, unheld)
        if removed:
            self._renew()

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, OSError):
            self._log.failure("the figures could not be written", failure=failure)
            return
        self._written = (None, "")
        self._report.failed(FIGURES_NAME, error)

    def _ended(self, _: object) -> None:
        self._writing = None


def _with_times(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """With these seconds since the epoch as people read them."""
    times = {name: iso_time(values[name]) for name in names if values[name] is not None}
    return {**values, **times}
