"""
Reading routes for the command line: files, folders and standard input, without a running gateway.

The gateway reads through providers; both use the same reader.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from meshgate.providers.directory.tree import SUFFIXES, scan
from meshgate.resources.latest import latest
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import read_text
from meshgate.resources.resource import Resource
from meshgate.routing.compile.compiler import Compilation, compile_table
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.tell.statuses import all_statuses

STANDARD_INPUT = "-"
STANDARD_INPUT_NAME = "<stdin>"
"""The name of standard input in problems."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    The resources of some files, folders and standard input.

    :ivar resources: the valid ones, each kind, namespace and name once.
    :ivar problems: of reading and validation.
    :ivar refused: what can be read of the invalid ones.
    """

    resources: tuple[Resource[Any], ...]
    problems: tuple[Problem, ...]
    refused: tuple[Resource[Any], ...] = ()

    def compiled(self, proxy: Proxy, now: datetime | None = None) -> Compilation:
        """
        Compile the resources; the problems of reading come before those of compiling.

        :param now: the time by which certificates expire; None to skip that check.
        """
        compilation = compile_table(self.resources, proxy, refused=self.refused, now=now)
        problems = (*self.problems, *compilation.problems)
        return replace(compilation, problems=problems, statuses=all_statuses(compilation.statuses, problems))


def load_paths(paths: Iterable[str], stdin: BinaryIO, default_namespace: str) -> Loaded:
    """
    Read files, folders and ``-``, standard input.

    Of a folder, the YAML and JSON files are read, also those in sub-folders, in the order of their paths; names that
    begin with a dot are skipped.

    :raises FileNotFoundError: if a path does not exist; the message is for people.
    """
    resources: list[Resource[Any]] = []
    problems: list[Problem] = []
    refused: list[Resource[Any]] = []
    for path in paths:
        for name, content in _contents(path, stdin):
            if isinstance(content, Problem):
                problems.append(content)
                continue
            reading = read_text(content, name, default_namespace=default_namespace)
            problems += reading.all_problems
            if reading.readable and not reading.documents and not os.path.isdir(path):
                problems.append(_nothing_in(name))
            resources += reading.resources
            refused += reading.refused
    winners, doubled = latest(resources)
    return Loaded(tuple(winners), (*problems, *doubled), tuple(refused))


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
    if not tree.files and not tree.unreadable:
        hint = f"files with names in {', '.join(SUFFIXES)} are read"
        name = _printable(path)
        yield name, Problem(Severity.WARNING, "MG0009", "the folder holds no routes", file=name, hint=hint)


def _nothing_in(file: str) -> Problem:
    """Warn of a file that was named and is empty; in a folder, such files are common."""
    return Problem(Severity.WARNING, "MG0009", "the file holds no routes", file=file, hint="it has no document")


def _content(file: str) -> tuple[str, bytes | Problem]:
    try:
        return _printable(file), Path(file).read_bytes()
    except OSError as error:
        return _not_read(file, error.strerror or str(error))


def _not_read(file: str, reason: str) -> tuple[str, Problem]:
    name = _printable(file)
    return name, Problem(Severity.ERROR, "MG0008", f"cannot be read: {reason}", file=name)


def _printable(path: str) -> str:
    """Escape what is not UTF-8 in a path: file names may have it, and no terminal takes it."""
    return str(Path(path)).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
