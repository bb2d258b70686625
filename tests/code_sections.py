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

import difflib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from click.testing import CliRunner

from meshgate.cli import main

FOLDER: Final = Path(__file__).parent.parent / "docs" / "reference" / "codes"
COMMAND: Final = "meshgate check routes.yaml"
_SEPARATOR: Final = "----------\n"
_FILE: Final = "==> "


class CodeSection(NamedTuple):
    """
    A section.

    :ivar cause: paragraphs in reStructuredText.
    :ivar mend: a paragraph in reStructuredText.
    :ivar command: the command that reports the code.
    :ivar before: the files of the example, by their names.
    :ivar after: the files after the mend.
    :ivar said: what a running gateway says; empty for an example with files.
    """

    code: str
    cause: str
    mend: str
    command: str
    before: dict[str, str]
    after: dict[str, str]
    said: str

    def changes(self) -> str:
        """The mend as a diff, each change with the line above and below it; no headers."""
        shown: list[str] = []
        for name in self.after:
            old, new = self.before.get(name, "").splitlines(), self.after[name].splitlines()
            lines = list(difflib.unified_diff(old, new, n=1, lineterm=""))[2:]
            shown += [" ..." if line.startswith("@@") else line for line in lines]
        return "\n".join(shown[1:] if shown[:1] == [" ..."] else shown)


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
    with runner.isolated_filesystem():
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
    command, name, said = COMMAND, "routes.yaml", []
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for line in example.splitlines():
        if line.startswith("$ "):
            command = line[2:]
        elif line.startswith(_FILE):
            name = line.removeprefix(_FILE)
        elif line.startswith(">"):
            said.append(line[2:])
        else:
            if not line.startswith("+"):
                before.setdefault(name, []).append(line[1:])
            if not line.startswith("-"):
                after.setdefault(name, []).append(line[1:])
    return CodeSection(code, cause, mend, command, _texts(before), _texts(after), "\n".join(said))


def _texts(files: dict[str, list[str]]) -> dict[str, str]:
    return {name: "".join(f"{line}\n" for line in lines) for name, lines in files.items()}
