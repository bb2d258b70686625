"""
Reading routes for the command line: files, folders and standard input, without a running gateway.

The gateway reads through providers; both use the same reader.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from meshgate.providers.directory.tree import SUFFIXES, scan
from meshgate.resources.latest import latest
from meshgate.resources.phases import Rest, at_once, no_rest
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import DOCUMENTS_AT_ONCE, read_in_phases
from meshgate.resources.resource import Resource
from meshgate.resources.wording import count_of
from meshgate.routing.compile.compiler import Compilation, compile_table
from meshgate.routing.compile.gateway_proxy import KnownGateway, Proxy
from meshgate.routing.compile.shown_problems import judge, one_for_each_cause
from meshgate.routing.tell.statuses import ResourceCounts, all_statuses

if TYPE_CHECKING:
    from meshgate.providers.feed import FeedState

STANDARD_INPUT = "-"
STANDARD_INPUT_NAME = "<stdin>"
"""The name of standard input in problems."""

NOTHING_READ = "MG0009"
"""The code of a path without a document."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    The resources of some files, folders and standard input.

    :ivar resources: the valid ones, each kind, namespace and name once.
    :ivar problems: of reading and validation.
    :ivar refused: what can be read of the invalid ones.
    :ivar unread: True if nothing could be read of one of the paths, so that an answer would mislead.
    """

    resources: tuple[Resource[Any], ...]
    problems: tuple[Problem, ...]
    refused: tuple[Resource[Any], ...] = ()
    unread: bool = False

    @property
    def counts(self) -> ResourceCounts:
        """The number of resources."""
        return ResourceCounts.of({each.key for each in self.resources}, self.problems)

    @property
    def everything(self) -> tuple[Resource[Any], ...]:
        """The valid resources, and what can be read of the invalid ones."""
        return (*self.resources, *self.refused)

    def compiled(self, proxy: Proxy, now: datetime | None = None, rest: Rest = no_rest) -> Compilation:
        """
        Compile the resources; the problems of reading come before those of compiling.

        :param now: the time by which certificates expire; None to skip that check.
        :param rest: called between two phases; it must not suspend.
        """
        compilation = compile_table(self.resources, proxy, refused=self.refused, now=now, rest=rest)
        problems = (*self.problems, *one_for_each_cause(compilation.problems))
        return replace(compilation, problems=problems, statuses=all_statuses(compilation.statuses, problems))

    def judged(
        self,
        proxy: Proxy,
        judged: Sequence[KnownGateway],
        gateways: Sequence[KnownGateway],
        now: datetime | None = None,
        rest: Rest = no_rest,
    ) -> tuple[Problem, ...]:
        """
        The problems of reading, and those that the resources have at several gateways.

        :param proxy: whatever is the same for all gateways.
        :param judged: the gateways.
        :param gateways: these and others.
        :param now: as in :meth:`compiled`.
        :param rest: likewise.
        """
        found = judge(self.resources, proxy, judged, gateways, refused=self.refused, now=now, rest=rest)
        return (*self.problems, *one_for_each_cause(found))


class Loader:
    """
    Reads paths one after the other, and collects what they hold.

    :param stdin: standard input, as bytes.
    :param default_namespace: the namespace of documents that name none.
    :param show: called again and again with a text that says how far the reading is.
    :ivar documents: the number of documents so far.
    """

    def __init__(self, stdin: BinaryIO, default_namespace: str, show: Callable[[str], None]) -> None:
        self.documents = 0
        self._stdin = stdin
        self._default_namespace = default_namespace
        self._show = show
        self._phases = 0
        self._resources: list[Resource[Any]] = []
        self._problems: list[Problem] = []
        self._refused: list[Resource[Any]] = []
        self._unread = False

    def read(self, path: str, *, provider: str = "", allow_empty: bool = False) -> None:
        """
        Read a file, a folder, or ``-``, standard input.

        Of a folder, the YAML and JSON files are read, also those in sub-folders, in the order of their paths; names
        that begin with a dot are skipped. A path without a document is an error: most likely it is the wrong one, or
        the command before the pipe has failed.

        :param provider: the name of the provider in the settings that has the path.
        :param allow_empty: accept a path without a document.
        :raises FileNotFoundError: if the path does not exist; the message is for people.
        """
        documents, problems = self.documents, len(self._problems)
        for name, content in _contents(path, self._stdin):
            self._add(name, content, provider)
        if self.documents == documents and not allow_empty and len(self._problems) == problems:
            self._problems.append(_nothing_in(path))
        self._unread |= self.documents == documents and len(self._problems) > problems

    def add_state(self, state: FeedState) -> None:
        """Add what providers have published."""
        self.documents += len(state.resources) + len(state.refused)
        self._resources += state.resources
        self._problems += state.problems
        self._refused += state.refused

    def require_documents(self, otherwise: Problem) -> None:
        """Add a problem if nothing has been read so far, unless other problems give the reason."""
        if not self.documents:
            self._problems += [] if self._problems else [otherwise]
            self._unread = True

    def loaded(self) -> Loaded:
        """Return everything that was read; of several documents with one identity, the latest counts."""
        winners, doubled = latest(self._resources)
        return Loaded(tuple(winners), (*self._problems, *doubled), tuple(self._refused), self._unread)

    def _add(self, name: str, content: bytes | Problem, provider: str) -> None:
        if isinstance(content, Problem):
            self._problems.append(content)
            return
        self._phases = 0
        reading = at_once(read_in_phases(content, name, provider, self._default_namespace, rest=self._show_phase))
        self._problems += reading.all_problems
        self._resources += reading.resources
        self._refused += reading.refused
        self.documents += len(reading.documents)
        self._show(f"reading: {count_of(self.documents, 'document')}")

    async def _show_phase(self) -> None:
        self._phases += 1
        self._show(f"reading: {count_of(self.documents + self._phases * DOCUMENTS_AT_ONCE, 'document')}")


def _contents(path: str, stdin: BinaryIO) -> Iterator[tuple[str, bytes | Problem]]:
    if path == STANDARD_INPUT:
        yield STANDARD_INPUT_NAME, stdin.read()
        return
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{_printable(path)}: no such file or folder") from None
    except OSError as error:
        yield _not_read(path, error.strerror or str(error))
        return
    if not is_folder:
        yield _content(path)
        return
    tree = scan([path])
    for folder, reason in sorted(tree.unreadable.items()):
        yield _not_read(folder, reason)
    for file, state in sorted(tree.files.items()):
        yield _not_read(file, state) if isinstance(state, str) else _content(file)


def _nothing_in(path: str) -> Problem:
    """Report a path without a document."""
    if path == STANDARD_INPUT:
        message, hint = "standard input holds no routes", "the command before the pipe may have failed"
    elif os.path.isdir(path):
        message, hint = "the folder holds no routes", f"files with names in {', '.join(SUFFIXES)} are read"
    else:
        message, hint = "the file holds no routes", "it has no document"
    file = STANDARD_INPUT_NAME if path == STANDARD_INPUT else _printable(path)
    return Problem(Severity.ERROR, NOTHING_READ, message, file=file, hint=f"{hint}; --allow-empty accepts that")


def _content(file: str) -> tuple[str, bytes | Problem]:
    try:
        with open(file, "rb", buffering=0) as opened:
            return _printable(file), opened.read()
    except OSError as error:
        return _not_read(file, error.strerror or str(error))


def _not_read(file: str, reason: str) -> tuple[str, Problem]:
    name = _printable(file)
    return name, Problem(Severity.ERROR, "MG0008", f"cannot be read: {reason}", file=name)


def _printable(path: str) -> str:
    """Escape what is not UTF-8 in a path: file names may have it, and no terminal takes it."""
    return str(Path(path)).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
