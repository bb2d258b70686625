"""
Write the files by which shells and ``man`` know the command: completion scripts and man pages, below ``share/``.

They are part of the repository, and an installation copies them: building a package needs neither a shell nor docutils.
Run ``make share`` after a change of a command's help; a test says when that was forgotten.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete
from docutils.core import publish_string

from meshgate import __version__
from meshgate.cli import main

SHARE = Path(__file__).parent.parent / "share"

COMPLETIONS = {
    "bash-completion/completions/meshgate": BashComplete,
    "zsh/site-functions/_meshgate": ZshComplete,
    "fish/vendor_completions.d/meshgate.fish": FishComplete,
}
"""Where each shell looks for the completion of a command, below ``share``."""

PAGE = """\
{frame}
{title}
{frame}

{line}
{summary}
{line}

:Manual section: 1
:Manual group: meshgate
:Version: {version}

SYNOPSIS
========

**{command}** {usage}

{sections}"""


def shell_files() -> Iterator[tuple[str, str]]:
    """All files: their names below ``share``, and their texts."""
    for name, shell in COMPLETIONS.items():
        yield name, shell(main, {}, "meshgate", "_MESHGATE_COMPLETE").source()
    context = click.Context(main, info_name="meshgate", **main.context_settings)
    yield "man/man1/meshgate.1", _page(main, context, "check and explain routes of the L4 ingress gateway")
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None  # noqa: S101 - it is in the list
        summary = command.get_short_help_str(200).rstrip(".")
        below = click.Context(command, info_name=name, parent=context)
        yield f"man/man1/meshgate-{name}.1", _page(command, below, summary[0].lower() + summary[1:])


def _page(command: click.Command, context: click.Context, summary: str) -> str:
    title = context.command_path.replace(" ", "-")
    source = PAGE.format(
        title=title,
        frame="#" * len(title),
        summary=_text(summary),
        line="~" * 200,
        version=f"meshgate {__version__}",
        command=context.command_path,
        usage=_text(" ".join(command.collect_usage_pieces(context))),
        sections="\n\n".join(_sections(command, context)),
    )
    page: bytes = publish_string(source, writer="manpage", settings_overrides={"datestamp": None})
    return page.decode()


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    yield _section("DESCRIPTION", _description(command.help or ""))
    options = (each for each in command.get_params(context) if isinstance(each, click.Option))
    records = filter(None, (option.get_help_record(context) for option in options))
    yield _section("OPTIONS", "\n\n".join(f"**{_text(names)}**\n    {_text(text)}" for names, text in records))
    if isinstance(command, click.Group):
        listed = ((name, main.summaries[name]) for name in main.list_commands(context))
        yield _section("COMMANDS", "\n\n".join(f"**meshgate-{name}**\\(1)\n    {_text(text)}" for name, text in listed))
        yield _section("ENVIRONMENT", "**NO_COLOR**\n    Write no colors, unless **--color always** asks for them.")
        others = ["**twistd**\\(1)"]
    else:
        others = ["**meshgate**\\(1)"]
    yield _section("SEE ALSO", f"{', '.join(others)}, https://meshgate.readthedocs.io/")


def _section(title: str, text: str) -> str:
    return f"{title}\n{'=' * len(title)}\n\n{text}"


def _description(text: str) -> str:
    """The help of a command; paragraphs that begin with click's mark keep their lines."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if paragraph.startswith("\b"):
            lines = paragraph.splitlines()[1:]
            paragraphs.append("::\n\n" + "\n".join(f"    {line}" for line in lines))
        else:
            paragraphs.append(_text(paragraph))
    return "\n\n".join(paragraphs)


def _text(text: str) -> str:
    """Text with everything escaped that has a meaning in reStructuredText."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)


if __name__ == "__main__":
    for name, text in shell_files():
        file = SHARE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
