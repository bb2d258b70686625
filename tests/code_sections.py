"""
The sections of ``docs/reference/codes``: for each code its cause, an example, and the mend.

A section is a file named after its code. It has paragraphs of reStructuredText, of which the last is about the mend; a
line of ten dashes; and the example. The lines of the example begin as in a diff: with ``-`` those that the mend takes
away, with ``+`` those that it adds, with a space the others. The file of the example is ``routes.yaml``, which
``meshgate check routes.yaml`` reads; a line ``$ meshgate …`` names another command, and a line ``==> NAME`` begins
another file.

Of codes that only a running gateway reports, the lines of the example begin with ``>``: they are what it says.

The documentation shows the command's real output, and a test holds that the mend cures it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from click.testing import CliRunner

from meshgate.cli import main

FOLDER: Final = Path(__file__).parent.parent / "docs" / "reference" / "codes"
COMMAND: Final = "meshgate check routes.yaml"
_SEPARATOR: Final = "----------\n"
_FILE: Final = "==> "
_GAP: Final = " ..."


class CodeSection(NamedTuple):
    """
    A section.

    :ivar cause: paragraphs in reStructuredText.
    :ivar mend: a paragraph in reStructuredText.
    :ivar command: the command that reports the code.
    :ivar before: the files of the example, by their names.
    :ivar after: the files after the mend.
    :ivar diff: the lines of the example as they are written.
    :ivar said: what a running gateway says; empty for an example with files.
    """

    code: str
    cause: str
    mend: str
    command: str
    before: dict[str, str]
    after: dict[str, str]
    diff: tuple[str, ...]
    said: str

    def changes(self) -> str:
        """The mend as a diff: the lines that change, each group with the line above it and the line below it."""
        lines: list[str] = []
        for number, line in enumerate(self.diff):
            if any(near[0] in "+-" for near in self.diff[max(0, number - 1) : number + 2]):
                lines.append(line)
            elif lines and lines[-1] != _GAP:
                lines.append(_GAP)
        return "\n".join(lines).removeprefix(f"{_GAP}\n").removesuffix(f"\n{_GAP}")


class Outcome(NamedTuple):
    """What a command said, both streams in one, and its exit status."""

    text: str
    status: int


def code_sections() -> Iterator[CodeSection]:
    """Read all sections, in the order of their codes."""
    for path in sorted(FOLDER.glob("MG*.txt")):
        text, _, example = path.read_text(encoding="utf-8").partition(_SEPARATOR)
        yield _section(path.stem, text, example)


def run_example(section: CodeSection, files: dict[str, str]) -> Outcome:
    """Run the command of a section on its files, in a folder of their own."""
    runner = CliRunner()
    with TemporaryDirectory() as folder, chdir(folder):
        for name, content in files.items():
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        result = runner.invoke(main, shlex.split(section.command)[1:], prog_name="meshgate")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.output, result.exit_code)


def _section(code: str, text: str, example: str) -> CodeSection:
    cause, _, mend = text.strip().rpartition("\n\n")
    command, name = COMMAND, "routes.yaml"
    said: list[str] = []
    diff: list[str] = []
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for line in example.splitlines():
        if line.startswith("$ "):
            command = line[2:]
        elif line.startswith(_FILE):
            name = line.removeprefix(_FILE)
            diff.append(_GAP)
        elif line.startswith(">"):
            said.append(line[2:])
        else:
            diff.append(line)
            if not line.startswith("+"):
                before.setdefault(name, []).append(line[1:])
            if not line.startswith("-"):
                after.setdefault(name, []).append(line[1:])
    return CodeSection(code, cause, mend, command, _texts(before), _texts(after), tuple(diff), "\n".join(said))


def _texts(files: dict[str, list[str]]) -> dict[str, str]:
    return {name: "".join(f"{line}\n" for line in lines) for name, lines in files.items()}
