"""
The command line: what ``meshgate`` offers, with one module for each command.

The commands read and show; what they show is decided in the layers below. The gateway itself is run by ``twistd``.
Nothing but click is imported here, so that help and completion answer at once.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from importlib import import_module
from typing import Final

import click

from meshgate import __version__
from meshgate.compiled import compiled_text

COLLECTOR_THRESHOLDS: Final = (10_000, 20, 10)
"""How seldom garbage is looked for: to read 10,000 files takes a fifth less by that."""

COMMANDS = {
    "check": "Find what is wrong with routes, all of it at once.",
    "diff": "Tell what changes for traffic between two configurations.",
    "explain": "Tell where a connection goes, step by step, and what lost.",
    "explain-field": "Tell what a field of a resource means, and what may stand there.",
    "init": "Write the default installation, the lab, into DIRECTORY.",
    "routes": "Show every route as a table.",
    "sniff": "Tell what a captured ClientHello carries.",
    "status": "Show what the running gateway has in force.",
    "test": "Hold routes against a file of expectations.",
}
"""
Every command, and what the list of commands says of it. Its module has its name, with ``_`` for ``-``, and the command
itself is called ``command`` there.
"""


class Commands(click.Group):
    """
    A group whose commands are imported once they are wanted.

    :param summaries: what the list of commands says of each.
    """

    def __init__(self, *args: object, summaries: Mapping[str, str], **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the alphabet."""
        return sorted(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.summaries:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.summaries[name]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named first; for an unknown one, the nearest."""
        if args[0] not in self.summaries:
            from meshgate.resources.wording import name_text, spelling_hint

            ctx.fail(f"there is no command {name_text(args[0])}; {spelling_hint(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, summaries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="meshgate", message=f"%(prog)s, version %(version)s, {compiled_text()}")
def main() -> None:
    """An L4 ingress gateway that reads Istio's YAML: TCP ports and TLS SNI passthrough.

    The gateway runs as 'twistd -n meshgate --config FILE'; these commands check and explain what it would do.
    PATH is a file, a folder, or - for standard input.
    """
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
