"""
``status.json`` kept up to date: its text is made in phases, and a thread writes it.

Knows when, and tries again what could not be written; what the document tells is gathered by whoever owns this.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshgate.resources.phases import at_once
from meshgate.state.folder import StateFolder
from meshgate.state.status_text import StatusContent, StatusText
from meshgate.state.writing import STATUS_NAME, WriteReport, replace_file

PATIENCE = 10.0
"""The next document waits this many times as long as the work for the last took, so that it takes no more than a tenth
of the time."""

RETRY = 1.0
"""Seconds until what could not be written is tried again, at least."""


class StatusFile:
    """
    The document of a running gateway.

    :param reactor: provides IReactorTime and IReactorThreads.
    :param state: where to write it.
    :param report: told whether it could be written.
    :param gather: gives what the document tells.
    :ivar took: seconds of work that the last document took.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        state: StateFolder,
        report: WriteReport,
        gather: Callable[[], StatusContent],
    ) -> None:
        self._reactor = reactor
        self._state = state
        self._report = report
        self._gather = gather
        self._text = StatusText()
        self.took = 0.0
        self._wanted = False
        self._work: Deferred[None] | None = None
        self._writing: Deferred[None] | None = None

    def write_now(self) -> None:
        """
        Make and write it before anything else; for the start and the end, when nobody is connected.

        :raises OSError: when it cannot be written, which the report was told.
        """
        pieces = at_once(self._text.text(self._gather()))
        try:
            replace_file(self._state, STATUS_NAME, pieces)
        except OSError as error:
            self._report.failed(STATUS_NAME, error)
            raise
        self._report.succeeded(STATUS_NAME)

    def write_soon(self) -> None:
        """Make and write it while connections are served; what is asked for meanwhile is one more."""
        self._wanted = True
        if self._work is None:
            self._work = Deferred.fromCoroutine(self._run())
            self._work.addErrback(_given_up)

    async def stop(self) -> None:
        """Write no more; what is being written is waited for, so that it does not come after something newer."""
        self._wanted = False
        work, self._work = self._work, None
        if self._writing is not None:
            ended: Deferred[None] = Deferred()
            self._writing.addBoth(lambda _: ended.callback(None))
            await ended
        if work is not None:
            # It may wait for its next turn, even where only just now a document was written.
            work.cancel()

    async def _run(self) -> None:
        rest = partial(deferLater, self._reactor, 0)
        await rest()
        while self._wanted:
            self._wanted = False
            pause = 0.0
            try:
                begin = self._reactor.seconds()
                pieces = await self._text.text(self._gather(), rest)
                self.took = self._reactor.seconds() - begin
                self._writing = deferToThreadPool(
                    self._reactor, self._reactor.getThreadPool(), replace_file, self._state, STATUS_NAME, pieces
                )
                await self._writing
                self._report.succeeded(STATUS_NAME)
            except CancelledError:
                raise
            except OSError as error:
                self._report.failed(STATUS_NAME, error)
                self._wanted, pause = True, RETRY
            except Exception:
                # A fault of ours, and no reason to tell nothing any more.
                self._log.failure("the status could not be told")
            finally:
                self._writing = None
            await deferLater(self._reactor, max(pause, PATIENCE * self.took))
        self._work = None


def _given_up(failure: Failure) -> None:
    failure.trap(CancelledError)  # type: ignore[no-untyped-call]
