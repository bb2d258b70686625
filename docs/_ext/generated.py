"""
Reference pages made from the code, so that they cannot say anything else than it does.

``.. generated:: endings`` and its like put the text of a function below in their place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from benchmarks.table import as_rst, machine_text
from meshgate.cli import main
from meshgate.proxy.endings import Ending
from meshgate.resources.codes import CODES
from meshgate.resources.field_reference import Entry, fields_of, kind_entry
from meshgate.resources.kinds.supported_kinds import KINDS
from meshgate.settings.expectation_file import ExpectationsFile
from meshgate.settings.reference import settings_reference

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results.json"


def endings() -> Iterator[str]:
    """Every ending and its meaning."""
    yield from _table("Ending", "What happened", [(f"``{ending.value}``", ending.meaning) for ending in Ending])


def codes() -> Iterator[str]:
    """Every code of a problem."""
    yield from _table("Code", "What it says", [(f"``{code}``", title) for code, title in sorted(CODES.items())])


def commands() -> Iterator[str]:
    """The help of every command, as the command prints it."""
    yield from _help(main, "meshgate", click.Context(main, info_name="meshgate"))
    context = click.Context(main, info_name="meshgate")
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        yield from _help(command, f"meshgate {name}", click.Context(command, info_name=name, parent=context))


def settings() -> Iterator[str]:
    """Every key of the settings file."""
    yield from settings_reference().splitlines()


def resources() -> Iterator[str]:
    """Every field of every kind."""
    for kind in KINDS.values():
        entry = kind_entry(kind)
        yield from (kind.name, "-" * len(kind.name), "", _text(entry.description), "")
        yield from _fields(entry.fields, len(entry.path), {})


def expectations() -> Iterator[str]:
    """Every key of a file of expectations."""
    yield from _fields(fields_of(ExpectationsFile), 0, {})


def benchmarks() -> Iterator[str]:
    """The figures of the last ``make bench``, and where they come from."""
    results = json.loads(RESULTS.read_text())
    yield from (f"Measured on {_text(machine_text(results))}.", "")
    yield from as_rst(results)


SOURCES: dict[str, Callable[[], Iterator[str]]] = {
    "endings": endings,
    "codes": codes,
    "commands": commands,
    "settings": settings,
    "resources": resources,
    "expectations": expectations,
    "benchmarks": benchmarks,
}


class Generated(SphinxDirective):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the generated text in place."""
        return self.parse_text_to_nodes("\n".join(SOURCES[self.arguments[0]]()), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("generated", Generated)
    return {"version": "1", "parallel_read_safe": True}


def _help(command: click.Command, title: str, context: click.Context) -> Iterator[str]:
    yield from (title, "-" * len(title), "", "::", "")
    yield from (f"    {line}" for line in command.get_help(context).splitlines())
    yield ""


def _fields(entries: Iterable[Entry], root: int, seen: dict[tuple[str, ...], str]) -> Iterator[str]:
    """
    Fields by their paths, each before those below it. What stands below is listed once, where it comes first.

    :param root: how many steps of the paths are left out.
    :param seen: where what was listed so far.
    """
    for field in entries:
        path = ".".join(field.path[root:])
        facts = [_text(fact) for fact in (field.type, field.presence()) if fact]
        shape = (field.about, *(below.name for below in field.fields))
        first = seen.get(shape) if field.fields else None
        about = f"The fields of ``{first}`` again." if first else _text(field.about)
        yield from (
            f"``{path}``",
            f"    {_text(field.description)}",
            "",
            f"    {'; '.join(facts)}. {about}".rstrip(),
            "",
        )
        if first is None:
            seen[shape] = path
            yield from _fields(field.fields, root, seen)


def _text(text: str) -> str:
    """Plain text, in which nothing means anything to reStructuredText."""
    return re.sub(r"([\\*`|_\[\]])", r"\\\1", text)


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> Iterator[str]:
    yield from (
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 25 75",
        "",
        f"   * - {left}",
        f"     - {right}",
    )
    for one, other in rows:
        yield from (f"   * - {one}", f"     - {other}")
