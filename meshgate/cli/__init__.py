"""
The command ``meshgate``, with one module for each of its subcommands.

Each subcommand reads, asks the layers below, and prints. This module imports nothing but click, so that help and
completion answer at once.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from keyword import iskeyword
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from meshgate import __version__
from meshgate.compiled import compiled_text

COMMANDS = {
    "apply": "Create or change objects of the local gateway's API.",
    "check": "Report every problem of routes.",
    "delete": "Delete objects of the local gateway's API.",
    "describe": "Describe objects of the local gateway's API.",
    "diff": "Show what changes for traffic between two configurations.",
    "explain": "Explain step by step where a connection goes.",
    "explain-field": "Explain what a field of a resource means, and which values it takes.",
    "export": "Write the objects of the local gateway's API as YAML.",
    "get": "Show objects of the local gateway's API.",
    "history": "Show the last changes of the local gateway's API.",
    "import": "Take objects into the local gateway's API.",
    "init": "Write a new installation, or the package of a route provider.",
    "rollback": "Take back a change of the local gateway's API.",
    "routes": "Show every route in a table.",
    "sniff": "Show the contents of a captured ClientHello.",
    "status": "Show the status of the running gateway.",
    "test": "Test routes against a file of expectations.",
    "upgrade": "Have the running gateway replaced by the version that is installed now.",
    "watch": "Show objects of the local gateway's API, and their changes.",
}
"""
The summary of every command, by its name. The command's module has the same name, with ``_`` for ``-`` and after a word
that Python reserves, and calls it ``command``.
"""


def module_name(command: str) -> str:
    """The name of the module of a command."""
    return f"{command}_" if iskeyword(command) else command.replace("-", "_")


def _set_color(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value in ("always", "never"):
        context.color = value == "always"


COLOR = click.Option(
    ["--color"],
    type=click.Choice(["auto", "always", "never"]),
    expose_value=False,
    callback=_set_color,
    help="Color the output; auto does so on a terminal, unless NO_COLOR is set.  [default: auto]",
)
"""An option of every command, and of all together."""


class Commands(click.Group):
    """
    A group that imports a command when it is called.

    :param summaries: of each command, by its name.
    """

    def __init__(self, *args: object, summaries: Mapping[str, str], **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in alphabetical order."""
        return sorted(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.summaries:
            return None
        command: click.Command = import_module(f"{__name__}.{module_name(cmd_name)}").command
        if COLOR not in command.params:
            command.params.append(COLOR)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.summaries[name]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command or an option, without importing any command."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=self.summaries[name]) for name in names]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; for an unknown one, the error names the nearest."""
        if args[0] not in self.summaries:
            from meshgate.resources.wording import name_text, spelling_hint

            ctx.fail(f"there is no command {name_text(args[0])}; {spelling_hint(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, summaries=COMMANDS, params=[COLOR], context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="meshgate", message=f"%(prog)s, version %(version)s, {compiled_text()}")
@click.pass_context
def main(context: click.Context) -> None:
    """An L4 ingress gateway that reads Istio's YAML: TCP ports and TLS SNI passthrough.

    The gateway runs as 'twistd -n meshgate --config FILE'; these commands check and explain what it would do.
    PATH is a file, a folder, or - for standard input.
    """
    if context.color is None and os.environ.get("NO_COLOR"):
        context.color = False


def run() -> NoReturn:
    """
    Run the command as the whole process.

    The garbage collector is off, and nothing is freed at the end: reading makes no garbage in cycles, and both would
    take a fifth of the time of large inputs.
    """
    gc.disable()
    status: object = 0
    try:
        main(prog_name="meshgate")
    except SystemExit as end:
        status = end.code
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the reader of a pipe has gone
            stream.flush()
    os._exit(status if isinstance(status, int) else 0 if status is None else 1)
