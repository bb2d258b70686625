"""
Route files, read and kept at their last good version.

A valid resource takes effect at once. For an invalid one, the last good version of the same resource keeps serving if
there is one, whichever file of the provider it was in; for a file that is not YAML any more, all its resources do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshgate.providers.directory.tree import FileState
from meshgate.providers.snapshot import Snapshot
from meshgate.resources.phases import Rest, no_rest
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import DOCUMENTS_AT_ONCE, Reading, read_in_phases
from meshgate.resources.resource import Resource, ResourceKey

MAX_FILE_SIZE = 64 * 1024 * 1024
"""Bytes, some 100,000 routes; a larger file is there by mistake."""


@dataclass(frozen=True, slots=True)
class _File:
    """
    What serves of one file.

    :ivar problems: of the newest version, of which some resources or all may not serve.
    :ivar refused: what can be read of the resources that have no valid version.
    """

    resources: tuple[Resource[Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    refused: tuple[Resource[Any], ...] = ()


class LastGood:
    """
    The files of one provider.

    :param provider: the provider's name.
    :param default_namespace: of documents that name none.
    """

    def __init__(self, provider: str, default_namespace: str) -> None:
        self._provider = provider
        self._default_namespace = default_namespace
        self._files: dict[str, _File] = {}
        # The state of each file when it was read; None if it has to be read again.
        self._states: dict[str, FileState | None] = {}
        self._in_order: list[str] | None = None

    def changes(
        self, states: Mapping[str, FileState], among: Iterable[str] | None = None
    ) -> dict[str, FileState | None]:
        """
        Find the files that have changed since they were read, with their states now; None for files that are gone.

        :param states: of all files that there are now.
        :param among: the only paths that may have changed; all if left out.
        """
        read = self._states
        if among is None and states == read:
            return {}
        paths = {*states, *read} if among is None else {path for path in among if path in states or path in read}
        return {path: states.get(path) for path in paths if read.get(path) is None or read[path] != states.get(path)}

    def invalidate(self) -> None:
        """Have every file read again, as if it had changed."""
        self._states = dict.fromkeys(self._states)

    async def update(self, changes: Mapping[str, FileState | None], rest: Rest = no_rest) -> None:
        """
        Read the files that have changed, in phases. Between them, some of the changes have been applied.

        :param changes: some or all of :meth:`changes`.
        :param rest: awaited between two phases.
        """
        gone = [path for path, state in changes.items() if state is None]
        # A file may have been renamed and broken at once.
        orphans = {resource.key: resource for path in gone for resource in self._files.pop(path).resources}
        for path in gone:
            del self._states[path]
            self._in_order = None
        documents = 0
        for path, state in sorted(changes.items()):
            if state is None:
                continue
            reading = await read_file(path, state, self._provider, self._default_namespace, rest)
            before = self._files.get(path, _File())
            after = self._after(path, reading, before, orphans)
            if path not in self._files:
                self._in_order = None
            self._files[path], self._states[path] = _reusing_resources(after, before), state
            documents += 1 + len(reading.documents)
            if documents >= DOCUMENTS_AT_ONCE:
                documents = 0
                await rest()

    def snapshot(self) -> Snapshot:
        """Return what serves and all problems, in the order of the files' paths."""
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
        return self._merged(reading, {**orphans, **_by_key(before.resources)})

    def _kept(self, path: str, before: _File, *problems: Problem) -> _File:
        if before.resources:
            serves = "the last good version of the file keeps serving"
            problems = (*problems, self._problem(Severity.INFO, "MG3012", path, serves))
        return _File(before.resources, problems)

    def _merged(self, reading: Reading, last_good: Mapping[ResourceKey, Resource[Any]]) -> _File:
        resources: list[Resource[Any]] = []
        refused: list[Resource[Any]] = []
        problems = list(reading.problems)
        for document in reading.documents:
            problems.extend(document.problems)
            if document.resource is not None:
                resources.append(document.resource)
            elif document.key is not None and document.key in last_good:
                kept = replace(last_good[document.key], origin=document.origin)
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


def _reusing_resources(after: _File, before: _File) -> _File:
    """Return a file with the objects of before for equal resources: the same object needs no comparison later."""
    by_key = _by_key(before.resources)
    same = (by_key.get(each.key) for each in after.resources)
    resources = (each if old != each or old is None else old for each, old in zip(after.resources, same, strict=True))
    return replace(after, resources=tuple(resources))


def content_of(path: str, state: FileState) -> bytes | str:
    """
    Read the bytes of a file.

    :param state: of the file, as the last scan has found it.
    :return: the bytes, or in words why they cannot be read.
    """
    if isinstance(state, str):
        return f"the file cannot be read: {state}"
    too_large = f"the file is larger than {MAX_FILE_SIZE // 1024 // 1024} MiB and is not read"
    if state[0] > MAX_FILE_SIZE:
        return too_large
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return content if len(content) <= MAX_FILE_SIZE else too_large


async def read_file(path: str, state: FileState, provider: str, default_namespace: str, rest: Rest) -> Reading:
    """
    Read the documents of a file, in phases. A file that cannot be read counts as one that is not YAML.

    :param state: of the file, as the last scan has found it.
    :param provider: the name of the file's provider.
    :param default_namespace: of documents that name none.
    :param rest: awaited between two phases.
    """
    content = content_of(path, state)
    if isinstance(content, str):
        problem = Problem(Severity.ERROR, "MG3010", content, file=path, provider=provider)
        return Reading((), (problem,), readable=False)
    return await read_in_phases(content, path, provider, default_namespace, Severity.WARNING, rest)
