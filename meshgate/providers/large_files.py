"""
Large files of routes are read by a process of its own, since a large document takes long, and parsing it has no rests.

The process is started when the first such file has changed, is kept for the next ones, and ends when it has been idle.
Where it fails, nothing is lost: the file is left to whoever asked. Knows nothing of what was read before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from meshgate.processes.garbage import held_off
from meshgate.processes.pieces import PieceUnpacker
from meshgate.providers.file_reading import MAX_FILE_SIZE
from meshgate.providers.reading_messages import Request
from meshgate.providers.reading_process import NotReadError, ReadingProcess
from meshgate.providers.slices import in_slices
from meshgate.providers.tree import Sight, Signature
from meshgate.resources.reader import Reading

LARGE: Final = 4096
"""Bytes from which a file is large. What is smaller is read in 2.5 ms where it is valid, also as one document; a
VirtualService of many short rules takes the longest, half a millisecond for each KiB. Where every entry of it is
faulty, it takes up to 5 ms."""

IDLE: Final = 60.0
"""Seconds after which the process ends. Changes come in series, and a start takes 0.3 s; being there takes memory."""


class LargeFiles:
    """
    What reads them for one provider.

    :param reactor: provides IReactorSocket and IReactorTime.
    :param provider: its name.
    :param default_namespace: of documents that name none.
    """

    _log = Logger()

    def __init__(self, reactor: Any, provider: str, default_namespace: str) -> None:
        self._reactor = reactor
        self._provider = provider
        self._default_namespace = default_namespace
        self._process: ReadingProcess | None = None
        self._idle: IDelayedCall | None = None

    async def read(self, news: Mapping[str, Sight | None]) -> dict[str, Reading | None]:
        """
        Read the large ones among some files. Not to be called again before it has answered.

        :param news: how each file looks.
        :return: what came of them; None for one that looks otherwise by now. One that the process did not read is
            missing, and so are those that are not large.
        """
        readings: dict[str, Reading | None] = {}
        large = [(path, sight) for path, sight in news.items() if isinstance(sight, Signature) and _is_large(sight)]
        for path, sight in sorted(large):
            request = Request(path, sight, self._provider, self._default_namespace)
            try:
                parts = await self._ask(request)
            except NotReadError as error:
                why = "{path} is read in the gateway's own process: the one for large files {error}"
                self._log.warn(why, path=path, error=error)
            else:
                with held_off():
                    await in_slices(_unpack(parts, path, readings), self._reactor)
        return readings

    def stop(self) -> Deferred[None] | None:
        """
        End the process.

        :return: fires when it has ended; None when there is none.
        """
        self._keep()
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        return process.ended

    async def _ask(self, request: Request) -> list[bytes]:
        self._keep()
        if self._process is None:
            self._process = self._start()
        try:
            return await self._process.ask(request)
        finally:
            self._idle = self._reactor.callLater(IDLE, self.stop)

    def _start(self) -> ReadingProcess:
        def forget(_: None) -> None:
            if self._process is process:
                self._process = None

        try:
            process = ReadingProcess(self._reactor)
        except OSError as error:
            raise NotReadError(f"cannot be started: {error.strerror}") from error
        process.ended.addCallback(forget)
        return process

    def _keep(self) -> None:
        """It is not idle any more."""
        if self._idle is not None and self._idle.active():
            self._idle.cancel()


def _is_large(sight: Signature) -> bool:
    # One that is too large to be read at all is none.
    return LARGE <= sight.size <= MAX_FILE_SIZE


def _unpack(parts: Iterable[bytes], path: str, readings: dict[str, Reading | None]) -> Iterator[None]:
    unpacker = PieceUnpacker()
    for part in parts:
        last = unpacker.unpack(part)
        yield
    (readings[path],) = last
    yield from unpacker.forget()
