"""
``status.json``, kept up to date: its text is made in phases, and a thread writes it.

A document is made at most once at a time, and after each the work rests for ten times as long as it took: however fast
the routes change, the status takes a tenth of the time. A document that cannot be written is made again later.
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
from meshgate.state.folder import STATUS_NAME, StateFolder, WriteReport, replace_file
from meshgate.state.status_text import StatusContent, StatusText

PATIENCE = 10.0
"""The pause after a document, as a multiple of the time that the document took."""

RETRY = 1.0
"""The least seconds until a document that could not be written is made again."""


class StatusFile:
    """
    The document of a running gateway.

    :param reactor: provides IReactorTime and IReactorThreads.
    :param state: the folder of the file.
    :param report: notes if the file can be written.
    :param gather: returns the content of the document.
    :ivar took: the seconds of work that the last document took.
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
        Make and write a document before anything else: at the start and at the end.

        :raises OSError: if it cannot be written, which the report has noted.
        """
        chunks = at_once(self._text.text(self._gather()))
        try:
            replace_file(self._state, STATUS_NAME, chunks)
        except OSError as error:
            self._report.failed(STATUS_NAME, error)
            raise
        self._report.succeeded(STATUS_NAME)

    def write_soon(self) -> None:
        """Make and write a document in phases. Calls meanwhile lead to one more document."""
        self._wanted = True
        if self._work is None:
            self._work = Deferred.fromCoroutine(self._run())
            self._work.addErrback(_ignore_cancellation)

    async def stop(self) -> None:
        """Stop, and wait for a document that is being written, so that it does not replace a newer one."""
        self._wanted = False
        work, self._work = self._work, None
        if self._writing is not None:
            ended: Deferred[None] = Deferred()
            self._writing.addBoth(lambda _: ended.callback(None))
            await ended
        if work is not None:
            # It may be waiting for its next turn.
            work.cancel()

    async def _run(self) -> None:
        rest = partial(deferLater, self._reactor, 0)
        await rest()
        while self._wanted:
            self._wanted = False
            pause = 0.0
            try:
                begin = self._reactor.seconds()
                chunks = await self._text.text(self._gather(), rest)
                self.took = self._reactor.seconds() - begin
                self._writing = deferToThreadPool(
                    self._reactor, self._reactor.getThreadPool(), replace_file, self._state, STATUS_NAME, chunks
                )
                await self._writing
                self._report.succeeded(STATUS_NAME)
            except CancelledError:
                raise
            except OSError as error:
                self._report.failed(STATUS_NAME, error)
                self._wanted, pause = True, RETRY
            except Exception:
                # A bug of ours: log it, and go on with the next document.
                self._log.failure("the status could not be made")
            finally:
                self._writing = None
            await deferLater(self._reactor, max(pause, PATIENCE * self.took))
        self._work = None


def _ignore_cancellation(failure: Failure) -> None:
    failure.trap(CancelledError)  # type: ignore[no-untyped-call]
