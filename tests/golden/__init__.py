"""
Golden texts: what people read when a file has problems, word for word.

Each case is a file, ``<group>/<name>.txt``: the file to judge, a line of ten dashes, and its problems as they are
printed, in order, folded at 118 columns. The group says what kind of file it is and how it is judged:

- ``documents``, ``fields`` and those named after a kind: routes, by reading and validating them;
- ``analysis``: routes, by compiling them, all resources valid, with Istio's semantics;
- ``extended``: likewise, with ``semantics: extended``;
- ``refused``: likewise, where a resource of the file is not valid;
- ``whole_files``: routes with and without faults, by ``meshgate check`` and the commands in their comments; everything
  that these print;
- ``settings`` and ``expectations``: settings and files of expectations, by loading them.

The name of any other case of routes begins with a code, ``MG1024_short_host``. Its problems are those with that code;
it has none if the code must not be reported.

A new file is a new test of the :class:`GoldenTestCase` that has the group. After a text was changed on purpose,
``make golden`` writes the problems as they are printed now into all files; the difference is then to be read like code.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Problem

COMPILED: Final = ("analysis", "extended", "refused")
"""Groups of routes that are compiled."""

WHOLE_FILES: Final = ("whole_files",)
"""Groups of routes that the command line checks."""

_FOLDER: Final = Path(__file__).parent
_SEPARATOR: Final = "----------\n"
_REWRITE: Final = os.environ.get("MESHGATE_GOLDEN") == "rewrite"


class Golden(NamedTuple):
    """
    One case.

    :ivar path: of its file.
    :ivar text: the file to judge.
    :ivar shown: the problems, folded.
    """

    path: Path
    text: str
    shown: str

    @property
    def group(self) -> str:
        """The folder of the file."""
        return self.path.parent.name

    @property
    def code(self) -> str:
        """The code with which the name of a case of routes begins."""
        return self.path.stem.partition("_")[0]

    def rewrite(self, shown: str) -> None:
        """Put other problems into the file."""
        self.path.write_text(self.text + _SEPARATOR + shown, encoding="utf-8")


class GoldenTestCase(SynchronousTestCase):
    """A test for each case of some groups: ``class FieldTests(GoldenTestCase, groups=["fields"])``."""

    maxDiff = None

    def __init_subclass__(cls, groups: Collection[str] = (), **rest: Any) -> None:
        """Make the tests."""
        super().__init_subclass__(**rest)
        for case in all_cases():
            if case.group in groups:
                setattr(cls, f"test_{case.group}_{case.path.stem}", _test(case))

    def judge(self, case: Golden) -> Iterable[Problem | str]:
        """The problems of a case, which tests compare with those of its file."""
        raise NotImplementedError


def _test(case: Golden) -> Callable[[GoldenTestCase], None]:
    def test(self: GoldenTestCase) -> None:
        shown = fold(self.judge(case))
        if _REWRITE:
            case.rewrite(shown)
        else:
            self.assertEqual(shown, case.shown)

    return test


def all_cases() -> Iterator[Golden]:
    """Read the cases of all groups, in the order of their names."""
    for path in sorted(_FOLDER.glob("*/*.txt")):
        text, _, shown = path.read_text(encoding="utf-8").rpartition(_SEPARATOR)
        yield Golden(path, text, shown)


def fold(problems: Iterable[object]) -> str:
    """Format problems as they stand in a file: each begins a line, and goes on in indented ones."""
    lines: list[str] = []
    for problem in problems:
        lines += textwrap.wrap(
            str(problem), 118, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
    return "".join(f"{line}\n" for line in lines)
