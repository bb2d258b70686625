"""
Golden texts: what people read when a routes file has a problem, word for word.

Each case is a file, ``<group>/<code>_<name>.txt``: a routes file, a line of ten dashes, and every problem with that
code as it is printed, in order, folded at 118 columns; nothing where the code must not be reported. The group says how
the routes file is judged:

- ``documents``, ``fields`` and those named after a kind: by reading and validating it;
- ``analysis``: by compiling it, as valid resources, with Istio's semantics;
- ``extended``: likewise, with ``semantics: extended``;
- ``refused``: likewise, where a resource of the file is not valid.

A new file is a new test (:mod:`tests.test_golden`). After a text was changed on purpose, ``make golden`` writes the
problems as they are printed now into all files; the difference is then to be read like code.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

COMPILED: Final = ("analysis", "extended", "refused")
"""Groups of which the routes files are compiled; those of all others are only read."""

_FOLDER: Final = Path(__file__).parent
_SEPARATOR: Final = "----------\n"


class Golden(NamedTuple):
    """
    One case.

    :ivar group: the folder of its file.
    :ivar name: of its file, without ``.txt``.
    :ivar text: the routes file.
    :ivar shown: the problems, folded.
    """

    group: str
    name: str
    text: str
    shown: str

    @property
    def code(self) -> str:
        """The code of the problems that are shown."""
        return self.name.partition("_")[0]

    def rewrite(self, shown: str) -> None:
        """Put other problems into its file."""
        _path(self.group, self.name).write_text(self.text + _SEPARATOR + shown, encoding="utf-8")


def all_cases() -> Iterator[Golden]:
    """Read the cases of all groups, in the order of their names."""
    for path in sorted(_FOLDER.glob("*/*.txt")):
        text, _, shown = path.read_text(encoding="utf-8").rpartition(_SEPARATOR)
        yield Golden(path.parent.name, path.stem, text, shown)


def fold(problems: Iterable[object]) -> str:
    """Problems as they stand in a file: each begins a line, and goes on in indented ones."""
    lines: list[str] = []
    for problem in problems:
        lines += textwrap.wrap(
            str(problem), 118, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
    return "".join(f"{line}\n" for line in lines)


def _path(group: str, name: str) -> Path:
    return _FOLDER / group / f"{name}.txt"
