"""
``figures.json``: counts that change all the time, in a small file beside ``status.json``, which grows with the routes.

The figures are gathered twice a second, and a thread writes them if they have changed. So no figure is older than a
second, including the time that a worker takes to send its own. The same thread checks that the state folder still
exists; if it does not, everything is written again.
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

from meshgate.processes.clock import iso_time
from meshgate.providers.feed import ProviderFigures
from meshgate.routing.failing_endpoints import LeftOut
from meshgate.state.folder import (
    FIGURES_NAME,
    LOCK_NAME,
    STATUS_NAME,
    FolderInUseError,
    StateFolder,
    WriteReport,
    replace_file,
)
from meshgate.transport.dns.resolver import NameFigures
from meshgate.workers.slot import WorkerFigures

PERIOD: Final = 0.5
"""Seconds between two gatherings. The figures of workers are up to
:data:`~meshgate.workers.worker.COUNT_EVERY` seconds older."""

PATIENCE: Final = 20.0
"""The least pause after a gathering, as a multiple of its time; it matters with thousands of names."""


@dataclass(frozen=True, slots=True)
class Figures:
    """
    The content of the file.

    :ivar process: the facts that identify the process.
    :ivar generation: the generation of the routing table in force.
    :ivar live_generation: the latest generation that every worker serves.
    :ivar ended: the number of ended connections for each ending.
    :ivar names: the figures of each endpoint name that has to be resolved.
    :ivar failing_endpoints: the endpoints that get no connections for a time, or are tried last.
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
    """Makes one text of the file after the other. The row of a name whose figures are the same object is kept."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[NameFigures, str]] = {}

    def make(self, figures: Figures) -> str:
        """Make the text, without the time."""
        head = {
            **figures.process,
            "generation": figures.generation,
            "live_generation": figures.live_generation,
            "connections": sum(worker.connections for worker in figures.workers),
            "ended": dict(sorted(figures.ended.items())),
            "workers": [asdict(worker) for worker in figures.workers],
            "failing_endpoints": [_with_times(asdict(each), "until") for each in figures.failing_endpoints],
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
    :param gather: returns the figures.
    :param renew: called if the state folder had to be made again, or if the status in it is gone.
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
        """Gather and write figures from now on, until :meth:`stop`."""
        began = self._reactor.seconds()
        self._gather_and_write()
        took = self._reactor.seconds() - began
        self._next = self._reactor.callLater(max(PERIOD, PATIENCE * took), self.start)

    async def stop(self) -> None:
        """Stop, and wait for a file that is being written."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        if self._writing is not None:
            ended: Deferred[None] = Deferred()
            self._writing.addBoth(lambda _: ended.callback(None))
            await ended

    def write_now(self) -> None:
        """Gather and write figures before anything else."""
        text = self._text.make(self._gather())
        try:
            self._write(text)
        except OSError as error:
            self._report.failed(FIGURES_NAME, error)
        else:
            self._written = (self._state.path, text)

    def _gather_and_write(self) -> None:
        if self._writing is not None:
            return  # the disk is slow; the next gathering has what is new meanwhile
        try:
            text = self._text.make(self._gather())
        except Exception:
            # A bug of ours: log it, and go on.
            self._log.failure("the figures could not be gathered")
            return
        new = (self._state.path, text)
        self._writing = writing = deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), self._renew_and_write, text, new != self._written
        ).addCallback(self._done, new)
        writing.addErrback(self._failed)
        writing.addBoth(self._ended)

    def _renew_and_write(self, text: str, changed: bool) -> tuple[bool, OSError | None]:
        """
        Check the folder, and write the figures if they have changed. Called in a thread.

        :return: True if a file has been removed; and the reason if the folder is not held, else None.
        """
        removed, unheld = False, None
        try:
            removed = self._state.renew()
        except FolderInUseError:
            raise
        except OSError as error:
            unheld = error  # not every file system has locks; writing may be possible all the same
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
    """The values, with those of these names, seconds since the epoch, as text."""
    times = {name: iso_time(values[name]) for name in names if values[name] is not None}
    return {**values, **times}
