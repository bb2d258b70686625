"""
Route files at their last good version: what is right takes effect, what is wrong stays as it was.

Reads and parses; knows nothing of when, nor of how changes are noticed.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshgate.providers.file_reading import content_of, reading_of
from meshgate.providers.snapshot import Snapshot
from meshgate.providers.tree import Sight
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import Reading
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.steps import batches, run_through


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

    def update(self, news: Mapping[str, Sight | None], readings: Mapping[str, Reading | None]) -> Iterator[None]:
        """
        Read what changed.

        :param news: as :meth:`news` gives it, or a part of that.
        :param readings: what came of those among them that have been read already; None for a file that looked
            otherwise by then, and stays as it was.
        :return: an iterator that rests after each document; the changes are whole when it ends.
        """
        gone = [path for path, sight in news.items() if sight is None]
        # A file may have been renamed and broken at once.
        orphans = {resource.key: resource for path in gone for resource in self._files.pop(path).resources}
        for path in gone:
            del self._sights[path]
            self._in_order = None
        for path, sight in sorted(news.items()):
            if sight is not None:
                reading = readings[path] if path in readings else (yield from self._read(path, sight))
                if reading is None:
                    continue
                before = self._files.get(path, _File())
                after = yield from self._after(path, reading, before, orphans)
                if path not in self._files:
                    self._in_order = None
                self._files[path], self._sights[path] = (yield from _with_the_same(after, before)), sight
                yield

    def snapshot(self) -> Snapshot:
        """Everything that serves, in the order of the files' paths, and everything that is wrong."""
        return run_through(self.snapshot_in_steps())

    def snapshot_in_steps(self) -> Generator[None, None, Snapshot]:
        """The same, for whoever has other things to do in between."""
        if self._in_order is None:
            self._in_order = sorted(self._files)
            yield
        resources: list[Resource[Any]] = []
        problems: list[Problem] = []
        refused: list[Resource[Any]] = []
        for paths in batches(self._in_order, 128):
            for path in paths:
                file = self._files[path]
                resources += file.resources
                problems += file.problems
                refused += file.refused
            yield
        return Snapshot(tuple(resources), tuple(problems), tuple(refused))

    def _read(self, path: str, sight: Sight) -> Generator[None, None, Reading]:
        return reading_of(content_of(path, sight), path, self._provider, self._default_namespace)

    def _after(
        self, path: str, reading: Reading, before: _File, orphans: Mapping[ResourceKey, Resource[Any]]
    ) -> Generator[None, None, _File]:
        if not reading.readable:
            return self._kept(path, before, *reading.problems)
        known = {**orphans, **(yield from _by_key(before.resources))}
        return (yield from self._merged(reading, known))

    def _kept(self, path: str, before: _File, *problems: Problem) -> _File:
        if before.resources:
            serves = "the last good version of the file keeps serving"
            problems = (*problems, self._problem(Severity.INFO, "MG3012", path, serves))
        return _File(before.resources, problems)

    def _merged(self, reading: Reading, known: Mapping[ResourceKey, Resource[Any]]) -> Generator[None, None, _File]:
        resources: list[Resource[Any]] = []
        refused: list[Resource[Any]] = []
        problems = list(reading.problems)
        for documents in batches(reading.documents):
            for document in documents:
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
            yield
        return _File(tuple(resources), tuple(problems), tuple(refused))

    def _problem(self, severity: Severity, code: str, path: str, message: str) -> Problem:
        return Problem(severity, code, message, file=path, provider=self._provider)


def _by_key(resources: Iterable[Resource[Any]]) -> Generator[None, None, dict[ResourceKey, Resource[Any]]]:
    """The same resources by their keys, in steps."""
    known: dict[ResourceKey, Resource[Any]] = {}
    for batch in batches(resources, 512):
        known.update({each.key: each for each in batch})
        yield
    return known


def _with_the_same(after: _File, before: _File) -> Generator[None, None, _File]:
    """A file with the resources of before where they are equal: nobody has to look at the same object again."""
    known = yield from _by_key(before.resources)
    resources: list[Resource[Any]] = []
    for each in after.resources:
        same = known.get(each.key)
        equal = same is not None and (yield from _equal(each, same))
        resources.append(same if same is not None and equal else each)
        yield
    return replace(after, resources=tuple(resources))


def _equal(one: Resource[Any], other: Resource[Any]) -> Generator[None, None, bool]:
    """Whether two resources are equal. What has a thousand parts has them in the fields of its spec."""
    if replace(one, spec=None) != replace(other, spec=None):
        return False
    for name in type(one.spec).model_fields:
        parts, others = getattr(one.spec, name), getattr(other.spec, name)
        if not isinstance(parts, tuple) or not isinstance(others, tuple):
            if parts != others:
                return False
            continue
        if len(parts) != len(others):
            return False
        for pairs in batches(zip(parts, others, strict=True)):
            if any(part != counterpart for part, counterpart in pairs):
                return False
            yield
    return True
