"""
Route files at their last good version: what is right takes effect, what is wrong stays as it was.

Reads and parses; knows nothing of when, nor of how changes are noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshgate.providers.directory.file_reading import read_file
from meshgate.providers.directory.tree import Sight
from meshgate.providers.snapshot import Snapshot
from meshgate.resources.phases import Rest, no_rest
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import DOCUMENTS_AT_ONCE, Reading
from meshgate.resources.resource import Resource, ResourceKey


@dataclass(frozen=True, slots=True)
class _File:
    """
    One file as it serves.

    :ivar problems: of the newest version, which may serve in part or not at all.
    :ivar refused: what can be read of the resources that do not serve, not even as they were.
    """

    resources: tuple[Resource[Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    refused: tuple[Resource[Any], ...] = ()


class LastGood:
    """
    The files of one provider.

    :param provider: its name.
    :param default_namespace: of documents that name none.
    """

    def __init__(self, provider: str, default_namespace: str) -> None:
        self._provider = provider
        self._default_namespace = default_namespace
        self._files: dict[str, _File] = {}
        # How each file looked when it was read; None when it has to be read again.
        self._sights: dict[str, Sight | None] = {}
        self._in_order: list[str] | None = None

    def news(self, sights: Mapping[str, Sight], of: Iterable[str] | None = None) -> dict[str, Sight | None]:
        """
        The paths that look otherwise than when they were read, with how they look now; None for those that
        are gone.

        :param sights: all files that there are now.
        :param of: the only paths that can be among them; all if left out.
        """
        known = self._sights
        if of is None and sights == known:
            return {}
        paths = {*sights, *known} if of is None else {path for path in of if path in sights or path in known}
        return {path: sights.get(path) for path in paths if known.get(path) is None or known[path] != sights.get(path)}

    def doubt(self) -> None:
        """Take every file for changed, so that all are read again."""
        self._sights = dict.fromkeys(self._sights)

    async def update(self, news: Mapping[str, Sight | None], rest: Rest = no_rest) -> None:
        """
        Read what changed, in phases. The changes are whole when it ends.

        :param news: as :meth:`news` gives it, or a part of that.
        :param rest: awaited between two phases.
        """
        gone = [path for path, sight in news.items() if sight is None]
        # A file may have been renamed and broken at once.
        orphans = {resource.key: resource for path in gone for resource in self._files.pop(path).resources}
        for path in gone:
            del self._sights[path]
            self._in_order = None
        read = 0
        for path, sight in sorted(news.items()):
            if sight is None:
                continue
            reading = await read_file(path, sight, self._provider, self._default_namespace, rest)
            before = self._files.get(path, _File())
            after = self._after(path, reading, before, orphans)
            if path not in self._files:
                self._in_order = None
            self._files[path], self._sights[path] = _with_the_same(after, before), sight
            read += 1 + len(reading.documents)
            if read >= DOCUMENTS_AT_ONCE:
                read = 0
                await rest()

    def snapshot(self) -> Snapshot:
        """Everything that serves, in the order of the files' paths, and everything that is wrong."""
        if self._in_order is None:
            self._in_order = sorted(self._files)
        resources: list[Resource[Any]] = []
        problems: list[Problem] = []
        refused: list[Resource[Any]] = []
        for path in self._in_order:
            file = self._files[path]
            resources += file.resources
            problems += file.problems
            refused += file.refused
        return Snapshot(tuple(resources), tuple(problems), tuple(refused))

    def _after(self, path: str, reading: Reading, before: _File, orphans: Mapping[ResourceKey, Resource[Any]]) -> _File:
        if not reading.readable:
            return self._kept(path, before, *reading.problems)
        known = {**orphans, **_by_key(before.resources)}
        return self._merged(reading, known)

    def _kept(self, path: str, before: _File, *problems: Problem) -> _File:
        if before.resources:
            serves = "the last good version of the file keeps serving"
            problems = (*problems, self._problem(Severity.INFO, "MG3012", path, serves))
        return _File(before.resources, problems)

    def _merged(self, reading: Reading, known: Mapping[ResourceKey, Resource[Any]]) -> _File:
        resources: list[Resource[Any]] = []
        refused: list[Resource[Any]] = []
        problems = list(reading.problems)
        for document in reading.documents:
            problems.extend(document.problems)
            if document.resource is not None:
                resources.append(document.resource)
            elif document.key is not None and document.key in known:
                kept = replace(known[document.key], origin=document.origin)
                resources.append(kept)
                serves = "its last good version keeps serving"
                problems.append(kept.problem(Severity.INFO, "MG3012", serves))
            elif document.refused is not None:
                refused.append(document.refused)
        return _File(tuple(resources), tuple(problems), tuple(refused))

    def _problem(self, severity: Severity, code: str, path: str, message: str) -> Problem:
        return Problem(severity, code, message, file=path, provider=self._provider)


def _by_key(resources: Iterable[Resource[Any]]) -> dict[ResourceKey, Resource[Any]]:
    return {each.key: each for each in resources}


def _with_the_same(after: _File, before: _File) -> _File:
    """A file with the resources of before where they are equal: nobody has to look at the same object again."""
    known = _by_key(before.resources)
    same = (known.get(each.key) for each in after.resources)
    resources = (each if old != each or old is None else old for each, old in zip(after.resources, same, strict=True))
    return replace(after, resources=tuple(resources))
