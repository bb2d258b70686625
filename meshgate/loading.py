"""
Reading routes for the command line: files, folders and standard input, all at once, without a running gateway.

The gateway itself reads through providers; both use the same reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from meshgate.resources.duplicates import latest
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import read_text
from meshgate.resources.record import Resource
from meshgate.routing.compile import Compilation, compile_table
from meshgate.routing.servers import Proxy
from meshgate.routing.statuses import all_statuses

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    Everything that was read.

    :ivar resources: the valid ones, each kind, namespace and name once.
    :ivar problems: of reading and validation.
    """

    resources: tuple[Resource[Any], ...]
    problems: tuple[Problem, ...]

    def compiled(self, proxy: Proxy) -> Compilation:
        """The table these resources make, with the problems of reading in front of those of compiling."""
        compilation = compile_table(self.resources, proxy)
        problems = (*self.problems, *compilation.problems)
        return replace(compilation, problems=problems, statuses=all_statuses(compilation.statuses, problems))


def load_paths(paths: Iterable[str], stdin: BinaryIO, default_namespace: str) -> Loaded:
    """
    Read files, folders (their YAML and JSON files, sub-folders too, in the order of their paths) and ``-``.

    :raises FileNotFoundError: a path does not exist; its message is for people.
    """
    resources: list[Resource[Any]] = []
    problems: list[Problem] = []
    for path in paths:
        for name, content in _contents(path, stdin):
            if isinstance(content, Problem):
                problems.append(content)
                continue
            reading = read_text(content, name, default_namespace=default_namespace)
            problems += reading.all_problems
            resources += reading.resources
    winners, doubled = latest(resources)
    return Loaded(tuple(winners), (*problems, *doubled))


def _contents(path: str, stdin: BinaryIO) -> Iterator[tuple[str, bytes | Problem]]:
    if path == STANDARD_INPUT:
        yield "<stdin>", stdin.read()
        return
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    for file in _files(root):
        try:
            yield str(file), file.read_bytes()
        except OSError as error:
            yield (
                str(file),
                Problem(Severity.ERROR, "MG0003", f"cannot be read: {error.strerror}", file=str(file)),
            )


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        return [root]
    found = (file for file in root.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(root).parts))
