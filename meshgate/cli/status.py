"""``meshgate status``: what the running gateway has in force."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from meshgate.cli.output import FORMAT, print_json
from meshgate.cli.sources import read_settings
from meshgate.cli.status_report import print_status
from meshgate.state.status_text import read_status

DEFAULT_CONFIG = "etc/meshgate.yaml"

NOT_RUNNING: Final = 3
"""The exit status of a program that does not run, as init scripts have it."""


@click.command("status")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The settings file of the running gateway.",
)
@click.option("--all", "everything", is_flag=True, help="List the resources without a problem, too.")
@FORMAT
def command(config: Path, everything: bool, form: str) -> None:
    """Show what the running gateway has in force: ports, routes, resources, problems.

    Where none is running, what was in force last is shown, and the exit status is 3; in JSON, running is false.

    A resource is accepted when it is valid and for this gateway, programmed when a part of it is in force, and
    conflicted when another resource has, or also wants, what it asks for. Its reasons are told in full below, among the
    problems.
    """
    state_dir = read_settings(config).state_dir
    try:
        document = read_status(state_dir)
    except FileNotFoundError:
        if form == "json":
            print_json({"running": False})
        else:
            click.echo(f"not running: no gateway has run with {config}, there is nothing in {state_dir}")
        raise SystemExit(NOT_RUNNING) from None
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if form == "json":
        print_json(document)
    else:
        print_status(document, everything=everything)
    if not document["running"]:
        raise SystemExit(NOT_RUNNING)
